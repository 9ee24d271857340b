"""Files and folders that are either whole or not there.

A stage writes into `OUT.partial` and renames it to `OUT` when all is written. A run that was killed leaves the
partial folder, and the same command goes on from it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2gan.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "State",
    "claim",
    "claim_in_place",
    "growing",
    "make_folder",
    "plain",
    "read_json",
    "read_jsonl",
    "read_tensors",
    "sha256",
    "versions",
    "writing",
]
__all__ += ["write_bytes", "write_json", "write_jsonl", "write_tensors"]

CONFIG = "config.json"
ELSEWHERE = "choose another --out, or delete it"


class State(Enum):
    """What `claim` found at the output folder."""

    FRESH = "fresh"  # nothing was there: the partial folder is new
    RESUME = "resume"  # a partial folder of the same settings
    DONE = "done"  # the whole result of the same settings


def partial_of(out: Path) -> Path:
    return out.with_name(out.name + ".partial")


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


def versions() -> dict[str, str]:
    """Versions of the packages that decide what a run gives."""
    found = {}
    for name in ("e2gan", "torch", "numpy", "peft", "safetensors", "pillow", "scikit-image", "scikit-learn"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def claim(out: Path, stage: str, settings: Mapping[str, Any], may_change: Sequence[str] = ()) -> State:
    """Make `OUT.partial` ready for a stage, or find that the work is done.

    `settings` decides whether an earlier run is the same one (the output path itself does not count). It is
    written to the partial folder's config.json together with the stage and the versions. may_change: settings that
    a run may go on with others of, until it is done.

    Raises InputError where `out` or its partial folder holds something else.
    """
    out = Path(out)
    config = _config(stage, settings)
    if not _vacant(out):
        _same_or_refuse(out, config, ELSEWHERE)
        return State.DONE
    partial = partial_of(out)
    if partial.exists():
        # An empty folder, or one without its config.json yet, was killed in its first instant.
        if (partial / CONFIG).exists():
            mend = "repeat that run's settings to go on with it, or delete it"
            if _same_or_refuse(partial, config, mend, may_change):
                write_json(partial / CONFIG, config)
            return State.RESUME
        if any(not p.name.startswith(CONFIG) for p in partial.iterdir()):
            raise InputError(f"{partial} holds files that this program did not write: move it away")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        write_json(partial / CONFIG, config)
    except OSError as error:
        with suppress(OSError):
            partial.rmdir()
        raise InputError(f"cannot write to {out}: {error.strerror or error}") from error
    return State.FRESH


def claim_in_place(out: Path, stage: str, settings: Mapping[str, Any]) -> None:
    """As `claim`, for a folder that grows in its place, of parts that are each whole by themselves."""
    config = _config(stage, settings)
    if not _vacant(out):
        _same_or_refuse(out, config, ELSEWHERE)
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / CONFIG, config)
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror or error}") from error


@contextmanager
def growing(out: Path, stage: str, settings: Mapping[str, Any]) -> Iterator[None]:
    """`claim_in_place` for a stage that may yet refuse its input: then an empty claim is taken back."""
    claim_in_place(out, stage, settings)
    try:
        yield
    except InputError:
        if all(path.is_dir() or path == out / CONFIG for path in out.rglob("*")):
            shutil.rmtree(out)
        raise


def _config(stage: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    settings = {k: v for k, v in plain(settings).items() if k != "out"}
    return {"stage": stage, "settings": settings, "versions": versions()}


def _vacant(out: Path) -> bool:
    return not out.exists() or (out.is_dir() and not any(out.iterdir()))


def _same_or_refuse(folder: Path, config: Mapping[str, Any], mend: str, may_change: Sequence[str] = ()) -> list[str]:
    """Those of `may_change` that are others now. Raises InputError where anything else is."""
    if not folder.is_dir():
        raise InputError(f"{folder} is a file, not a folder: {mend}")
    if not (folder / CONFIG).exists():
        raise InputError(f"{folder} already holds something else: {mend}")
    found = read_json(folder / CONFIG)
    if found.get("stage") != config["stage"]:
        raise InputError(f"{folder} holds the output of '{found.get('stage')}', not of '{config['stage']}': {mend}")
    old, new = found.get("settings", {}), config["settings"]
    changed = [k for k in sorted({*old, *new}) if old.get(k) != new.get(k)]
    if fixed := [k for k in changed if k not in may_change]:
        names = ", ".join(_inside(k, old.get(k), new.get(k)) for k in fixed)
        raise InputError(f"{folder} was made with other settings ({names}): {mend}")
    return changed


def _inside(name: str, old: object, new: object) -> str:
    """The setting's name, or, where it is a group, the names of those in it that differ."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return name
    return ", ".join(f"{name}.{k}" for k in sorted({*old, *new}) if old.get(k) != new.get(k))


def finish(out: Path) -> None:
    """Rename the partial folder to its final name."""
    partial_of(Path(out)).replace(out)


@contextmanager
def writing(out: Path, stage: str, settings: Mapping[str, Any]) -> Iterator[Path | None]:
    """The partial folder to write to, renamed to `out` at the end; None where the same result is there already.

    For stages that are quick to do again: on any error the partial folder is removed. Stages that resume use
    `claim` and `finish` themselves.
    """
    out = Path(out)
    if claim(out, stage, settings) is State.DONE:
        yield None
        return
    try:
        yield partial_of(out)
        finish(out)
    except BaseException:
        shutil.rmtree(partial_of(out), ignore_errors=True)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Whole or not at all, also when the machine stops: written beside, flushed, renamed."""
    # Machines that share a disk may share process numbers.
    beside = path.with_name(f"{path.name}.tmp{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with beside.open("wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    write_bytes(path, (json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n").encode())


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_bytes(path, "".join(json.dumps(plain(row), ensure_ascii=False) + "\n" for row in rows).encode())


def read_json(path: Path) -> Any:
    """Raises InputError where the file is absent or no JSON."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not JSON: {error}") from error


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not JSON lines: {error}") from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """A safetensors file, whole or not at all."""
    from safetensors.torch import save

    held = {k: v.detach().to("cpu").contiguous() for k, v in tensors.items()}
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
    """A safetensors file's tensors and the texts of its header. Raises InputError where it is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as f:
            return {k: f.get_tensor(k) for k in f.keys()}, f.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a safetensors file: {error}") from error


def make_folder(folder: Path) -> None:
    """A folder that outputs go into, made where it is missing. Raises InputError where a file is in its place."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{folder} is a file, or lies in one: --out needs a folder") from None


def sha256(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
