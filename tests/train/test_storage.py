"""Pixels in a file that is mapped, and what is read ahead."""

from __future__ import annotations

import os
import threading
from itertools import count, islice
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from e2gan.core.errors import MachineError
from e2gan.core.progress import in_threads
from e2gan.train.loop import AHEAD
from e2gan.train.storage import in_memory, on_disk, read_rows


def test_a_mapped_file_holds_what_is_written_and_has_no_name(tmp_path: Path) -> None:
    images = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    mapped = on_disk(5, 8, tmp_path)
    assert (mapped.shape, mapped.dtype) == (images.shape, in_memory(5, 8).dtype)
    mapped.copy_(images)
    assert torch.equal(mapped[torch.tensor([4, 0, 4])], images[[4, 0, 4]])
    assert torch.equal(read_rows(mapped, torch.tensor([4, 0, 4])), images[[4, 0, 4]])
    large = on_disk(3, 100, tmp_path)  # whose images begin within a page
    large.copy_(torch.randint(0, 256, large.shape, dtype=torch.uint8))
    assert torch.equal(read_rows(large, torch.tensor([2, 1])), large[[2, 1]])
    del large
    assert list(tmp_path.iterdir()) == []
    inode = [line for line in Path("/proc/self/maps").read_text().splitlines() if str(tmp_path) in line]
    assert len(inode) == 1
    assert inode[0].endswith("(deleted)")
    del mapped
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


def test_a_disk_that_is_too_small_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fstatvfs", lambda _: SimpleNamespace(f_bavail=10, f_frsize=4096))
    with pytest.raises(MachineError) as caught:
        on_disk(1000, 64, tmp_path)
    assert str(caught.value).startswith(
        f"{tmp_path}: the training pairs need 0.0123 GB on its disk, which has 4.1e-05 GB"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="No such file"):
        on_disk(1, 8, tmp_path / "none")


def test_what_is_read_ahead_comes_in_order_and_from_another_thread() -> None:
    made: list[int] = []
    threads: set[str] = set()

    def make(number: int) -> int:
        made.append(number)
        threads.add(threading.current_thread().name)
        return number * number

    assert list(islice(in_threads(make, count(3), workers=1, ahead=AHEAD), 5)) == [9, 16, 25, 36, 49]
    assert made == sorted(made)
    assert 5 <= len(made) <= 5 + AHEAD
    assert threading.current_thread().name not in threads


def test_a_fault_while_reading_ahead_is_raised_where_it_is_needed() -> None:
    def make(number: int) -> int:
        if number == 2:
            raise OSError("gone")
        return number

    numbers = in_threads(make, count(0), workers=1, ahead=AHEAD)
    assert [next(numbers), next(numbers)] == [0, 1]
    with pytest.raises(OSError, match="gone"):
        next(numbers)
