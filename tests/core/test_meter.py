"""The progress line of a training."""

from __future__ import annotations

import pytest

from e2gan.core import meter


def test_speed_and_time_left_are_of_this_process_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter, "PLAIN_EVERY", 0.0)
    with meter.Meter("training", photos_a_step=4) as shown:
        shown.begin(100, 0.5, 1000.0)  # resumed: an earlier process took 1000 seconds
        shown.update(101, 0.505, 1002.0)
        shown.update(110, 0.55, 1020.0, l1=3.25)
        shown.update(111, 0.555, 1022.0)
    lines = [line.split(maxsplit=1)[1] for line in capsys.readouterr().err.splitlines()]
    assert lines[0].endswith("step 101  2.0 photos/s  3:18 left")
    assert lines[1].endswith("step 110  l1 3.25  2.0 photos/s  3:00 left")
    assert lines[2].endswith("step 111  l1 3.25  2.0 photos/s  2:58 left")
