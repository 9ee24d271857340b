"""Where a frame's time goes: shares that add up, by kinds that are told apart."""

from __future__ import annotations

import pytest

from tests.benchmarks import mistake, script

bench = script("frame_profile")


def test_operations_have_their_kinds() -> None:
    kinds = {"aten::mkldnn_convolution": "convolutions", "aten::addmm": "transformer block", "aten::copy_": "copies"}
    kinds |= {"aten::leaky_relu": bench.REST, "aten::native_group_norm": "transformer block"}
    assert {name: bench.kind_of(name) for name in kinds} == kinds


@pytest.mark.slow
def test_shares_of_both_precisions_add_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--size", "64", "--frames", "2", "--preset", "small"]) == 0
    heads, _, *rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 2
    for row in rows:
        cells = dict(zip((c.strip() for c in heads.split("|")), (c.strip() for c in row.split("|")), strict=True))
        shares = [float(cells[kind].removesuffix(" %")) for kind in (*bench.KINDS, bench.REST)]
        assert sum(shares) == pytest.approx(100, abs=2.5)  # whole numbers
        assert shares[0] > 10
        assert 0 < float(cells["convolutions, of the peak"].removesuffix(" %")) < 150


def test_no_frame_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "frames" in mistake(bench, ["--frames", "0"], capsys)
