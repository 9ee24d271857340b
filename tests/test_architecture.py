"""The rooms of the house: no import circle, and none that looks up."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import e2gan

ROOT = Path(e2gan.__file__).parent
# Low to high: a room imports from those before it.
ROOMS = ("core", "config", "data", "features", "networks", "teachers", "pairs", "choose", "train", "editing")
ROOMS += ("measure", "export", "research", "demo", "cli")


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
