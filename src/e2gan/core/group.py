"""Several processes of one training, as torchrun begins them: who is who, what they tell each other, and how they end.

What is sent is JSON and tensors' own bytes: nothing that another process sends is unpickled. A process alone is a
group of one, which sends nothing and does not even import torch.distributed.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from e2gan.core.errors import InputError, LostProcessError, ToldError
from e2gan.core.memory import is_no_memory
from e2gan.core.stopping import Stopped

if TYPE_CHECKING:
    import torch
    from torch import Tensor

VARIABLES = ("WORLD_SIZE", "RANK", "LOCAL_RANK")  # torchrun's
PATIENCE = timedelta(minutes=10)  # for a process that says nothing: a machine that lost its power does not say so
GONE = "another process of this training is gone"
AGAIN = "run the same command again, it goes on from the last checkpoint"
LAST_WORDS = 3.0  # seconds
ENDED = "ended"  # counts the processes that an error has ended: the first one tells it
WORD, NAMED = "e2gan/word", "e2gan/named"  # what processes say before they know each other

Result = TypeVar("Result")


@dataclass(frozen=True)
class Group:
    """This process among those of a training. number: 0 to size - 1; local: its number on its machine; beside: how
    many of them are on that machine, itself among them."""

    number: int = 0
    size: int = 1
    local: int = 0
    beside: int = 1

    @property
    def first(self) -> bool:
        """Whether it is the one that writes, shows progress and decides by a clock."""
        return self.number == 0

    def part(self, batch: int) -> slice:
        """Its rows of a batch. Raises InputError where they cannot be shared evenly: gradients are plain means."""
        if self.size == 1:
            return slice(None)
        if batch % self.size:
            raise InputError(f"--batch {batch}: must be a multiple of the {self.size} processes")
        each = batch // self.size
        return slice(self.number * each, (self.number + 1) * each)

    def device(self, name: str | torch.device) -> torch.device:
        """As `resolve_device`; of several processes, each has the GPU of its number on its machine.

        Raises InputError where a device is named by its number, or there is none of this process's number.
        """
        from e2gan.core.device import resolve_device

        if self.size == 1:
            return resolve_device(name)
        import torch

        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cpu":
            return resolve_device(name)
        if name != "cuda":
            raise InputError(f"--device {name}: of several processes, each takes its own GPU: auto, cuda or cpu")
        if self.local >= (count := torch.cuda.device_count()):
            mend = f"torchrun --nproc-per-node {count}" if count else "--device cpu"
            raise InputError(f"process {self.local} of this machine has no GPU of its own, there are {count} ({mend})")
        torch.cuda.set_device(self.local)
        return resolve_device(f"cuda:{self.local}")

    def mean_(self, tensors: Sequence[Tensor]) -> None:
        """Put the mean over all processes in the place of each tensor: one message for those of a type and device.

        All processes give the same shapes in the same order, and get the same bits.
        """
        if self.size == 1:
            return
        import torch
        import torch.distributed as dist

        kinds: dict[Any, list[Tensor]] = {}
        for tensor in tensors:
            kinds.setdefault((tensor.dtype, tensor.device), []).append(tensor)
        for same in kinds.values():
            flat = torch.cat([tensor.detach().reshape(-1) for tensor in same])
            _with_all(lambda flat=flat: dist.all_reduce(flat))
            flat /= self.size
            for tensor, mean in zip(same, flat.split([tensor.numel() for tensor in same]), strict=True):
                tensor.detach().copy_(mean.view(tensor.shape))

    def same(self, value: Any) -> Any:
        """The first process's value, of what JSON can hold; that of the others does not count."""
        if self.size == 1:
            return value
        import torch
        import torch.distributed as dist

        text = json.dumps(value).encode() if self.first else b""
        length = torch.tensor([len(text)])
        _with_all(lambda: dist.broadcast(length, 0))
        content = torch.empty(int(length), dtype=torch.uint8)
        if self.first:
            content.copy_(torch.frombuffer(bytearray(text), dtype=torch.uint8))
        _with_all(lambda: dist.broadcast(content, 0))
        return json.loads(content.numpy().tobytes())

    def same_tensors(self, tensors: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
        """The first process's tensors by name; the others', which do not count, get them on `device`."""
        if self.size == 1:
            return dict(tensors)
        import torch
        import torch.distributed as dist

        shapes: dict[str, dict[str, list[int]]] = {}  # type → name → shape
        for name, tensor in tensors.items():
            shapes.setdefault(str(tensor.dtype).removeprefix("torch."), {})[name] = list(tensor.shape)
        found: dict[str, Tensor] = {}
        for kind, named in self.same(shapes).items():
            lengths = [torch.Size(shape).numel() for shape in named.values()]
            flat = torch.empty(sum(lengths), dtype=getattr(torch, kind), device=device)
            if self.first:
                torch.cat([tensors[name].detach().to(device).reshape(-1) for name in named], out=flat)
            _with_all(lambda flat=flat: dist.broadcast(flat, 0))
            parts = zip(named.items(), flat.split(lengths), strict=True)
            found |= {name: part.view(shape) for (name, shape), part in parts}
        return found

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            import torch
            import torch.distributed as dist

            # Not `barrier`, which would take NCCL where there is a GPU.
            _with_all(lambda: dist.all_reduce(torch.zeros(1)))


ALONE = Group()
_joined: Group | None = None
_last_word: str | None = None


def _with_all(work: Callable[[], Result]) -> Result:
    """What all processes do together. Raises LostProcessError where one of them is not there any more."""
    try:
        return work()
    except RuntimeError as error:
        if is_no_memory(error):
            raise
        why = re.sub(r"^\[\S*\] ", "", str(error).partition("\n")[0]).partition(". ")[0].rstrip(".")
        raise LostProcessError(f"{GONE} ({why[:200]}): {AGAIN}") from error


def group_of(environment: Mapping[str, str]) -> Group:
    """The group that torchrun's variables tell of; one process where they are not all there. Raises InputError where
    they are no numbers that fit."""
    values = {name: environment.get(name, "") for name in VARIABLES}
    if not all(values.values()):
        return ALONE
    told = ", ".join(f"{name}={value}" for name, value in values.items())
    if not all(value.isascii() and value.isdigit() and len(value) < 7 for value in values.values()):
        raise InputError(f"{told}: torchrun sets these to whole numbers; unset them, or begin with torchrun")
    size, number, local = map(int, values.values())
    if not (0 <= local <= number < size):
        raise InputError(f"{told}: these do not fit; unset them, or begin with torchrun")
    beside = environment.get("LOCAL_WORLD_SIZE", "")
    known = beside.isascii() and beside.isdigit() and local < int(beside[:7]) <= size
    return Group(number, size, local, int(beside) if known else size) if size > 1 else ALONE


@contextmanager
def joined() -> Iterator[Group]:
    """Inside, this process is of the group that torchrun began; alone where it began none. It may be entered again.

    All processes but the first print nothing inside. What ends one ends all: the first that fails raises its error, and
    the others ToldError, which is not to be told again. Raises LostProcessError where the others cannot be reached.
    """
    global _joined, _last_word
    group = _joined or group_of(os.environ)
    if _joined is not None or group.size == 1:
        yield group
        return
    import torch.distributed as dist

    if not dist.is_available() or not dist.is_gloo_available():
        raise InputError("this PyTorch is built without torch.distributed and gloo: run one process, without torchrun")
    if dist.is_initialized():
        raise InputError("torch.distributed is at work already: leave its group first (destroy_process_group)")
    _last_word, store = None, None
    try:
        with ExitStack() as quiet:
            store = _meet(group)
            _connect(group, store)
            if not group.first:
                nowhere = quiet.enter_context(open(os.devnull, "w"))  # noqa: PTH123 (no file of ours)
                quiet.enter_context(redirect_stdout(nowhere))
                quiet.enter_context(redirect_stderr(nowhere))
            _joined = group
            group.wait()
            yield group
    except BaseException as error:
        if isinstance(error, SystemExit) and not error.code:  # --help
            raise
        _last_word = _word(error) if _is_first_to_tell(store) else ""
        if group.first and isinstance(error, InputError):
            _wait_for_tellers(store, group)
        if _last_word != "" or not isinstance(error, Exception):
            raise
        raise ToldError(2 if isinstance(error, InputError) else 1) from None
    finally:
        _joined = None
        with suppress(Exception):
            dist.destroy_process_group()


def last_word() -> str | None:
    """What is to be told of a stop that came as a group ended: "" where another process tells, None for no more than
    of any stop. torchrun stops all processes where one has ended, so that a stop may be but the consequence of that."""
    return _last_word


def _word(error: BaseException) -> str | None:
    if isinstance(error, LostProcessError):
        return str(error)
    if isinstance(error, Stopped) and error.number == signal.SIGTERM:
        return f"stopped, or {GONE}: {AGAIN}"
    return None


def _connect(group: Group, store: Any) -> None:
    import torch
    import torch.distributed as dist

    # Before there is a group: its functions keep the one of their import as a default, so that nothing ends it, and
    # its threads, still at work when Python ends, abort the process now and then.
    import torch.distributed.nn

    gpus = torch.cuda.is_available() and dist.is_nccl_available()
    # By gloo what is on the CPU, numbers and texts, so that no GPU waits for these.
    backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
    with _reaching(group):
        dist.init_process_group(backend, store=store, rank=group.number, world_size=group.size, timeout=PATIENCE)


def _meet(group: Group) -> Any:
    """The store that all processes reach, empty: torchrun keeps one, and where it begins them again (--max-restarts),
    those before have left their addresses in it, and that they failed.

    The first process gives this time a name. Each other one says a word of its own, and takes the name that comes with
    that word: it is no earlier first process's.
    """
    from torch.distributed import PrefixStore  # pyright: ignore[reportPrivateImportUsage]
    from torch.distributed.rendezvous import rendezvous

    mine, others = secrets.token_hex(8), range(1, group.size)
    with _reaching(group):
        store, _, _ = next(iter(rendezvous("env://", timeout=PATIENCE)))
        if not group.first:
            store.set(f"{WORD}/{group.number}", mine)
        deadline = time.monotonic() + PATIENCE.total_seconds()
        while time.monotonic() < deadline:
            if group.first:
                keys = {str(n): f"{WORD}/{n}" for n in others}
                words = {n: store.get(key).decode() for n, key in keys.items() if store.check([key])}
                store.set(NAMED, json.dumps([mine, words]))
                if store.check([f"{mine}/{n}" for n in others]):
                    return PrefixStore(mine, store)
            elif store.check([NAMED]):
                name, words = json.loads(store.get(NAMED))
                if words.get(str(group.number)) == mine:
                    store.set(f"{name}/{group.number}", "here")
                    return PrefixStore(name, store)
            time.sleep(0.02)
        raise RuntimeError(f"not all of {group.size} are there after {PATIENCE.total_seconds() / 60:.0f} minutes")


@contextmanager
def _reaching(group: Group) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError, OSError) as error:
        where = f"{os.environ.get('MASTER_ADDR', '')}:{os.environ.get('MASTER_PORT', '')}"
        why = " ".join(str(error).partition("\n")[0].split())[:200]
        raise LostProcessError(f"process {group.number} does not reach the others at {where} ({why})") from error


def _wait_for_tellers(store: Any, group: Group) -> None:
    """Where the store ends with this process, stay until all have asked who tells, for a mistake that all of them find
    at about the same time: the last would find no store, and tell it again."""
    if store is None or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        return
    deadline = time.monotonic() + LAST_WORDS
    with suppress(RuntimeError):
        while store.add(ENDED, 0) < group.size and time.monotonic() < deadline:
            time.sleep(0.02)


def _is_first_to_tell(store: Any) -> bool:
    """Whether no other process has failed before; also where the store, with its process, is gone."""
    with suppress(RuntimeError, AttributeError):
        return store.add(ENDED, 1) == 1
    return True
