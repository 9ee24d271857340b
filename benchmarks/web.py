"""How smooth the page of `export --format web` is: tasks on its main thread over 50 ms, and frames per second.

    python benchmarks/web.py SITE [--seconds 10] [--sizes 128 192 fine] [--webgpu] [--photo FILE]

SITE is a folder of `export --format web`. Chromium runs it with its fake camera, which moves, at 1280×720. Prints the
tasks of the page's main thread that took longer than 50 ms by the clock, how many and the longest: while the page
loads, while a photo is opened (--photo), and while the camera runs; there the frames per second too, for each size at
which the network sees its picture. Another program on the same cores makes frames fewer and tasks longer: the load of
the machine is printed too.

--webgpu: in WebGPU by SwiftShader, which is a processor's work too. Needs playwright and Chromium.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from e2gan.export.preview import served

CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
SWIFTSHADER = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
OBSERVE = """
self.longTasks = [];
new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) self.longTasks.push(duration);
}).observe({ type: "longtask", buffered: true });
"""
PATIENCE = 300.0


def until(page: Any, condition: str) -> None:
    end = time.monotonic() + PATIENCE
    while not page.evaluate(condition):
        if time.monotonic() > end:
            sys.exit(f"benchmark: never: {condition}; the page says: {page.locator('#alert').inner_text()}")
        page.wait_for_timeout(100)


def long_tasks(page: Any) -> str:
    """Of the main thread since the last call, over 50 ms, as the browser counts them."""
    found = page.evaluate("self.longTasks.splice(0)")
    return f"{len(found)} tasks over 50 ms" + (f", the longest {max(found):.0f} ms" if found else "")


def frames(page: Any) -> int:
    return int(page.evaluate("Number(document.documentElement.dataset.frames ?? 0)"))


def measure(page: Any, url: str, args: argparse.Namespace) -> None:
    page.add_init_script(OBSERVE)
    start = time.perf_counter()
    page.goto(url)
    page.wait_for_selector("html[data-ready]", timeout=PATIENCE * 1000)
    backend = page.locator("html").get_attribute("data-ready")
    print(f"{backend}; load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"loading: {time.perf_counter() - start:.1f} s; {long_tasks(page)}")
    if args.photo:
        page.set_input_files("#file", args.photo)
        until(page, "document.documentElement.dataset.edited")
        until(page, "document.querySelector('.strip canvas:not(.drawn)') === null")
        print(f"opening {page.locator('#badge').inner_text()}, its edit, all thumbnails: {long_tasks(page)}")
    page.locator("button[data-does=camera]:visible").first.click()
    until(page, "Number(document.documentElement.dataset.frames ?? 0) > 5")
    for size in args.sizes:
        page.get_by_label("Live picture").select_option("" if size == "fine" else size)
        page.wait_for_timeout(2000)
        long_tasks(page)
        before, start = frames(page), time.perf_counter()
        page.wait_for_timeout(args.seconds * 1000)
        rate = (frames(page) - before) / (time.perf_counter() - start)
        print(f"camera, {size}: {rate:.1f} frames per second; {long_tasks(page)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("site", type=Path)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--sizes", nargs="+", default=["128", "192", "fine"], choices=["128", "192", "fine"])
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--webgpu", action="store_true")
    args = parser.parse_args()
    if not (args.site / "index.html").is_file():
        sys.exit(f"benchmark: {args.site} is no site: it has no index.html (e2gan export --format web)")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sys.exit("benchmark: playwright is missing: pip install 'e2gan[dev]'")
    with served(args.site) as address, sync_playwright() as playwright:
        flags = [*CAMERA, *(SWIFTSHADER if args.webgpu else ())]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        measure(browser.new_page(), address, args)
        browser.close()


if __name__ == "__main__":
    main()
