"""One training in two real processes, which talk by gloo, against the same in one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from e2gan.config import GeneratorConfig, TrainingConfig
from e2gan.config.schemas import BASE
from e2gan.core.group import ALONE, Group
from e2gan.core.outputs import read_settings
from e2gan.core.tensors import read_tensors
from e2gan.networks.folders import generator_config
from e2gan.networks.generator import Generator
from e2gan.train.together import check_group, precision_of_all
from tests.conftest import Project, refused
from tests.train.tiny_commands import NETWORK
from tests.train.tiny_group import ENV, TORCHRUN, one_step, side_by_side, torchrun
from tests.train.tiny_training import rows

STEPS: list[dict[str, Any]] = [
    {"r1": 1.0, "feature_matching": 10.0, "crop": 24, "clip": 0.5},
    {"gan": 0.0, "perceptual": 20.0, "gram": 5.0, "ema": 0.9},
    {"precision": "auto"},
]


@pytest.mark.slow
def test_a_step_of_two_processes_is_that_of_one(tmp_path: Path) -> None:
    """Adam's first moment is a tenth of the gradient, or half of it: what the mean over processes gave, in full.

    Sums in another order differ by some 1e-6, and in bf16, which auto may be, by a thousand times that. The weights
    themselves say less: Adam makes a whole step of a gradient that is zero but for rounding, as that of a bias under an
    instance norm is.
    """
    one_step(tmp_path / "one", STEPS, ALONE)
    command = ["-m", "tests.train.tiny_group", str(tmp_path / "two"), json.dumps(STEPS)]
    for ended in side_by_side(command, command):
        assert (ended.status, ended.out, ended.err) == (0, "", "")
    for i, rounding in ("0", 1e-4), ("1", 1e-4), ("2", 3e-2):
        one, two = (read_tensors(tmp_path / which / i / "trainer.safetensors")[0] for which in ("one", "two"))
        assert one.keys() == two.keys()
        moments = [name for name in one if name.endswith("exp_avg") and one[name].norm() > 1e-4]
        assert len(moments) > 35
        for name in moments:
            assert (one[name] - two[name]).norm() < rounding * one[name].norm(), name
        (a,), (b,) = (rows(tmp_path / which / i) for which in ("one", "two"))
        assert {**a, "seconds": 0} == pytest.approx({**b, "seconds": 0}, rel=rounding)


def base(project: Project, out: Path, *more: str) -> list[str]:
    pairs = ["--pairs", str(project.dusk), str(project.sepia)]
    return ["base", *pairs, "--out", str(out), "--batch", "4", "--device", "cpu", *NETWORK, *more]


def apart(one: Path, two: Path) -> float:
    """How far two generators lie apart, as a part of the way that training took the first of them."""
    torch.manual_seed(0)
    start = Generator(generator_config(read_settings(one, BASE, "base"))).state_dict()
    a, b = (read_tensors(folder / "model.safetensors")[0] for folder in (one, two))

    def far(x: Mapping[str, torch.Tensor], y: Mapping[str, torch.Tensor]) -> float:
        return sum(float((x[name] - y[name]).square().sum()) for name in a) ** 0.5

    return far(a, b) / far(a, start)


def logged(folder: Path) -> list[dict]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows(folder)]


def same_log(one: Path, two: Path, rel: float) -> None:
    assert len(logged(one)) == len(logged(two))
    for a, b in zip(logged(one), logged(two), strict=True):
        assert a == pytest.approx(b, rel=rel)


def alone(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "e2gan", *arguments]
    return subprocess.run(command, env=os.environ | ENV, capture_output=True, text=True, check=True)


@pytest.mark.slow
def test_a_base_of_two_processes_is_that_of_one_and_is_told_once(project: Project, tmp_path: Path) -> None:
    """To rounding, which Adam carries into weights whose gradient is nearly zero: a hundredth of the way in six steps,
    in which D and G answer each other; losses see less of it."""
    settings = ("--steps", "6", "--r1", "1", "--clip", "0.5")
    alone(base(project, tmp_path / "one", *settings))
    command = ["e2gan", *base(project, tmp_path / "two", *settings), "--json"]
    ended = torchrun(*command)
    assert ended.status == 0, ended.err
    assert json.loads(ended.out)["result"]["steps"] == 6  # one object
    assert ended.err.count("its photos are read from") == 2  # of two sets
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == sorted(
        path.name for path in (tmp_path / "one").iterdir()
    )
    same_log(tmp_path / "one", tmp_path / "two", 1e-3)
    assert apart(tmp_path / "one", tmp_path / "two") < 0.03
    again = torchrun(*command)
    assert (again.status, json.loads(again.out)["result"]["already_done"]) == (0, True)


def processes_of(out: Path) -> dict[int, int]:
    """Number in the group → process id, of those that train to `out`."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            told = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # ended, or somebody else's
        numbers = [int(x.removeprefix(b"RANK=")) for x in told if x.startswith(b"RANK=")]
        if str(out).encode() in words and numbers:
            found[numbers[0]] = int(folder.name)
    return found


def begun(command: list[str], out: Path) -> subprocess.Popen[str]:
    """A run that has written a checkpoint."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, env=os.environ | ENV, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )
    checkpoint, deadline = out.with_name(out.name + ".partial") / "checkpoint.safetensors", time.monotonic() + 240
    while not checkpoint.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def ours(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("e2gan: ")]


LONG = ("--steps", "120", "--gan", "0", "--save-every", "0")
GONE = "another process of this training is gone"


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found by Linux's /proc")
@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.slow
def test_where_one_is_killed_the_other_ends_and_one_process_goes_on(
    project: Project, tmp_path: Path, lost: int
) -> None:
    alone(base(project, tmp_path / "whole", *LONG))
    out, arguments = tmp_path / "broken", base(project, tmp_path / "broken", *LONG)
    process = begun([*TORCHRUN, "-m", "e2gan", *arguments], out)
    os.kill(processes_of(out)[lost], signal.SIGKILL)
    printed, err = process.communicate(timeout=120)
    assert (process.returncode, printed) == (1, "")
    assert len(ours(err)) == 1, err
    assert GONE in ours(err)[0]
    assert "run the same command again, it goes on from the last checkpoint" in ours(err)[0]
    assert not processes_of(out)
    assert (tmp_path / "broken.partial" / "checkpoint.safetensors").exists()

    alone(arguments)
    same_log(tmp_path / "whole", out, 1e-3)
    assert apart(tmp_path / "whole", out) < 0.03


@pytest.mark.slow
def test_a_stop_is_told_once_and_two_processes_go_on_where_one_was_and_two_were(
    project: Project, tmp_path: Path
) -> None:
    alone(base(project, tmp_path / "whole", *LONG))
    out, arguments = tmp_path / "broken", base(project, tmp_path / "broken", *LONG)
    process = begun([sys.executable, "-m", "e2gan", *arguments], out)
    process.send_signal(signal.SIGTERM)
    assert ours(process.communicate(timeout=60)[1]) == ["e2gan: stopped; the same command goes on from where it can"]
    kept = (tmp_path / "broken.partial" / "checkpoint.safetensors").stat().st_mtime_ns

    process = begun([*TORCHRUN, "-m", "e2gan", *arguments], out)
    deadline = time.monotonic() + 120
    while (tmp_path / "broken.partial" / "checkpoint.safetensors").stat().st_mtime_ns == kept:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    printed, err = process.communicate(timeout=120)
    assert process.returncode != 0
    assert (printed, len(ours(err))) == ("", 1), err
    assert "stopped" in ours(err)[0] or GONE in ours(err)[0]
    assert not list(tmp_path.glob("*.lock"))

    ended = torchrun("e2gan", *arguments)
    assert (ended.status, ended.ours) == (0, []), ended.err
    same_log(tmp_path / "whole", out, 1e-3)
    assert apart(tmp_path / "whole", out) < 0.03


@pytest.mark.slow
def test_the_first_ones_clock_ends_a_training_by_minutes(project: Project, tmp_path: Path) -> None:
    ended = torchrun("e2gan", *base(project, tmp_path / "out", "--minutes", "0.05"))
    assert ended.status == 0, ended.err
    assert ended.out.count("trained parameters") == 1
    last = rows(tmp_path / "out")[-1]
    assert last["seconds"] >= 3
    assert last["step"] >= 1


@pytest.mark.slow
def test_a_machine_with_other_settings_or_files_is_refused(project: Project, tmp_path: Path) -> None:
    commands = [["-m", "e2gan", *base(project, tmp_path / "out", "--lr", lr)] for lr in ("1e-4", "2e-4")]
    first, second = side_by_side(*commands)
    assert (first.status, second.status) == (1, 2)
    assert second.err.splitlines() == [
        "e2gan: process 1 has others than the first: training.lr; each machine needs the same command and files"
    ]
    assert first.ours == []
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_bad_settings_are_told_once(project: Project, tmp_path: Path) -> None:
    command = ["-m", "e2gan", *base(project, tmp_path / "out", "--batch", "3")]
    ended = side_by_side(command, command)
    assert [each.status for each in ended] == [2, 2]
    assert [line for each in ended for line in each.ours] == ["e2gan: --batch 3: must be a multiple of the 2 processes"]
    assert not list(tmp_path.iterdir())


def test_what_would_be_another_training_is_refused() -> None:
    group, training = Group(0, 2, 0), TrainingConfig(batch=4)
    check_group(group, GeneratorConfig(), training)
    for generator, told in ((GeneratorConfig(norm="batch"), "--norm batch"), (GeneratorConfig(z=0.5), "--z 0.5")):
        assert told in refused(lambda generator=generator: check_group(group, generator, training))
        check_group(ALONE, generator, training)
    assert "--batch 5" in refused(lambda: check_group(group, GeneratorConfig(), TrainingConfig(batch=5)))


def test_alone_the_precision_is_what_was_asked_for() -> None:
    for precision in ("auto", "fp32", "bf16"):
        config = TrainingConfig(precision=precision)
        assert precision_of_all(ALONE, config, torch.device("cpu")) is config


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found by Linux's /proc")
@pytest.mark.slow
def test_torchrun_begins_them_again_and_they_go_on(project: Project, tmp_path: Path) -> None:
    """Its store has the addresses and the failure of those before: a second failure is told too."""
    out, arguments = tmp_path / "out", base(project, tmp_path / "out", *LONG, "--steps", "600")
    process = begun([*TORCHRUN, "--max-restarts", "2", "-m", "e2gan", *arguments], out)
    killed: set[int] = set()
    while len(killed) < 4:  # both of two times: one by the kill, the other by that
        found = processes_of(out)
        checkpoint = tmp_path / "out.partial" / "checkpoint.safetensors"
        if len(found) == 2 and not killed & set(found.values()):
            before, deadline = checkpoint.stat().st_mtime_ns, time.monotonic() + 120
            while checkpoint.stat().st_mtime_ns == before:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            os.kill(found[1], signal.SIGKILL)
            killed |= set(found.values())
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    printed, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert printed.count("trained parameters") == 1
    assert [GONE in line for line in ours(err)] == [True, True], err
    assert [row["step"] for row in rows(out)] == list(range(10, 601, 10))
