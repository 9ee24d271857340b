"""What a stage writes, and how a rerun recognises it: finished, half done, or made with other settings.

A stage writes into `OUT.partial` and renames it to `OUT` when all is written; meanwhile no other run can (locks.py). A
run that was killed leaves the partial folder, and the same command goes on from it. A run is the same one where its
stage and its settings are, and the bytes of the files that it reads (identity.py): `differences` is the one comparison,
for folders and for single JSON files.
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
from e2gan.core.files import CONFIG, check_name, clear_beside, plain, read_json, write_json
from e2gan.core.locks import LOCK, clear_lock, only_writer
from e2gan.core.record import FORMAT, NOW, place_of, record
from e2gan.core.schemas import StageConfig, check_form, fits

if TYPE_CHECKING:
    from e2gan.core.identity import Reads

PARTIAL = ".partial"
MARGIN = len(PARTIAL + LOCK)  # bytes that a folder's name must leave for the names beside it
ELSEWHERE = "choose another --out, or delete it"
PACKAGES = ("torch", "numpy", "peft", "safetensors", "pillow", "scikit-image", "scikit-learn")

# What a setting counts as where a folder of an earlier version lacks it, or where this version no longer has it; None
# where nothing is said here. A setting that comes or goes gets a line, so that older folders stay the same run.
ABSENT: dict[str, Any] = {
    "lut_size": 17,  # scratch
    "training.perceptual": 0.0,
    "training.gram": 0.0,
    "training.lr_d": None,
    "training.feature_matching": 0.0,
    "generator.activation": "relu",
    "generator.output": "tanh",
    "generator.fold": 1,
    "generator.place": False,
    "ranks_cut": True,  # finished runs count as the same; half-done ones go on uncut (`begun_without`)
    "metadata": "keep",  # edit
    "provenance": True,
    "runtime": "pytorch",
}

CONTENT = "content"  # the setting that holds `reads`: hashes of the bytes of what a stage reads
# What stood for the files before there was CONTENT: names and sizes, or an index without its images. Two runs of which
# one has no CONTENT, since an earlier version wrote it, are told apart by these; two that have it, by CONTENT alone.
BEFORE_CONTENT = ("files_sha256", "from_sha256", "pairs_sha256", "photos_sha256")
PICTURES = ("pairs", "base_pairs", "photos", "before", "after", "aligned", "unaligned", "folder", "input")


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


def differences(old: Mapping[str, Any], new: Mapping[str, Any], group: str = "") -> list[str]:
    """The names of the settings in which two runs differ, `training.lr` for one inside a group."""
    names, passed = [], ()
    if not group:
        passed = BEFORE_CONTENT if all(run.get(CONTENT) is not None for run in (old, new)) else (CONTENT,)
    for key in sorted({*old, *new}.difference(passed)):
        name = f"{group}{key}"
        before, after = (settings.get(key, ABSENT.get(name)) for settings in (old, new))
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            names += differences(before, after, f"{name}.")
        elif before != after:
            names.append(name)
    return names


def begun_without(out: Path, setting: str) -> bool:
    """Whether a run at `out` is half done, begun by an earlier version that had no such setting."""
    config = partial_of(out) / CONFIG
    return config.exists() and setting not in read_json(config, StageConfig).get("settings", {})


def in_words(changed: Sequence[str], settings: Mapping[str, Any]) -> str:
    """The settings that differ as a user knows them: files whose bytes differ by what they are and where they lie."""
    words = []
    for name in changed:
        group, _, role = name.partition(".")
        if group == CONTENT and role in changed:
            continue  # other files of another name
        if group == CONTENT:
            where = settings.get(role)
            where = ", ".join(map(str, where)) if isinstance(where, (list, tuple)) else where or "it is made from"
            kind = "pictures" if role in PICTURES else "files"
            name = f"the {kind} {where}" if where == "it is made from" else f"the {kind} of {where}"
        words.append(name)
    return ", ".join(dict.fromkeys(words))


def with_reads(settings: Mapping[str, Any], reads: Reads) -> dict[str, Any]:
    """Settings with what the stage reads among them, as JSON holds them."""
    return plain(settings) | {CONTENT: plain({what: found for what, found in reads.items() if found is not None})}


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


def earlier_file(out: Path, stage: str, settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]] | None:
    """The JSON file that a run of the stage wrote at `out`, and the settings in which it differs; None without one.

    settings: of `with_reads`. The file holds `stage`, and its settings under `settings` or beside it. Raises InputError
    for a file that another program wrote: only this program's own is its to replace.
    """
    if CONTENT not in settings:
        raise TypeError("a stage says what it reads: with_reads(settings, ...)")
    if (content := ours(out, stage)) is None:
        return None
    stored = content.get("settings", {name: content.get(name) for name in settings})
    return content, differences(stored if isinstance(stored, dict) else {}, plain(settings))


def ours(out: Path, stage: str, earlier: Any = None) -> dict[str, Any] | None:
    """What a JSON file says that the stage wrote at `out`; None where there is none.

    earlier: a form of config/schemas.py, by which files of earlier versions are known, which do not name their stage.
    Raises InputError for a file that another program wrote: only this program's own is its to replace.
    """
    if out.is_dir():
        raise InputError(f"{out} is a folder: --out needs a file")
    clear_beside(out)
    if not out.exists():
        return None
    content = read_json(out, Any)  # it may be of any program
    named = isinstance(content, dict) and content.get("stage") == stage
    if not named and (earlier is None or not fits(content, earlier, out.parent)):
        raise InputError(f"{out} was not written by e2gan {stage}: move it away, or choose another --out")
    return content


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


def replaced_note(what: str, changed: Sequence[str]) -> str:
    """What a user should know where a file of other settings is replaced."""
    told = {name: name.partition(".")[2] for name in changed if name.startswith(f"{CONTENT}.")}
    names = [f"pictures or files ({told[name]})" if name in told else name for name in changed]
    names = [name for name, key in zip(names, changed, strict=True) if told.get(key) not in changed]
    return f"replaced an earlier {what} (of other {', '.join(dict.fromkeys(names)) or 'content'})"


def add_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Put what a stage found out into its config.json, beside the settings: it does not decide what a rerun is."""
    write_json(folder / CONFIG, read_json(folder / CONFIG, StageConfig) | dict(facts))


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
