"""`export --format all`: a folder for each format that is installed, and a page that says which file is for what."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from jinja2 import Environment

from e2gan.config import ExportConfig
from e2gan.config.export_schemas import MissingFile
from e2gan.core.errors import InputError
from e2gan.core.files import read_json, write_bytes, write_json
from e2gan.core.outputs import writing
from e2gan.export.export import (
    PARITY,
    Exported,
    Subject,
    check_goes_with,
    export_model,
    precision_of,
    read_exported,
    reads_of,
    settings_of,
)
from e2gan.export.formats import EVERY, FORMATS, find_format
from e2gan.export.photographs import Photographs

PAGE = "index.html"
MISSING = "missing.json"


@dataclass(frozen=True)
class ExportedAll:
    """What `export_all` wrote: the page, what became of each format, and why others are left out."""

    folder: Path
    page: Path
    formats: list[Exported]
    missing: dict[str, str]
    already_done: bool = False

    def __str__(self) -> str:
        lines = [line for found in self.formats for line in (str(found), "")]
        lines += [f"{name}: left out: {why}" for name, why in self.missing.items()]
        lines.append(f"which file is for what: {self.page}")
        return "\n".join(["exported already, nothing to do", *lines] if self.already_done else lines)


def export(config: ExportConfig) -> Exported | ExportedAll:
    """The command: `export_all` for --format all, else `export_model`."""
    return export_all(config) if config.format == EVERY else export_model(config)


def export_all(config: ExportConfig) -> ExportedAll:
    """Write each format that is installed, into a folder of its name, and index.html: which file is for what.

    A format is left out, and why is told, where its package is missing or it has no such precision. Raises InputError
    as `export_model` does, and where no format is left.
    """
    ExportConfig.checked(config)
    if config.format != EVERY:
        raise InputError(f"--format {config.format}: export_all writes all; export_model writes one")
    subject = Subject.load(config)
    with writing(
        config.out, "export", settings_of(config) | subject.facts, reads=reads_of(config), resumes=True
    ) as partial:
        if partial is not None:
            names, missing = available(config)
            photos = Photographs.of(config)
            written = []
            for name in names:
                folder = partial / name
                if not (folder / PARITY).exists():  # the last of a format's files
                    shutil.rmtree(folder, ignore_errors=True)  # half of it, of a run that was stopped
                    folder.mkdir()
                    subject.write(name, folder, photos)
                written.append(read_exported(folder, find_format(name).file, already_done=False))
            write_json(partial / MISSING, missing)
            write_bytes(partial / PAGE, page(written, missing, subject.model.prompt).encode())
    missing = read_json(config.out / MISSING, MissingFile)
    folders = [(name, config.out / name) for name in FORMATS if (config.out / name).is_dir()]
    found = [read_exported(folder, find_format(name).file, already_done=False) for name, folder in folders]
    return ExportedAll(config.out, config.out / PAGE, found, missing, partial is None)


def available(config: ExportConfig) -> tuple[list[str], dict[str, str]]:
    """The formats that can be written here, and of the others, why not. Raises InputError where none can."""
    names, missing = [], {}
    for name in FORMATS:
        try:
            precision_of(name, config.precision)
            check_goes_with(name, config)
            find_format(name).require()
        except InputError as error:
            missing[name] = str(error)
        else:
            names.append(name)
    if not names:
        raise InputError("no format can be written here: " + "; ".join(missing.values()))
    return names, missing


def page(written: list[Exported], missing: dict[str, str], prompt: str) -> str:
    """The page as HTML, without anything from elsewhere."""
    template = resources.files("e2gan.export").joinpath("all_formats.html").read_text("utf-8")
    rows = [{"exported": found, "format": find_format(found.format)} for found in written]
    pages = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    left_out = [{"name": name, "purpose": find_format(name).purpose, "why": why} for name, why in missing.items()]
    return pages.from_string(template).render(rows=rows, missing=left_out, prompt=prompt)
