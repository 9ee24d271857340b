"""A machine's own disk, where tasks make things and keep what they fetched: one writer a thing, a limit of bytes."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from e2gan.core.errors import InputError, MachineError
from e2gan.core.outputs import partial_of
from e2gan.sweeps.store import Store
from e2gan.sweeps.things import KINDS, Ref

try:
    import fcntl
except ImportError:  # Windows, which Ray does not make clusters of
    fcntl = None

LOCKS = "locks"
ENDINGS = ("", ".partial", ".fetch")  # of the folders of one thing
LOOK = 1.0  # seconds between two looks whether there is room


def usual_root() -> Path:
    """Where it is, unless a user names another place: in that for temporary files, one for each user."""
    return Path(tempfile.gettempdir()) / f"e2gan-sweep-{os.getuid() if hasattr(os, 'getuid') else 'user'}"


class Workspace:
    """The folder on one machine's disk. limit: bytes above which no further task begins."""

    def __init__(self, root: Path | None, limit: float) -> None:
        """Raises InputError where it cannot be made, or is another user's."""
        self.root, self.limit = root or usual_root(), limit
        try:
            (self.root / LOCKS).mkdir(parents=True, exist_ok=True)
            if root is None:
                if hasattr(os, "getuid") and self.root.stat().st_uid != os.getuid():
                    raise InputError(f"{self.root} is another user's: name a --scratch of your own")
                self.root.chmod(0o700)
        except OSError as error:
            raise InputError(f"--scratch {self.root}: cannot be written: {error.strerror or error}") from None
        self.root = self.root.resolve()

    def path(self, ref: Ref) -> Path:
        """Where a thing lies: at the same place below the root as in the store, so that relative paths hold in both."""
        return self.root / ref.place

    @contextmanager
    def making(self, ref: Ref) -> Iterator[Path]:
        """Inside, no other process on this machine makes or fetches the thing; it waits for one that does."""
        with self._lock(ref) as hold:
            hold(exclusive=True)
            folder = self.path(ref)
            folder.parent.mkdir(parents=True, exist_ok=True)
            yield folder

    @contextmanager
    def using(self, store: Store, ref: Ref) -> Iterator[Path]:
        """The folder of a thing, fetched where it is not here; inside, nobody removes it.

        Raises DamagedError as `Store.fetch`.
        """
        folder = self.path(ref)
        with self._lock(ref) as hold:
            while True:
                hold(exclusive=False)
                if store.is_here(ref, folder):
                    break
                hold(exclusive=True)
                if not store.is_here(ref, folder):
                    folder.parent.mkdir(parents=True, exist_ok=True)
                    store.fetch(ref, folder)
            os.utime(folder)  # what was used last goes last
            yield folder

    def drop(self, ref: Ref) -> bool:
        """Remove what is here of a thing. Returns False where a process uses it."""
        with self._lock(ref) as hold:
            if not hold(exclusive=True, wait=False):
                return False
            for ending in ENDINGS:
                folder = self.path(ref)
                shutil.rmtree(folder.with_name(folder.name + ending), ignore_errors=True)
            return True

    def make_room(self) -> None:
        """Wait until there is room for another task: what no process uses is removed, the oldest first.

        Raises MachineError where nothing is left to wait for, or to remove.
        """
        while (total := self.bytes()) > self.limit:
            waits = False
            for place in self._oldest_first():
                removed = self._drop_place(place)
                waits = waits or not removed
                if removed and (total := self.bytes()) <= self.limit:
                    return
            if not waits:
                raise MachineError(f"{self.root} holds {total / 1e9:.2f} GB that are not a sweep's: --scratch-gb more")
            time.sleep(LOOK)

    def bytes(self) -> int:
        """Of all files below."""
        total = 0
        for path in self.root.rglob("*"):
            with suppress(OSError):  # another task has just removed it
                total += path.stat().st_size if path.is_file() else 0
        return total

    def _oldest_first(self) -> list[str]:
        """The places of all things that are here, whole or not."""
        ages: dict[str, float] = {}
        for kind in KINDS:
            for folder in (self.root / kind).glob("*"):
                with suppress(OSError):
                    place = f"{kind}/{folder.name.partition('.')[0]}"
                    ages[place] = max(ages.get(place, 0.0), folder.stat().st_mtime)
        return sorted(ages, key=lambda place: ages[place])

    def _drop_place(self, place: str) -> bool:
        kind, _, short = place.partition("/")
        return self.drop(Ref(kind, short))  # its lock, and its folders, go by the short name

    @contextmanager
    def _lock(self, ref: Ref) -> Iterator[Callable[..., bool]]:
        """What takes the thing's lock, alone or with others; it ends with this process, however that ends."""
        with (self.root / LOCKS / f"{ref.place.replace('/', '-')}.lock").open("a") as file:

            def hold(*, exclusive: bool, wait: bool = True) -> bool:
                if fcntl is None:
                    return wait
                try:
                    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
                    fcntl.flock(file, kind | (0 if wait else fcntl.LOCK_NB))
                except BlockingIOError:
                    return False
                return True

            yield hold


def clear_begun(folder: Path) -> None:
    """Remove a folder that a stage fills in its place, and which is not known to be whole."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(partial_of(folder), ignore_errors=True)
