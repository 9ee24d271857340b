"""The command `verify`: whether a folder is what was written, what it was made of, and whether its figures hold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from e2gan.config import EvaluateConfig, ExportConfig, VerifyConfig
from e2gan.config.schemas import MetricsFile
from e2gan.core.errors import InputError
from e2gan.core.files import CONFIG, plain, read_json, sha256
from e2gan.core.outputs import PARTIAL
from e2gan.core.progress import note
from e2gan.core.record import against_record
from e2gan.export.export import PARITY, compare_again
from e2gan.measure.evaluate import METRICS_FILE, SHEET, measure

NEAR = 1e-3  # of a figure: what another machine, or another number of threads, makes of the same
# Of an evaluation's settings, those that name no network; and the figures of such as do.
MEASURED = ("pairs", "base", "adapter", "model", "source_prompt", "split", "rows")
NAMED = {"fd_inception", "fd_efficientnet", "fd_clip", "fd_dinov2", "clip_direction", "miou", "class_iou"}


@dataclass(frozen=True)
class Verified:
    """What `verify` found of one folder, and of those inside it.

    stage, versions, settings, made_of: as config.json tells; made_of has what was read, where it lay, and its hash.
    changed, missing, added: names of files. figures: what was computed anew, a line each; wrong: what came out
    otherwise, or could not be computed.
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
        elif self.stage is not None:
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
    if not (folder / CONFIG).is_file() and not (folder / METRICS_FILE).is_file() and not any(_inside(folder)):
        raise InputError(f"{folder} holds neither {CONFIG} nor {METRICS_FILE}: it is no folder of this program")
    return _verified(config, folder)


def _verified(config: VerifyConfig, folder: Path) -> Verified:
    figures: list[str] = []
    wrong: list[str] = []
    inside = [_verified(config, path) for path in _inside(folder)]
    if not (folder / CONFIG).is_file():
        if config.figures and (folder / METRICS_FILE).is_file():
            _metrics(config, folder, None, figures, wrong)
        return Verified(folder, None, {}, {}, {}, 0, [], [], [], False, figures, wrong, inside)
    found = against_record(folder)
    if config.figures and (folder / METRICS_FILE).is_file():
        _metrics(config, folder, found.config["stage"], figures, wrong)
    if config.figures and found.config["stage"] == "export" and (folder / PARITY).is_file():
        _parity(folder, found.config["settings"], figures, wrong)
    return Verified(
        folder=folder,
        stage=found.config["stage"],
        versions=found.config.get("versions", {}),
        settings=dict(_plain_settings(found.config["settings"])),
        made_of=dict(_made_of(found.config["settings"])),
        same=len(found.same),
        changed=found.changed,
        missing=found.missing,
        added=found.added,
        recorded=found.recorded,
        figures=figures,
        wrong=wrong,
        inside=inside,
    )


def _inside(folder: Path) -> Iterator[Path]:
    """The folders below that have a record of their own."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            ours = (path / CONFIG).is_file() or (path / METRICS_FILE).is_file()
            yield from [path] if ours else _inside(path)


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


def _metrics(config: VerifyConfig, folder: Path, stage: str | None, figures: list[str], wrong: list[str]) -> None:
    """Compute metrics.json anew: of the model in the folder, where it holds one. What a file says is no reason to load
    a network: figures of those that it names are left out."""
    path = folder / METRICS_FILE
    told = read_json(path, MetricsFile)
    if "settings" not in told:
        figures.append(f"{METRICS_FILE} does not tell what it was measured with: an earlier version wrote it")
        return
    note(f"{path}: the metrics are computed anew")
    try:
        settings = {name: told["settings"].get(name) for name in MEASURED}
        if stage in ("adapt", "scratch", "finetune"):
            settings |= {"adapter": None, "model": None} | {"adapter" if stage == "adapt" else "model": folder}
        known: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
        if "pairs" not in known:
            raise InputError("it names no pair set")
        again = plain(measure(EvaluateConfig(out=folder, device=config.device, **known))[0])
    except InputError as error:
        wrong.append(f"{METRICS_FILE} cannot be computed anew: {error}")
        return
    sheet = sha256(folder / SHEET) if (folder / SHEET).is_file() else None
    if sheet is None or told.get("sheet_sha256") != sheet:
        wrong.append(f"{SHEET} is not the one that was written")
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
    figures.append(f"{METRICS_FILE}: {seen} figures computed anew{without}")


def _parity(folder: Path, settings: Mapping[str, Any], figures: list[str], wrong: list[str]) -> None:
    """Compare the exported file with PyTorch anew."""
    note(f"{folder}: its file is compared with PyTorch anew")
    known: dict[str, Any] = {
        f.name: settings[f.name] for f in fields(ExportConfig) if f.name in settings and f.name != "out"
    }
    try:
        before, after = compare_again(replace(ExportConfig(out=folder, **known), text=None))
    except InputError as error:
        wrong.append(f"{PARITY} cannot be computed anew: {error}")
        return
    if before is None or after is None:
        figures.append(f"{PARITY}: this machine cannot run the file")
    elif abs(before.mean - after.mean) > 0.1:
        wrong.append(f"{PARITY}: a difference of {before.mean} levels is written, {after.mean} comes out")
    else:
        figures.append(f"{PARITY}: {after.mean:.4f} levels from PyTorch on average, computed anew")


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
