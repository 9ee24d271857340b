"""The wheel and the sdist: what is in them, and that a bare machine edits a photo with nothing but the wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

import e2gan
from e2gan.cli import main
from e2gan.core.images import read_image, resize, write_png
from e2gan.core.outputs import versions
from e2gan.data.builtin_photos import test_pictures as pictures_of_no_training
from e2gan.networks.folders import shipped_adapters
from tests.conftest import ROOT

PARTS = ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "constraints.txt", "src", "web")
PAGE = ROOT / "src" / "e2gan" / "assets" / "web"
OUTSIDE = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
JUNK = (  # what runs that were stopped, tests and tools leave
    "src/e2gan/assets/adapters/mine.partial/config.json",
    "src/e2gan/assets/adapters/mine.lock",
    "src/e2gan/assets/base/model.safetensors.tmp123-0123abcd",
    "src/e2gan/assets/.DS_Store",
    "src/e2gan/core/__pycache__/files.cpython-311.pyc",
    "src/e2gan/core/files.py~",
    "tests/test_left.py",
    "web/node_modules/left/index.js",
    "build/lib/e2gan/left.py",
)


@dataclass(frozen=True)
class Built:
    """The two files, and what is in them by name; the sdist's names without its folder."""

    wheel: Path
    sdist: Path

    def in_wheel(self) -> dict[str, bytes]:
        with zipfile.ZipFile(self.wheel) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def in_sdist(self) -> dict[str, bytes]:
        with tarfile.open(self.sdist) as archive:
            files = [(member.name, archive.extractfile(member)) for member in archive if member.isfile()]
            return {name.partition("/")[2]: file.read() for name, file in files if file is not None}


def build(folder: Path, out: Path, *how: str, path: str | None = None) -> None:
    """As `make dist`. path: where programs are looked for."""
    env = {k: v for k, v in os.environ.items() if k != "PATH"} | {"PATH": os.environ["PATH"] if path is None else path}
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), *how, str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert run.returncode == 0, (run.stdout + run.stderr)[-2000:]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Built once, of a copy with leftovers in it, where several processes share these tests."""
    pytest.importorskip("build", reason="build is missing: pip install 'e2gan[dev]'")
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "distribution"
    with FileLock(f"{root}.lock"):
        if not (root / "dist").exists():
            (root / "tree").mkdir(parents=True)
            for part in PARTS:
                source, target = ROOT / part, root / "tree" / part
                if source.is_dir():
                    leave = shutil.ignore_patterns("node_modules", "__pycache__", "*.egg-info")
                    shutil.copytree(source, target, ignore=leave)
                else:
                    shutil.copy(source, target)
            for name in JUNK:
                (root / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
                (root / "tree" / name).write_text("left over")
            build(root / "tree", root / "dist")
    (wheel,), (sdist,) = (root / "dist").glob("*.whl"), (root / "dist").glob("*.tar.gz")
    return Built(wheel, sdist)


def files_of(folder: str) -> set[str]:
    """What is in the repository below a folder, as git sees it, new files too; the test skips where there is no git."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", folder]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no clone, or git is missing")
    return {name for name in told.splitlines() if (ROOT / name).is_file()}


def page_files() -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in PAGE.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_the_wheel_is_the_package_with_the_page_and_nothing_else(built: Built) -> None:
    found = built.in_wheel()
    about = f"e2gan-{e2gan.__version__}.dist-info/"
    package = {name for name in found if not name.startswith(about)}
    assert package == {name.removeprefix("src/") for name in files_of("src/e2gan") | page_files()}
    for licence in ("LICENSE", *(f"src/e2gan/assets/{name}" for name in ("base/README.md", "squeezenet/LICENSE"))):
        assert found[f"{about}licenses/{licence}"] == (ROOT / licence).read_bytes()
    assert f"Version: {e2gan.__version__}\n" in found[f"{about}METADATA"].decode()
    assert built.wheel.stat().st_size < 60e6  # a package index takes 100


@pytest.mark.slow
def test_the_page_is_in_both_where_it_is_built(built: Built) -> None:
    if not (PAGE / "index.html").exists():
        pytest.skip("the page is not built: make web")
    for name in ("index.html", "sw.js", "licences.txt", "ort/ort-wasm-simd-threaded.wasm.gz"):
        assert f"e2gan/assets/web/{name}" in built.in_wheel()
        assert f"src/e2gan/assets/web/{name}" in built.in_sdist()


@pytest.mark.slow
def test_the_sdist_is_what_the_wheel_is_made_of_and_the_pages_sources(built: Built) -> None:
    found = set(built.in_sdist())
    made = {name for name in found if ".egg-info/" in name or name in ("PKG-INFO", "setup.cfg")}
    named = {part for part in PARTS if (ROOT / part).is_file()}
    assert found - made == files_of("src/e2gan") | page_files() | files_of("web") | named


@pytest.mark.slow
def test_no_path_of_this_machine_is_in_either(built: Built) -> None:
    paths = [str(path).encode() for path in (ROOT, built.wheel.parents[1], sys.prefix)]
    for files in (built.in_wheel(), built.in_sdist()):
        assert not [name for name, data in files.items() if any(path in data for path in paths)]


@pytest.mark.slow
def test_the_sdist_builds_the_same_wheel_without_git_and_node(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    build(folder, tmp_path / "again", "--wheel", path=str(tmp_path / "nowhere"))
    (again,) = (tmp_path / "again").glob("*.whl")
    assert Built(again, built.sdist).in_wheel() == built.in_wheel()


def test_the_version_is_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "e2gan.__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", e2gan.__version__)
    assert versions()["e2gan"] == e2gan.__version__
    assert f"\n## {e2gan.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert (ROOT / "docs" / "releases" / f"{e2gan.__version__}.md").is_file()


def test_what_building_leaves_is_ignored() -> None:
    files_of("src")  # skips without git
    names = ["dist", "build", "src/e2gan.egg-info", "src/e2gan/assets/web"]
    run = subprocess.run(["git", "-C", str(ROOT), "check-ignore", *(f"{name}/x" for name in names)], check=False)
    assert run.returncode == 0


def bare(folder: Path, wheel: Path) -> Path:
    """A fresh environment with the wheel in it, as docs/releasing.md says; its programs' folder. Skips without an
    index."""
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")

    def pip(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(programs / "python"), "-m", "pip", "--disable-pip-version-check", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=OUTSIDE)

    if pip("download", "--no-cache-dir", "--no-deps", "--dest", str(folder / "probe"), "lazy-loader").returncode:
        pytest.skip("no package index can be reached")
    for what in (["torch"], [str(wheel)], None):
        run = pip("check") if what is None else pip("install", *what, "--constraint", str(ROOT / "constraints.txt"))
        assert run.returncode == 0, (run.stdout + run.stderr)[-2000:]
    return programs


@pytest.fixture
def programs(built: Built, tmp_path: Path) -> Iterator[Path]:
    """Those of a fresh environment, which takes more than a gigabyte and is removed."""
    try:
        yield bare(tmp_path / "bare", built.wheel)
    finally:
        shutil.rmtree(tmp_path / "bare", ignore_errors=True)


@pytest.mark.slow
def test_a_bare_machine_edits_a_photo_with_the_wheel_alone(programs: Path, tmp_path: Path) -> None:
    """Two to four minutes: it installs PyTorch."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run(program: str, *arguments: str) -> str:
        command = [str(programs / program), *arguments]
        answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=elsewhere, env=OUTSIDE)
        assert answer.returncode == 0, answer.stderr[-2000:]
        return answer.stdout

    assert run("e2gan", "--version") == f"e2gan {e2gan.__version__}\n"
    where = "import e2gan, e2gan.networks.folders as f; print(e2gan.__file__, f.ASSETS, len(f.shipped_adapters()))"
    package, assets, count = run("python", "-c", where).split()
    assert all(Path(path).is_relative_to(tmp_path / "bare") for path in (package, assets))
    assert int(count) == len(shipped_adapters())

    photo = resize(next(iter(pictures_of_no_training().values())), (128, 192))
    write_png(elsewhere / "photo.png", photo)
    command = ["edit", "photo.png", "--adapter", "golden", "--side", "128", "--runtime", "pytorch", "--out"]
    run("e2gan", *command, "edit.png")
    assert main([command[0], str(elsewhere / "photo.png"), *command[2:], str(tmp_path / "here.png")]) == 0
    edit, here = (read_image(path).astype(float) for path in (elsewhere / "edit.png", tmp_path / "here.png"))
    assert np.abs(edit - here).mean() < 1
    assert np.abs(edit - photo).mean() > 5
    assert f"e2gan {e2gan.__version__}".encode() in (elsewhere / "edit.png").read_bytes()
    if (PAGE / "index.html").exists():
        run("python", "-c", "from e2gan.export.web import page_folder; assert (page_folder() / 'sw.js').is_file()")
