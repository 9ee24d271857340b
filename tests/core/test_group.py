from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from e2gan.core.errors import InputError
from e2gan.core.group import ALONE, Group, group_of, joined
from tests.conftest import refused
from tests.train.tiny_group import side_by_side

SECOND = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "0"}

TALK = """
import sys, torch
from e2gan.core.group import joined
with joined() as group:
    print("to nobody"); print("to nobody", file=sys.stderr)
    n = group.number
    tensors = [torch.full((2, 2), float(n)), torch.tensor(3.0 * n), torch.full((2,), n, dtype=torch.float64)]
    group.mean_([tensors[0].T, *tensors[1:]])
    text = group.same({"a": [1.5, None, "\u00e4" * 999]} if group.first else "not this")
    named = {"x": torch.arange(6.0).view(2, 3), "s": torch.tensor(7), "none": torch.empty(0)}
    named = group.same_tensors(named if group.first else {}, torch.device("cpu"))
    with joined() as again:
        assert again is group
    group.wait()
found = [tensor.tolist() for tensor in (*tensors, *(named[name] for name in ("x", "s", "none")))]
assert found == [[[0.5, 0.5], [0.5, 0.5]], 1.5, [0.5, 0.5], [[0, 1, 2], [3, 4, 5]], 7, []], found
assert text == {"a": [1.5, None, "\u00e4" * 999]}
print("done", n)
"""

LEAVES = """
from pathlib import Path
from e2gan.core.group import joined
threads = lambda: {path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")}
with joined():
    import torch.distributed.nn  # as PyTorch's own parts do, one by one
    assert "pt_gloo_runloop" in threads(), threads()
assert not any("gloo" in name for name in threads()), threads()
"""

FAILS = """
import os, sys
from e2gan.core.errors import InputError, LostProcessError, ToldError
from e2gan.core.group import joined
try:
    with joined() as group:
        if group.number == 1:
            if sys.argv[1] == "dies":
                os._exit(9)
            raise {"bad": InputError("no such photo"), "bug": KeyError("x")}[sys.argv[1]]
        group.same("unheard") and group.wait()
except (InputError, LostProcessError, ToldError, KeyError) as error:
    print(group.number, type(error).__name__, error)
"""


def test_it_is_alone_unless_torchrun_says_otherwise() -> None:
    assert group_of({}) == group_of({"WORLD_SIZE": "2"}) == group_of(SECOND | {"WORLD_SIZE": "1", "RANK": "0"}) == ALONE
    assert group_of(SECOND) == Group(1, 2, 0, 2)  # who does not say how many are on a machine has one
    assert group_of(SECOND | {"LOCAL_WORLD_SIZE": "1"}) == Group(1, 2, 0, 1)
    for wrong in ("", "0", "x", "3", "9" * 30):
        assert group_of(SECOND | {"LOCAL_WORLD_SIZE": wrong}) == Group(1, 2, 0, 2)
    for wrong in ({"RANK": "2"}, {"RANK": "x"}, {"WORLD_SIZE": "-2"}, {"LOCAL_RANK": "1.0"}, {"RANK": "9" * 30}):
        assert "unset them" in refused(lambda wrong=wrong: group_of(SECOND | wrong))


def test_alone_it_sends_nothing_and_changes_nothing() -> None:
    tensor = torch.ones(3)
    with joined() as group:
        group.mean_([tensor])
        group.wait()
        assert group is ALONE
        assert group.same("x") == "x"
        assert group.same_tensors({"t": tensor}, tensor.device)["t"] is tensor
        assert group.part(7) == slice(None)
        assert group.device("cpu") == torch.device("cpu")
    assert not torch.distributed.is_initialized()


def test_each_has_its_rows_and_all_have_all() -> None:
    rows = torch.arange(12)
    assert torch.equal(torch.cat([rows[Group(n, 3, n).part(12)] for n in range(3)]), rows)
    assert "--batch 4: must be a multiple of the 3 processes" in refused(lambda: Group(0, 3, 0).part(4))


def test_each_takes_the_gpu_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    second = Group(3, 4, 1)
    assert second.device("cpu") == torch.device("cpu")
    for named in ("cuda:0", "mps"):
        assert "each takes its own GPU" in refused(lambda named=named: second.device(named))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert "torchrun --nproc-per-node 1" in refused(lambda: second.device("cuda"))


def test_a_group_that_another_library_made_is_not_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch.distributed as dist

    store = dist.TCPStore("127.0.0.1", 0, 1, is_master=True)  # pyright: ignore[reportPrivateImportUsage]
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        for name, value in SECOND.items():
            monkeypatch.setitem(os.environ, name, value)
        with pytest.raises(InputError, match="at work already"), joined():
            pass
        assert dist.is_initialized()
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_tell_each_other_numbers_texts_and_tensors() -> None:
    first, second = side_by_side(["-c", TALK], ["-c", TALK])
    assert (first.out, second.out) == ("to nobody\ndone 0\n", "done 1\n"), first.err + second.err
    assert (first.err, second.err) == ("to nobody\n", "")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads threads' names from Linux's /proc")
def test_no_thread_of_a_group_is_left() -> None:
    for ended in side_by_side(["-c", LEAVES], ["-c", LEAVES]):
        assert (ended.status, ended.err) == (0, "")


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("bad", ["0 ToldError 1", "1 InputError no such photo"]),
        ("bug", ["0 ToldError 1", "1 KeyError 'x'"]),
        ("dies", ["0 LostProcessError another process of this training is gone (", ""]),
    ],
)
@pytest.mark.slow
def test_what_ends_one_ends_all_and_is_told_once(how: str, told: list[str]) -> None:
    ended = side_by_side(["-c", FAILS, how], ["-c", FAILS, how])
    assert all(each.out.startswith(text) for each, text in zip(ended, told, strict=True)), ended
    assert not told[1] or ended[1].out.strip() == told[1]
