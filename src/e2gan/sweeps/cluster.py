"""Ray: the one place that knows of it. It carries texts of JSON to functions of `tasks.py`, and back."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from e2gan.config import SweepConfig
from e2gan.core.errors import InputError
from e2gan.core.progress import cores
from e2gan.sweeps.store import EXTRA

STORE_BYTES = 80 * 2**20  # of Ray's shared memory, which only texts go through: about the least that it takes
LOOPBACK = "127.0.0.1"
PATIENCE = 6.0  # seconds in which a cluster takes a connection; ten times that to say that it is one
LONGEST_TEMPORARY = 32  # bytes of its path: what Ray puts below it has 75
# Ray's own switches, which it reads as it is imported: no reports of how it is used; and without an address nothing of
# it is reached from another machine (it is what keeps Ray from a network on Windows and macOS, and holds here too).
QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class Cluster:
    """Tasks on the machines that there are."""

    def __init__(self, config: SweepConfig, ray: Any) -> None:
        self.config, self._ray = config, ray

    @property
    def cpus(self) -> float:
        """CPU cores of all machines together."""
        return self._ray.cluster_resources().get("CPU", 0.0)

    @property
    def gpus(self) -> float:
        """GPUs of all machines together."""
        return self._ray.cluster_resources().get("GPU", 0.0)

    def check(self) -> None:
        """Raises InputError where no machine could ever run a task."""
        config, alive = self.config, [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        most = max((resources.get("CPU", 0.0) for resources in alive), default=0.0)
        if config.threads > most:
            raise InputError(f"--threads {config.threads}: no machine has more than {most:g} CPU cores for tasks")
        with_gpu = max((resources.get("GPU", 0.0) for resources in alive), default=0.0)
        if config.gpus > with_gpu:
            raise InputError(f"--gpus {config.gpus:g}: no machine has more than {with_gpu:g} GPUs for tasks")

    def can_run(self, *, gpu: bool) -> int:
        """How many tasks of a kind run at once."""
        slots = self.cpus / self.config.threads
        if gpu and self.config.gpus:
            slots = min(slots, self.gpus / self.config.gpus)
        return max(1, int(slots))

    def start(self, function: Callable[[str], str], text: str, *, gpu: bool, name: str) -> Any:
        """Hand a task to the cluster. Returns what `wait` and `answer` know it by."""
        options: dict[str, Any] = {"num_cpus": self.config.threads, "max_retries": self.config.task_retries}
        if gpu and self.config.gpus:
            options["num_gpus"] = self.config.gpus
        return self._ray.remote(**options)(function).options(name=name).remote(text)

    def wait(self, tasks: list[Any], seconds: float) -> list[Any]:
        """Those of the tasks that have ended, or died for good, after so many seconds at most."""
        return self._ray.wait(tasks, num_returns=1, timeout=seconds)[0]

    def answer(self, task: Any) -> tuple[str | None, str]:
        """What a task answered, or None, and why there is no answer."""
        try:
            return self._ray.get(task), ""
        except self._ray.exceptions.RayError as error:
            text = " ".join(str(error).split())
            kind = type(error).__name__
            many = self.config.task_retries + 1
            if isinstance(error, (self._ray.exceptions.WorkerCrashedError, self._ray.exceptions.NodeDiedError)):
                return None, f"its process or machine died, {many} times at least ({kind})"
            return None, f"{kind}: {text[:300]}"

    def on_each_machine(self, function: Callable[[str], str], text: str) -> None:
        """Run a function once on each machine; what becomes of it there is its own."""
        strategies = import_module("ray.util.scheduling_strategies")
        tasks = [
            self._ray.remote(num_cpus=0, max_retries=0)(function)
            .options(scheduling_strategy=strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
            .remote(text)
            for node in self._ray.nodes()
            if node["Alive"]
        ]
        self._ray.wait(tasks, num_returns=len(tasks), timeout=60)


def need_ray() -> None:
    """Raises InputError where Ray is not installed. It is not imported, which takes seconds."""
    if find_spec("ray") is None:
        raise InputError(f"a sweep needs Ray, which is not installed: {EXTRA}")


@contextmanager
def cluster(config: SweepConfig) -> Iterator[Cluster]:
    """Ray on this machine alone, on addresses that no other machine reaches; or the cluster of --address.

    Raises InputError where there is no Ray, no cluster at the address, or none that could run a task.
    """
    need_ray()
    # A cluster that is at loopback is looked for from there, else Ray takes this machine for another one.
    alone = config.address is None or config.address.rpartition(":")[0] in (LOOPBACK, "localhost")
    switches = QUIET | (ALONE if alone else {})
    if "ray" in sys.modules and any(os.environ.get(name) != value for name, value in switches.items()):
        raise InputError("Ray is imported already, with settings of its own: sweep in a process where it is not")
    os.environ.update(switches)
    ray = import_module("ray")
    if ray.is_initialized():
        raise InputError("Ray is at work in this process already: ray.shutdown() first, and name its --address")
    handlers = _handlers()
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if config.address is None:
            count = config.tasks * config.threads if config.tasks else cores()
            options |= {"num_cpus": count, "include_dashboard": False, "object_store_memory": STORE_BYTES}
            ray.init(address="local", **options | _short_temporary())
            _check_alone(ray.nodes())
        else:
            _join(ray, config.address, options)
        _restore(handlers)  # Ray has put its own in their place
        joined = Cluster(config, ray)
        joined.check()
        yield joined
    finally:
        ray.shutdown()
        _restore(handlers)


def _handlers() -> dict[int, Any]:
    """What this process does at signals; nothing outside of the main thread, where it cannot be changed."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    numbers = [number for name in SIGNALS if (number := getattr(signal, name, None)) is not None]
    return {number: handler for number in numbers if (handler := signal.getsignal(number)) is not None}


def _restore(handlers: Mapping[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _short_temporary() -> dict[str, str]:
    """Ray's sockets lie in the folder for temporary files, and their paths have 107 bytes at most."""
    place = Path(tempfile.gettempdir())
    short = len(os.fsencode(place)) <= LONGEST_TEMPORARY or not Path("/tmp").is_dir()
    return {} if short else {"_temp_dir": f"/tmp/ray-{os.getuid()}"}


def _join(ray: Any, address: str, options: Mapping[str, Any]) -> None:
    host, colon, port = address.rpartition(":")
    if address != "auto" and not (host and colon and port.isdecimal() and "/" not in address):
        raise InputError(f"--address {address}: HOST:PORT of a cluster's head, or auto")
    if address != "auto":
        _check_answers(address, host, int(port))
    try:
        ray.init(address=address, **options)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, OSError) as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(f"--address {address}: no Ray cluster answers there ({why})") from None


def _check_answers(address: str, host: str, port: int) -> None:
    """Raises InputError where no cluster's head answers, which Ray itself would wait for without end."""
    try:
        socket.create_connection((host.strip("[]"), port), PATIENCE).close()
        asks = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
        asked = subprocess.run(asks, capture_output=True, timeout=10 * PATIENCE)
        why = "" if asked.returncode == 0 else "what is there is no Ray"
    except (OSError, OverflowError, subprocess.TimeoutExpired) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it does not answer"
    if why:
        raise InputError(f"--address {address}: no Ray cluster answers there ({why})")


def _check_alone(nodes: list[Mapping[str, Any]]) -> None:
    """Raises InputError where this machine's Ray is at another address than loopback."""
    if others := [node["NodeManagerAddress"] for node in nodes if node["NodeManagerAddress"] != LOOPBACK]:
        raise InputError(f"Ray is at {others[0]}, where others reach it, not at {LOOPBACK}: nothing was begun")
