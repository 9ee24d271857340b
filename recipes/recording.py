"""docs/site.webp, the short recording of a site that the README shows: `python recipes/recording.py SITE`.

SITE is a folder of `make site`. Chromium, at a phone's size, opens a photograph of scikit-learn's, goes through some of
the effects, their strength, a mix of two, and from before to after. Needs playwright and Chromium.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from sklearn.datasets import load_sample_image

from e2gan.export.preview import served

ROOT = Path(__file__).resolve().parents[1]
EDITED = "Number(document.documentElement.dataset.edited ?? 0)"
SETTLE = 150  # milliseconds until what was drawn is on the screen


class Film:
    """Screenshots of a page, and how long each is seen, in milliseconds."""

    def __init__(self, page: Any) -> None:
        self.page, self.pictures, self.times = page, [], []

    def shot(self, milliseconds: int) -> None:
        # Neither the time that an edit took on this machine nor the ring around what was typed into.
        self.page.evaluate("document.getElementById('status').textContent = ''; document.activeElement.blur()")
        self.pictures.append(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB"))
        self.times.append(milliseconds)

    def after(self, does: Callable[[], object], milliseconds: int) -> None:
        """A shot of the edit that something asks for."""
        before = self.page.evaluate(EDITED)
        does()
        self.until(f"{EDITED} > {before}")
        self.page.wait_for_timeout(SETTLE)
        self.shot(milliseconds)

    def sweep(self, start: int, stop: int, steps: int, last: int) -> None:
        """The slider between before and after, moved."""
        for i in range(steps + 1):
            self.page.locator("#compare").fill(str(round(start + (stop - start) * i / steps)))
            self.shot(last if i == steps else 70)

    def until(self, condition: str) -> None:
        end = time.monotonic() + 300
        while not self.page.evaluate(condition):
            if time.monotonic() > end:
                sys.exit(f"recording: never: {condition}; the page says: {self.page.locator('#alert').inner_text()}")
            self.page.wait_for_timeout(50)

    def save(self, path: Path) -> None:
        first, *others = self.pictures
        first.save(path, save_all=True, append_images=others, duration=self.times, loop=0, quality=72, method=6)


def play(film: Film, photo: Path) -> None:
    page = film.page
    film.shot(1200)
    page.set_input_files("#file", photo)
    film.until(f"{EDITED} > 0")
    film.until("document.querySelector('.strip canvas:not(.drawn)') === null")
    film.sweep(100, 0, 10, last=1000)
    names = page.locator(".strip input").evaluate_all("(radios) => radios.map((radio) => radio.value)")
    for name in names[1:4]:
        film.after(lambda name=name: page.locator(f".strip input[value='{name}']").check(force=True), 1100)
    for percent in (80, 50, 20, 60, 100):
        film.after(lambda percent=percent: page.locator("#strength").fill(str(percent)), 280)
    film.after(lambda: page.locator("#second").select_option(names[0]), 900)
    for percent in (20, 80):
        film.after(lambda percent=percent: page.locator("#share").fill(str(percent)), 700)
    film.sweep(0, 50, 6, last=1400)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("site", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "site.webp")
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with served(args.site) as address, sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "china.png"
        Image.fromarray(load_sample_image("china.jpg")).save(photo)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page(viewport={"width": 390, "height": 720})
        page.goto(f"{address}?backend=wasm")
        page.wait_for_selector("html[data-ready]", timeout=300_000)
        film = Film(page)
        play(film, photo)
        browser.close()
    film.save(args.out)
    print(f"{args.out}: {len(film.pictures)} pictures, {args.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
