"""Lists of concepts: what they mean, that mistakes are told with their place, and the lists that ship."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from e2gan.core.errors import InputError
from e2gan.pairs.concept_lists import ConceptRow, read_list, shipped_lists
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
        read_list(path)
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
    rows, common = read_list(path).concepts, {"strength": 0.6, "steps": 20}
    assert rows == [
        ConceptRow("make-it-autumn", "make it autumn", "a landscape", both, common, frozenset(common)),
        ConceptRow(
            "van_gogh-2",
            "as a van Gogh painting",
            "a street",
            ("instruct-pix2pix",),
            {"strength": 0.6, "steps": 50, "scheduler": "ddim", "eta": [0, 1.5], "tiled": True},
            frozenset({"strength"}),
            own_teachers=True,
        ),
        ConceptRow("make-it-dusk", "make it dusk", "a landscape", (), common, frozenset(common)),
    ]
    # What a filter or a program cannot take of the defaults passes it by; what is its own does not.
    assert rows[0].settings_of(["filters"]) == {}
    assert rows[0].settings_of(both) == common
    assert rows[1].settings_of(["filters"]).keys() == {"steps", "scheduler", "eta", "tiled"}


def test_the_list_of_the_built_in_filters_is_theirs() -> None:
    rows = read_list("filters").concepts
    assert rows == [
        ConceptRow(f.name, f.prompt, None, (f"filters:{f.name}",), own_teachers=True) for f in FILTERS.values()
    ]
    assert all(find(row.teachers[0].removeprefix("filters:")).prompt == row.prompt for row in rows)


def prompts(name: str) -> list[str]:
    return [row.prompt for row in read_list(name).concepts]


def test_the_papers_faces_are_those_of_its_text(shared: Path) -> None:
    """B.3 names three lists in one paragraph."""
    text = (shared / "paper" / "e2gan-icml2024.txt").read_text("utf-8")
    for name, count, pattern in (
        ("random", 20, r"random concepts in Tab\. 4 include (.*?)\. The 30 evaluation"),
        ("evaluation", 30, r"evaluation concepts in Tab\. 3 include: (.*?)\. The concepts selected"),
        ("base", 24, r"described in Sec\. 4\.2\.1 include (.*?)\. For the FFHQ"),
    ):
        found = re.search(pattern, text)
        assert found is not None
        assert prompts(f"paper-faces-{name}") == found[1].split(", ")
        assert len(prompts(f"paper-faces-{name}")) == count


def test_the_papers_scenes_and_animals_are_those_of_its_tables(shared: Path) -> None:
    text = (shared / "paper" / "e2gan-icml2024.txt").read_text("utf-8")
    lines = text.splitlines()
    tables = {line.split("\t")[0] for line in lines if re.search(r"\t\d+\.\d+", line)}  # the rows with numbers
    scenes, animals = prompts("paper-scenes-evaluation"), prompts("paper-afhq-evaluation")
    assert tables >= {*scenes, *animals}
    assert (len(scenes), len(animals)) == (8, 5)
    assert scenes == ["Forest in the dark", "Impressionism painting", "Forest in the autumn", "Vangogh style"] + [
        "Add blossoms", "Forest in the winter", "Oil painting", "Forest in the spring",
    ]  # fmt: skip
    three = re.search(r"three concepts including (.*), (.*), and (.*?)\.", text)
    assert three is not None
    assert prompts("paper-afhq-base") == list(three.groups())
    assert prompts("paper-scenes-fig2") == ["Forest in the autumn", "forest in the dusk"]
    assert prompts("paper-scenes-fig2")[1] in text
    assert not {p.casefold() for p in prompts("scenes-base")} & {p.casefold() for p in prompts("paper-scenes")}
    assert len(prompts("scenes-base")) == 10


def test_the_papers_unions_have_each_concept_once_and_tell_what_overlaps() -> None:
    parts = {part: prompts(f"paper-faces-{part}") for part in ("base", "random", "evaluation")}
    faces = read_list("paper-faces")
    named = [row.prompt for row in faces.concepts]
    assert len(named) == len(set(named)) == 69
    assert set(named) == {prompt for part in parts.values() for prompt in part}
    (twice,) = set(parts["base"]) & set(parts["evaluation"])
    of_random = set(parts["base"]) & set(parts["random"])
    assert all(prompt in faces.about[0] for prompt in {twice} | of_random)
    assert faces.about[1].startswith("paper-faces-base: B.3 lists 24 concepts")
    assert prompts("paper-scenes") == [*prompts("paper-scenes-evaluation"), "forest in the dusk"]
    assert prompts("paper-afhq") == prompts("paper-afhq-base") + prompts("paper-afhq-evaluation")


@pytest.mark.parametrize("name", sorted(name for name in shipped_lists() if name != "filters"))
def test_the_papers_lists_are_taught_by_its_five_teachers(name: str) -> None:
    from e2gan.teachers.diffusion.presets import load_presets

    for row in read_list(name).concepts:
        assert (len(row.teachers), row.own_teachers) == (5, False)
        assert set(row.teachers) <= load_presets().keys()
        assert row.source in ("a photo of a person", "a photo of a landscape", "a photo of a cat")


ONE = '[[concept]]\nprompt = "make it autumn"\n'


def test_lists_include_others(write: Write) -> None:
    """Shipped ones and files beside it; what two of them include counts once, and what each says is told once."""
    write('about = "Common  to both."\n' + ONE, "common.toml")
    write('include = ["common.toml"]\n[defaults]\nsource = "a street"\n[[concept]]\nprompt = "in rain"', "b.toml")
    write('about = "Also b\'s."\ninclude = ["common.toml"]\n[[concept]]\nprompt = "Make it Autumn"', "c.toml")
    path = write('include = ["c.toml", "b.toml", "filters"]\n[[concept]]\nprompt = "a cat"\n')
    with pytest.raises(InputError, match=r"filters.toml, concept 1: the prompt 'make it autumn' is that of"):
        read_list(path)
    path = write('about = "Mine."\ninclude = ["c.toml", "b.toml"]\n[[concept]]\nprompt = "a cat"\n')
    merged = read_list(path)
    assert [(row.name, row.prompt, row.source) for row in merged.concepts] == [
        ("make-it-autumn", "make it autumn", None),
        ("in-rain", "in rain", "a street"),
        ("a-cat", "a cat", None),
    ]
    assert merged.about == ["list: Mine.", "c: Also b's.", "common: Common to both."]
    assert len(read_list(write('include = ["paper-afhq-base", "paper-afhq"]')).concepts) == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('include = "other.toml"', "list.toml: include must be a list of names"),
        ("include = [1]", "list.toml: include must be a list of names"),
        ('include = ["nothing"]', "list.toml: include: no list 'nothing' ships; there are filters, paper-afhq"),
        ('include = ["absent.toml"]', "absent.toml: there is no such file"),
        ('include = ["list.toml"]', "list.toml: lists that include each other in a circle: list.toml → list.toml"),
        ('include = ["back.toml"]', "list.toml: .*: list.toml → back.toml → list.toml"),
        ('include = ["other.toml"]\nabout = 3', "list.toml: about must be a text"),
        ('include = ["other.toml"]\nabout = " "', "list.toml: about must be a text"),
        (
            'include = ["other.toml"]\n' + ONE + 'source = "a street"',
            "list.toml, concept 1: the concept 'make-it-autumn' is that of .*other.toml, concept 1 too, with another",
        ),
        (
            'include = ["other.toml"]\n[[concept]]\nname = "make-it-autumn"\nprompt = "x"',
            "list.toml, concept 1: the name 'make-it-autumn' is that of .*other.toml, concept 1 too: give one",
        ),
        (
            'include = ["other.toml"]\n' + ONE + 'name = "x"',
            "list.toml, concept 1: the prompt 'make it autumn' is that of .*other.toml, concept 1 too",
        ),
    ],
)
def test_mistakes_in_what_is_included_are_told(text: str, message: str, write: Write) -> None:
    write(ONE, "other.toml")
    write('include = ["list.toml"]', "back.toml")
    with pytest.raises(InputError, match=message):
        read_list(write(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "list.toml: lists no concepts"),
        ("prompt = 1 2", "list.toml: is not TOML: .*line 1"),
        ('concepts = "x"', "list.toml: unknown key 'concepts'; there are about, include, defaults, concept"),
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
        (ONE + "sided = 1", "concept 1: sided must be true or false"),
        (ONE + "teacher = ['a', ' ']", "concept 1: a teacher's name is empty"),
        (ONE + "teacher = ['a', 'a']", "concept 1: a teacher is named twice: a, a"),
        (ONE + "teacher = ['a', 1]", "teacher must be a text or a list of texts"),
        (ONE + "settings = 'a=1'", "concept 1: settings must be a table"),
        (ONE + "settings = { a = 1979-05-27 }", "concept 1: settings.a must be true, false"),
        (ONE + "settings = { a = nan }", "concept 1: settings.a must be true, false, a finite number"),
        (ONE + "settings = { 'a b' = 1 }", "concept 1: settings: 'a b' is no name"),
        (ONE + ONE, "concept 2: the concept 'make-it-autumn' is that of concept 1 too$"),
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
    assert "is no file" in refusal(tmp_path / "folder.toml")


def test_a_list_says_of_a_concept_or_of_all_that_the_edit_has_a_side(write: Write) -> None:
    two = '[[concept]]\nprompt = "lit from the left"\nsided = true\n[[concept]]\nprompt = "in rain"\n'
    assert [row.sided for row in read_list(write(two)).concepts] == [True, False]
    assert [row.sided for row in read_list(write("[defaults]\nsided = true\n" + two)).concepts] == [True, True]
