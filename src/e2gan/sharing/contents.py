"""What of a finished folder goes to a hub: weights as they are, settings without paths, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from e2gan.config.checks import is_repository
from e2gan.config.schemas import AdapterFacts, PeftFile
from e2gan.core.errors import InputError
from e2gan.core.files import CONFIG, json_bytes, read_json
from e2gan.core.outputs import PARTIAL
from e2gan.core.record import against_record
from e2gan.core.schemas import StageConfig
from e2gan.networks.folders import ABOUT, ADAPTER, ADAPTER_CONFIG, CONCEPT, DISCRIMINATOR, MODEL
from e2gan.sharing.download import BASE, MODEL_FILES

Contents = dict[str, bytes | Path]
"""Name in a repository → the file, or its bytes."""

# What a model's and an adapter's settings say of them, and not of where they were made.
OF_MODELS = ("generator", "model", "text", "text_fingerprint", "training", "concepts", "size", "prompt", "lut_size")
OF_MODELS += ("pairs_total",)
OF_ADAPTERS = ("prompt", "base", "base_sha256", "size", "detail", "pairs", "ranks", "init", "training", "steps")
OF_ADAPTERS += ("metrics",)


def check_whole(folder: Path) -> None:
    """Raises InputError for a folder of a run that was stopped, and where a file that goes to a hub is not what was
    written. A folder without a config.json, of an adapter that was shared before, has no record to go by."""
    if folder.name.endswith(PARTIAL):
        raise InputError(f"{folder} is of a run that was stopped before its end: run the same command again first")
    if not (folder / CONFIG).is_file():
        return
    found = against_record(folder)
    if found.unfinished:
        raise InputError(f"{folder} is not whole: the run that wrote it was stopped, or its {CONFIG} was changed")
    weights = (ADAPTER, ADAPTER_CONFIG, CONCEPT, ABOUT, CONFIG, MODEL, DISCRIMINATOR)
    for what, names in (("has been changed since it was written", found.changed), ("is missing", found.missing)):
        if name := next((name for name in names if name in weights), None):
            raise InputError(f"{folder}: {name} {what} (see: e2gan verify {folder})")


def adapter_contents(adapter: Path, base: tuple[str, str] | None) -> Contents:
    """An adapter's four files. base: the repository of its base and the commit, for PEFT; None where it has none."""
    found: dict[str, Any] = dict(read_json(adapter / ADAPTER_CONFIG, PeftFile))
    config = {name: value for name, value in found.items() if name != "auto_mapping"}  # modules and where they lie
    config["base_model_name_or_path"], config["revision"] = base or (None, None)
    about = read_json(adapter / ABOUT, AdapterFacts)
    return {
        ADAPTER_CONFIG: json_bytes(config),
        ADAPTER: adapter / ADAPTER,
        CONCEPT: adapter / CONCEPT,
        ABOUT: json_bytes({name: about[name] for name in OF_ADAPTERS if name in about}),
    }


def model_contents(folder: Path) -> Contents:
    """A base's files, or those of a model from scratch. Of its discriminator adapters begin theirs."""
    files: Contents = {
        CONFIG: json_bytes(public_config(read_json(folder / CONFIG, StageConfig))),
        MODEL: folder / MODEL,
    }
    return files | ({DISCRIMINATOR: folder / DISCRIMINATOR} if (folder / DISCRIMINATOR).is_file() else {})


def inner_base(base: Path) -> Contents:
    """What an adapter's repository has of its base: all that an edit needs."""
    files = model_contents(base)
    return {f"{BASE}/{name}": files[name] for name in MODEL_FILES}


def public_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config.json without paths, which say where a model was made, and its record, which is of more files."""
    settings = {name: config["settings"][name] for name in OF_MODELS if name in config["settings"]}
    if isinstance(settings.get("text"), str):
        kind, colon, name = settings["text"].partition(":")
        local = not is_repository(name) or Path(name).exists()
        settings["text"] = f"{kind}{colon}{PureWindowsPath(name).name}" if local else settings["text"]
    facts = {name: config[name] for name in ("stage", "versions", "detail") if name in config}
    return facts | {"settings": settings}
