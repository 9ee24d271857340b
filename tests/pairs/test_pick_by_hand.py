"""A person's choice: the page of candidates, and what it saves."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from e2gan.core.errors import InputError
from e2gan.core.files import plain
from e2gan.data.photos import PhotoSet
from e2gan.pairs.candidates import BY_HAND, DELETED, Candidate
from e2gan.pairs.pick_by_hand import read_picks, write_page


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [found for name, found in self.tags if name == tag and wanted.items() <= found.items()]


def test_the_page_shows_each_candidate_from_beside_it(
    rows: list[Candidate], photo_set: PhotoSet, tmp_path: Path
) -> None:
    write_page(tmp_path, 'make it "<b>old</b>" & grey', rows, photo_set)
    text = (tmp_path / "choose.html").read_text("utf-8")
    page = Page(text)
    pictures = page.all("img")
    assert len(pictures) == len(rows) + len(rows) // 2
    assert all((tmp_path / str(picture["src"])).is_file() for picture in pictures)
    assert all(picture["loading"] == "lazy" for picture in pictures)
    assert [tag["data-file"] for tag in page.all("button") if "data-file" in tag] == [row.name for row in rows]
    assert "<b>old" not in text
    assert not [v for _, tag in page.tags for k, v in tag.items() if k in ("src", "href") and v and "//" in v]


def test_a_photo_without_a_picture_says_why(photo_set: PhotoSet, tmp_path: Path) -> None:
    photo = photo_set.split("train")[0]
    none = Candidate(
        photo=photo.id,
        split="train",
        teacher="t",
        seed=1,
        file=None,
        scores={},
        rejected="flagged by the safety checker",
    )
    write_page(tmp_path, "x", [none], photo_set)
    assert "flagged by the safety checker" in (tmp_path / "choose.html").read_text("utf-8")


def test_picks_overrule_and_deletions_reject(rows: list[Candidate], tmp_path: Path) -> None:
    photos = list(dict.fromkeys(row.photo for row in rows))
    assert len(read_picks(tmp_path, rows)) == 0
    (tmp_path / str(rows[4].file)).unlink()
    picks = {photos[0]: None, photos[1]: rows[3].name}
    (tmp_path / "picks.json").write_text(json.dumps({"picks": picks}))
    found = read_picks(tmp_path, rows)
    assert len(found) == 2
    after = found.apply(found.without_deleted(rows))
    assert [row.rejected for row in after[:2]] == [BY_HAND, BY_HAND]
    assert (after[2].picked, after[3].picked) == (False, True)
    assert (after[3].rejected, after[3].overruled) == (None, "structure<0.9")
    assert after[4].rejected == DELETED
    # All of it can be taken back.
    again = [Candidate.read(json.loads(json.dumps(plain(row)))).unmarked() for row in after]
    assert [row.rejected for row in again] == [None] * len(rows)
    assert replace(rows[0], rejected="black").unmarked().rejected == "black"


def test_picks_that_cannot_be_meant(rows: list[Candidate], tmp_path: Path) -> None:
    photo = rows[0].photo
    (tmp_path / str(rows[0].file)).unlink()
    for picks, words in (
        ([], "is not what choose.html saves"),
        ({"picks": {photo: 3}}, "is not what choose.html saves"),
        ({"picks": {"nobody": None}}, "has no photo 'nobody'"),
        ({"picks": {photo: "other.png"}}, "has no edit 'other.png'"),
        ({"picks": {photo: rows[0].name}}, "was deleted"),
    ):
        (tmp_path / "mine.json").write_text(json.dumps(picks))
        with pytest.raises(InputError, match=words):
            read_picks(tmp_path, rows, tmp_path / "mine.json")
    for row in rows[1:]:
        (tmp_path / str(row.file)).unlink()
    with pytest.raises(InputError, match="none of its candidates left"):
        read_picks(tmp_path, rows)
