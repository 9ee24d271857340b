"""The command `verify`: whether a folder is what was written, what it was made of, and whether its figures hold."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from e2gan.config import EvaluateConfig, ExportConfig, VerifyConfig
from e2gan.config.schemas import MetricsFile
from e2gan.core.errors import InputError
from e2gan.core.files import CONFIG, plain, read_json, sha256
from e2gan.core.outputs import PARTIAL
from e2gan.core.progress import note
from e2gan.core.record import FILES, PLACE, Found, against_record, is_sealed
from e2gan.core.schemas import StageConfig
from e2gan.data.pair_set import ROWS, PairSet
from e2gan.data.photos import INDEX
from e2gan.export.export import PARITY, compare_again
from e2gan.measure.evaluate import SEAL, measure
from e2gan.networks.folders import ABOUT, METRICS_FILE, SHEET, shipped_adapters, shipped_bases
from e2gan.research.tables.experiments import ALL
from e2gan.train.loop import METRICS as LOG

NEAR = 1e-3  # of a figure: what another machine, or another number of threads, makes of the same
# Of an evaluation's settings, those that name no network; and the figures of such as do.
MEASURED = ("pairs", "base", "adapter", "model", "source_prompt", "split", "rows")
NAMED = {"fd_inception", "fd_efficientnet", "fd_clip", "fd_dinov2", "clip_direction", "miou", "class_iou"}

PATHS = ("pairs", "base", "adapter", "model", "photos")  # settings that name what figures are computed from
# What lies nowhere but beside a config.json of ours; the last is a folder, of `demo`.
BESIDE_CONFIG = (INDEX, ROWS, LOG, ABOUT, PARITY, "crucial.json", *(f"{name}.csv" for name in ALL), "onnx-pix2pix")


@dataclass(frozen=True)
class Verified:
    """What `verify` found of one folder, and of those inside it.

    stage, versions, settings, made_of: as config.json tells; made_of has what was read, where it lay, and its hash.
    changed, missing, added: names of files. whole: whether the record has the folders inside too, or should. figures:
    what was computed anew, or why it could not be, a line each; wrong: what came out otherwise, and other faults.
    """

    folder: Path
    stage: str | None
    versions: Mapping[str, str]
    settings: Mapping[str, Any]
    made_of: Mapping[str, str]
    same: int
    changed: list[str]
    missing: list[str]
    added: list[str]
    recorded: bool
    whole: bool
    figures: list[str]
    wrong: list[str]
    inside: list[Verified]

    @property
    def status(self) -> int:
        """The command's exit status: 1 where anything is not what was written."""
        return int(bool(self.changed or self.missing or self.wrong) or any(one.status for one in self.inside))

    def __str__(self) -> str:
        lines = [f"{self.folder}: " + ("no folder of a stage" if self.stage is None else f"written by {self.stage}")]
        if self.versions:
            lines[0] += ", " + ", ".join(f"{name} {number}" for name, number in self.versions.items())
        if self.settings:
            lines.append("settings: " + ", ".join(f"{name} {value}" for name, value in self.settings.items()))
        lines += [f"made of {what}: {where}" for what, where in self.made_of.items()]
        if self.recorded:
            lines.append(f"{self.same} files are as they were written")
            if not self.whole:
                lines.append("an earlier version wrote it, which did not record what folders lie in it")
        elif self.stage is not None and not self.whole:
            lines.append("an earlier version wrote it, which kept no hashes: its files cannot be checked")
        lines += [f"CHANGED: {name}" for name in self.changed] + [f"MISSING: {name}" for name in self.missing]
        if self.added:
            shown = ", ".join(self.added[:6]) + (f" and {len(self.added) - 6} more" if len(self.added) > 6 else "")
            lines.append(f"has come since: {shown}")
        lines += [*self.figures, *(f"WRONG: {line}" for line in self.wrong)]
        for one in self.inside:
            lines += ["", str(one)]
        return "\n".join(lines)


def verify(config: VerifyConfig) -> Verified:
    """Check a folder, and those inside it, against what was written down when it was made.

    Raises InputError where the folder holds nothing of this program.
    """
    VerifyConfig.checked(config)
    folder = config.folder
    if not folder.is_dir():
        raise InputError(f"{folder} {'is a file: name its folder' if folder.exists() else 'is no folder'}")
    if folder.name.endswith(PARTIAL):
        raise InputError(f"{folder} is of a run that was stopped before its end: there is nothing to verify yet")
    if not _ours(folder) and _beside_config(folder) is None and not any(_inside(folder)):
        raise InputError(f"{folder} holds neither {CONFIG} nor {METRICS_FILE}: it is no folder of this program")
    if _of_another_program(folder):
        raise InputError(f"{folder / CONFIG} tells of no stage: it is no folder of this program")
    return _verified(config, folder)


def _verified(config: VerifyConfig, folder: Path) -> Verified:
    figures: list[str] = []
    wrong: list[str] = []
    inside = [_verified(config, path) for path in _inside(folder)]
    found = Found({}, [], [], [], [])
    if os.path.lexists(folder / CONFIG):
        try:
            found = against_record(folder)
        except InputError as error:
            wrong.append(str(error))
    elif (name := _beside_config(folder)) is not None:
        wrong.append(f"{CONFIG} is missing, beside which a stage writes {name}")
    if found.unfinished:
        wrong.append(f"{CONFIG} has no record of the files: the run that wrote it was stopped, or it was changed")
    wrong += _strange_folders(folder, found, inside)
    inside = _without_known(inside, {folder / name for name in found.config.get(FILES, ())})
    stage, settings = found.config.get("stage"), found.config.get("settings", {})
    changed = list(found.changed)
    if os.path.lexists(folder / METRICS_FILE):
        told = _read_metrics(folder, changed, wrong)
        if told is not None and config.figures and not _unreadable(folder, changed, figures):
            _metrics(config, folder, stage, told, figures, wrong)
    exported = stage == "export" and (folder / PARITY).is_file()
    if exported and config.figures and not _unreadable(folder, changed, figures):
        _parity(folder, found.config, figures, wrong)
    return Verified(
        folder=folder,
        stage=stage,
        versions=found.config.get("versions", {}),
        settings=dict(_plain_settings(settings)),
        made_of=dict(_made_of(settings)),
        same=len(found.same),
        changed=changed,
        missing=found.missing,
        added=found.added,
        recorded=found.recorded,
        whole=found.knows_inner or found.unfinished,
        figures=figures,
        wrong=wrong,
        inside=inside,
    )


def _ours(folder: Path) -> bool:
    return os.path.lexists(folder / CONFIG) or os.path.lexists(folder / METRICS_FILE)


def _of_another_program(folder: Path) -> bool:
    """Whether there is a config.json that has nothing of a stage's: no damage makes that of one of ours."""
    try:
        content = read_json(folder / CONFIG, Any)  # it may be of any program
    except InputError:
        return False
    return not isinstance(content, dict) or not content.keys() & StageConfig.__annotations__.keys()


def _beside_config(folder: Path) -> str | None:
    """What there is of BESIDE_CONFIG."""
    return next((name for name in BESIDE_CONFIG if os.path.lexists(folder / name)), None)


def _inside(folder: Path) -> Iterator[Path]:
    """The folders below that have a record of their own."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from [path] if _ours(path) and not _of_another_program(path) else _inside(path)


def _strange_folders(folder: Path, found: Found, inside: Sequence[Verified]) -> Iterator[str]:
    """What is wrong with the folders inside, by the outer folder's record. An earlier one has none of them; there, a
    pair set's photos are where its settings say."""
    settings = found.config.get("settings", {})
    photos = settings.get("photos") if found.config.get("stage") == "pairs" else None
    if not found.knows_inner:
        if isinstance(photos, str) and Path(photos).parts == (photos,) and not _ours(folder / photos):
            yield f"{photos}, the photos of its pairs, is missing, or has no {CONFIG}"
        return
    for one in inside:
        name = (one.folder / CONFIG).relative_to(folder).as_posix()
        if one.stage is not None and name not in found.config[FILES]:
            yield f"{one.folder.relative_to(folder)} has come since, a whole folder that the record does not have"


def _without_known(inside: Sequence[Verified], known: Set[Path]) -> list[Verified]:
    """The folders inside, where files that an outer record has are none of which nothing is known."""
    return [
        replace(
            one,
            added=[name for name in one.added if one.folder / name not in known],
            inside=_without_known(one.inside, known),
        )
        for one in inside
    ]


def _unreadable(folder: Path, changed: Sequence[str], figures: list[str]) -> bool:
    """Whether a file is a pipe or the like now, at which a reader would wait; which is told."""
    pipes = [name for name in changed if not (folder / name).is_file()]
    figures += [f"nothing is computed anew: {name} is no regular file" for name in pipes[:1]]
    return bool(pipes)


def _plain_settings(settings: Mapping[str, Any], group: str = "") -> Iterator[tuple[str, Any]]:
    """The settings by name, but for hashes and what was left out; `training.lr` for one inside a group."""
    for name, value in settings.items():
        if name == "content" or name.endswith("_sha256") or value in (None, [], {}):
            continue
        if isinstance(value, Mapping):
            yield from _plain_settings(value, f"{group}{name}.")
        else:
            yield f"{group}{name}", value


def _made_of(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What was read: where it lay, and the hash of its bytes."""
    content = settings.get("content", {})
    for what, found in content.items() if isinstance(content, dict) else ():
        where = settings.get(what)
        named = ", ".join(map(str, where)) if isinstance(where, list) else str(where or "the default")
        if found == []:
            continue
        hashes = ", ".join(str(one)[:12] for one in (found if isinstance(found, list) else [found]))
        yield what, f"{named} ({hashes})"


def _read_metrics(folder: Path, changed: list[str], wrong: list[str]) -> dict[str, Any] | None:
    """metrics.json, and whether it and its sheet are those that were written. Earlier ones have no hash of their own,
    and the earliest no sheet's."""
    path = folder / METRICS_FILE
    try:
        told = read_json(path, MetricsFile)
        if (told.keys() & {SEAL, PLACE, "stage"}) and not is_sealed(path, told.get(SEAL, ""), SEAL):
            changed.append(METRICS_FILE)
    except InputError as error:
        wrong.append(str(error))
        return None
    sheet = sha256(folder / SHEET) if (folder / SHEET).is_file() else None
    if "settings" in told and (sheet is None or told.get("sheet_sha256") != sheet):
        wrong.append(f"{SHEET} is not the one that was written")
    return told


def _metrics(
    config: VerifyConfig,
    folder: Path,
    stage: str | None,
    told: Mapping[str, Any],
    figures: list[str],
    wrong: list[str],
) -> None:
    """Compute metrics.json anew: of the model in the folder, where it holds one. What a file says is no reason to load
    a network: figures of those that it names are left out."""
    if "settings" not in told:
        figures.append(f"{METRICS_FILE} does not tell what it was measured with: an earlier version wrote it")
        return
    settings = {name: told["settings"].get(name) for name in MEASURED}
    of_folder: dict[str, Any] = {}
    if stage in ("adapt", "scratch", "finetune"):
        of_folder = {"adapter": None, "model": None} | {"adapter" if stage == "adapt" else "model": folder}
        settings |= dict.fromkeys(of_folder)

    def compare(at_hand: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        known = {name: value for name, value in {**at_hand, **of_folder}.items() if value is not None}
        if "pairs" not in known:
            raise InputError("it names no pair set")
        photos = PairSet.load(Path(known["pairs"])).photo_folder
        if not photos.exists():
            return [f"{METRICS_FILE} cannot be computed anew: {photos} is not at hand"], []
        note(f"{folder / METRICS_FILE}: the metrics are computed anew")
        return _compared(told, plain(measure(EvaluateConfig(out=folder, device=config.device, **known))[0]))

    _anew(METRICS_FILE, folder, told.get(PLACE), settings, compare, figures, wrong)


def _compared(told: Mapping[str, Any], again: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What was computed anew, and what is another than metrics.json tells."""
    wrong: list[str] = []
    seen, left = 0, set()
    for name, before, after in _leaves({k: v for k, v in told.items() if k in again}, again):
        parts = name.split(".")
        if parts[0] in ("out", "notes"):
            continue
        if before is not None and after is None and (named := NAMED.intersection(parts)):
            left |= named
            continue
        seen += isinstance(after, (int, float))
        if not _near(before, after):
            wrong.append(f"{METRICS_FILE}: {name}: {before} is written, {after} comes out")
    without = f", but not {', '.join(sorted(left))}, which need networks that a file may not name" if left else ""
    return [f"{METRICS_FILE}: {seen} figures computed anew{without}"], wrong


def _parity(folder: Path, told: Mapping[str, Any], figures: list[str], wrong: list[str]) -> None:
    """Compare the exported file with PyTorch anew. told: config.json."""
    names = {f.name for f in fields(ExportConfig) if f.name != "out"}
    known = {name: value for name, value in told["settings"].items() if name in names}

    def compare(at_hand: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        note(f"{folder}: its file is compared with PyTorch anew")
        before, after = compare_again(replace(ExportConfig(out=folder, **at_hand), text=None))
        if before is None or after is None:
            return [f"{PARITY}: this machine cannot run the file"], []
        if abs(before.mean - after.mean) > 0.1:
            return [], [f"{PARITY}: a difference of {before.mean} levels is written, {after.mean} comes out"]
        return [f"{PARITY}: {after.mean:.4f} levels from PyTorch on average, computed anew"], []

    _anew(PARITY, folder, told.get(PLACE), known, compare, figures, wrong)


def _anew(
    file: str,
    folder: Path,
    place: str | None,
    settings: Mapping[str, Any],
    compare: Callable[[Mapping[str, Any]], tuple[list[str], list[str]]],
    figures: list[str],
    wrong: list[str],
) -> None:
    """Compare what a file tells with what comes out of what is at hand; `compare` gives lines for figures and wrong.

    Where other folders of the same names lie in several places, the first by which it comes out counts.
    """
    found, missing = _at_hand(folder, place, settings)
    if missing is not None:
        figures.append(f"{file} cannot be computed anew: {missing} is not at hand")
        return
    results = []
    for at_hand in found:
        try:
            results.append(compare(at_hand))
        except InputError as error:
            results.append(([], [f"{file} cannot be computed anew: {error}"]))
        if not results[-1][1]:
            break
    right, otherwise = next((result for result in results if not result[1]), results[0])
    figures += right
    wrong += otherwise


def _at_hand(folder: Path, place: str | None, settings: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
    """The settings, with the paths that they name as they are found from here: relative ones from where the command was
    given, else from the current folder and those above `folder`; and which is found nowhere."""
    named = {name: paths for name in PATHS if (paths := _paths(settings.get(name)))}
    shipped = shipped_bases().keys() | shipped_adapters().keys()
    whole: dict[tuple[str, ...], dict[str, Any]] = {}
    missing = None
    given = [] if place is None else [folder / place]
    for at in [*given, Path(), folder.resolve(), *folder.resolve().parents]:
        lack = [path for each in named.values() for path in each if not _exists(at / path) and str(path) not in shipped]
        missing = missing or next((str(path) for path in lack), None)
        if not lack:
            paths = {name: [at / p if _exists(at / p) else p for p in each] for name, each in named.items()}
            # One by itself, where the setting is a path and not several.
            values = {name: each if isinstance(settings[name], list) else each[0] for name, each in paths.items()}
            real = tuple(os.path.realpath(path) for each in paths.values() for path in each)
            whole.setdefault(real, {**settings, **values})
            if at in given:
                break
    return list(whole.values()), None if whole else missing


def _paths(value: Any) -> list[Path]:
    """The paths that a setting names: one, several, or none."""
    several = value if isinstance(value, list) else [value]
    return [Path(path) for path in several if isinstance(path, (str, Path))]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long for a path
        return False


def _leaves(before: Any, after: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The single values of two JSON values, by their names; None for what one of them lacks."""
    if isinstance(before, Mapping) or isinstance(after, Mapping):
        old, new = (value if isinstance(value, Mapping) else {} for value in (before, after))
        for key in sorted({*old, *new}):
            yield from _leaves(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
    else:
        yield name, before, after


def _near(before: Any, after: Any) -> bool:
    if type(before) is bool or not isinstance(before, (int, float)) or not isinstance(after, (int, float)):
        return before == after and type(before) is type(after)
    return math.isclose(before, after, rel_tol=NEAR, abs_tol=NEAR)
