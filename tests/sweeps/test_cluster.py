from __future__ import annotations

import http.server
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.sweeps.tiny_sweeps import environment

# Two tasks that each wait until the other is there, too: they end only where both run at once.
MEETING = """
import json, sys, time
from pathlib import Path
from e2gan.config import SweepConfig, TrainingConfig
from e2gan.sweeps.cluster import cluster

def meet(text):
    place, own = Path(json.loads(text)["place"]), json.loads(text)["own"]
    (place / own).touch()
    end = time.monotonic() + json.loads(text)["seconds"]
    while time.monotonic() < end and len(list(place.iterdir())) < 2:
        time.sleep(0.02)
    met = len(list(place.iterdir())) == 2
    if not met:
        (place / own).unlink()
    return json.dumps(met)

def met(machines, place, seconds, gpu):
    Path(place).mkdir()
    orders = [json.dumps({"place": place, "own": own, "seconds": seconds}) for own in "ab"]
    tasks = [machines.start(meet, order, gpu=gpu, name="meet") for order in orders]
    return [json.loads(machines.answer(task)[0]) for task in tasks]
"""
DECLARED = (
    MEETING
    + """
import ray, os
from ray.cluster_utils import Cluster
shared = {"object_store_memory": 80 * 2**20, "num_cpus": 3}
made = Cluster(initialize_head=True, head_node_args={**shared, "num_gpus": 1, "include_dashboard": False})
found = {}
for share in (0.5, 1.0):
    config = SweepConfig(concepts="filters", photos="p", out="o", gpus=share, address=made.address,
                         training=TrainingConfig(device="cpu"))
    with cluster(config) as machines:
        found[f"{share}"] = met(machines, f"{sys.argv[1]}/{share}", 60 if share < 1 else 4, gpu=True)
        found[f"{share} at once"] = machines.can_run(gpu=True), machines.can_run(gpu=False)
        found[f"{share} without"] = met(machines, f"{sys.argv[1]}/{share}-cpu", 60, gpu=False)
try:
    with cluster(SweepConfig(concepts="filters", photos="p", out="o", gpus=2, address=made.address)):
        pass
except ValueError as error:
    found["refused"] = str(error)
made.shutdown()
print(json.dumps(found))
"""
)
# What this process and those of Ray listen at, and what handles signals.
ALONE = """
import json, os, signal, sys
from pathlib import Path
from e2gan.config import SweepConfig
from e2gan.sweeps.cluster import cluster

before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
with cluster(SweepConfig(concepts="filters", photos="p", out="o", tasks=1)) as machines:
    tell = lambda text: json.dumps([text, os.environ.get("RAY_USAGE_STATS_ENABLED")])
    task = machines.start(tell, "a", gpu=False, name="a")
    answer = json.loads(machines.answer(task)[0])
    inodes = {}
    for fd in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            link = os.readlink(fd)
        except OSError:
            continue
        if link.startswith("socket:["):
            inodes[link[8:-1]] = fd.parts[2]
    group = lambda pid: b"ray" in Path(f"/proc/{pid}/cmdline").read_bytes() or int(pid) == os.getpid()
    listening = []
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes and group(inodes[words[9]]):
                listening.append(words[1].partition(":")[0])
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
print(json.dumps({"answer": answer, "listening": listening, "handlers": handlers}))
"""
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def run(script: str, place: Path) -> dict[str, object]:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'e2gan[sweep]'")
    (place / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py", str(place)],
        cwd=place,
        env=environment() | {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_half_a_gpu_each_is_two_at_once_and_a_whole_one_is_not(tmp_path: Path) -> None:
    """On a GPU that is declared, which is all that Ray's placement goes by."""
    found = run(DECLARED, tmp_path)
    assert found["0.5"] == [True, True]
    assert found["0.5 at once"] == [2, 3]
    assert found["1.0"] == [False, False]
    assert found["1.0 at once"] == [1, 3]
    assert found["0.5 without"] == found["1.0 without"] == [True, True]
    assert "no machine has more than 1 GPUs" in str(found["refused"])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="who listens is read from Linux's /proc")
def test_on_this_machine_alone_nothing_listens_where_others_reach_it(tmp_path: Path) -> None:
    found = run(ALONE, tmp_path)
    assert found["answer"] == ["a", "0"]
    assert found["listening"]
    assert set(found["listening"]) <= LOOPBACK  # type: ignore[call-overload]
    assert found["handlers"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "address", ["127.0.0.1:{free}", "127.0.0.1:{other}", "ray://127.0.0.1:{free}", "nonsense", "127.0.0.1:999999"]
)
def test_an_address_without_a_cluster_is_refused(address: str, tmp_path: Path) -> None:
    """Nobody there, or another program, or no address at all."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'e2gan[sweep]'")
    with socket.socket() as free, http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as web:
        free.bind(("127.0.0.1", 0))
        threading.Thread(target=web.serve_forever, daemon=True).start()
        check_refused(address.format(free=free.getsockname()[1], other=web.server_port), tmp_path)
        web.shutdown()


def check_refused(address: str, tmp_path: Path) -> None:
    script = (
        "from e2gan.config import SweepConfig\nfrom e2gan.sweeps.cluster import cluster\nimport json\n"
        f"config = SweepConfig(concepts='filters', photos='p', out='o', address='{address}')\n"
        "try:\n    with cluster(config):\n        pass\nexcept ValueError as error:\n"
        "    print(json.dumps({'e': str(error)}))\n"
    )
    told = str(run(script, tmp_path)["e"])
    assert told.startswith(f"--address {address}: ")
    assert "\n" not in told
