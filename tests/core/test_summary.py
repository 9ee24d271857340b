"""What was left out, in a few lines."""

from __future__ import annotations

from e2gan.core.summary import count_reasons, skipped_lines


def test_skipped_files_of_one_reason_are_one_line() -> None:
    skipped = [(f"{i}.png", f"its {i}×{i} pixels are too few") for i in range(1, 4)] + [("a.jpg", "is no image")]
    assert skipped_lines(skipped) == [
        "skipped 1.png: its 1×1 pixels are too few, and 2 more like it",
        "skipped a.jpg: is no image",
    ]
    many = [(f"{letter}.png", f"reason {letter}") for letter in "abcdef"]
    lines = skipped_lines(many)
    assert len(lines) == 4
    assert lines[-1] == "skipped 3 more, for other reasons"
    assert skipped_lines([]) == []
    assert skipped_lines([("a.gif", "one frame of 2 is edited")], verb="") == ["a.gif: one frame of 2 is edited"]


def test_reasons_are_named_up_to_five() -> None:
    assert count_reasons({"black": 3, "blank": 1}) == "3 black, 1 blank"
    counts = {f"reason {letter}": 10 - i for i, letter in enumerate("abcdefg")}
    assert count_reasons(counts).endswith("6 reason e, 9 for 2 other reasons")
