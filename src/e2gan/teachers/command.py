"""The teacher that is a program of the user's own: photos in one folder, their edits in another."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from subprocess import DEVNULL, Popen, TimeoutExpired
from typing import Any

from e2gan.config import PairsConfig
from e2gan.config.checks import at_least, need, positive
from e2gan.core.errors import InputError
from e2gan.core.files import sha256
from e2gan.core.identity import files_below
from e2gan.core.images import Pixels, encode_png, read_image
from e2gan.core.machine import need_space
from e2gan.core.picture_kinds import IMAGE_SUFFIXES
from e2gan.core.progress import note
from e2gan.core.temporary import temporary_folder
from e2gan.teachers.teacher import Ask, Failed

BATCH = 32  # a program that loads weights does so anew each time it starts
MOST_PIXELS = 2**25  # of an edit: as many as BATCH are held together, of pictures that are 256 pixels wide
PREFIX, LONGEST = "command:", 48  # a name's beginning, and the most characters after it
GRACE = 3.0  # seconds between asking a program to end and killing it
LINES, CHARACTERS = 12, 240  # how much of what it printed is kept: lines, and characters of each
# PR_SET_PDEATHSIG: asks the program to end when this process is gone, by kill -9 too. Looked up before any fork.
END_WITH_PARENT = partial(ctypes.PyDLL(None).prctl, 1, int(signal.SIGTERM)) if sys.platform == "linux" else None
PLACEHOLDERS = ("input", "output", "photo", "edit", "prompt", "source", "seeds", "seed")
INTERPRETER = re.compile(r"python[\d.]*|bash|sh|node")
_PLACEHOLDER = re.compile(r"\{([a-z]+)\}")


def make(name: str, config: PairsConfig) -> CommandTeacher:
    """The teacher of --teacher command:…; its name ends with a hash where another command differs only in folders."""
    teacher = CommandTeacher(name.partition(":")[2], config.teach.batch, config.teach.timeout)
    commands = [CommandTeacher(other.removeprefix(PREFIX)) for other in config.teachers if other.startswith(PREFIX)]
    if any(other.name == teacher.name and other.arguments != teacher.arguments for other in commands):
        teacher.name = _name(teacher.arguments, tagged=True)
    return teacher


class CommandTeacher:
    """Runs a program once a batch, or once a photo, to edit photos.

    command: the program and its arguments, split as a shell splits them, though no shell runs it. For its placeholders,
    {input} {output} or {photo} {edit}, {prompt}, {source}, {seeds}, {seed}, see docs/teachers/command.md.
    batch: photos each time it starts; with {photo} always 1. timeout: seconds it may take each time (None: any).

    written: files that the command names and that changed while it ran, a log: they do not decide its edits.
    Its edits count as deterministic where it asks for no seed. What it prints is kept from the progress; when it fails,
    the last lines are told once. Raises InputError for a command that cannot be meant.
    """

    def __init__(self, command: str, batch: int | None = None, timeout: float | None = None) -> None:
        at_least("batch", batch, 1)
        positive("timeout", timeout)
        self.command = command.strip()
        self.arguments, used = _parse(self.command)
        if not used & {"input", "photo"}:
            self.arguments += ["{input}", "{output}"]
        self.name = _name(self.arguments)
        self.batch = 1 if "photo" in used else batch or BATCH
        self.timeout = timeout
        self.written: set[str] = set()
        self.deterministic = not used & {"seeds", "seed"}
        self._told = False

    def settings(self, ask: Ask) -> dict[str, Any]:  # noqa: ARG002 (the prompt is the caller's to write down)
        """The command, and the SHA-256 of each file that it names by path, or that lies in a folder it names: a changed
        script is another run, and so are other weights. Those that it writes itself, a log, are left out."""
        files = {name: sha256(Path(name)) for name in self._states() if name not in self.written}
        return {"command": self.command, "files": files}

    def _states(self) -> dict[str, tuple[int, int]]:
        """The files that the command names by path: their sizes and times."""
        program, *rest = self.arguments
        # Of an interpreter, the script that it runs is the program.
        named = [] if INTERPRETER.fullmatch(program) else [shutil.which(program) or program]
        named += [part for argument in rest for part in (argument, argument.partition("=")[2]) if part]
        # os.path.isfile, since Path.is_file raises for what is too long to be a path: a program given with -c.
        named += [str(path) for name in named if self._is_own_folder(name) for path in files_below(Path(name))]
        stats = {name: os.stat(name) for name in named if os.path.isfile(name)}  # noqa: PTH113, PTH116
        return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}

    @staticmethod
    def _is_own_folder(name: str) -> bool:
        """Whether a name is a folder, of weights, say; not one that holds the folder in which the program runs."""
        return os.path.isdir(name) and not Path.cwd().is_relative_to(Path(name).resolve())  # noqa: PTH112

    def load(self) -> None:
        """Raises InputError where there is no such program."""
        program = self.arguments[0]
        mend = "install it, or name it by its path"
        if Path(program).is_file():
            mend = f"the file {program} is no program: put its interpreter before it, e.g. python {program}"
        need(shutil.which(program) is not None, f"--teacher command: there is no program '{program}': {mend}")

    def edit(self, photos: Sequence[Pixels], ask: Ask, seeds: Sequence[int]) -> list[Pixels | Failed]:
        """As the protocol says; Failed for an edit that is missing or unreadable.

        Raises InputError where the program cannot be started; RuntimeError where it ends with another status than 0
        and TimeoutError where it was stopped, unless it made all edits.
        """
        size, starts = self.batch, range(0, len(photos), self.batch)
        return [edit for i in starts for edit in self._run(photos[i : i + size], ask, seeds[i : i + size])]

    def close(self) -> None:
        """See `Teacher.close`."""

    def _run(self, photos: Sequence[Pixels], ask: Ask, seeds: Sequence[int]) -> list[Pixels | Failed]:
        """The edits of one start of the program."""
        with temporary_folder() as work:
            values = _write_photos(work, photos, ask, seeds)
            # In one pass, so that braces in a prompt stay as they are.
            arguments = [_PLACEHOLDER.sub(lambda match: values[match[1]], part) for part in self.arguments]
            before = self._states()
            failure, late = _run_program(arguments, work, self.timeout)
            self.written |= {name for name, state in self._states().items() if before.get(name) != state}
            printed = _last_lines(work / "stderr") or _last_lines(work / "stdout")
            edits = _read_edits(work / "output", len(photos), again=not self.deterministic)
            missing = [edit for edit in edits if isinstance(edit, Failed)]
            if failure or missing:
                need_space(work)
        if not self._told and (failure or (printed and len(missing) == len(edits))):
            self._told = True
            what = f"it {failure}" if failure else "no edit came of it"
            said = ["; the last that it said:", *printed] if printed else []
            note(f"{self.name} failed: {what}" + "\n    ".join(said))
        if failure and missing:
            if late:
                raise TimeoutError(f"the program {failure}")
            raise RuntimeError(f"the program {failure}" + (f": {printed[-1]}" if printed else ", and said nothing"))
        return edits


def _parse(command: str) -> tuple[list[str], set[str]]:
    """A command's arguments, and the placeholders in them."""
    where = f"--teacher command:{command}"
    try:
        arguments = [os.path.expanduser(argument) for argument in shlex.split(command)]  # noqa: PTH111 (not only paths)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
    need(bool(arguments), "--teacher command: names no program: command:PROGRAM ARGUMENTS")
    used = {name for argument in arguments for name in _PLACEHOLDER.findall(argument)}
    unknown, known = "".join(sorted(used - set(PLACEHOLDERS))[:1]), " ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    for wrong, what in (
        (unknown, f"{{{unknown}}} is unknown; there are {known}"),
        (len(used & {"input", "output"}) == 1, "{input} and {output} belong together: name both"),
        (len(used & {"photo", "edit"}) == 1, "{photo} and {edit} belong together: name both"),
        (used >= {"input", "photo"}, "name the folders {input} {output}, or the files {photo} {edit}, not both"),
        ("seed" in used and "photo" not in used, "{seed} needs {photo}; a folder's seeds are {seeds}"),
    ):
        need(not wrong, f"{where}: {what}")
    return arguments, used


def _name(arguments: Sequence[str], *, tagged: bool = False) -> str:
    """ "command:stylize-style-udnie": a command without interpreter, folders and placeholders. tagged: with a hash."""
    words = [_PLACEHOLDER.sub("", Path(argument).name) for argument in arguments]
    words = [re.sub(r"\.(py|sh|js|exe)$", "", word) for word in words if word]
    if len(words) > 1 and INTERPRETER.fullmatch(words[0]):
        del words[0]
    name = re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")
    if tagged or not name or len(name) > LONGEST:  # the ends that are cut off may be what differs
        tag = hashlib.sha256(shlex.join(arguments).encode()).hexdigest()[:8]
        name = f"{name[: LONGEST - 9]}-{tag}".lstrip("-")
    return f"{PREFIX}{name}"


def _write_photos(work: Path, photos: Sequence[Pixels], ask: Ask, seeds: Sequence[int]) -> dict[str, str]:
    """Write what the program reads. Placeholder → its value."""
    files = {"input": work / "input", "output": work / "output", "seeds": work / "seeds.txt"}
    files |= {"photo": files["input"] / "0000.png", "edit": files["output"] / "0000.png"}
    files["input"].mkdir()
    files["output"].mkdir()
    for i, photo in enumerate(photos):
        (files["input"] / f"{i:04}.png").write_bytes(encode_png(photo))
    files["seeds"].write_text("".join(f"{i:04}.png {seed}\n" for i, seed in enumerate(seeds)), "utf-8")
    words = {"prompt": ask.prompt, "source": ask.source, "seed": str(seeds[0])}
    return words | {name: str(path) for name, path in files.items()}


def _read_edits(folder: Path, count: int, *, again: bool) -> list[Pixels | Failed]:
    """The edits, in the order of the photos. Reasons tell no number, which would make equal failures differ."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []  # the program may have deleted it
    others = [re.sub(r"^\d{4,}", "NAME", path.name) for path in files if not path.stem.isdecimal()]
    other = f"; it wrote {others[0]}" if others else "" if files else ", nor anything else"
    edits: list[Pixels | Failed] = []
    for i in range(count):
        written = [path for path in files if path.stem == f"{i:04}" and path.suffix.lower() in IMAGE_SUFFIXES]
        if not written:
            reason = f"the program wrote no edit under the photo's name NAME.png{other}"
        elif len(written) > 1:
            names = " and ".join(f"NAME{path.suffix}" for path in written)
            reason = f"the program wrote more than one edit of the photo: {names}"
        else:
            try:
                edits.append(read_image(written[0], MOST_PIXELS))
                continue
            except InputError as error:
                why = re.sub(r" \(\d+ bytes not processed\)", "", str(error).removeprefix(f"{written[0]}: "))
                reason = f"the program's edit cannot be used: {why}"
        edits.append(Failed(reason, again))
    return edits


def _run_program(arguments: Sequence[str], work: Path, timeout: float | None) -> tuple[str, bool]:
    """Run a program until it ends: how it failed ("" where it did not), and whether it was stopped after its time.

    What it prints goes to the files stdout and stderr in `work`, since a pipe that nobody reads would stop it. Raises
    InputError where it cannot be started.
    """
    with (work / "stdout").open("wb") as out, (work / "stderr").open("wb") as err:
        try:
            process = Popen(
                arguments, stdin=DEVNULL, stdout=out, stderr=err, start_new_session=True, preexec_fn=END_WITH_PARENT
            )
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EACCES, errno.ENOEXEC):
                raise  # want of memory or processes: this batch's alone
            raise InputError(f"--teacher command: '{arguments[0]}' cannot be started: {error.strerror}") from None
    try:
        status = process.wait(timeout)
    except TimeoutExpired:
        return f"took longer than {timeout:g} s and was stopped", True
    finally:  # also on Ctrl-C, which does not reach it, since it runs in a session of its own
        if process.returncode is None:
            _stop(process)
    if status >= 0:
        return f"ended with status {status}" if status else "", False
    name = {int(number): number.name for number in signal.Signals}.get(-status, f"signal {-status}")
    return f"was killed by {name}" + (" (perhaps for want of memory)" if name == "SIGKILL" else ""), False


def _stop(process: Popen[bytes]) -> None:
    """End the program and all that it started: asked first, then killed."""
    if not hasattr(os, "killpg"):  # Windows
        process.kill()
        return
    try:
        with suppress(ProcessLookupError, PermissionError, TimeoutExpired):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(GRACE)
    finally:
        with suppress(ProcessLookupError, PermissionError):  # all of them have ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _last_lines(path: Path) -> list[str]:
    """The last lines of an output, without colours, earlier states of progress bars and names of temporary files."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 16384))
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.read().decode("utf-8", "replace"))
    text = text.replace(f"{path.parent}{os.sep}", "").replace(str(path.parent), "its folder")
    numbered = r"(?<![\w/\\])(?:\./)?(?:(input|output)[/\\])?\d{4,}\.[A-Za-z]+\b"
    text = re.sub(numbered, lambda match: "the edit" if match[1] == "output" else "the photo", text)
    lines = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n")]
    return [line[:CHARACTERS] for line in lines if line][-LINES:]
