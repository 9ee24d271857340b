from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from e2gan.core.errors import InputError
from e2gan.core.memory import available_memory, give_back_memory, is_no_memory, need_memory


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("x"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("size mismatch"), False),
    ],
)
def test_memory_that_ran_out_is_told_from_other_errors(error: Exception, expected: bool) -> None:
    assert is_no_memory(error) == expected
    give_back_memory()


def test_what_does_not_fit_is_refused_with_the_figures() -> None:
    need_memory(8_000_000_000, 8_000_000_000, "data", "take less")
    need_memory(10**18, None, "data", "take less")  # where the system does not say, nothing is refused
    with pytest.raises(InputError) as caught:
        need_memory(41_200_000_000, 8_000_000_000, "data", "take less")
    assert str(caught.value) == "data: needs 41.2 GB of memory, 8 GB are available: take less"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says")
def test_the_machine_says_how_much_it_has() -> None:
    assert 10**7 < (available_memory() or 0) < 10**14


def system(root: Path, membership: str, limits: dict[str, tuple[str, int, int]]) -> int | None:
    """What is available where /proc and the control groups are these: group → limit, used, files read before."""
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "meminfo").write_text("MemTotal:  9000 kB\nMemFree:  1 kB\nMemAvailable:    8000 kB\n")
    (root / "proc" / "self" / "cgroup").write_text(membership)
    for group, (limit, used, files) in limits.items():
        folder = root / "groups" / group
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.stat").write_text(f"anon 5\nactive_file {files // 2}\ninactive_file {files - files // 2}\n")
    return available_memory(root / "proc", root / "groups")


def test_a_containers_limit_counts_and_so_does_that_of_a_group_above(tmp_path: Path) -> None:
    mega = 10**6
    assert system(tmp_path / "none", "0::/\n", {}) == 8_192_000
    assert system(tmp_path / "max", "0::/\n", {"": ("max", mega, 0)}) == 8_192_000
    # files that were read are dropped where memory is needed
    assert system(tmp_path / "own", "0::/\n", {"": (str(5 * mega), 4 * mega, mega)}) == 2 * mega
    groups = {"a": (str(3 * mega), mega, 0), "a/b": (str(7 * mega), mega, 0)}
    assert system(tmp_path / "above", "1:cpu:/x\n0::/a/b\n", groups) == 2 * mega
    assert system(tmp_path / "over", "0::/\n", {"": (str(mega), 2 * mega, 0)}) == 0
    assert available_memory(tmp_path / "absent", tmp_path / "absent") is None
