"""The teacher that is a program of the user's own: photos in one folder, their edits in another."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from e2gan.config import PairsConfig
from e2gan.config.checks import need
from e2gan.core.errors import InputError
from e2gan.core.files import sha256
from e2gan.core.images import IMAGE_SUFFIXES, Pixels, encode_png, read_image
from e2gan.core.progress import note
from e2gan.teachers.program import run_program
from e2gan.teachers.teacher import Ask, Failed

BATCH = 32  # a program that loads weights does so anew each time it starts
PREFIX, LONGEST = "command:", 48  # a name's beginning, and the most characters after it
PLACEHOLDERS = ("input", "output", "photo", "edit", "prompt", "source", "seeds", "seed")
_PLACEHOLDER = re.compile(r"\{([a-z]+)\}")


def make(name: str, config: PairsConfig) -> CommandTeacher:
    """The teacher of --teacher command:…; among commands of one name, its name ends with a hash of the command.

    Names leave out folders, which may be all that two commands differ in.
    """
    teacher = CommandTeacher(name.partition(":")[2], config.teach.batch, config.teach.timeout)
    commands = [CommandTeacher(other.removeprefix(PREFIX)) for other in config.teacher if other.startswith(PREFIX)]
    if any(other.name == teacher.name and other.arguments != teacher.arguments for other in commands):
        teacher.name = f"{teacher.name[: len(PREFIX) + LONGEST - 9]}-{_tag(teacher.arguments)}"
    return teacher


class CommandTeacher:
    """Runs a program once a batch, or once a photo, to edit photos.

    command: the program and its arguments, split as a shell splits them (quotes, backslashes, a leading ~); but no
    shell runs it, so there are no pipes, variables or wildcards. Placeholders stand for what it needs:
      {input} {output}   folders: PNG photos to read, and where their edits go, under the same names with the suffix
                         of any image format; both are the last two arguments where no placeholder names them
      {photo} {edit}     the same as two files, for a program that handles one photo at a time
      {prompt} {source}  the prompt, and the photo in words, each within one argument
      {seeds}            a text file of lines "NAME SEED", one for each photo in {input}
      {seed}             the seed, beside {photo}
    batch: photos each time it starts; with {photo} always 1. timeout: seconds it may take each time (None: any).

    Its edits count as deterministic where it asks for no seed. What it prints is kept from the progress; when it fails,
    the last lines are told once. Raises InputError for a command that cannot be meant.
    """

    def __init__(self, command: str, batch: int | None = None, timeout: float | None = None) -> None:
        need(batch is None or batch >= 1, f"--batch {batch}: must be at least 1")
        need(timeout is None or timeout > 0, f"--timeout {timeout}: must be more than 0 seconds")
        self.command = command.strip()
        self.arguments = _split(self.command)
        used = {name for argument in self.arguments for name in _PLACEHOLDER.findall(argument)}
        _check(self.command, used)
        self.one_by_one = "photo" in used
        if not self.one_by_one and "input" not in used:
            self.arguments += ["{input}", "{output}"]
        self.name = _name(self.arguments)
        self.batch = 1 if self.one_by_one else batch or BATCH
        self.timeout = timeout
        self.deterministic = not used & {"seeds", "seed"}
        self._told = False
        self._made: dict[tuple[object, ...], Pixels | Failed] = {}  # by photo, ask and seed; not yet given

    def settings(self, ask: Ask) -> dict[str, Any]:  # noqa: ARG002 (the prompt is the caller's to write down)
        """The command, and the SHA-256 of each file that it names by path: a changed script is another run."""
        return {"command": self.command, "files": self._files}

    @cached_property
    def _files(self) -> dict[str, str]:
        program, *rest = self.arguments
        named = [program] if os.path.dirname(program) else []  # noqa: PTH120 (else it is looked up on the PATH)
        named += [part for argument in rest for part in (argument, argument.partition("=")[2])]
        # os.path.isfile, since Path.is_file raises for what is too long to be a path: a program given with -c.
        return {name: sha256(Path(name)) for name in named if os.path.isfile(name)}  # noqa: PTH113

    def load(self) -> None:
        """Raises InputError where there is no such program."""
        program = self.arguments[0]
        if shutil.which(program) is None:
            mend = "install it, or name it by its path"
            if Path(program).is_file():
                mend = f"the file {program} is no program: put its interpreter before it, e.g. python {program}"
            raise InputError(f"--teacher command: there is no program '{program}': {mend}")

    def edit(self, photos: Sequence[Pixels], ask: Ask, seeds: Sequence[int]) -> list[Pixels | Failed]:
        """As the protocol says; Failed for an edit that is missing or unreadable.

        Raises InputError where the program cannot be started; RuntimeError where it ends with another status than 0
        and TimeoutError where it was stopped, unless it made all edits. Those that it made are not asked for again:
        the next call has them, for a caller that goes on with smaller batches.
        """
        keys = [
            (hashlib.sha256(photo.tobytes()).digest(), photo.shape, ask, seed)
            for photo, seed in zip(photos, seeds, strict=True)
        ]
        left = [i for i, key in enumerate(keys) if key not in self._made]
        size = 1 if self.one_by_one else max(1, len(left))
        for start in range(0, len(left), size):
            batch = left[start : start + size]
            edits, error = self._run([photos[i] for i in batch], ask, [seeds[i] for i in batch])
            for i, edit in zip(batch, edits, strict=True):
                if error is None or not isinstance(edit, Failed):
                    self._made[keys[i]] = edit
            if error is not None and any(isinstance(edit, Failed) for edit in edits):
                raise error
        edits = [self._made[key] for key in keys]
        for key in keys:
            self._made.pop(key, None)
        return edits

    def close(self) -> None:
        """See `Teacher.close`."""
        self._made.clear()

    def _run(
        self, photos: Sequence[Pixels], ask: Ask, seeds: Sequence[int]
    ) -> tuple[list[Pixels | Failed], Exception | None]:
        """The edits that one start of the program made, and how it failed itself."""
        with TemporaryDirectory(prefix="e2gan-", ignore_cleanup_errors=True) as folder:
            work = Path(folder)
            values = _write_photos(work, photos, ask, seeds)
            # In one pass, so that braces in a prompt stay as they are.
            arguments = [_PLACEHOLDER.sub(lambda match: values[match[1]], part) for part in self.arguments]
            ending = run_program(arguments, work, self.timeout)
            edits = _read_edits(work / "output", len(photos), again=not self.deterministic)
        if ending.failure:
            self._tell(f"it {ending.failure}", ending.printed)
        elif ending.printed and all(isinstance(edit, Failed) for edit in edits):
            self._tell("no edit came of it", ending.printed)
        return edits, ending.error()

    def _tell(self, how: str, printed: Sequence[str]) -> None:
        if not self._told:
            self._told = True
            head = f"{self.name} failed: {how}" + ("; the last that it said:" if printed else "")
            note("\n".join([head, *(f"    {line}" for line in printed)]))


def _split(command: str) -> list[str]:
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        raise InputError(f"--teacher command:{command}: {error}") from None
    need(bool(arguments), "--teacher command: names no program: command:PROGRAM ARGUMENTS")
    return [os.path.expanduser(a) if a.startswith("~") else a for a in arguments]  # noqa: PTH111 (not only paths)


def _check(command: str, used: set[str]) -> None:
    where = f"--teacher command:{command}"
    if unknown := sorted(used - set(PLACEHOLDERS)):
        known = " ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise InputError(f"{where}: {{{unknown[0]}}} is unknown; there are {known}")
    for one, other in (("input", "output"), ("photo", "edit")):
        need((one in used) == (other in used), f"{where}: {{{one}}} and {{{other}}} belong together: name both")
    need(
        not {"input", "photo"} <= used,
        f"{where}: name the folders {{input}} {{output}}, or the files {{photo}} {{edit}}, not both",
    )
    need("seed" not in used or "photo" in used, f"{where}: {{seed}} needs {{photo}}; a folder's seeds are {{seeds}}")


def _name(arguments: Sequence[str]) -> str:
    """ "command:stylize-style-udnie": what tells two commands apart, without interpreter, folders and placeholders."""
    words = [_PLACEHOLDER.sub("", Path(argument).name) for argument in arguments]
    words = [re.sub(r"\.(py|sh|js|exe)$", "", word) for word in words if word]
    if len(words) > 1 and re.fullmatch(r"python[\d.]*|bash|sh|node", words[0]):
        del words[0]
    name = re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")
    if not name or len(name) > LONGEST:  # the ends that are cut off may be what differs
        name = f"{name[: LONGEST - 9]}-{_tag(arguments)}".lstrip("-")
    return f"{PREFIX}{name}"


def _tag(arguments: Sequence[str]) -> str:
    return hashlib.sha256(shlex.join(arguments).encode()).hexdigest()[:8]


def _write_photos(work: Path, photos: Sequence[Pixels], ask: Ask, seeds: Sequence[int]) -> dict[str, str]:
    """Write what the program reads. Placeholder → its value."""
    names = [f"{i:04}.png" for i in range(len(photos))]
    for part in ("input", "output"):
        (work / part).mkdir()
    for name, photo in zip(names, photos, strict=True):
        (work / "input" / name).write_bytes(encode_png(photo))
    lines = [f"{name} {seed}\n" for name, seed in zip(names, seeds, strict=True)]
    (work / "seeds.txt").write_text("".join(lines), "utf-8")
    return {part: str(work / part) for part in ("input", "output")} | {
        "photo": str(work / "input" / names[0]),
        "edit": str(work / "output" / names[0]),
        "prompt": ask.prompt,
        "source": ask.source,
        "seeds": str(work / "seeds.txt"),
        "seed": str(seeds[0]),
    }


def _read_edits(folder: Path, count: int, *, again: bool) -> list[Pixels | Failed]:
    """The edits in the program's output folder, in the order of the photos. again: as in Failed."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []  # the program may have deleted it
    others = [path.name for path in files if not path.stem.isdecimal()]
    stems = [f"{i:04}" for i in range(count)]

    def unnumbered(text: str) -> str:
        """With NAME for a photo's number, which tells the user nothing, and would make equal failures differ."""
        return re.sub(r"(?<!\d)\d{4,}(?!\d)", lambda match: "NAME" if match[0] in stems else match[0], text)

    other = f"; it wrote {unnumbered(others[0])}" if others else "" if files else ", nor anything else"
    edits: list[Pixels | Failed] = []
    for stem in stems:
        written = [path for path in files if path.stem == stem and path.suffix.lower() in IMAGE_SUFFIXES]
        if not written:
            reason = f"the program wrote no edit under the photo's name NAME.png{other}"
        elif len(written) > 1:
            names = unnumbered(" and ".join(path.name for path in written))
            reason = f"the program wrote more than one edit of the photo: {names}"
        else:
            try:
                edits.append(read_image(written[0]))
                continue
            except InputError as error:
                reason = f"the program's edit cannot be used: {str(error).removeprefix(f'{written[0]}: ')}"
                reason = re.sub(r" \(\d+ bytes not processed\)", "", reason)  # else each would be another reason
        edits.append(Failed(reason, again=again))
    return edits
