"""Pretrained networks by a hub's name or a local folder; where neither is at hand, one line that says what to do."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from e2gan.config.schemas import Preprocessor
from e2gan.core.errors import InputError
from e2gan.core.files import read_json
from e2gan.core.memory import is_no_memory
from e2gan.core.names import expanded_home
from e2gan.core.tensors import check_tensors
from e2gan.features.converted import converted_model

MOST_TEXT = 256 * 2**20  # bytes of a file that is text: a vocabulary is a few millions
UNREACHABLE = {"OfflineModeIsEnabled", "LocalEntryNotFoundError"}  # its own, and those of what it sends requests by
UNREACHABLE |= {"ConnectError", "ConnectTimeout", "ReadTimeout", "ConnectionError"}


def need_transformers(why: str) -> ModuleType:
    """The library transformers, quiet. Raises InputError where it is not installed."""
    # Old checkpoints without safetensors would be sent to a conversion service in the background.
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    try:
        import transformers
    except ImportError:
        raise InputError(f"{why} needs the package transformers: pip install 'e2gan[clip]'") from None
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    return transformers


def pretrained(load: Callable[..., Any], name: str, option: str, **arguments: Any) -> Any:
    """`load(name)` of a `from_pretrained`: a local folder, else the hub's cache, else the hub.

    The cache is asked first, so that what was loaded once needs no network, and waits for none.
    Raises InputError where the name is neither a folder nor known to the hub's cache, and there is no network, and
    where what is there is damaged. That memory runs out is raised as it is.
    """
    folder = expanded_home(Path(name))
    if folder.is_file():
        raise InputError(f"{name}: is a file: name the folder that holds it with {option}")
    if folder.is_dir():
        _check_folder(folder, option)
        attempts, name = [arguments], str(folder)
    elif not _of_the_hub(name):
        raise InputError(f"{name}: there is no such folder: name one with {option}")
    else:
        attempts = [{"local_files_only": True} | arguments, arguments]
    errors = []
    for attempt in attempts:
        try:
            return load(name, **attempt)
        except InputError:
            raise
        except Exception as error:  # a damaged file fails anywhere in the libraries, in any way
            if is_no_memory(error):
                raise
            errors.append(error)
    reason, mend = brief(errors[-1]), f"the folder is not whole, or of another kind: name another with {option}"
    if "trust_remote_code" in str(errors[-1]):
        raise InputError(f"{name}: brings a program of its own to be loaded by, which is never run: name another model")
    if "ignore_mismatched_sizes" in str(errors[-1]):
        reason = "its weights have other shapes than its config.json says"
    if not folder.is_dir():
        mend = f"connect to the hub once, or name a local copy of the folder with {option}"
        if unreachable(errors[-1]):
            here = cached(f"{name}@{arguments['revision']}" if arguments.get("revision") else name)
            reason = f"no network, and {'the copy in the cache is not whole' if here else 'not in the cache'}"
    raise InputError(f"cannot load {name} ({reason}): {mend}")


def _check_folder(folder: Path, option: str) -> None:
    """Raises InputError for what the libraries would wait for without end, or read whole."""
    for path in folder.rglob("*"):
        if path.exists() and not path.is_dir():
            large = path.is_file() and path.suffix in (".json", ".txt") and path.stat().st_size > MOST_TEXT
            if large or not path.is_file():
                what = f"has more than {MOST_TEXT / 1e6:,.0f} MB" if large else "is no file"
                raise InputError(f"{path} {what}: the folder is not whole, name another with {option}")


def cached(source: str) -> bool:
    """Whether the hub need not be asked: a folder, a path, or a hub's NAME or NAME@REVISION that was loaded before."""
    from huggingface_hub import snapshot_download

    name, _, revision = source.partition("@")
    if any(expanded_home(Path(path)).exists() for path in (source, name)) or not _of_the_hub(name):
        return True
    try:
        snapshot_download(name, revision=revision or None, local_files_only=True)
    except (OSError, ValueError):
        return False
    return True


def brief(error: BaseException) -> str:
    """The first line of what an error says, at most 160 characters, without a parenthesis that the cut left open."""
    line = next(iter(str(error).strip().splitlines()), "")
    if len(line) > 160:
        line = line[:160].rpartition(" ")[0]
        while line.count("(") > line.count(")"):
            line = line[: line.rindex("(")]
    line = line.rstrip(" .:,;")
    return f"{type(error).__name__} {line}".strip() if isinstance(error, LookupError) or not line else line


def _of_the_hub(name: str) -> bool:
    return not name.startswith((".", "/", "~")) and name.count("/") <= 1 and bool(name.strip())


def unreachable(error: BaseException) -> bool:
    """Whether the hub has not answered at all: no network, or it is not asked."""
    names = {type(cause).__name__ for cause in causes(error)}
    return bool(names & UNREACHABLE) and "HfHubHTTPError" not in names  # the latter: it has answered


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what it comes of, one by one."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def pretrained_network(network: Any, name: str, option: str, unused: tuple[str, ...] = (), **arguments: Any) -> Any:
    """A network of the transformers class `network`, float32, frozen and in evaluation mode, on the CPU.

    The library fills weights that a checkpoint lacks with random ones; here that raises InputError, as does all that
    `pretrained` and `check_tensors` refuse. Weights in PyTorch's own format alone are converted first (converted.py).
    unused: how the names of weights begin that may be missing. arguments: of
    `from_pretrained`.
    """
    arguments |= {"output_loading_info": True, "dtype": torch.float32, "use_safetensors": True}
    try:
        model, found = pretrained(network.from_pretrained, name, option, trust_remote_code=False, **arguments)
    except InputError:
        only_cached = arguments.get("local_files_only", False)
        if (folder := _converted(name, arguments.get("revision"), only_cached=only_cached)) is None:
            raise
        model, found = pretrained(network.from_pretrained, str(folder), option, trust_remote_code=False, **arguments)
    if missing := sorted(key for key in found["missing_keys"] if not key.startswith(unused)):
        raise InputError(
            f"{name}: is no {network.__name__}, or not whole ({missing[0]} is missing, the first of {len(missing)}): "
            f"name another with {option}"
        )
    check_tensors(name, dict(model.named_parameters()))
    return model.eval().requires_grad_(False)


def _converted(name: str, revision: str | None, *, only_cached: bool) -> Path | None:
    """The conversion of a model whose weights are a `pytorch_model.bin` alone; None for any other."""
    from transformers.utils.hub import cached_file

    quiet = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}

    def found(file: str, *, only_cached: bool) -> Path | None:
        where = str(expanded_home(Path(name)))
        path = cached_file(where, file, revision=revision, local_files_only=only_cached, **quiet)
        return None if path is None else Path(path)

    weights = config = None
    with suppress(OSError, ValueError):  # no such folder or repository
        if found("model.safetensors", only_cached=True) or found("model.safetensors.index.json", only_cached=True):
            return None
        for here in (True,) if only_cached else (True, False):
            weights = weights or found("pytorch_model.bin", only_cached=here)
            config = config or found("config.json", only_cached=here)
    return None if weights is None or config is None else converted_model(weights, config)


def model_config(name: str, option: str, kinds: tuple[str, ...]) -> Any:
    """A model's settings without its weights. Raises InputError where its type is none of `kinds`."""
    transformers = need_transformers(option)
    config = pretrained(transformers.AutoConfig.from_pretrained, name, option, trust_remote_code=False)
    if config.model_type not in kinds:
        raise InputError(
            f"{name}: is a model of the type {config.model_type}, not {' or '.join(kinds)}: name another with {option}"
        )
    return config


def clip_tokenizer(name: str, option: str, words: int, **arguments: Any) -> Any:
    """The CLIP tokenizer beside a model whose vocabulary has so many words.

    Where the vocabulary is absent the library gives a tokenizer that knows no word; here that raises InputError, and
    so does a vocabulary that is too large for the model.
    """
    transformers = need_transformers(option)

    def load(name: str, **arguments: Any) -> Any:
        tokenizer = transformers.CLIPTokenizer.from_pretrained(name, trust_remote_code=False, **arguments)
        if len(tokenizer) <= len(tokenizer.all_special_tokens) + 1:
            raise OSError("it has no vocabulary: vocab.json and merges.txt, or tokenizer.json")
        return tokenizer

    tokenizer = pretrained(load, name, option, **arguments)
    if len(tokenizer) > words:
        raise InputError(
            f"{name}: its tokenizer has {len(tokenizer)} words, its model {words}: name a matching pair with {option}"
        )
    return tokenizer


def image_statistics(
    name: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation, of colours in 0..1, from the model's preprocessor_config.json; else those given."""
    from transformers.utils.hub import cached_file

    path = None
    for only_cached in (True, False):
        path = path or cached_file(
            str(expanded_home(Path(name))),
            "preprocessor_config.json",
            local_files_only=only_cached,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
    if path is None:
        return mean, std
    try:
        found = read_json(Path(path), Preprocessor)
        mean, std = tuple(map(float, found["image_mean"])), tuple(map(float, found["image_std"]))
    except InputError as error:
        raise InputError(f"{path} gives no image_mean and image_std ({error}): mend it, or delete it") from error
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise InputError(f"{path}: image_mean and image_std are three numbers each, the latter above 0")
    return mean, std


CLIP_NAME = "openai/clip-vit-base-patch32"
