"""The command `push`: a finished adapter, base or model as a hub's repository, with its model card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from e2gan.config import PushConfig
from e2gan.config.checks import is_repository
from e2gan.core.errors import InputError
from e2gan.networks.folders import DISCRIMINATOR, SHEET, base_folder, shipped_base_of
from e2gan.networks.models import Model, load_discriminator, load_network
from e2gan.sharing.contents import Contents, adapter_contents, check_whole, inner_base, model_contents
from e2gan.sharing.download import OutOfReachError, asked, base_of, download, kind_of, model_folder
from e2gan.sharing.licence import CARD
from e2gan.sharing.model_card import BASE_CARD, Shown, adapter_card, model_card

Result = TypeVar("Result")


@dataclass(frozen=True)
class Pushed:
    """What `push_to_hub` has uploaded. url: the repository's page. commit: its SHA. files: their names there, and
    `bytes`, their sizes in all."""

    repository: str
    url: str
    commit: str
    files: list[str]
    bytes: int

    def __str__(self) -> str:
        files = ", ".join(self.files)
        return f"{self.url}: commit {self.commit[:12]}, {self.bytes / 1e6:.1f} MB in {len(self.files)} files ({files})"


def push_to_hub(config: PushConfig) -> Pushed:
    """Upload a finished adapter, base or model, with a model card, in one commit; Predictor.from_pretrained loads it.

    Weights go as they are, settings without paths; photos, sheets and logs stay here (`contents.py`). The hub is that
    of `HF_ENDPOINT`, the user who has logged in there. Run again, it uploads what is new. Raises InputError for bad
    settings, a folder that is not whole or does not load, and for what the hub refuses.
    """
    PushConfig.checked(config)
    if not config.folder.is_dir() and is_repository(str(config.folder)):
        raise InputError(f"{config.folder} is no folder here")
    folder = model_folder(config.folder)
    kind = kind_of(folder)
    check_whole(folder)
    files = _adapter(config, folder) if kind == "adapter" else _model(config, folder)
    if config.sheet:
        if not (folder / SHEET).is_file():
            raise InputError(f"{folder} has no {SHEET}: make one with e2gan evaluate, or leave --sheet out")
        files[SHEET] = folder / SHEET
    url, commit = _upload(config, files)
    size = sum(len(file) if isinstance(file, bytes) else file.stat().st_size for file in files.values())
    return Pushed(config.repo, url, commit, sorted(files), size)


def _adapter(config: PushConfig, adapter: Path) -> Contents:
    named = config.base if config.base and is_repository(config.base) and not Path(config.base).is_dir() else None
    base = base_of(adapter, config.base) if named is None else base_folder(download(named, card=True))
    Model.load(base=base, adapter=adapter)
    inside = named is None and shipped_base_of(adapter) is None
    if inside:
        check_whole(base)
    # The cache of a hub has a folder for each commit, of its name.
    files = adapter_contents(adapter, None if named is None else (named, base.resolve().name))
    files |= inner_base(base) if inside else {}
    files |= {BASE_CARD: base / CARD} if (base / CARD).is_file() else {}
    shown = Shown(repository=config.repo, base=base, base_repository=named, inside=inside, sheet=config.sheet)
    return files | {CARD: adapter_card(adapter, shown).encode()}


def _model(config: PushConfig, folder: Path) -> Contents:
    if config.base is not None:
        raise InputError(f"--base {config.base}: {folder} is no adapter, and has no base of its own")
    load_network(folder)
    files = model_contents(folder)
    if DISCRIMINATOR in files and kind_of(folder) == "base":
        load_discriminator(folder)
    return files | {CARD: model_card(folder, Shown(repository=config.repo, sheet=config.sheet)).encode()}


def _upload(config: PushConfig, files: Contents) -> tuple[str, str]:
    """The repository's page, and the commit."""
    from huggingface_hub import CommitOperationAdd, HfApi

    api, repo, branch = HfApi(library_name="e2gan"), config.repo, config.revision
    url = _asked(config, lambda: api.create_repo(repo, private=True if config.private else None, exist_ok=True))
    if config.private and not _asked(config, lambda: api.model_info(repo)).private:
        raise InputError(f"--private: {repo} is there, and public: make it private on {url}, or choose another name")
    if branch is not None:
        _asked(config, lambda: api.create_branch(repo, branch=branch, exist_ok=True))
    added = [CommitOperationAdd(name, file) for name, file in files.items()]
    message = config.message or f"Upload {config.folder.resolve().name} with e2gan"
    commit = _asked(config, lambda: api.create_commit(repo, added, commit_message=message, revision=branch))
    return str(url), commit.oid


def _asked(config: PushConfig, ask: Callable[[], Result]) -> Result:
    try:
        return asked(config.repo, config.revision, ask)
    except OutOfReachError as error:
        raise InputError(f"cannot reach the hub of {config.repo}: nothing is uploaded; try again later") from error
