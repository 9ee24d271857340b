"""The teacher that is a program of the user's own: photos in one folder, their edits in another."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from e2gan.config.checks import need
from e2gan.core.errors import InputError
from e2gan.core.files import sha256
from e2gan.core.images import IMAGE_SUFFIXES, Pixels, encode_png, read_image
from e2gan.core.progress import note
from e2gan.teachers.teacher import Ask, Failed, Teacher

__all__ = ["CommandTeacher", "distinct"]

BATCH = 32  # a program that loads weights does so anew each time it starts
GRACE = 3.0  # seconds between asking a program to end and killing it
POLL = 0.25  # seconds between two looks at what a running program has written
SETTLED = 1.0  # seconds without a change after which an edit that is whole is taken: a program may write it twice
PREFIX, LONGEST = "command:", 48  # a name's beginning, and the most characters after it
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

    Its edits count as deterministic where it asks for no seed. They are taken while it runs, each as soon as it is
    whole. What it prints is kept from the progress; when it fails, the last lines are told once. Raises InputError for
    a command that cannot be meant.
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
        """As the protocol says. Raises what `edits` raises."""
        made = dict(self.edits(photos, ask, seeds))
        return [made[i] for i in range(len(photos))]

    def edits(
        self, photos: Sequence[Pixels], ask: Ask, seeds: Sequence[int]
    ) -> Generator[tuple[int, Pixels | Failed], None, None]:
        """(Index in photos, edit) as each is made, in any order; Failed for one that is missing or unreadable.

        Raises RuntimeError where the program ends with another status than 0 and TimeoutError where it was stopped,
        after the edits that are whole, unless these are all; InputError where it cannot be started, or writes an edit
        again that was taken. Closing the iterator stops the program.
        """
        size = 1 if self.one_by_one else max(1, len(photos))
        for i in range(0, len(photos), size):
            yield from self._edits(photos[i : i + size], ask, seeds[i : i + size], i)

    def close(self) -> None:
        """Nothing stays between two calls."""

    def _edits(
        self, photos: Sequence[Pixels], ask: Ask, seeds: Sequence[int], first: int
    ) -> Iterator[tuple[int, Pixels | Failed]]:
        """What one start of the program gives. first: the index of the first photo."""
        with TemporaryDirectory(prefix="e2gan-", ignore_cleanup_errors=True) as folder:
            work = Path(folder)
            values = _lay_out(work, photos, ask, seeds)
            output = _Output(work / "output", len(photos), again=not self.deterministic)
            until = math.inf if self.timeout is None else time.monotonic() + self.timeout
            process = _start([_fill(argument, values) for argument in self.arguments], work)
            try:
                while not _ends(process, min(POLL, until - time.monotonic())) and time.monotonic() < until:
                    for i, edit in output.settled():
                        yield first + i, edit
            finally:  # also on Ctrl-C, which does not reach it, since it runs in a session of its own
                late = process.returncode is None
                if late:
                    _stop(process)
            error = self._error(None if late else process.returncode, work)
            if output.rewritten():
                raise InputError(
                    f"--teacher command: the program wrote an edit again, more than {SETTLED:g} s after it was whole: "
                    "let it write each edit once (elsewhere first, and move it when it is done)"
                )
            for i, edit in output.rest():
                if error is None or not isinstance(edit, Failed):
                    yield first + i, edit
            if error is not None and output.left:
                raise error
            if error is None and len(output.left) == len(photos) and (lines := _said(work)):
                self._tell("no edit came of it", lines)

    def _error(self, status: int | None, work: Path) -> Exception | None:
        """What to raise for a program that ended with this status; None: it took too long."""
        if status == 0:
            return None
        lines = _said(work)
        if status is None:
            how = f"took longer than {self.timeout:g} s and was stopped"
            error: Exception = TimeoutError(f"the program {how}")
        else:
            how = _ended(status)
            last = f": {lines[-1]}" if lines else ", and said nothing"
            error = RuntimeError(f"the program {how}{last}")
        self._tell(f"it {how}", lines)
        return error

    def _tell(self, how: str, lines: Sequence[str]) -> None:
        if not self._told:
            self._told = True
            head = f"{self.name} failed: {how}" + ("; the last that it said:" if lines else "")
            note("\n".join([head, *(f"    {line}" for line in lines)]))


def distinct(teachers: Iterable[Teacher]) -> None:
    """Tell commands apart that differ only in what names leave out, such as folders: by a hash of the whole command.

    A name that is one command's alone stays as it is.
    """
    commands: dict[str, list[CommandTeacher]] = {}
    for teacher in teachers:
        if isinstance(teacher, CommandTeacher):
            commands.setdefault(teacher.name, []).append(teacher)
    for name, clashing in commands.items():
        if len({_tag(teacher.arguments) for teacher in clashing}) > 1:
            for teacher in clashing:
                teacher.name = f"{name[: len(PREFIX) + LONGEST - 9]}-{_tag(teacher.arguments)}"


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
        name = f"{name[: LONGEST - 9]}-{_tag(arguments)}".lstrip("-")
    return f"{PREFIX}{name}"


def _tag(arguments: Sequence[str]) -> str:
    return hashlib.sha256(shlex.join(arguments).encode()).hexdigest()[:8]


def _fill(argument: str, values: Mapping[str, str]) -> str:
    """In one pass, so that braces in a prompt stay as they are."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], argument)


# ------------------------------------------------------------------------------------------------- the work's folders


def _lay_out(work: Path, photos: Sequence[Pixels], ask: Ask, seeds: Sequence[int]) -> dict[str, str]:
    """Write what the program reads. Placeholder → its value."""
    names = [f"{_stem(i)}.png" for i in range(len(photos))]
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


def _stem(index: int) -> str:
    return f"{index:04}"


Stamp = tuple[str, int, int]  # name, bytes, nanoseconds


class _Output:
    """The folder that a program writes into, and which edits were taken from it.

    left: stem → index of the photos that no edit was taken of. again: as in Failed.
    """

    def __init__(self, folder: Path, photos: int, *, again: bool) -> None:
        self.folder, self.again = folder, again
        self.left = {_stem(i): i for i in range(photos)}
        self._stems = frozenset(self.left)
        self._seen: dict[str, tuple[Stamp | None, float]] = {}  # as a file is, and since when
        self._taken: dict[str, tuple[Stamp, bytes]] = {}  # while the program ran; the hash of its pixels

    def settled(self) -> Iterator[tuple[int, Pixels]]:
        """Take the edits that are whole and that the program has not touched for a while."""
        found = self._edits(self._names())
        for stem in [stem for stem in self.left if len(found.get(stem, ())) == 1]:
            path = self.folder / found[stem][0]
            stamp, now = _stamp(path), time.monotonic()
            before, since = self._seen.get(stem, (None, now))
            if stamp is None or stamp != before:
                self._seen[stem] = (stamp, now)
            elif now - since >= SETTLED:
                self._seen[stem] = (stamp, math.inf)  # one that is not whole is looked at again once it has changed
                try:
                    edit = read_image(path)
                except (InputError, OSError):
                    continue
                if _stamp(path) == stamp:
                    self._taken[stem] = (stamp, _pixels(edit))
                    yield self.left.pop(stem), edit

    def rest(self) -> Iterator[tuple[int, Pixels | Failed]]:
        """Take what else there is, now that the program has ended."""
        names = self._names()
        found = self._edits(names)
        others = [name for name in names if not Path(name).stem.isdecimal()]
        other = f"; it wrote {self._worded(others[0])}" if others else "" if names else ", nor anything else"
        for stem, i in list(self.left.items()):
            edits = found.get(stem, [])
            if not edits:
                edit = self._failed(f"the program wrote no edit under the photo's name NAME.png{other}")
            elif len(edits) > 1:
                all_of_them = self._worded(" and ".join(edits))
                edit = self._failed(f"the program wrote more than one edit of the photo: {all_of_them}")
            else:
                edit = self._read(self.folder / edits[0])
            if not isinstance(edit, Failed):
                del self.left[stem]
            yield i, edit

    def rewritten(self) -> bool:
        """Whether an edit became another one after it was taken, which would make what was taken a draft."""
        found = self._edits(self._names())
        for stem, (stamp, pixels) in self._taken.items():
            for path in [self.folder / name for name in found.get(stem, ())]:
                if _stamp(path) != stamp:
                    edit = self._read(path)
                    if isinstance(edit, Failed) or _pixels(edit) != pixels:
                        return True
        return False

    def _names(self) -> list[str]:
        try:
            with os.scandir(self.folder) as entries:
                return sorted(entry.name for entry in entries)
        except OSError:  # the program may have deleted it
            return []

    def _edits(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Stem → the files that may be that photo's edit, in whatever image format."""
        found: dict[str, list[str]] = {}
        for name in names:
            stem, suffix = os.path.splitext(name)  # noqa: PTH122 (a Path each is slow for a folder looked at so often)
            if stem in self._stems and suffix.lower() in IMAGE_SUFFIXES:
                found.setdefault(stem, []).append(name)
        return found

    def _read(self, path: Path) -> Pixels | Failed:
        try:
            return read_image(path)
        except InputError as error:
            reason = str(error).removeprefix(f"{path}: ")
            reason = re.sub(r" \(\d+ bytes not processed\)", "", reason)  # else each would be another reason
            return self._failed(f"the program's edit cannot be used: {reason}")

    def _failed(self, reason: str) -> Failed:
        return Failed(reason, again=self.again)

    def _worded(self, names: str) -> str:
        """With NAME for the number that a photo is called by here."""
        return re.sub(r"(?<!\d)\d{4,}(?!\d)", lambda m: "NAME" if m[0] in self._stems else m[0], names)


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return path.name, found.st_size, found.st_mtime_ns


def _pixels(image: Pixels) -> bytes:
    return hashlib.sha256(image.tobytes()).digest()


# ------------------------------------------------------------------------------------------------------- the process


def _start(arguments: list[str], work: Path) -> subprocess.Popen[bytes]:
    """Start the program. Its output goes to files, since a pipe that nobody reads would stop it."""
    with (work / "stdout").open("wb") as out, (work / "stderr").open("wb") as err:
        try:
            return subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                preexec_fn=_end_with_this_process(),
            )
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EACCES, errno.ENOEXEC):
                raise  # want of memory or processes: this batch's alone
            why = error.strerror or str(error)
            raise InputError(f"--teacher command: '{arguments[0]}' cannot be started: {why}") from None


def _find_prctl() -> Callable[[int, int], int] | None:
    # PyDLL keeps Python's lock during the call: between fork and exec nothing may wait for another thread.
    try:
        prctl = ctypes.PyDLL(None).prctl
    except (OSError, AttributeError, TypeError):
        return None
    prctl.argtypes = [ctypes.c_int, ctypes.c_ulong]
    return prctl


_PRCTL = _find_prctl() if sys.platform == "linux" else None
_PDEATHSIG = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>


def _end_with_this_process() -> Callable[[], None] | None:
    """What a new process does first, so that it is asked to end when this one is gone, by kill -9 too. Linux has it.

    To be exact, when the thread is gone that started it.
    """
    if _PRCTL is None:
        return None
    prctl, parent, number = _PRCTL, os.getpid(), int(signal.SIGTERM)

    def ask() -> None:  # after the fork: two system calls, no imports, no locks
        prctl(_PDEATHSIG, number)
        if os.getppid() != parent:  # gone already
            os._exit(1)

    return ask


def _ends(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether it has ended, or does so within these seconds."""
    try:
        process.wait(max(0.0, seconds))
    except subprocess.TimeoutExpired:
        return False
    return True


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


def _said(work: Path) -> list[str]:
    return _tail(work / "stderr", work) or _tail(work / "stdout", work)


def _tail(path: Path, work: Path) -> list[str]:
    """The last lines of an output, of at most LINE characters each, without colours and the states of progress bars."""
    with path.open("rb") as f:
        f.seek(0, os.SEEK_END)
        f.seek(max(0, f.tell() - 16384))
        text = f.read().decode("utf-8", "replace")
    text = _in_words(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text), work)
    lines = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n")]
    return [line[:LINE] for line in lines if line][-TAIL:]


def _in_words(text: str, work: Path) -> str:
    """Without the names of temporary files: they tell the user nothing, and would make equal failures differ."""
    roots = sorted({str(work), str(work.resolve())}, key=len, reverse=True)
    root = "(?:" + "|".join(map(re.escape, roots)) + ")"
    suffix = "(?:" + "|".join(map(re.escape, sorted(IMAGE_SUFFIXES))) + r")\b"
    here = r"(?<![\w/\\])(?:\.[/\\]+)?"  # a program may have gone into the folder
    for pattern, words in (
        (rf"(?:{root}[/\\]+|{here})input[/\\]+\d{{4,}}{suffix}", "the photo"),
        (rf"(?:{root}[/\\]+|{here})output[/\\]+\d{{4,}}{suffix}", "the edit"),
        (rf"{root}[/\\]+(input|output|seeds)\b(?:\.txt)?", r"{\1}"),
        (root, "its folder"),
        (rf"{here}\d{{4,}}{suffix}", "the photo"),
    ):
        text = re.sub(pattern, words, text)
    return text
