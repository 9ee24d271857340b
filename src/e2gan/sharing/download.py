"""Models by name: a folder, one that ships, or a hub's repository, of which what is needed is downloaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar

from e2gan.config.checks import is_repository
from e2gan.config.schemas import MODEL_SETTINGS, AdapterFacts, PeftFile
from e2gan.config.settings import fitted
from e2gan.core.errors import InputError
from e2gan.core.files import CONFIG, MOST_JSON, read_json, sha256
from e2gan.core.machine import raise_machine_fault
from e2gan.core.memory import is_no_memory
from e2gan.core.names import expanded_home
from e2gan.core.outputs import read_settings
from e2gan.core.schemas import StageConfig
from e2gan.core.tensors import MOST_WEIGHTS
from e2gan.features.hub import brief, causes, unreachable
from e2gan.networks.folders import (
    ABOUT,
    ADAPTER,
    ADAPTER_CONFIG,
    CONCEPT,
    MODEL,
    base_folder,
    shipped_adapters,
    shipped_base_of,
    shipped_bases,
)
from e2gan.sharing.licence import CARD

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

Kind = Literal["adapter", "base", "model"]
Result = TypeVar("Result")

BASE = "base"  # the folder of an adapter's repository that has its base
ADAPTER_FILES = (ABOUT, ADAPTER_CONFIG, ADAPTER, CONCEPT)
MODEL_FILES = (CONFIG, MODEL)
PATIENCE = 10.0  # seconds to wait for a hub's first answer


class Found(TypedDict):
    """What `Model.load` is to load."""

    base: Path | None
    adapter: tuple[Path, ...]
    model: Path | None


def find_model(name: str | Path, *, revision: str | None = None, base: str | Path | None = None) -> Found:
    """Where a model lies on this disk, by its folder, the name of one that ships, or its repository on a hub.

    An adapter's base is `base`, named alike; else the one that ships and has the SHA-256 that the adapter tells; else
    the folder `base` inside the adapter's; else the repository that its `adapter_config.json` names as PEFT does, in
    `base_model_name_or_path` and `revision`. Raises InputError where there is none, and for what `revision` and `base`
    do not go with.
    """
    folder = model_folder(name, revision)
    kind = kind_of(folder)
    if kind != "adapter":
        if base is not None:
            raise InputError(f"{name} is a {kind}, which has no base of its own: leave base out")
        return {"base": folder if kind == "base" else None, "adapter": (), "model": folder if kind == "model" else None}
    return {"base": base_of(folder, base), "adapter": (folder,), "model": None}


def model_folder(name: str | Path, revision: str | None = None) -> Path:
    """The folder that a name means, downloaded where it is a hub's. Raises InputError where it means none."""
    path = expanded_home(fitted(name, Path, "the model's name"))
    text = name if isinstance(name, str) else str(path)  # as it was typed: ./a/b is no repository
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise InputError(f"{text!r}: is no name that a disk or a hub holds") from None
    revision = fitted(revision, str | None, "revision")
    local = path if text and path.is_dir() else ({**shipped_bases(), **shipped_adapters()}).get(text)
    if local is None and is_repository(text) and not path.is_file():
        return download(text, revision)
    if local is None:
        shipped = ", ".join((*shipped_bases(), *shipped_adapters()))
        what = "is a file, not a model's folder" if path.is_file() else "there is no such folder"
        raise InputError(
            f"{text or 'an empty name'}: {what}; there ship {shipped}; and a repository of a hub is OWNER/NAME"
        )
    if revision is not None:
        raise InputError(f"{name} is a folder here, which has no revision {revision}: leave it out")
    return local


def kind_of(folder: Path) -> Kind:
    """What a folder holds. Raises InputError where it is no model of this program."""
    if (folder / ABOUT).is_file() or (folder / ADAPTER).is_file():
        return "adapter"
    if not (folder / CONFIG).is_file():
        raise InputError(f"{folder} is no e2gan model: it has neither {ABOUT} nor {CONFIG}")
    read_settings(folder, MODEL_SETTINGS, "trained model")
    return "base" if read_json(folder / CONFIG, StageConfig)["stage"] == "base" else "model"


def base_of(adapter: Path, base: str | Path | None = None) -> Path:
    """The base of an adapter's folder, as `find_model` looks for it. Raises InputError where there is none."""
    if base is not None:
        return base_folder(model_folder(base))
    if (shipped := shipped_base_of(adapter)) is not None:
        return shipped
    if (adapter / BASE / MODEL).is_file():
        return adapter / BASE
    config: dict[str, Any] = read_json(adapter / ADAPTER_CONFIG, PeftFile)
    named, revision = config.get("base_model_name_or_path"), config.get("revision")
    if isinstance(named, str) and is_repository(named):
        return base_folder(download(named, revision if isinstance(revision, str) else None))
    wanted = str(read_json(adapter / ABOUT, AdapterFacts).get("base_sha256"))[:12]
    raise InputError(f"{adapter}: its base ({wanted}…) neither ships nor lies in it: name its folder or repository")


def download(repository: str, revision: str | None = None, *, card: bool = False) -> Path:
    """A folder of the hub's cache with what a repository's model needs: safetensors and JSON, of names that are known.

    card: with the README.md of a base or a model too, where there is one. Where the hub is out of reach, what is in the
    cache is taken. Raises InputError for a repository that is missing, closed, no model of this program, larger than
    one can be, or neither in reach nor in the cache.
    """
    files = _Repository(repository, revision)
    if files.has(ABOUT):
        folder = files.fetch(ABOUT, ADAPTER_CONFIG)
        about = read_json(folder / ABOUT, AdapterFacts)
        ships = about.get("base_sha256") in {sha256(base / MODEL) for base in shipped_bases().values()}
        inner = [f"{BASE}/{name}" for name in MODEL_FILES] if files.has(f"{BASE}/{MODEL}") and not ships else []
        return files.fetch(*ADAPTER_FILES, *inner)
    if not (files.has(CONFIG) and files.has(MODEL)):
        raise InputError(
            f"{repository} holds no e2gan model: it has neither {ABOUT} nor {MODEL} with {CONFIG}"
            + ("" if files.sizes is not None else ", as far as it is in the cache (the hub is out of reach)")
        )
    kind_of(files.fetch(CONFIG))  # before its weights are asked for
    return files.fetch(*MODEL_FILES, *([CARD] if card and files.has(CARD) else []))


class _Repository:
    """A repository's files. sizes: bytes by name; None where the hub is out of reach, and the cache stands for it."""

    def __init__(self, name: str, revision: str | None) -> None:
        self.name, self.revision = name, revision
        self.sizes: dict[str, int] | None = self._asked(self._listed)
        if self.sizes is None and not any(map(self._kept, (ABOUT, CONFIG))):
            raise InputError(f"cannot load {name}: no network to its hub, and it is not in the cache: connect once")

    def _listed(self) -> dict[str, int]:
        from huggingface_hub import HfApi

        api = HfApi(library_name="e2gan")
        info = api.model_info(self.name, revision=self.revision, files_metadata=True, timeout=PATIENCE)
        return {file.rfilename: file.size or 0 for file in info.siblings or []}

    def has(self, file: str) -> bool:
        return self._kept(file) is not None if self.sizes is None else file in self.sizes

    def _kept(self, file: str) -> Path | None:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(self.name, file, revision=self.revision)
        return Path(found) if isinstance(found, str) else None

    def fetch(self, *files: str) -> Path:
        """The folder with these files, downloaded where they are not in the cache. Raises InputError as `download`."""
        for file in files:
            if not self.has(file):
                raise InputError(f"{self.name} is not whole: it has no {file}" + " in the cache" * (self.sizes is None))
            most = MOST_WEIGHTS if file.endswith(".safetensors") else MOST_JSON
            if self.sizes is not None and self.sizes[file] > most:
                raise InputError(f"{self.name}: {file} has {self.sizes[file]:,} bytes, and up to {most:,} are loaded")
        folder = None if self.sizes is None else self._asked(lambda: self._downloaded(files))
        if folder is None:
            first = self._kept(files[0])
            folder = None if first is None else first.parents[files[0].count("/")]
        missing = next((file for file in files if folder is None or not (folder / file).is_file()), None)
        if folder is None or missing is not None:
            raise InputError(f"{self.name}: the hub has ceased to answer, and the cache lacks {missing}: try again")
        return folder

    def _downloaded(self, files: tuple[str, ...]) -> Path:
        from huggingface_hub import snapshot_download

        found = snapshot_download(
            self.name, revision=self.revision, allow_patterns=[*files], library_name="e2gan", etag_timeout=PATIENCE
        )
        return Path(found)

    def _asked(self, ask: Callable[[], Result]) -> Result | None:
        """What the hub answers; None where it does not."""
        try:
            return asked(self.name, self.revision, ask)
        except OutOfReachError:
            return None


class OutOfReachError(InputError):
    """The hub has not answered, or is out of order."""


def asked(repository: str, revision: str | None, ask: Callable[[], Result]) -> Result:
    """What a hub answers. Raises OutOfReachError where it does not, InputError where it refuses, and what is the
    machine's own fault."""
    try:
        return ask()
    except Exception as error:  # of the library's, or of those that it sends requests by
        if is_no_memory(error):
            raise
        raise_machine_fault(error)
        if _out_of_reach(error):
            raise OutOfReachError(f"cannot reach the hub of {repository}: try again later") from error
        raise _refusal(repository, revision, error) from error


def _out_of_reach(error: Exception) -> bool:
    """Whether the hub has not answered, or has answered that it is out of order."""
    answer = _answer(error)
    return unreachable(error) if answer is None else answer.response.status_code >= 500


def _answer(error: Exception) -> HfHubHTTPError | None:
    """What the hub has answered, where that is what the error comes of."""
    from huggingface_hub.errors import HfHubHTTPError

    return next((cause for cause in causes(error) if isinstance(cause, HfHubHTTPError)), None)


def _refusal(repository: str, revision: str | None, error: Exception) -> InputError:
    """What the hub said against a request, in one line."""
    from huggingface_hub import constants, errors

    hub, answer, log_in = constants.ENDPOINT, _answer(error), "log in with: hf auth login"
    if isinstance(answer, errors.GatedRepoError):
        return InputError(f"{repository} is gated: ask for access on {hub}/{repository}, and {log_in}")
    if isinstance(answer, errors.RepositoryNotFoundError):
        return InputError(f"{repository}: {hub} has no such repository, or a private one: {log_in}")
    if isinstance(answer, errors.RevisionNotFoundError):
        return InputError(f"{repository} has no revision {revision}: see {hub}/{repository}")
    if answer is not None and answer.response.status_code in (401, 403):
        return InputError(f"{repository}: {hub} does not allow it: {log_in}, with a token that may write there")
    reason = brief([*causes(error)][-1] if answer is None else answer)
    return InputError(f"{repository}: {hub} does not give it ({reason})")
