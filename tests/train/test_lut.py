"""The colour table: what it recovers, what it cannot, and its command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from e2gan.cli import main
from e2gan.config import ScratchConfig, TrainingConfig
from e2gan.core.errors import InputError
from e2gan.core.files import read_json
from e2gan.core.images import read_image, write_png
from e2gan.data.pair_set import PairSet
from e2gan.editing.predictor import Predictor
from e2gan.networks.baselines.lut import LookUpTable, identity
from e2gan.networks.models import Model, load_network
from e2gan.train import lut
from e2gan.train.lut import fit, lut_of, sample, train_lut
from tests.conftest import Project


def colours(count: int = 200_000, low: int = 0, high: int = 256) -> np.ndarray:
    return np.random.default_rng(0).integers(low, high, (count, 3), dtype=np.uint8)


def edited(table: LookUpTable, pixels_M3: np.ndarray) -> np.ndarray:
    return Predictor(Model(table, None, "", 32, Path())).batch(pixels_M3[None, None])[0, 0]


def smooth_table() -> LookUpTable:
    """A tone curve, a cast and a turn of the hues, told apart on every axis."""
    table = LookUpTable(9)
    x = identity(9)
    with torch.no_grad():
        table.table.copy_((0.8 * x + 0.3 * x[[2, 0, 1]] ** 2 - 0.2 * torch.sin(2 * x[[1, 2, 0]])).clamp(-1, 1))
    return table.eval().requires_grad_(False)


def test_a_known_table_is_recovered() -> None:
    truth, photo = smooth_table(), colours()
    found = fit(photo, edited(truth, photo), 9)
    unseen = np.random.default_rng(1).integers(0, 256, (5000, 3), dtype=np.uint8)
    difference = np.abs(edited(found, unseen).astype(int) - edited(truth, unseen))
    assert difference.mean() < 0.6
    assert difference.max() <= 6  # at the cube's outermost colours
    assert np.abs(unseen.astype(int) - edited(truth, unseen)).mean() > 15


def test_identical_pairs_give_the_identity() -> None:
    photo = colours(1000)
    assert torch.equal(fit(photo, photo).table, identity(17))


def test_an_edit_that_hangs_on_the_place_is_not_learned() -> None:
    """The left half darker, the right half brighter by 40 levels: a table's best is their mean, the photo."""
    photo = colours(high=200, low=56)
    edit = photo.copy()
    edit[: len(edit) // 2] -= 40
    edit[len(edit) // 2 :] += 40
    error = np.abs(edited(fit(photo, edit, 9), photo).astype(int) - edit).mean()
    assert error == pytest.approx(40, abs=1)


def test_colours_that_no_pair_has_go_on_from_their_neighbours() -> None:
    """Only dark colours are seen, each 30 levels brighter: the others stay finite, near, and in the range."""
    photo = colours(high=80)
    table = fit(photo, photo + 30)
    assert torch.isfinite(table.table).all()
    assert table.table.abs().max() <= 1
    between = np.array([[100, 100, 100], [130, 110, 90]], np.uint8)
    assert np.abs(edited(table, between).astype(int) - between - 30).max() <= 5
    one = fit(np.full((4, 3), 128, np.uint8), np.full((4, 3), 128, np.uint8))
    assert torch.equal(one.table, identity(17))


def test_many_pixels_are_sampled_by_the_seed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, edits, _ = PairSet.load(project.sepia).files("train")
    everything = sample(photos, edits, 32, 0)
    assert everything[0].shape == (len(photos) * 32 * 32, 3)
    assert (everything[1].reshape(-1, 32, 32, 3)[3] == read_image(edits[3])).all()
    monkeypatch.setattr(lut, "MOST_PIXELS", 1000)
    monkeypatch.setattr(lut, "MOST_PHOTOS", 10)
    first, again, other = (sample(photos, edits, 32, seed) for seed in (0, 0, 1))
    assert first[0].shape == first[1].shape == (1000, 3)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not (first[0] == other[0]).all()
    # A photo's pixel keeps its own edit's.
    truth = {tuple(p): e for p, e in zip(everything[0].tolist(), everything[1].tolist(), strict=True)}
    assert all(np.abs(np.subtract(truth[tuple(p.tolist())], e)).max() <= 1 for p, e in zip(*first, strict=True))


def test_the_command_writes_a_model_that_edits_at_full_size(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "m"
    command = f"scratch --model lut --lut-size 9 --text clip --pairs {project.sepia} --out {out}".split()
    assert main(command) == 0
    assert "fitted in" in capsys.readouterr().out
    assert read_json(out / "config.json")["settings"]["prompt"] == "as a sepia photo"
    network, settings = load_network(out)
    assert isinstance(network, LookUpTable)
    assert (settings["model"], network.nodes) == ("lut", 9)
    assert (out / "lut.cube").read_text("ascii").splitlines()[:2] == ['TITLE "as a sepia photo"', "LUT_3D_SIZE 9"]
    before = (out / "model.safetensors").read_bytes()
    assert main(command) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main([w if w != str(out) else str(tmp_path / "n") for w in command]) == 0
    assert (tmp_path / "n" / "model.safetensors").read_bytes() == before
    # No pixel is blurred, or differs from what it is alone: side, tile and bands mean nothing.
    photo = np.random.default_rng(0).integers(0, 256, (150, 90, 3), dtype=np.uint8)
    write_png(tmp_path / "p.png", photo)
    for options in ([], ["--side", "64"], ["--tile", "64"]):
        assert main(f"edit {tmp_path / 'p.png'} --model {out} --out {tmp_path / 'e.png'}".split() + options) == 0
        alone = edited(network, photo.reshape(-1, 3)).reshape(photo.shape)
        assert (read_image(tmp_path / "e.png") == alone).all()


def test_large_photos_run_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    from e2gan.editing import predictor

    photo = np.random.default_rng(0).integers(0, 256, (100, 40, 3), dtype=np.uint8)
    run = Predictor(Model(smooth_table(), None, "", 32, Path()))
    whole = run.batch(photo[None])[0]
    monkeypatch.setattr(predictor, "CHUNK", 40 * 33)
    assert (run.edit(photo) == whole).all()


@pytest.mark.slow
def test_the_table_is_exported_and_its_cost_refused(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "m"
    assert main(f"scratch --model lut --pairs {project.sepia} --out {out}".split()) == 0
    assert main(f"export --model {out} --out {tmp_path / 'x'}".split()) == 0
    assert read_json(tmp_path / "x" / "parity.json")["max"] <= 1
    assert main(f"evaluate --model {out} --pairs {project.sepia} --out {tmp_path / 'v'}".split()) == 0
    assert read_json(tmp_path / "v" / "metrics.json")["lut"] is None
    capsys.readouterr()
    assert main(f"cost --model {out}".split()) == 2
    assert "no layers to count" in capsys.readouterr().err
    assert main(f"adapt --base {out} --pairs {project.sepia} --out {tmp_path / 'a'} --steps 1".split()) == 2


@pytest.mark.parametrize(("options", "words"), [("--unpaired", "not lut"), ("--lut-size 2", "must lie in 3..33")])
def test_what_a_table_cannot_do_is_one_line(
    options: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*f"scratch --model lut --pairs p --out {tmp_path / 'm'}".split(), *options.split()]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_set_without_pairs_is_refused(project: Project, tmp_path: Path) -> None:
    pair_set = replace(PairSet.load(project.sepia), paired=False)
    with pytest.raises(InputError, match="holds no pairs"):
        lut_of(pair_set)
    (tmp_path / "s.json").write_text('{"ids": ["nobody"]}')
    config = ScratchConfig(pairs=project.sepia, out=tmp_path / "m", model="lut", selection=tmp_path / "s.json")
    with pytest.raises(InputError, match="names none of the train photos"):
        train_lut(replace(config, training=TrainingConfig(seed=1)))
    assert not (tmp_path / "m").exists()
