"""Lists of concepts: what they mean, that mistakes are told with their place, and the list that ships."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from e2gan.core.errors import InputError
from e2gan.pairs.concept_lists import ConceptRow, read_concepts, shipped_lists
from e2gan.teachers.filters.filters import FILTERS, find

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str | bytes, name: str = "list.toml") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def refusal(path: Path) -> str:
    """The message about a file, without its folder."""
    with pytest.raises(InputError) as refused:
        read_concepts(path)
    message = str(refused.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message.removeprefix(f"{path.parent}/")


def test_toml_with_defaults(write: Write) -> None:
    path = write("""
        [defaults]
        teacher = ["sd-img2img", "command:python edit.py {input} {output}"]
        source = "a landscape"
        settings = { strength = 0.6, steps = 20 }

        [[concept]]
        prompt = "make it   autumn "

        [[concept]]
        name = "van_gogh-2"
        prompt = "as a van Gogh painting"
        source = "a street"
        teacher = "instruct-pix2pix"
        settings = { steps = 50, scheduler = "ddim", eta = [0, 1.5], tiled = true }

        [[concept]]
        prompt = "make it dusk"
        teacher = []
    """)
    both = ("sd-img2img", "command:python edit.py {input} {output}")
    rows, common = read_concepts(path), {"strength": 0.6, "steps": 20}
    assert rows == [
        ConceptRow("make-it-autumn", "make it autumn", "a landscape", both, common, frozenset(common)),
        ConceptRow(
            "van_gogh-2",
            "as a van Gogh painting",
            "a street",
            ("instruct-pix2pix",),
            {"strength": 0.6, "steps": 50, "scheduler": "ddim", "eta": [0, 1.5], "tiled": True},
            frozenset({"strength"}),
        ),
        ConceptRow("make-it-dusk", "make it dusk", "a landscape", (), common, frozenset(common)),
    ]
    # What a filter or a program cannot take of the defaults passes it by; what is its own does not.
    assert rows[0].settings_of(["filters"]) == {}
    assert rows[0].settings_of(both) == common
    assert rows[1].settings_of(["filters"]).keys() == {"steps", "scheduler", "eta", "tiled"}


def test_the_list_of_the_built_in_filters_is_theirs() -> None:
    rows = read_concepts(shipped_lists()["filters"])
    assert rows == [ConceptRow(f.name, f.prompt, None, (f"filters:{f.name}",)) for f in FILTERS.values()]
    assert all(find(row.teachers[0].removeprefix("filters:")).prompt == row.prompt for row in rows)


@pytest.mark.parametrize("name", sorted(shipped_lists()))
def test_all_lists_that_ship_are_right(name: str) -> None:
    assert read_concepts(shipped_lists()[name])


ONE = '[[concept]]\nprompt = "make it autumn"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "list.toml: lists no concepts"),
        ("prompt = 1 2", "list.toml: is not TOML: .*line 1"),
        ('concepts = "x"', "list.toml: unknown key 'concepts'; there are concept, defaults"),
        ('[concept]\nprompt = "x"', r"concept must be a list of tables: \[\[concept\]\]"),
        ("concept = [1]", "concept must be a list of tables"),
        (ONE + "defaults = 1", "concept 1: unknown key 'defaults'"),
        ("defaults = 1\n" + ONE, "defaults must be a table"),
        (
            '[defaults]\nprompt = "x"\n' + ONE,
            r"list.toml, \[defaults\]: unknown key 'prompt'; there are source, teacher",
        ),
        ("[defaults]\nteacher = 1\n" + ONE, r"list.toml, \[defaults\]: teacher must be a text or a list"),
        (
            ONE + '[[concept]]\nprompt = "x"\nteachers = "y"',
            "list.toml, concept 2: unknown key 'teachers'; there are name",
        ),
        ("[[concept]]\nname = 'x'", "concept 1: has no prompt"),
        ("[[concept]]\nprompt = ' '", "concept 1: the prompt is empty"),
        ("[[concept]]\nprompt = 3", "concept 1: prompt must be a text"),
        (ONE + "name = 3", "concept 1: name must be a text"),
        (ONE + "name = 'Van Gogh'", "concept 1: the name 'Van Gogh' must .*: write it as 'van-gogh'"),
        (ONE + "name = '../x'", "write it as 'x'"),
        (ONE + "name = ''", "the name '' must .*, or left out"),
        (ONE + f"name = '{'x' * 65}'", "at most 64 characters"),
        (ONE + "source = ''", "concept 1: the source is empty"),
        (ONE + "teacher = ['a', ' ']", "concept 1: a teacher's name is empty"),
        (ONE + "teacher = ['a', 'a']", "concept 1: a teacher is named twice: a, a"),
        (ONE + "teacher = ['a', 1]", "teacher must be a text or a list of texts"),
        (ONE + "settings = 'a=1'", "concept 1: settings must be a table"),
        (ONE + "settings = { a = 1979-05-27 }", "concept 1: settings.a must be true, false"),
        (ONE + "settings = { a = nan }", "concept 1: settings.a must be true, false, a finite number"),
        (ONE + "settings = { 'a b' = 1 }", "concept 1: settings: 'a b' is no name"),
        (ONE + ONE, "concept 2: the name 'make-it-autumn' is that of concept 1 too: give one"),
        (
            ONE + '[[concept]]\nname = "a"\nprompt = "Make it  AUTUMN"',
            "concept 2: the prompt 'Make it AUTUMN' is that of",
        ),
        (ONE + '[[concept]]\nname = "make-it-autumn"\nprompt = "x"', "concept 2: the name 'make-it-autumn' is that of"),
    ],
)
def test_mistakes_in_toml_are_told_with_their_place(text: str, message: str, write: Write) -> None:
    assert re.search(message, refusal(write(text)))


def test_another_encoding_is_told_with_the_line(write: Write) -> None:
    assert "line 2: is not UTF-8" in refusal(write("prompt\nmake it größer\n".encode("latin-1")))
    assert "line 1: is not UTF-8" in refusal(write("prompt\n".encode("utf-16")))


def test_files_that_are_no_list(tmp_path: Path, write: Write) -> None:
    assert "there is no such file (lists that are built in: filters" in refusal(tmp_path / "absent.toml")
    assert "a list of concepts is a .toml file" in refusal(write("{}", "list.json"))
    (tmp_path / "folder.toml").mkdir()
    assert "cannot be read: Is a directory" in refusal(tmp_path / "folder.toml")
