"""The folders that stages write: claimed, begun or gone on with, and put in their place when they are whole.

A stage writes into `OUT.partial` and renames it to `OUT` when all is written; meanwhile no other run can (locks.py). A
run that was killed leaves the partial folder, and the same command goes on from it. What makes it the same run is in
reruns.py.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2gan import __version__
from e2gan.core.errors import InputError
from e2gan.core.files import CONFIG, check_name, clear_beside, read_json, write_json
from e2gan.core.locks import LOCK, clear_lock, only_writer
from e2gan.core.record import FORMAT, NOW, place_of, record
from e2gan.core.reruns import CONTENT, differences, in_words, with_reads
from e2gan.core.schemas import StageConfig, check_form

if TYPE_CHECKING:
    from e2gan.core.identity import Reads

PARTIAL = ".partial"
MARGIN = len(PARTIAL + LOCK)  # bytes that a folder's name must leave for the names beside it
ELSEWHERE = "choose another --out, or delete it"
PACKAGES = ("torch", "numpy", "peft", "safetensors", "pillow", "scikit-image", "scikit-learn")


class State(Enum):
    """What `claim` found at the output folder."""

    FRESH = "fresh"  # nothing was there: the partial folder is new
    RESUME = "resume"  # a partial folder of the same settings
    DONE = "done"  # the whole result of the same settings


def partial_of(out: Path) -> Path:
    """The folder that a stage writes to until its output is whole."""
    return out.parent / (out.name + PARTIAL)  # a path without a name is refused elsewhere


def versions() -> dict[str, str]:
    """Versions of this program, and of the packages that decide what a run gives."""
    installed = {"e2gan": __version__}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            installed[name] = version(name)
    return installed


def begun_without(out: Path, setting: str) -> bool:
    """Whether a run at `out` is half done, begun by an earlier version that had no such setting."""
    config = partial_of(out) / CONFIG
    return config.exists() and setting not in read_json(config, StageConfig).get("settings", {})


def read_settings(folder: Path, forms: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The settings in a finished folder's config.json. forms: by the stages that write such a folder, the form of their
    settings (config/schemas.py). what: what it is called.

    Raises InputError where the folder is none, of another stage, or its settings of another form.
    """
    if not (folder / CONFIG).is_file():
        raise InputError(f"{folder} is no {what}: it has no {CONFIG} (make one with: e2gan {next(iter(forms))})")
    config = read_json(folder / CONFIG, Any)  # the stage tells the form
    stage = config.get("stage") if isinstance(config, dict) else None
    if not isinstance(stage, str) or stage not in forms or not isinstance(config.get("settings"), dict):
        raise InputError(f"{folder} holds the output of {str(stage)[:40]!r}, not a {what}")
    check_form(config["settings"], forms[stage], f"{folder / CONFIG}, settings", folder)
    return config["settings"]


def check_beside(out: Path, pictures: Sequence[Path]) -> None:
    """That pictures which lie beside the file `out`, named after it, are its own.

    Raises InputError where one is there, and `out` is not, nor a run that was killed: it is somebody else's. So `out`
    is written before they are.
    """
    clear_beside(*pictures)
    if out.exists() or partial_of(out).exists():
        return
    if there := next((picture for picture in pictures if picture.exists()), None):
        raise InputError(f"--out {out}: its picture would overwrite {there}: choose another name")


def _config(out: Path, stage: str, settings: Mapping[str, Any], reads: Reads) -> dict[str, Any]:
    settings = {name: value for name, value in with_reads(settings, reads).items() if name != "out"}
    about = {"stage": stage, "settings": settings, "versions": versions()}
    return about | place_of(out) | {FORMAT: NOW}  # without the record itself, until all is written


def write_inner(folder: Path, stage: str, settings: Mapping[str, Any]) -> None:
    """The config.json, with its record, of a whole folder that another stage writes inside its own."""
    write_json(folder / CONFIG, {"stage": stage, "settings": settings, "versions": versions()})
    record(folder)


def _same_or_refuse(folder: Path, config: Mapping[str, Any], mend: str, may_change: Sequence[str] = ()) -> bool:
    """Whether any of `may_change` differs. Raises InputError where anything else does."""
    if not folder.is_dir():
        raise InputError(f"{folder} is a file, not a folder: {mend}")
    if not (folder / CONFIG).exists():
        raise InputError(f"{folder} already holds something else: {mend}")
    stored = read_json(folder / CONFIG, StageConfig)
    if stored.get("stage") != config["stage"]:
        raise InputError(f"{folder} holds the output of '{stored.get('stage')}', not of '{config['stage']}': {mend}")
    changed = differences(stored.get("settings", {}), config["settings"])
    if fixed := [name for name in changed if name.partition(".")[0] not in may_change]:
        words = in_words(fixed, config["settings"])
        if all(name.startswith(f"{CONTENT}.") for name in fixed):
            raise InputError(f"{words} are others than those that {folder} was made with: {mend}")
        raise InputError(f"{folder} was made with other settings ({words}): {mend}")
    return bool(changed)


@contextmanager
def claim(
    out: Path,
    stage: str,
    settings: Mapping[str, Any],
    *,
    reads: Reads,
    may_change: Sequence[str] = (),
) -> Iterator[State]:
    """Make `OUT.partial` ready for a stage, or find that the work is done. Inside, no other process writes it.

    `settings` and `reads`, the hashes of what the stage reads, decide whether an earlier run is the same one (the
    output path itself does not count). They are written to the partial folder's config.json together with the stage and
    the versions. may_change: settings that a run may go on with others of, until it is done.

    Raises InputError where `out` or its partial folder holds something else or cannot be written, and BusyError where
    another process writes it.
    """
    out = Path(out)
    config = _config(out, stage, settings, reads)
    if _done(out, config):  # also where nothing can be written
        clear_lock(out)
        yield State.DONE
        return
    check_out(out)
    with only_writer(out):
        yield State.DONE if _done(out, config) else _ready(out, config, may_change)


def _done(out: Path, config: Mapping[str, Any]) -> bool:
    if _vacant(out):
        return False
    _same_or_refuse(out, config, ELSEWHERE)
    return True


def _ready(out: Path, config: Mapping[str, Any], may_change: Sequence[str]) -> State:
    partial = partial_of(out)
    if os.path.lexists(partial) and (partial.is_symlink() or not partial.is_dir()):
        raise InputError(f"{partial} is in the way, and no folder: move it away, or choose another --out")
    if partial.exists():
        # A folder that is empty, or holds nothing but its settings, was killed in its first instant.
        if (partial / CONFIG).exists():
            mend = "repeat that run's settings, with its files, to go on with it, or delete it"
            try:
                changed = _same_or_refuse(partial, config, mend, may_change)
            except InputError:
                if _holds_work(partial):
                    raise
            else:
                if changed:
                    write_json(partial / CONFIG, config)
                clear_beside(partial)
                return State.RESUME
        elif _holds_work(partial):
            raise InputError(f"{partial} holds files that this program did not write: move it away")
        clear_beside(partial)
    try:
        _begin(partial, config, out)
    except InputError:
        with suppress(OSError):
            partial.rmdir()
        raise
    return State.FRESH


def _holds_work(partial: Path) -> bool:
    """Whether there is anything in it beside its settings and empty folders."""
    return any(path.is_symlink() or not path.is_dir() for path in partial.rglob("*") if not _is_settings(path, partial))


def _is_settings(path: Path, partial: Path) -> bool:
    return path.parent == partial and path.name.startswith(CONFIG)


@contextmanager
def claim_in_place(out: Path, stage: str, settings: Mapping[str, Any], *, reads: Reads) -> Iterator[None]:
    """As `claim`, for a folder that grows in its place, of parts that are each whole by themselves."""
    out = Path(out)
    config = _config(out, stage, settings, reads)
    check_out(out, grows=True)
    with only_writer(out):
        if _vacant(out):
            _begin(out, config, out)
        else:
            _same_or_refuse(out, config, ELSEWHERE)
            clear_beside(out)
        yield
        if (out / CONFIG).exists():
            record(out)


def check_out(out: Path, *, grows: bool = False) -> None:
    """Raises InputError where a stage's folder could not be put in its place at the end. grows: it is not renamed."""
    try:
        os.fsencode(out.name).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"--out {os.fsencode(out)!r}: the name is not UTF-8: choose another one") from None
    check_name(out, MARGIN)
    if not out.name or out.name == "..":
        raise InputError(f"--out {out}: name a new folder, such as {out / 'NAME'}")
    if not grows and out.name.endswith((PARTIAL, LOCK)):  # a file's stage grows in such a one
        raise InputError(f"--out {out}: names that end so are those of runs that are not whole: choose another")
    if grows or not os.path.lexists(out):
        return
    what = "a link" if out.is_symlink() else "a mounted disk" if out.is_mount() else None
    if what is None and Path.cwd().is_relative_to(out.resolve()):
        what = "the folder that you are in"
    if what is not None:
        raise InputError(f"--out {out} is {what}, which cannot be replaced: name a new folder, such as {out / 'NAME'}")


def _vacant(out: Path) -> bool:
    return not out.exists() or (out.is_dir() and not any(out.iterdir()))


def _begin(folder: Path, config: Mapping[str, Any], out: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / CONFIG, config)
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror or error}") from error


def finish(out: Path, leave_out: Sequence[str] = ()) -> None:
    """Write down what the partial folder holds (record.py), and rename it to its final name. leave_out: files that are
    about to go."""
    partial = partial_of(Path(out))
    record(partial, leave_out)
    partial.replace(out)


@contextmanager
def writing(
    out: Path, stage: str, settings: Mapping[str, Any], *, reads: Reads, resumes: bool = False
) -> Iterator[Path | None]:
    """The partial folder to write to, renamed to `out` at the end; None where the same result is there already.

    For stages that are quick to do again: on any error the partial folder is removed, and one that a killed run left
    is begun anew. resumes: only bad input removes it, and the stage goes on with what it finds there.
    """
    out = Path(out)
    with claim(out, stage, settings, reads=reads) as state:
        if state is State.DONE:
            yield None
            return
        partial = partial_of(out)
        if state is State.RESUME and not resumes:
            _empty(partial)
        try:
            yield partial
            finish(out)
        except BaseException as error:
            if not resumes or isinstance(error, InputError):
                discard(partial)
            raise


def discard(folder: Path) -> None:
    """Remove a partial folder. Stopped in the midst, it is still known by its settings, which go last."""
    with suppress(OSError):
        _empty(folder)
        (folder / CONFIG).unlink(missing_ok=True)
        folder.rmdir()


def _empty(folder: Path) -> None:
    """Remove all but its settings."""
    for path in folder.iterdir():
        if path.name == CONFIG:
            continue
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@contextmanager
def growing(out: Path, stage: str, settings: Mapping[str, Any], *, reads: Reads) -> Iterator[None]:
    """`claim_in_place` for a stage that may yet refuse its input: then an empty claim is taken back."""
    with claim_in_place(out, stage, settings, reads=reads):
        try:
            yield
        except InputError:
            if out.exists() and all(path.is_dir() or path == out / CONFIG for path in out.rglob("*")):
                shutil.rmtree(out)
            raise


def make_folder(folder: Path) -> None:
    """A folder that outputs go into, made where it is missing. Raises InputError where a file is in its place."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{folder} is a file, or lies in one: --out needs a folder") from None
