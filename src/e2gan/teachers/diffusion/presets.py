"""Diffusion teachers as tables: which checkpoint, through which pipeline, with which numbers, and whose they are."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from e2gan.config.schemas import PresetFile
from e2gan.core.errors import InputError
from e2gan.core.files import read_toml

Kind = Literal["diffusers", "controlnet-normal", "instruct-diffusion", "ledits", "null-text"]
GENERIC = "diffusers:"
SHIPPED = Path(__file__).with_name("presets")
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "text"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
    "Mapping[str, Any]": ((dict,), "a table"),
    "Kind": ((str,), " or ".join(get_args(Kind))),
}
"""A field's annotation → what TOML gives for it, and how a message says so."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One teacher's settings. In a TOML file, a table; the table's title is the name."""

    name: str
    kind: Kind = "diffusers"
    """diffusers: a pipeline of the library, as it is; the others change one, each in its own way."""
    pipeline: str | None = None
    """A pipeline class of diffusers. None: what the checkpoint's model_index.json says."""
    checkpoint: str = ""
    """Hub name or folder. Empty where the hub has none in this format: `obtain` then says where one comes from."""
    obtain: str = ""
    revision: str | None = None
    """A branch, tag or commit of the checkpoint on the hub. None: its main branch."""
    prompt: str | None = None
    """The call's argument that carries the prompt. None: found by the pipeline's signature; so for the image."""
    image: str | None = None
    side: int | None = None
    """Shorter side at which it works, in pixels. None: the side that the pipeline's model was trained at."""
    area: int | None = None
    """Pixels that it works at, at most: where the pipeline makes larger photos smaller by itself, but not the edit,
    which would be zoomed against them."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Of the call."""
    scheduler: str | None = None
    """A scheduler class of diffusers, in place of the checkpoint's own, whose numbers it takes over."""
    scheduler_arguments: Mapping[str, Any] = field(default_factory=dict)
    """In place of some of those numbers."""
    lora: str | None = None
    """Hub name or folder of a LoRA on top, and its file there."""
    lora_file: str | None = None
    one_by_one: bool | None = None
    """Whether several images in one call are several references of one output, not a batch. None: they are, unless the
    pipeline is one of those known to take a batch."""
    pass_size: bool = True
    """Whether the call gets height and width. False: the pipeline finds them, as it fits every photo into an area of
    its own, and an edit of another size would be zoomed or shifted against it."""
    deterministic: bool = False
    """Whether the seed changes nothing."""
    licence: str = ""
    licence_url: str = ""
    download_gb: float = 0.0
    """What the hub sends the first time, in 10⁹ bytes; 0: not known."""
    memory_gb: float = 0.0
    """Of the accelerator, in 10⁹ bytes, in half precision; `memory_note` says whose figure it is. 0: not known."""
    memory_note: str = ""
    seconds: str = ""
    """Time of a photo as published, with hardware and source; empty where nothing is."""
    source: str = ""
    """Where the settings come from."""
    suits: str = ""
    """Which edits it is good at."""


def load_presets(extra: Path | None = None) -> dict[str, Preset]:
    """The presets that ship, by name, and those of a user's own TOML file, which may replace them.

    Raises InputError, one line that names file and table, for what a preset cannot have.
    """
    presets: dict[str, Preset] = {}
    for path in [*sorted(SHIPPED.glob("*.toml")), *([extra] if extra else [])]:
        presets |= {name: _preset(path, name, table) for name, table in read_toml(path, PresetFile).items()}
    return presets


def find_preset(name: str, extra: Path | None = None) -> Preset:
    """The preset of this name; "diffusers:MODEL" makes one for any hub name or folder of an image-to-image pipeline.

    Raises InputError where there is none, with the nearest names and all of them.
    """
    if name.startswith(GENERIC):
        model = name.removeprefix(GENERIC).strip()
        if not model:
            raise InputError(f"{name} names no model: give a hub name or a folder, as in {GENERIC}OWNER/MODEL")
        return Preset(name=GENERIC + Path(model).name, checkpoint=model, source="the pipeline's own defaults")
    presets = load_presets(extra)
    if name in presets:
        return presets[name]
    close = difflib.get_close_matches(name, presets, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(close)}?" if close else "."
    raise InputError(f'no preset is called "{name}"{hint} There are: {", ".join(presets)}, and {GENERIC}MODEL')


def _preset(path: Path, name: str, table: Any) -> Preset:
    where = f"{path} [{name}]"
    if not isinstance(table, dict):
        raise InputError(f'{path}: "{name}" stands outside a table: begin with a line [NAME]')
    if name.startswith(GENERIC.removesuffix(":")) and ":" in name:
        raise InputError(f"{where}: {GENERIC}… is no name for a preset: it stands for any model")
    hints = {f.name: str(f.type) for f in dataclasses.fields(Preset) if f.name != "name"}
    for key, value in table.items():
        if key not in hints:
            close = difflib.get_close_matches(key, hints, n=1)
            hint = f"did you mean {close[0]}?" if close else f"a preset has: {', '.join(hints)}"
            raise InputError(f"{where}: unknown key {key}; {hint}")
        kinds, words = _KINDS[hints[key].removesuffix(" | None")]
        if type(value) not in kinds or (key == "kind" and value not in get_args(Kind)):  # a bool is no number here
            raise InputError(f"{where}: {key} = {value!r} is not {words}")
    values: dict[str, Any] = {key: float(v) if hints[key] == "float" else v for key, v in table.items()}
    preset = Preset(name=name, **values)
    if not preset.checkpoint and not preset.obtain:
        raise InputError(f"{where}: has no checkpoint: give a hub name or a folder")
    if preset.side is not None and preset.side < 8:
        raise InputError(f"{where}: side = {preset.side} is below 8 pixels")
    if preset.area is not None and preset.area < 64:
        raise InputError(f"{where}: area = {preset.area} is below 64 pixels")
    if preset.lora_file and not preset.lora:
        raise InputError(f"{where}: lora_file without lora: name the hub's model or the folder that holds it")
    return preset
