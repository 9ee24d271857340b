"""Where bases and adapters lie on disk: a folder of the user's, or the name of one that ships. Imports no torch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import fields
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from e2gan.config import GeneratorConfig
from e2gan.config.schemas import AdapterFacts, PeftFile
from e2gan.core.errors import InputError
from e2gan.core.files import CONFIG, read_json, sha256
from e2gan.core.identity import hash_files
from e2gan.core.outputs import PARTIAL
from e2gan.core.schemas import StageConfig

MODEL = "model.safetensors"
DISCRIMINATOR = "discriminator.safetensors"
ADAPTER = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
CONCEPT = "concept.safetensors"
ABOUT = "e2gan.json"
METRICS_FILE, SHEET = "metrics.json", "sheet.png"  # of an evaluation
OF_TRAINING = ("pairs", "start", "selection", "content")  # settings: what a network was trained on, and where that lay
DEPTH = 6  # folders below the one that is named
SKIPPED = ("node_modules", "__pycache__")
ASSETS = Path(str(package_files("e2gan") / "assets"))


def shipped_bases() -> dict[str, Path]:
    """The bases that ship, by name; the first is the default."""
    bases = {"full": ASSETS / "base", "small": ASSETS / "small"}
    return {name: path for name, path in bases.items() if (path / MODEL).is_file()}


def shipped_name(base: Path) -> str | None:
    """The name that a base's folder ships under, if it does."""
    return next((name for name, folder in shipped_bases().items() if folder == base), None)


def base_folder(base: Path | None, adapter: Path | None = None) -> Path:
    """The base named: a folder, or the name of one that ships; without one, that of the adapter where it ships, else
    the default. Raises InputError where it is none."""
    shipped = shipped_bases()
    if base is None:
        if not shipped:
            raise InputError("no base ships with this version: train one (e2gan base --help) and name it with --base")
        return shipped_base_of(adapter) or next(iter(shipped.values()))
    if (base / MODEL).is_file():
        return base
    if str(base) in shipped and not base.exists():
        return shipped[str(base)]
    also = f"; there ship: {', '.join(shipped)}" if shipped else ""
    raise InputError(f"{base} is no base: it has no {MODEL} (train one with: e2gan base --pairs … --out {base}){also}")


def shipped_base_of(adapter: Path | None) -> Path | None:
    """The shipped base that an adapter belongs to, if it is one of them."""
    if adapter is None or not (folder := adapter_folder(adapter) / ABOUT).is_file():
        return None
    wanted = read_json(folder, AdapterFacts).get("base_sha256")
    return next((path for path in shipped_bases().values() if sha256(path / MODEL) == wanted), None)


def shipped_adapters(base: Path | None = None) -> dict[str, Path]:
    """The adapters that ship, by name. base: those alone that belong to this one, a folder of shipped_bases()."""
    found = [path for path in sorted((ASSETS / "adapters").glob("*")) if (path / ADAPTER).is_file()]
    return {path.name: path for path in found if base is None or shipped_base_of(path) == base}


def effect_name(adapter: Path) -> str:
    """What an adapter's edit is shown as beside others of its base: its folder's name; of one that ships, without its
    base's, as in `small-sketch`."""
    folder = adapter.resolve()
    base, _, name = folder.name.partition("-")
    ships = folder.parent == (ASSETS / "adapters").resolve()
    return name if ships and base in shipped_bases() else folder.name


def adapter_folder(adapter: Path) -> Path:
    """The adapter named: a folder, or the name of one that ships. Raises InputError where it is neither."""
    if (adapter / ADAPTER).is_file():
        return adapter
    shipped = shipped_adapters()
    if str(adapter) in shipped and not adapter.exists():
        return shipped[str(adapter)]
    also = f"; there ship: {', '.join(shipped)}" if shipped else ""
    raise InputError(f"{adapter} is no adapter: it has no {ADAPTER} (train one with: e2gan adapt{also})")


def folders_below(root: Path, most: int) -> Iterator[tuple[Path, set[str]]]:
    """A folder and those below it, up to `most`, and the names of the files in each; without links to folders, hidden
    ones, and what is half-written."""
    for seen, (place, folders, files) in enumerate(os.walk(root), 1):
        path = Path(place)
        deep = len(path.relative_to(root).parts) >= DEPTH
        kept = [] if deep else [n for n in folders if n[0] != "." and n not in SKIPPED and not n.endswith(PARTIAL)]
        folders[:] = sorted(kept)
        yield path, set(files)
        if seen >= most:
            return


def weights_hash(folder: Path, *names: str) -> str:
    """Hash of the bytes of these files of a base, adapter or model; not of one that it does not have."""
    return hash_files((name, folder / name) for name in names if (folder / name).exists())


def settings_hash(folder: Path) -> str:
    """Of what the config.json of a base or a model says of its network. What it was trained on, and what was found out,
    times among it, stand there too, and decide nothing of what is read. Raises InputError where it cannot be read."""
    config = read_json(folder / CONFIG, StageConfig)
    settings = {name: value for name, value in config.get("settings", {}).items() if name not in OF_TRAINING}
    decisive = {"settings": settings, "detail": config.get("detail")}
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def base_content(base: Path) -> str:
    """Of what a training reads of a base: its weights, its discriminator's, and its settings, which say what network
    they are of."""
    return f"{weights_hash(base, MODEL, DISCRIMINATOR)} {settings_hash(base)}"


def base_edit_content(base: Path) -> str:
    """Of what decides the edits of a base with an adapter: its weights and its settings."""
    return f"{weights_hash(base, MODEL)} {settings_hash(base)}"


def adapter_content(adapter: Path) -> str:
    """Of what decides an adapter's edits: its weights, how they count, and its prompt. Raises InputError as
    `adapter_folder`."""
    return weights_hash(adapter_folder(adapter), ADAPTER, ADAPTER_CONFIG, CONCEPT, ABOUT)


def model_content(model: Path) -> str:
    """Of what decides a model's edits: its weights and its settings."""
    return f"{weights_hash(model, MODEL)} {settings_hash(model)}"


def adapter_sha256(adapter: Path) -> str:
    """Of an adapter folder's weights; where its alpha is not its ranks, which no adapter of ours has, of its
    adapter_config.json too, since that decides what the weights do."""
    weights = sha256(adapter / ADAPTER)
    config = read_json(adapter / ADAPTER_CONFIG, PeftFile)
    fields = ("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora")
    r, alpha, ranks, alphas, rslora = map(config.get, fields)
    if r == alpha and ranks == alphas and not rslora:
        return weights
    return hashlib.sha256(f"{weights} {sha256(adapter / ADAPTER_CONFIG)}".encode()).hexdigest()


def generator_config(settings: dict[str, Any]) -> GeneratorConfig:
    """The generator of a base's or a model's settings; what they lack has its default.

    Raises InputError where they name a setting that this version does not have, or a generator that cannot be.
    """
    values = dict(settings["generator"])
    if "transformers" in values:
        values["transformers"] = tuple(values["transformers"])
    if unknown := sorted(values.keys() - {f.name for f in fields(GeneratorConfig)}):
        raise InputError(f"the model's settings are not of this version: its generator has {', '.join(unknown)[:80]}")
    config = GeneratorConfig(**values)
    config.check()
    return config
