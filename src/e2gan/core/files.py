"""Files that are either whole or not there: JSON, JSON lines, safetensors; and TOML, which is only read."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import secrets
import tomllib
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2gan.core.errors import InputError, NotFiniteError
from e2gan.core.schemas import check_form, check_sound

if TYPE_CHECKING:
    from torch import Tensor


CONFIG = "config.json"
BESIDE = ".tmp"  # of the name under which a file is written before it takes its place


def plain(value: Any) -> Any:
    """Dataclasses, paths, tuples and enums as what JSON holds."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    return value


def write_bytes(path: Path, data: bytes) -> None:
    """Whole or not at all, also when the machine stops: written beside, flushed, renamed."""
    # Machines that share a disk may share process numbers.
    beside = path.with_name(f"{path.name}{BESIDE}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with beside.open("wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def json_bytes(value: Any) -> bytes:
    return (json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n").encode()


def write_json(path: Path, value: Any) -> None:
    write_bytes(path, json_bytes(value))


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_bytes(path, "".join(json.dumps(plain(row), ensure_ascii=False) + "\n" for row in rows).encode())


def read_json(path: Path, form: Any = Any, *, finite: bool = True) -> Any:
    """What a JSON file says, of the form that is named (config/schemas.py); more than that stays as it is.

    finite: whether its numbers must be. Raises InputError, one line, where the file cannot be read, is no JSON, or of
    another form, and where a name in it leads out of its folder.
    """
    return parse_json(_bytes(path), form, str(path), folder=path.parent, finite=finite)


def read_jsonl(path: Path, form: Any = Any, *, finite: bool = True) -> list[dict[str, Any]]:
    """The rows of a JSON lines file, each of the form; see `read_json`."""
    try:
        lines = _bytes(path).decode("utf-8").split("\n")  # splitlines would cut a text at a line separator in it
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not JSON lines: {error}") from error
    return [
        parse_json(line, form, f"{path}, line {i}", folder=path.parent, finite=finite)
        for i, line in enumerate(lines, 1)
        if line.strip()
    ]


def parse_json(text: str | bytes, form: Any, where: str, *, folder: Path = Path(), finite: bool = True) -> Any:
    """As `read_json`, of a text. where: what a message begins with. folder: where the names in it must lie."""
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise InputError(f"{where}: is not JSON that can be read: too deep") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{where}: is not JSON: {error}") from error
    check_sound(value, where, finite=finite)
    check_form(value, form, where, folder)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, whose keys may not be there twice: readers differ in which of the two they take."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is there twice")
    return found


def _bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is no file")
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def read_toml(path: Path, form: Any = Any) -> dict[str, Any]:
    """What a TOML file says, of the form that is named; see `read_json`.

    Raises InputError where the file cannot be read, is not UTF-8, or no TOML, the last two with the line; and where it
    is of another form.
    """
    try:
        found = tomllib.loads(path.read_bytes().decode("utf-8-sig"))  # some editors write the mark
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: is not UTF-8: save the file in that encoding") from None
    except RecursionError:
        raise InputError(f"{path}: is not TOML that can be read: too deep") from None
    except ValueError as error:  # TOMLDecodeError, and numbers of thousands of digits
        raise InputError(f"{path}: is not TOML: {error}") from None
    check_sound(found, str(path), finite=False)
    check_form(found, form, str(path), path.parent)
    return found


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """A safetensors file, whole or not at all.

    Raises NotFiniteError where a value is not finite in the precision that is written, InputError for other numbers
    than `check_tensors` takes.
    """
    from safetensors.torch import save

    held = {k: v.detach().to("cpu").contiguous() for k, v in tensors.items()}
    check_tensors(path, held)
    data = save(held, dict(metadata) if metadata else None)
    # The library orders the header's texts by chance; the same tensors should be the same file.
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the format aligns the tensors to 8 bytes
    write_bytes(path, len(text).to_bytes(8, "little") + text + data[end:])


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A safetensors file's tensors and the texts of its header.

    Raises InputError where it is none, and as `check_tensors`.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as f:
            tensors, texts = {k: f.get_tensor(k) for k in f.keys()}, f.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise InputError(f"{path} is not a safetensors file: {' '.join(str(error).split())[:200]}") from error
    check_tensors(path, tensors)
    return tensors, texts


def check_tensors(source: Path | str, tensors: Mapping[str, Tensor]) -> None:
    """What every file of weights must hold: floats of 16, 32 or 64 bits, finite as they are and as float32.

    Batch norm's count of batches is an integer. Every reader and writer of tensors goes through here.
    Raises NotFiniteError, or InputError for other types of numbers, naming the file and the first such tensor.
    """
    import torch

    floats = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    for name, tensor in tensors.items():
        kind = str(tensor.dtype).removeprefix("torch.")
        if tensor.dtype == torch.int64 and str(name).endswith("num_batches_tracked"):
            continue
        if tensor.dtype not in floats:
            raise InputError(f"{source}: '{name}' holds {kind}, where weights are floats of 16, 32 or 64 bits")
        if not tensor.float().isfinite().all():
            bad = int((~tensor.float().isfinite()).sum())
            raise NotFiniteError(
                f"{source}: '{name}' has {bad} of {tensor.numel()} values that are not finite as {kind}: "
                "infinite, too large, or not a number"
            )


def sha256(path: Path) -> str:
    """Of a file's bytes, in hexadecimal. Raises InputError where it cannot be read."""
    try:
        with path.open("rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
