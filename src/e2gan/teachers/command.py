"""The teacher that is a program of the user's own: photos in one folder, their edits in another."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from e2gan.config.checks import need
from e2gan.errors import InputError
from e2gan.files import sha256
from e2gan.images import IMAGE_SUFFIXES, Pixels, encode_png, read_image
from e2gan.progress import note
from e2gan.teachers.teacher import Ask, Failed

__all__ = ["CommandTeacher"]

BATCH = 32  # a program that loads weights does so anew each time it starts
PATIENCE = 8  # photos without a single edit, after which the command itself is to blame
GRACE = 3.0  # seconds between asking a program to end and killing it
LONGEST = 48  # characters of a name
TAIL, LINE = 12, 240  # lines, characters: how much of what a failed program said is told
PLACEHOLDERS = ("input", "output", "photo", "edit", "prompt", "source", "seeds", "seed")
_PLACEHOLDER = re.compile(r"\{([a-z]+)\}")


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

    Its edits count as deterministic where it asks for no seed. What it prints is kept from the progress; when it
    fails, the last lines are told once. Raises InputError for a command that cannot be meant.
    """

    name: str
    batch: int
    deterministic: bool

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
        self._fruitless = 0  # photos without an edit so far; None of them counts once there is one
        self._worked = False
        self._told = False

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
        """As the protocol says. A photo whose edit is missing or unreadable is Failed.

        Raises RuntimeError where the program ends with another status than 0, TimeoutError where it was stopped, and
        InputError where it cannot be started, or has not given one edit of the first photos.
        """
        if self.one_by_one:
            jobs = zip(photos, seeds, strict=True)
            return [edit for photo, seed in jobs for edit in self._edit([photo], ask, [seed])]
        return self._edit(photos, ask, seeds)

    def close(self) -> None:
        """Nothing stays between two calls."""

    def _edit(self, photos: Sequence[Pixels], ask: Ask, seeds: Sequence[int]) -> list[Pixels | Failed]:
        names = [f"{i:04}.png" for i in range(len(photos))]
        with TemporaryDirectory(prefix="e2gan-", ignore_cleanup_errors=True) as folder:
            work = Path(folder)
            for part in ("input", "output"):
                (work / part).mkdir()
            for name, photo in zip(names, photos, strict=True):
                (work / "input" / name).write_bytes(encode_png(photo))
            lines = [f"{name} {seed}\n" for name, seed in zip(names, seeds, strict=True)]
            (work / "seeds.txt").write_text("".join(lines), "utf-8")
            values = {part: str(work / part) for part in ("input", "output")} | {
                "photo": str(work / "input" / names[0]),
                "edit": str(work / "output" / names[0]),
                "prompt": ask.prompt,
                "source": ask.source,
                "seeds": str(work / "seeds.txt"),
                "seed": str(seeds[0]),
            }
            try:
                self._call([_fill(argument, values) for argument in self.arguments], work)
            except (RuntimeError, TimeoutError) as error:
                if len(photos) == 1:  # of more than one, the caller finds out which it is
                    self._count(1, str(error))
                raise
            edits = [self._read(work / "output", name) for name in names]
        reasons = [edit.reason for edit in edits if isinstance(edit, Failed)]
        self._worked |= len(reasons) < len(edits)
        if reasons:
            self._count(len(reasons), reasons[0])
        return edits

    def _call(self, arguments: list[str], work: Path) -> None:
        """Run the program to its end. Its output goes to files, since a pipe that nobody reads would stop it."""
        with (work / "stdout").open("wb") as out, (work / "stderr").open("wb") as err:
            try:
                process = subprocess.Popen(
                    arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
                )
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.EACCES, errno.ENOEXEC):
                    raise  # want of memory or processes: this batch's alone
                why = error.strerror or str(error)
                raise InputError(f"--teacher command: '{arguments[0]}' cannot be started: {why}") from None
        try:
            status = process.wait(self.timeout)
        except subprocess.TimeoutExpired:
            _stop(process)
            raise TimeoutError(f"the program took longer than {self.timeout:g} s and was stopped") from None
        except BaseException:  # Ctrl-C does not reach it, since it runs in a session of its own
            _stop(process)
            raise
        if status:
            lines = _tail(work / "stderr") or _tail(work / "stdout")
            self._tell(lines)
            last = f": {lines[-1]}" if lines else ", and said nothing"
            raise RuntimeError(f"the program {_ended(status)}{last}")

    def _tell(self, lines: Sequence[str]) -> None:
        if lines and not self._told:
            self._told = True
            note("\n".join([f"{self.name} failed; the last that it said:", *(f"    {line}" for line in lines)]))

    def _read(self, folder: Path, name: str) -> Pixels | Failed:
        """The edit of the photo `name`, in whatever image format."""
        written = sorted(folder.iterdir()) if folder.is_dir() else []
        stem = Path(name).stem
        found = [path for path in written if path.stem == stem and path.suffix.lower() in IMAGE_SUFFIXES]
        if not found:
            others = [path.name for path in written if not path.stem.isdecimal()]
            other = f"; it wrote {others[0]}" if others else "" if written else ", nor anything else"
            return self._failed(f"the program wrote no edit under the photo's name {name}{other}")
        if len(found) > 1:
            names = " and ".join(path.name for path in found)
            return self._failed(f"the program wrote more than one edit of the photo: {names}")
        try:
            return read_image(found[0])
        except InputError as error:
            reason = str(error).removeprefix(f"{found[0]}: ")
            return self._failed(f"the program's edit {found[0].name} cannot be used: {reason}")

    def _failed(self, reason: str) -> Failed:
        return Failed(reason, again=not self.deterministic)

    def _count(self, photos: int, reason: str) -> None:
        """End the run where the program never gives an edit, before it is started for each photo there is."""
        self._fruitless += photos
        if not self._worked and self._fruitless >= PATIENCE:
            raise InputError(f"--teacher command: no edit of the first {self._fruitless} photos ({reason}): mend it")


# ------------------------------------------------------------------------------------------------------- the command


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
        tag = hashlib.sha256(shlex.join(arguments).encode()).hexdigest()[:8]
        name = f"{name[: LONGEST - 9]}-{tag}".lstrip("-")
    return f"command:{name}"


def _fill(argument: str, values: Mapping[str, str]) -> str:
    """In one pass, so that braces in a prompt stay as they are."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], argument)


# ------------------------------------------------------------------------------------------------------- the process


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the program and all that it started: asked first, then killed."""
    try:
        _signal(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    finally:
        _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # all of them have ended
        if hasattr(os, "killpg"):
            os.killpg(process.pid, number)
        else:
            process.terminate()


def _ended(status: int) -> str:
    if status > 0:
        return f"ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"was killed by {name}" + (" (perhaps for want of memory)" if name == "SIGKILL" else "")


def _tail(path: Path) -> list[str]:
    """The last lines of an output, of at most LINE characters each, without colours and the states of progress bars."""
    with path.open("rb") as f:
        f.seek(0, os.SEEK_END)
        f.seek(max(0, f.tell() - 16384))
        text = f.read().decode("utf-8", "replace")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    lines = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n")]
    return [line[:LINE] for line in lines if line][-TAIL:]
