"""Images side by side, each as it is, beside their labels."""

from __future__ import annotations

import numpy as np
import pytest

from e2gan.core.sheets import sheet
from tests.core.test_images import picture


def test_sheet_holds_every_cell_unchanged_beside_its_labels() -> None:
    rows = [[picture(seed=10 * i + j) for j in range(3)] for i in range(2)]
    long = ["photo", "a very long prompt that cannot fit over so small a picture, whatever is done", "Aquarell 水彩"]
    canvas = sheet(rows, long, ["first", "второй"])
    height, width, _ = rows[0][0].shape
    windows = np.lib.stride_tricks.sliding_window_view(canvas, (height, width, 3))[:, :, 0]
    for row in rows:
        for cell in row:
            corners = (windows[:, :, 0, 0] == cell[0, 0]).all(-1) & (windows[:, :, -1, -1] == cell[-1, -1]).all(-1)
            assert any(np.array_equal(windows[y, x], cell) for y, x in np.argwhere(corners))
    assert (canvas < 100).all(-1).any()
    assert len(sheet([rows[0], rows[0][:1]], ["a", "b", "c"])) > 2 * height
    with pytest.raises(ValueError, match="one size"):
        sheet([[picture(), picture(8, 8)]], ["a", "b"])


def test_labels_of_other_languages_are_letters() -> None:
    cell = np.zeros((16, 200, 3), np.uint8)
    drawn = [sheet([[cell]], [text]) for text in ("é", "×", "ж", "λ", "5", "x")]
    assert len({picture.tobytes() for picture in drawn}) == len(drawn)  # a missing glyph is the same box for all


def test_without_the_font_of_more_letters_a_sheet_is_drawn_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("e2gan.core.sheets.find_spec", lambda _: None)
    assert sheet([[np.zeros((16, 200, 3), np.uint8)]], ["é"]).shape[1] > 200
