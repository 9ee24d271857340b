"""Every file that is read has a form, and what strangers' models bring along is never run: walked in the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import e2gan
from e2gan.config import export_schemas, schemas

ROOT = Path(e2gan.__file__).parent
READERS = ("read_json", "read_jsonl", "read_begun", "read_toml", "parse_json")
# What may be of any form, and why.
WITHOUT_FORM = {
    "core/outputs.py": "the stage tells the form",
    "core/reruns.py": "a file that may be of any program",
    "core/originals.py": "a file that may be of any program",
    "research/verify.py": "a file that may be of any program",
    "teachers/settings.py": "a value that the user typed",
}
# Where a library's own reader is called, and what of.
OWN_READERS = {
    "core/files.py": {"json.loads", "tomllib.loads"},
    "core/tensors.py": {"json.loads"},  # the header that a library has just made
    "core/group.py": {"json.loads"},  # what the first process of a training tells the others
    "features/converted.py": {"torch.load"},
    "sweeps/sweep.py": {"json.loads"},  # what its own tasks answer
    "sweeps/tasks.py": {"json.loads"},  # what its own driver orders
    "export/coreml.py": {"json.loads"},
    "export/litert.py": {"json.loads"},
    "features/embeddings.py": {"np.load"},
}
# Loaders that know no such argument, since they run no code.
WITHOUT_REMOTE_CODE = {"ControlNetModel"}


def calls() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                yield path.relative_to(ROOT).as_posix(), node


def forms_read() -> dict[str, set[str]]:
    """The forms that are named where a file is read → the modules."""
    found: dict[str, set[str]] = {}
    for file, call in calls():
        name = ast.unparse(call.func)
        if name in READERS and file not in ("core/files.py", "core/tensors.py"):
            assert len(call.args) > 1, f"{file}:{call.lineno}: {name} names no form"
            found.setdefault(ast.unparse(call.args[1]), set()).add(file)
        elif name in ("check_form", "fits", "read_settings") and not file.startswith("core/") and len(call.args) > 1:
            found.setdefault(ast.unparse(call.args[1]), set()).add(file)
    return found


def test_every_file_that_is_read_has_a_form_which_stands_in_one_place() -> None:
    for form, files in forms_read().items():
        if form == "Any":
            assert files <= WITHOUT_FORM.keys()
        elif form != "StageConfig":
            place = export_schemas if all(file.startswith("export/") for file in files) else schemas
            assert hasattr(place, form), f"{form}, which {files} read, is not in {place.__name__}"


def test_no_module_has_a_reader_of_its_own() -> None:
    own: dict[str, set[str]] = {}
    for file, call in calls():
        name = ast.unparse(call.func)
        if name in ("json.load", "json.loads", "tomllib.load", "tomllib.loads", "torch.load", "np.load", "pickle.load"):
            own.setdefault(file, set()).add(name)
    assert own == OWN_READERS
    for _, call in calls():
        if ast.unparse(call.func) == "torch.load":
            assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in call.keywords)
        if ast.unparse(call.func) == "np.load":
            assert any(k.arg == "allow_pickle" and ast.unparse(k.value) == "False" for k in call.keywords)


def test_every_pretrained_model_is_loaded_without_code_of_its_own() -> None:
    """Each from_pretrained is called, or handed to what calls it, with trust_remote_code=False beside it."""
    count = 0
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        told: set[ast.AST] = set()
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            values = [ast.unparse(k.value) for k in call.keywords if k.arg == "trust_remote_code"]
            assert values in ([], ["False"]), f"{path}:{call.lineno}"
            if values:
                told |= {call.func, *call.args}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == "from_pretrained":
                count += 1
                kind = ast.unparse(node.value).rpartition(".")[2]
                assert node in told or kind in WITHOUT_REMOTE_CODE, f"{path}:{node.lineno} says nothing of its code"
    assert count > 5  # the walk found them
