"""Where a sweep keeps what it made: a local folder or an object store, by fsspec.

An object store has no rename. So a thing is made elsewhere and uploaded, and its manifest comes last: the names, sizes
and SHA-256 of its files. Without a manifest of its identity there is no thing, whatever lies in its place.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from e2gan.config.schemas import ManifestFile
from e2gan.core.errors import InputError, MachineError
from e2gan.core.files import MOST_JSON, json_bytes, open_file, parse_json, read_bytes, sha256, whole_file, write_bytes
from e2gan.core.identity import files_below
from e2gan.core.machine import machine_fault
from e2gan.core.names import inside
from e2gan.core.progress import in_threads
from e2gan.sweeps.things import Ref

PROTOCOLS = {"file": "", "s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
MANIFESTS, ATTEMPTS = "manifests", "attempts"
EXTRA = "pip install 'e2gan[sweep]'"


class DamagedError(Exception):
    """A thing in the store is not what its manifest says: it is to be made again. ref: which."""

    def __init__(self, ref: Ref, why: str) -> None:
        super().__init__(f"{ref.place}: {why}")
        self.ref = ref


class Store:
    """What lies below a place. url: a local path, or one of an object store, s3://BUCKET/NAME."""

    def __init__(self, url: str) -> None:
        """Raises InputError where there is no way to such a place. Nothing is asked of it yet."""
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise InputError(f"a sweep needs fsspec: {EXTRA}") from None
        self.url = url
        protocol = url.partition("://")[0] if "://" in url else "file"
        if protocol not in PROTOCOLS or "::" in url:
            raise InputError(f"--out {url}: a local folder, or {', '.join(f'{p}://' for p in list(PROTOCOLS)[1:])}")
        self.local = protocol == "file"
        options: dict[str, Any] = {"auto_mkdir": True} if self.local else {"use_listings_cache": False}
        try:
            self.fs, self.root = url_to_fs(url, **options)
        except (ImportError, ValueError) as error:
            mend = f"pip install {PROTOCOLS[protocol]}" if isinstance(error, ImportError) else "choose another --out"
            raise InputError(f"--out {url}: {_line(error)}: {mend}") from None
        self.root = str(self.root).rstrip("/")
        if not self.root:
            raise InputError(f"--out {url}: name a folder")

    def path(self, *names: str) -> str:
        return "/".join((self.root, *names))

    def shown(self, *names: str) -> str:
        """A place in it as a user knows it."""
        return "/".join((self.url.rstrip("/"), *names))

    # -- single files ---------------------------------------------------------------------------------------------

    def write(self, name: str, data: bytes) -> None:
        """A file, whole or not at all. Raises InputError where the store takes none."""
        with self._telling("cannot be written"):
            if self.local:
                path = Path(self.path(name))
                path.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(path, data)
            else:
                self.fs.pipe_file(self.path(name), data)

    def read(self, name: str, most: int = MOST_JSON) -> bytes | None:
        """A file's bytes; None where there is none. Raises InputError for one that is larger than `most`."""
        if self.local:
            path = Path(self.path(name))
            return read_bytes(path, most) if path.exists() else None
        with self._telling("cannot be read"):
            try:
                size = self.fs.info(self.path(name))["size"]
                if size > most:
                    raise InputError(
                        f"{self.shown(name)}: a file of {size / 1e6:,.1f} MB, where {most / 1e6:,.1f} are read"
                    )
                return self.fs.cat_file(self.path(name))
            except (FileNotFoundError, NotADirectoryError):
                return None

    def holds_anything(self) -> bool:
        """Whether anything lies there."""
        with self._telling("cannot be read"):
            try:
                return bool(self.fs.ls(self.root, detail=False))
            except FileNotFoundError:
                return False

    # -- things ---------------------------------------------------------------------------------------------------

    def manifest(self, ref: Ref) -> dict[str, Any] | None:
        """What says that a thing is there, and what of; None where it is not. One that cannot be read is none."""
        name = f"{MANIFESTS}/{ref.place}.json"
        data = self.read(name)
        if data is None:
            return None
        try:
            manifest = parse_json(data, ManifestFile, self.shown(name))
        except InputError:
            return None
        return manifest if manifest["kind"] == ref.kind and manifest["identity"] == ref.identity else None

    def has(self, ref: Ref) -> bool:
        """Whether a thing is there: its manifest, and files of the names and sizes that it says."""
        manifest = self.manifest(ref)
        return manifest is not None and self._holds(ref, manifest)

    def _holds(self, ref: Ref, manifest: Mapping[str, Any]) -> bool:
        with self._telling("cannot be read"):
            try:
                found = self.fs.find(self.path(ref.place), detail=True)
            except FileNotFoundError:
                return False
        top = PurePosixPath(self.path(ref.place))
        sizes = {PurePosixPath(name).relative_to(top).as_posix(): about["size"] for name, about in found.items()}
        return all(sizes.get(row["name"]) == row["bytes"] for row in manifest["files"])

    def check(self, ref: Ref) -> bool:
        """Whether a thing is there, by the SHA-256 of its files too. The manifest of one that is damaged is taken
        away."""
        manifest = self.manifest(ref)
        if manifest is None or not self._holds(ref, manifest):
            return False
        with self._telling("cannot be read"):
            if all(self._hash(ref, row["name"]) == row["sha256"] for row in manifest["files"]):
                return True
        self.forget(ref)
        return False

    def _hash(self, ref: Ref, name: str) -> str:
        with self.fs.open(self.path(ref.place, name), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def begin(self, ref: Ref) -> None:
        """Write down that a thing is begun, and where: how often that was is what retries are counted by."""
        about = {"host": socket.gethostname(), "process": os.getpid(), "time": time.time()}
        self.write(f"{ATTEMPTS}/{ref.place}/{secrets.token_hex(8)}.json", json_bytes(about))

    def put(self, ref: Ref, folder: Path, facts: Mapping[str, Any], names: list[str] | None = None) -> None:
        """Upload a thing's folder, all files below it or those named, and then its manifest.

        facts: what was found out about it, for whoever looks at it without fetching it.
        """
        if names is None:
            names = [path.relative_to(folder).as_posix() for path in files_below(folder)]
        rows = list(in_threads(lambda name: self._put(folder / name, ref, name), names))
        about = {"form": 1, "kind": ref.kind, "identity": ref.identity, "files": rows, "facts": dict(facts)}
        self.write(f"{MANIFESTS}/{ref.place}.json", json_bytes(about))

    def _put(self, source: Path, ref: Ref, name: str) -> dict[str, Any]:
        row = {"name": name, "bytes": source.stat().st_size, "sha256": sha256(source)}
        target = self.path(ref.place, name)
        with self._telling("cannot be written"):
            if self.local:
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                with whole_file(Path(target)) as beside, open_file(source) as file, beside.open("wb") as copy:
                    try:
                        shutil.copyfileobj(file, copy)
                        copy.flush()
                    except OSError as error:  # which disk it is
                        raise OSError(error.errno, error.strerror, self.shown(ref.place, name)) from error
            else:
                self.fs.put_file(str(source), target)
        return row

    def fetch(self, ref: Ref, folder: Path) -> None:
        """Bring a thing to `folder`, which is there at the end as a whole or not at all.

        Raises DamagedError where it is not what its manifest says, or has none; then its manifest is taken away.
        """
        if (manifest := self.manifest(ref)) is None:
            raise DamagedError(ref, "has no manifest")
        beside = folder.with_name(f"{folder.name}.fetch")
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        try:
            for _ in in_threads(lambda row: self._fetch(ref, beside, row), manifest["files"]):
                pass
        except DamagedError:
            self.forget(ref)
            raise
        finally:
            if not _complete(beside, manifest):
                shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)

    def _fetch(self, ref: Ref, folder: Path, row: Mapping[str, Any]) -> None:
        target = inside(folder, row["name"])
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._telling("cannot be read"):
            try:
                self._get(self.path(ref.place, row["name"]), target)
            except FileNotFoundError:
                raise DamagedError(ref, f"lacks {row['name']}") from None
        if sha256(target) != row["sha256"]:
            raise DamagedError(ref, f"{row['name']} is not what was written")

    def _get(self, source: str, target: Path) -> None:
        if not self.local:
            self.fs.get_file(source, str(target))
            return
        if not Path(source).exists():
            raise FileNotFoundError(source)
        with open_file(Path(source)) as file, target.open("wb") as copy:  # not a pipe, which would be waited for
            shutil.copyfileobj(file, copy)

    def forget(self, ref: Ref) -> None:
        """Take a thing's manifest away: it is to be made again."""
        with self._telling("cannot be written"), contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(self.path(MANIFESTS, f"{ref.place}.json"))

    def is_here(self, ref: Ref, folder: Path) -> bool:
        """Whether a folder on this machine's own disk has the files of a thing, by names and sizes."""
        manifest = self.manifest(ref)
        return manifest is not None and _complete(folder, manifest)

    def remove(self, ref: Ref) -> None:
        """Take a thing away that is of no more use; its manifest first."""
        self.forget(ref)
        with self._telling("cannot be written"), contextlib.suppress(FileNotFoundError):
            self.fs.rm(self.path(ref.place), recursive=True)

    @contextlib.contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        """What a store cannot do as one line: InputError; MachineError where a local disk is full or fails."""
        try:
            yield
        except (InputError, MachineError, DamagedError):
            raise
        except Exception as error:  # of boto, of Google's client, of the system: each has its own
            if fault := machine_fault(error):
                raise fault from None
            raise InputError(f"--out {self.url}: {what}: {_line(error)}") from None


def _complete(folder: Path, manifest: Mapping[str, Any]) -> bool:
    """Whether a folder has all files of a manifest, of their sizes."""
    for row in manifest["files"]:
        path = folder / row["name"]
        if not path.is_file() or path.stat().st_size != row["bytes"]:
            return False
    return True


def _line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__)[:200]
