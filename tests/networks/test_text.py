from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from e2gan.core.errors import InputError
from e2gan.features.hub import need_transformers
from e2gan.networks.text import MAX_TOKENS, ClipText, TextEncoder, encode, known_width, pad, text_encoder
from tests.conftest import said
from tests.tiny_clip import CONTEXT, WIDTH, write_clip


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "whole")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network and an empty cache."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


# ------------------------------------------------------------------------------------------------------------- hashed


def test_hashed_words_stay_the_same_for_ever() -> None:
    """A base that ships was trained on these very numbers."""
    token = encode("Autumn", 512)[0]
    assert token[:3].tolist() == pytest.approx([0.752691, -2.066737, -1.301994], abs=1e-5)
    assert torch.equal(token, encode("make it autumn!", 512)[2])
    assert token.std() == pytest.approx(1, abs=0.1)


def test_hashed_takes_any_width_and_keeps_the_old_function() -> None:
    assert known_width("hashed") is None
    assert text_encoder("hashed").width == 512
    encoder = text_encoder("hashed", 40)
    assert (encoder.name, encoder.width) == ("hashed", 40)
    assert torch.equal(encoder.encode("make it autumn"), encode("make it autumn", 40))
    assert len(encoder.encode("word " * 100)) == MAX_TOKENS
    with pytest.raises(InputError, match="at least 1"):
        text_encoder("hashed", 0)


def test_pad_marks_what_is_real() -> None:
    tokens, mask = pad([torch.ones(2, 3), torch.ones(4, 3)])
    assert tokens.shape == (2, 4, 3)
    assert mask.tolist() == [[True, True, False, False], [True] * 4]
    assert tokens[~mask].abs().sum() == 0


# --------------------------------------------------------------------------------------------------------------- CLIP


def test_clip_gives_the_models_own_states_as_if_padded_and_masked(clip_folder: Path) -> None:
    transformers = need_transformers("this test")
    encoder = text_encoder(f"clip:{clip_folder}")
    tokens = encoder.encode("Autumn in Rome")
    model = transformers.CLIPTextModel.from_pretrained(clip_folder).eval()
    tokenizer = transformers.CLIPTokenizer.from_pretrained(clip_folder)
    padded = tokenizer("Autumn in Rome", padding="max_length", max_length=CONTEXT, return_tensors="pt")
    real = int(padded["attention_mask"].sum())
    assert real < CONTEXT
    with torch.no_grad():
        states = model(**padded).last_hidden_state[0]
    assert tokens.shape == (real, WIDTH)
    assert tokens.dtype == torch.float32
    assert not tokens.requires_grad
    torch.testing.assert_close(tokens, states[:real], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(tokens[-1], encoder.encode("a dog in Rome")[-1], atol=1e-2)


def test_a_long_prompt_is_cut_and_keeps_its_end(clip_folder: Path) -> None:
    encoder = text_encoder(f"clip:{clip_folder}")
    assert encoder.encode("").shape == (2, WIDTH)  # begin and end
    long = encoder.encode("in " * 100)
    assert long.shape == (CONTEXT, WIDTH)
    # 18 words fill the context with begin and end: the same tokens as the cut ones
    assert torch.equal(long, encoder.encode("in " * 18))


def test_the_width_follows_the_model_without_its_weights(clip_folder: Path, tmp_path: Path) -> None:
    shutil.copy(clip_folder / "config.json", tmp_path)
    assert known_width(f"clip:{tmp_path}") == WIDTH
    assert text_encoder(f"clip:{tmp_path}").width == WIDTH
    with pytest.raises(InputError, match=r"width 16, not 512: set --text-width 16"):
        text_encoder(f"clip:{tmp_path}", 512)
    with pytest.raises(InputError, match="cannot load"):
        text_encoder(f"clip:{tmp_path}", WIDTH).encode("autumn")


@pytest.mark.usefixtures("offline")
def test_the_default_is_512_wide_and_needs_nothing_to_say_so() -> None:
    assert known_width("clip") == known_width("clip:openai/clip-vit-base-patch32") == 512
    assert text_encoder("clip", 512).name == "clip"
    with pytest.raises(InputError, match="not 768"):
        text_encoder("clip", 768)


def test_a_text_model_alone_is_enough(tmp_path: Path) -> None:
    """As in the folders of diffusion models: no vision tower, another type in config.json."""
    folder = write_clip(tmp_path / "text", texts_only=True)
    assert json.loads((folder / "config.json").read_text())["model_type"] == "clip_text_model"
    assert text_encoder(f"clip:{folder}").encode("autumn").shape[1] == WIDTH


def test_a_prompt_is_encoded_once_and_then_needs_no_model(tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "model", seed=1)
    first = text_encoder(f"clip:{folder}").encode("make it autumn")
    kept = first.clone()
    first.zero_()  # the caller's own: what is kept stays
    (folder / "model.safetensors").unlink()
    again: TextEncoder = text_encoder(f"clip:{folder}")
    assert isinstance(again, ClipText)
    assert torch.equal(again.encode("make it autumn"), kept)
    with pytest.raises(InputError, match=r"model\.safetensors"):
        again.encode("make it winter")


def test_two_models_do_not_share_what_is_kept(clip_folder: Path, tmp_path: Path) -> None:
    other = write_clip(tmp_path / "other", seed=2)
    here, there = (text_encoder(f"clip:{folder}").encode("in") for folder in (clip_folder, other))
    assert not torch.allclose(here, there, atol=1e-2)


# -------------------------------------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize("name", ["", "CLIP", "clip:", "clip: ", "bert", "hashed:512", "clip-vit"])
def test_an_unknown_name_lists_the_forms(name: str) -> None:
    for function in (known_width, text_encoder):
        with pytest.raises(InputError) as error:
            function(name)
        assert "'hashed', 'clip' or 'clip:NAME_OR_FOLDER'" in said(error)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["clip", "clip:someone/else"])
def test_absent_weights_name_the_local_option(name: str) -> None:
    with pytest.raises(InputError) as error:
        text_encoder(name).encode("autumn")
    assert "name a local copy of the folder with --text clip:FOLDER" in said(error)


def test_folders_that_hold_no_such_model(tmp_path: Path) -> None:
    def refused(folder: Path) -> str:
        with pytest.raises(InputError) as error:
            text_encoder(f"clip:{folder}").encode("a prompt that is not kept")
        return said(error)

    assert "there is no such folder" in refused(tmp_path / "absent")
    assert "model_type" in refused(tmp_path)  # an empty one
    bert = tmp_path / "bert"
    bert.mkdir()
    (bert / "config.json").write_text('{"model_type": "bert", "hidden_size": 16}')
    assert "of the type bert" in refused(bert)


@pytest.mark.parametrize("broken", ["words", "shapes", "truncated", "tensor"])
def test_a_damaged_folder_is_refused_and_never_filled_with_chance(
    clip_folder: Path, tmp_path: Path, broken: str
) -> None:
    """The library itself would give a tokenizer without a word, and random weights for a missing tensor."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "damaged"
    shutil.copytree(clip_folder, folder)
    weights = folder / "model.safetensors"
    if broken == "words":
        (folder / "vocab.json").unlink()
        (folder / "merges.txt").unlink()
        expected = "no vocabulary"
    elif broken == "shapes":
        config = json.loads((folder / "config.json").read_text())
        config["text_config"]["intermediate_size"] = 40
        (folder / "config.json").write_text(json.dumps(config))
        expected = "other shapes"
    elif broken == "truncated":
        weights.write_bytes(weights.read_bytes()[:-1000])
        expected = "not whole"
    else:
        tensors = load_file(weights)
        del tensors["text_model.final_layer_norm.weight"]
        save_file(tensors, weights, {"format": "pt"})
        expected = "final_layer_norm.weight"
    with pytest.raises(InputError) as error:
        text_encoder(f"clip:{folder}").encode("autumn")
    assert expected in said(error)
    assert "--text clip:FOLDER" in said(error)


def test_a_tokenizer_of_another_model_is_refused(clip_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(clip_folder, folder)
    words = json.loads((folder / "vocab.json").read_text("utf-8"))
    (folder / "vocab.json").write_text(json.dumps(words | {"new</w>": len(words)}), "utf-8")
    with pytest.raises(InputError, match="matching pair"):
        text_encoder(f"clip:{folder}").encode("autumn")


def test_what_was_loaded_once_needs_no_network(
    clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model in the hub's cache is taken from there, without a question to the network."""
    import socket

    from huggingface_hub import constants

    entry = tmp_path / "cache" / "models--someone--tiny"
    shutil.copytree(clip_folder, entry / "snapshots" / "0123456789abcdef0123456789abcdef01234567")
    (entry / "refs").mkdir()
    (entry / "refs" / "main").write_text("0123456789abcdef0123456789abcdef01234567")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    asked = []

    def refuse(*arguments: object, **_: object) -> None:
        asked.append(arguments)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    tokens = text_encoder("clip:someone/tiny", WIDTH).encode("autumn")
    assert torch.equal(tokens, text_encoder(f"clip:{clip_folder}").encode("autumn"))
    assert not asked


def test_words_have_the_same_vector_everywhere() -> None:
    tokens = encode("Make it autumn", 512)
    assert tokens.shape == (3, 512)
    assert torch.equal(tokens[2], encode("autumn", 512)[0])
    assert tokens.std().item() == pytest.approx(1, abs=0.1)
    assert tokens[2, :3].tolist() == pytest.approx(GOLDEN_AUTUMN, abs=1e-6)
    assert encode("", 512).shape == (1, 512)
    assert len(encode("word " * 100, 8)) == 77


GOLDEN_AUTUMN = [0.75269115, -2.06673717, -1.30199361]
