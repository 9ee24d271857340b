"""The rooms of the house: no import circle, none that looks up; and each module has its tests in a file of its name."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import e2gan

ROOT = Path(e2gan.__file__).parent
# Low to high: a room imports from those before it.
ROOMS = ("core", "config", "data", "features", "networks", "sharing", "teachers", "pairs", "choose", "editing")
ROOMS += ("train", "measure", "export", "app", "sweeps", "research", "demo", "cli")
TESTS = Path(__file__).parent
WITHOUT_TESTS = {
    "core/errors": "an exception without code of its own",
    "pairs/outcome": "what a run came to, without code of its own",
}
OF_MORE_THAN_A_MODULE = {
    "teachers/diffusion/test_editors.py": "the presets of today.toml, each from its name to its edit"
}


def imports() -> dict[str, set[str]]:
    """Module → the modules of this package that it imports, inside functions too; the package's own face left out."""
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in ROOT.rglob("*.py")}
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items() if name not in ("__init__",)}
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for name, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("e2gan"):
                package = (node.module or "").removeprefix("e2gan").lstrip(".")
                for alias in node.names:
                    module = f"{package}.{alias.name}".lstrip(".")
                    graph[name].add(module if module in modules else package)
        graph[name] -= {name, ""}
    return graph


def test_no_module_imports_itself_through_others() -> None:
    TopologicalSorter(imports()).prepare()  # raises CycleError, which names the circle


def test_no_room_imports_from_one_above_it() -> None:
    up = [
        f"{name} imports {module}"
        for name, modules in imports().items()
        for module in modules
        if name != "__main__" and ROOMS.index(name.split(".")[0]) < ROOMS.index(module.split(".")[0])
    ]
    assert not up


def test_every_module_has_a_docstring_and_room_to_breathe() -> None:
    for path in ROOT.rglob("*.py"):
        text = path.read_text("utf-8")
        assert ast.get_docstring(ast.parse(text)), path
        assert text.count("\n") <= 430, f"{path} has outgrown its room"


def has_code(path: Path) -> bool:
    return any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in ast.parse(path.read_text("utf-8")).body)


def test_every_module_has_its_test_file_and_every_test_file_its_module() -> None:
    """src/e2gan/X/y.py and tests/X/test_y.py; a package's own code is tested in test_init.py."""
    modules = {path.relative_to(ROOT).with_suffix("").as_posix() for path in ROOT.rglob("*.py") if has_code(path)}
    assert modules >= WITHOUT_TESTS.keys()
    wanted = {name.replace("__init__", "init").rpartition("/")[::2] for name in modules - WITHOUT_TESTS.keys()}
    files = {f"{folder}/test_{name}.py".lstrip("/") for folder, name in wanted}
    there = {path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")}
    assert not sorted(files - there)
    of_rooms = {file for file in there if file.split("/")[0] in ROOMS}
    assert not sorted(of_rooms - files - OF_MORE_THAN_A_MODULE.keys())


def test_the_page_on_the_architecture_is_true() -> None:
    """Where it says a new part goes, that name is; and every module of a room is named there."""
    page = (ROOT.parents[1] / "docs" / "architecture.md").read_text("utf-8")
    for name, file in re.findall(r"`([A-Z_]{4,})` (?:in|of) `([\w/.]+\.py)`", page):
        assert re.search(rf"^{name}\b", (ROOT / file).read_text("utf-8"), re.MULTILINE), f"{file} has no {name}"
    unnamed = [
        path.relative_to(ROOT).as_posix()
        for path in ROOT.glob("*/*.py")
        if path.name != "__init__.py" and not re.search(rf"\b{path.name}", page)
    ]
    assert not unnamed
