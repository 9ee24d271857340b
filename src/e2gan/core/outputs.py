"""What a stage writes: folders that are whole or not there, and how an earlier run of the same is found.

A stage writes into `OUT.partial` and renames it to `OUT` when all is written. A run that was killed leaves the
partial folder, and the same command goes on from it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2gan.core.errors import InputError

if TYPE_CHECKING:
    pass

from e2gan.core.files import CONFIG, plain, read_json, write_json

__all__ = ["claim", "claim_in_place", "growing", "make_folder", "State", "versions", "writing"]

ELSEWHERE = "choose another --out, or delete it"


class State(Enum):
    """What `claim` found at the output folder."""

    FRESH = "fresh"  # nothing was there: the partial folder is new
    RESUME = "resume"  # a partial folder of the same settings
    DONE = "done"  # the whole result of the same settings


def partial_of(out: Path) -> Path:
    return out.with_name(out.name + ".partial")


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


def make_folder(folder: Path) -> None:
    """A folder that outputs go into, made where it is missing. Raises InputError where a file is in its place."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{folder} is a file, or lies in one: --out needs a folder") from None


def earlier(out: Path, stage: str) -> dict[str, Any] | None:
    """The JSON file that a run of the stage wrote there; None where there is nothing.

    Raises InputError for what another wrote: only the program's own is its to replace.
    """
    if out.is_dir():
        raise InputError(f"{out} is a folder: --out needs a file")
    if not out.exists():
        return None
    found = read_json(out)
    if not isinstance(found, dict) or found.get("stage") != stage:
        raise InputError(f"{out} was not written by e2gan {stage}: move it away, or choose another --out")
    return found


def changed(found: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """The settings in which an earlier file differs."""
    return [name for name, value in settings.items() if name not in found or found[name] != value]


def replaced(found: Mapping[str, Any], settings: Mapping[str, Any], what: str) -> str:
    """The note on an earlier file of other settings."""
    return f"replaced an earlier {what} (of other {', '.join(changed(found, settings)) or 'content'})"
