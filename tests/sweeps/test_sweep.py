from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from e2gan.cli import main
from e2gan.sweeps.plan import make_plan
from e2gan.sweeps.store import Store
from tests.conftest import Project
from tests.sweeps.tiny_sweeps import TEACHER, attempts, came_to, config_of, environment, start, wait_for, without_ray

SMALL = "--steps 6 --batch 4 --precision fp32 --save-every 0 --scratch scratch"
# A cluster of two machines on loopback, the second of which goes when a file says so.
CLUSTER = """
import os, sys, time
from pathlib import Path
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
from ray.cluster_utils import Cluster
place = Path(sys.argv[1])
shared = {"object_store_memory": 80 * 2**20, "num_cpus": 1}
cluster = Cluster(initialize_head=True, head_node_args={**shared, "include_dashboard": False})
second = cluster.add_node(**shared)
cluster.wait_for_nodes()
(place / "address.tmp").write_text(cluster.address)
(place / "address.tmp").rename(place / "address")
while not (place / "end").exists():
    if (place / "lose").exists() and second is not None:
        cluster.remove_node(second, allow_graceful=False)
        second = None
        (place / "lost").touch()
    time.sleep(0.05)
cluster.shutdown()
"""


@contextmanager
def two_machines(root: Path) -> Iterator[str]:
    """The address of a cluster of two, as two processes of Ray on this machine are."""
    (root / "cluster.py").write_text(CLUSTER)
    process = subprocess.Popen([sys.executable, "cluster.py", str(root)], cwd=root, env=environment())
    try:
        wait_for(lambda: (root / "address").exists() or process.poll() is not None)
        yield (root / "address").read_text()
    finally:
        (root / "end").touch()
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()


def lay_out(project: Project, root: Path) -> None:
    """What a sweep by a program needs, under relative names."""
    for name in ("photos", "base"):
        shutil.copytree(getattr(project, name), root / name)
    (root / "teacher.py").write_text(TEACHER)
    words = f"{sys.executable} {root}/teacher.py {{input}} {{output}} {{prompt}}"
    concepts = (f"[[concept]]\nname = '{name}'\nprompt = '{name}'\nteacher = 'command:{words}'\n" for name in "ab")
    (root / "list.toml").write_text("".join(concepts))


@pytest.mark.slow
def test_whatever_dies_nothing_is_lost_or_done_twice(project: Project, tmp_path: Path) -> None:
    """A task's process is killed, then a machine, then the driver; the same command comes to what an undisturbed one
    does, and each thing was begun once, but for those that something died at."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'e2gan[sweep]'")
    lay_out(project, tmp_path)
    out = tmp_path / "out"
    with two_machines(tmp_path) as address:
        arguments = (
            f"list.toml --photos photos --base base --out out --run-commands --export --address {address} {SMALL}"
        )
        driver = start(arguments, tmp_path)
        wait_for(lambda: len(list(tmp_path.glob("begun-*"))) == 2 or driver.poll() is not None)
        assert driver.poll() is None, driver.communicate()
        begun = [json.loads(path.read_text()) for path in (out / "attempts").rglob("*.json")]
        assert len(begun) == 2
        os.kill(begun[0]["process"], signal.SIGKILL)  # a task's process
        wait_for(lambda: sum(attempts(out).values()) == 3)
        (tmp_path / "lose").touch()  # a machine
        wait_for(lambda: (tmp_path / "lost").exists())
        (tmp_path / "go").touch()  # what is left goes on: both sets, on the one machine
        wait_for(lambda: len(list((out / "manifests/pairs").glob("*"))) == 2)
        wait_for(lambda: len(list((out / "manifests/adapters").glob("*"))) == 1)
        driver.send_signal(signal.SIGKILL)
        driver.communicate()
        before = attempts(out)
        done = {
            path.relative_to(out / "manifests").with_suffix("").as_posix()
            for path in (out / "manifests").rglob("*.json")
        }
        driver = start(arguments, tmp_path)
        told = driver.communicate(timeout=400)
        assert driver.returncode == 0, told
    after = attempts(out)
    assert all(after[name] == count for name, count in before.items() if name in done)
    assert all(count == 1 for name, count in after.items() if not name.startswith("pairs/") and name not in before)
    assert 3 <= sum(after[name] for name in after if name.startswith("pairs/")) <= 4  # killed once each at most
    (tmp_path / "alone").mkdir()
    settings = {"concepts": str(tmp_path / "list.toml"), "photos": tmp_path / "photos", "base": tmp_path / "base"}
    alone = config_of(project, tmp_path / "alone", run_commands=True, **settings)
    plan = without_ray(alone)
    assert came_to(plan, out) == came_to(plan, tmp_path / "alone/out")
    with (out / "results.csv").open() as file:
        assert {row["concept"] for row in csv.DictReader(file)} == {"a", "b"}


# Posterizes photos, and notes when it is at work; kills who asked for the edit "bad".
MARKED = """
import os, signal, sys, time
from pathlib import Path
from PIL import Image, ImageOps
source, target, place, prompt = Path(sys.argv[1]), Path(sys.argv[2]), Path(__file__).parent, sys.argv[3]
if prompt == "bad":
    os.kill(os.getppid(), signal.SIGKILL)
    sys.exit(1)
begun = time.monotonic()
time.sleep(1)
for path in sorted(source.iterdir()):
    ImageOps.posterize(Image.open(path).convert("RGB"), 2).save(target / path.name)
(place / f"work-{prompt}-{os.getpid()}").write_text(f"{begun} {time.monotonic()}")
"""


@pytest.mark.slow
def test_who_dies_each_time_is_given_up_and_what_is_damaged_made_again(project: Project, tmp_path: Path) -> None:
    """One task of a kind handed out at a time: no two teachers are at work at once, though two could be."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'e2gan[sweep]'")
    lay_out(project, tmp_path)
    (tmp_path / "teacher.py").write_text(MARKED)
    listed = (tmp_path / "list.toml").read_text()
    (tmp_path / "list.toml").write_text(listed + listed.partition("\n[[")[0].replace("'a'", "'bad'"))
    common = f"list.toml --photos photos --base base --out out --run-commands --export --tasks 2 {SMALL}"
    driver = start(f"{common} --in-flight 1 --task-retries 1", tmp_path)
    told, errors = driver.communicate(timeout=500)
    assert driver.returncode == 1, errors
    assert "2 of 3 concepts are whole in out" in told
    assert "bad: no pairs: its process or machine died, 2 times at least" in told
    spans = sorted([float(x) for x in path.read_text().split()] for path in tmp_path.glob("work-*"))
    assert len(spans) == 2
    assert spans[0][1] <= spans[1][0]
    counts = attempts(tmp_path / "out")
    assert sorted(counts.values()) == [1] * (len(counts) - 1) + [2]

    (tmp_path / "list.toml").write_text(listed)
    weights = {path: path.read_bytes() for path in (tmp_path / "out/adapters").rglob("adapter_model.safetensors")}
    assert len(weights) == 2
    for manifest in (tmp_path / "out/manifests/adapters").iterdir():  # to be made again, of pairs of which one is other
        manifest.unlink()
    picture = sorted((tmp_path / "out/pairs").rglob("images/*.png"))[0]
    right = picture.read_bytes()
    picture.write_bytes(right[:-20] + bytes(20))
    driver = start(common, tmp_path)
    told, errors = driver.communicate(timeout=500)
    assert driver.returncode == 0, errors
    assert "made again: " in errors
    assert picture.read_bytes() == right
    assert {path: path.read_bytes() for path in weights} == weights


@pytest.mark.slow
def test_a_concept_that_fails_is_told_and_gone_round(project: Project, tmp_path: Path) -> None:
    """On this machine alone: the other concept is whole, by blocks; the same command again finds it."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'e2gan[sweep]'")
    for name in ("photos", "base"):
        shutil.copytree(getattr(project, name), tmp_path / name)
    words = f"command:{sys.executable} -c 'raise SystemExit(3)' {{input}} {{output}}"
    listed = "[[concept]]\nname = 'sepia'\nprompt = 'sepia'\n[[concept]]\nname = 'bad'\nprompt = 'bad'\n"
    (tmp_path / "list.toml").write_text(f'{listed}teacher = "{words}"\n')
    arguments = (
        f"list.toml --photos photos --base base --out out --run-commands --export onnx --block 11 --tasks 2 {SMALL}"
    )
    driver = start(arguments, tmp_path)
    told, errors = driver.communicate(timeout=500)
    assert driver.returncode == 1, errors
    assert "1 of 2 concepts are whole in out" in told
    assert len([line for line in told.splitlines() if line.startswith("bad: no blocks: ")]) >= 1
    assert not list((tmp_path / "out/blocks").glob("*"))  # the pair set has what was in them
    rows = json.loads((tmp_path / "out/results.json").read_text())["concepts"]
    assert [row["concept"] for row in rows] == ["bad", "sepia"]
    assert rows[1]["missing"] > 0
    assert (tmp_path / "out" / rows[1]["onnx"]).is_file()
    again = attempts(tmp_path / "out")
    (tmp_path / "list.toml").write_text(
        listed.partition("[[concept]]\nname = 'bad'")[0].replace("'sepia'\np", "'other'\np")
    )
    driver = start(arguments, tmp_path)
    told, errors = driver.communicate(timeout=100)
    assert driver.returncode == 0, errors  # found by its content, under another name
    assert "made nothing; there already: 1 pairs" in told
    assert attempts(tmp_path / "out") == again
    assert 'id="other"' in (tmp_path / "out/index.html").read_text()
    (model,) = (tmp_path / "out/exports").rglob("model.onnx")  # which no task fetches
    right = model.read_bytes()
    model.write_bytes(right[:-9] + bytes(9))
    driver = start(f"{arguments} --verify", tmp_path)
    told, errors = driver.communicate(timeout=200)
    assert driver.returncode == 0, errors
    assert "1 exports" in told
    assert model.read_bytes() == right


def test_bad_input_is_one_line_before_anything_begins(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.toml").write_text("[[concept]]\nname = 'sepia'\nprompt = 'sepia'\n")
    (tmp_path / "twice.toml").write_text("[[concept]]\nname = 'a'\nprompt = 'x'\n" * 2)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/mine.txt").touch()
    common = f"--photos {project.photos} --base {project.base}"
    before = sorted(tmp_path.rglob("*"))
    for words, told in {
        f"none.toml {common} --out out": "there is no such file",
        f"twice.toml {common} --out out": "too",
        f"list.toml --photos {project.base} --base {project.base} --out out": "not a photo set",
        f"list.toml --photos {project.photos} --base {project.photos} --out out": "is no base",
        f"list.toml {common} --out other": "already holds something else",
        f"list.toml {common} --out ftp://host/x": "a local folder, or s3://",
        f"list.toml {common} --out out --minutes 3": "--minutes: each machine's clock",
        f"list.toml {common} --out out --export nothing": "nothing",
        f"list.toml {common} --out out --teacher nobody": "nobody",
    }.items():
        assert main(["sweep", *words.split()]) == 2, words
        answer = capsys.readouterr()
        assert answer.err.count("\n") == 1
        assert told in answer.err
    assert sorted(tmp_path.rglob("*")) == before


def test_without_ray_one_line_says_how_to_get_it(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("e2gan.sweeps.cluster.find_spec", lambda _: None)
    config = config_of(project, tmp_path)
    assert main(["sweep", config.concepts, "--photos", str(config.photos), "--out", config.out]) == 2
    assert capsys.readouterr().err == "e2gan: a sweep needs Ray, which is not installed: pip install 'e2gan[sweep]'\n"
    assert not Path(config.out).exists()


def test_what_is_done_needs_no_cluster(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(project, tmp_path, ("sepia",))
    without_ray(config)
    Store(config.out).write("sweep.json", b'{"stage": "sweep", "settings": {}}')
    words = [config.concepts, "--photos", config.photos, "--base", config.base, "--out", config.out, "--export"]
    words += ["--steps", 6, "--batch", 4, "--save-every", 30, "--address", "127.0.0.1:1"]
    monkeypatch.setattr("e2gan.sweeps.cluster.find_spec", lambda _: True)
    assert main(["sweep", *map(str, words)]) == 0
    assert "made nothing; there already: 1 pairs, 1 adapters, 1 evaluations" in capsys.readouterr().out
    assert make_plan(config).concepts[0].name == "sepia"
