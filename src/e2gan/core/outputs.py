"""What a stage writes, and how a rerun recognises it: finished, half done, or made with other settings.

A stage writes into `OUT.partial` and renames it to `OUT` when all is written. A run that was killed leaves the
partial folder, and the same command goes on from it. A run is the same one where its stage and its settings are, with
the hashes of its inputs among them: `differences` is the one comparison, for folders and for single JSON files.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from e2gan.core.errors import InputError
from e2gan.core.files import CONFIG, plain, read_json, write_json
from e2gan.core.schemas import StageConfig, check_form

ELSEWHERE = "choose another --out, or delete it"
PACKAGES = ("e2gan", "torch", "numpy", "peft", "safetensors", "pillow", "scikit-image", "scikit-learn")

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
}


class State(Enum):
    """What `claim` found at the output folder."""

    FRESH = "fresh"  # nothing was there: the partial folder is new
    RESUME = "resume"  # a partial folder of the same settings
    DONE = "done"  # the whole result of the same settings


def partial_of(out: Path) -> Path:
    """The folder that a stage writes to until its output is whole."""
    return out.with_name(out.name + ".partial")


def versions() -> dict[str, str]:
    """Versions of the packages that decide what a run gives."""
    installed = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            installed[name] = version(name)
    return installed


def differences(old: Mapping[str, Any], new: Mapping[str, Any], group: str = "") -> list[str]:
    """The names of the settings in which two runs differ, `training.lr` for one inside a group."""
    names = []
    for key in sorted({*old, *new}):
        name = f"{group}{key}"
        before, after = (settings.get(key, ABSENT.get(name)) for settings in (old, new))
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            names += differences(before, after, f"{name}.")
        elif before != after:
            names.append(name)
    return names


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

    The file holds `stage`, and its settings under `settings` or beside it. Raises InputError for a file that another
    program wrote: only this program's own is its to replace.
    """
    if out.is_dir():
        raise InputError(f"{out} is a folder: --out needs a file")
    if not out.exists():
        return None
    content = read_json(out, Any)  # it may be of any program
    if not isinstance(content, dict) or content.get("stage") != stage:
        raise InputError(f"{out} was not written by e2gan {stage}: move it away, or choose another --out")
    stored = content.get("settings", {name: content.get(name) for name in settings})
    return content, differences(stored if isinstance(stored, dict) else {}, plain(settings))


def replaced_note(what: str, changed: Sequence[str]) -> str:
    """What a user should know where a file of other settings is replaced."""
    return f"replaced an earlier {what} (of other {', '.join(changed) or 'content'})"


def add_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Put what a stage found out into its config.json, beside the settings: it does not decide what a rerun is."""
    write_json(folder / CONFIG, read_json(folder / CONFIG, StageConfig) | dict(facts))


def _config(stage: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    settings = {name: value for name, value in plain(settings).items() if name != "out"}
    return {"stage": stage, "settings": settings, "versions": versions()}


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
        raise InputError(f"{folder} was made with other settings ({', '.join(fixed)}): {mend}")
    return bool(changed)


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
        if any(not path.name.startswith(CONFIG) for path in partial.iterdir()):
            raise InputError(f"{partial} holds files that this program did not write: move it away")
    try:
        _begin(partial, config, out)
    except InputError:
        with suppress(OSError):
            partial.rmdir()
        raise
    return State.FRESH


def claim_in_place(out: Path, stage: str, settings: Mapping[str, Any]) -> None:
    """As `claim`, for a folder that grows in its place, of parts that are each whole by themselves."""
    config = _config(stage, settings)
    if _vacant(out):
        _begin(out, config, out)
    else:
        _same_or_refuse(out, config, ELSEWHERE)


def _vacant(out: Path) -> bool:
    return not out.exists() or (out.is_dir() and not any(out.iterdir()))


def _begin(folder: Path, config: Mapping[str, Any], out: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / CONFIG, config)
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror or error}") from error


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


def make_folder(folder: Path) -> None:
    """A folder that outputs go into, made where it is missing. Raises InputError where a file is in its place."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{folder} is a file, or lies in one: --out needs a folder") from None
