"""Every command that takes pictures: two of one stem never meet in one output, and colour profiles are honoured.

A new command has to say in `WAYS` how pictures go through it, or in `NO_PICTURES` that none of a stranger's do. A new
place in the code that names a file by a stem or a text, or that opens an image, has to be listed with its reason.
"""

from __future__ import annotations

import ast
import shutil
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from e2gan import (
    ConceptsConfig,
    EditConfig,
    ExportConfig,
    PairsConfig,
    PhotosConfig,
    PhotoSet,
    RanksConfig,
    SelectConfig,
    choose_concepts,
    edit,
    find_ranks,
    make_pairs,
    prepare_photos,
    select_photos,
)
from e2gan.cli import COMMANDS
from e2gan.core.images import Pixels, read_image
from e2gan.core.names import file_key
from e2gan.core.originals import list_images
from e2gan.data.pair_set import PairSet
from e2gan.export.photographs import Photographs
from e2gan.pairs.import_pairs import PHOTOS
from e2gan.teachers.command import _read_edits
from tests.conftest import Project, refused
from tests.core.profiles import WIDE, as_in, save, smooth

ROOT = Path(__file__).resolve().parents[1]
SIZE = 32
Way = Callable[[Path, Path], Sequence[Pixels]]  # a folder of pictures, where to write → what was made of each


def by_photos(pictures: Path, out: Path) -> Sequence[Pixels]:
    prepare_photos(PhotosConfig(folder=pictures, out=out, size=SIZE))
    return list(PhotoSet.load(out).array())


def both(out: Path) -> Sequence[Pixels]:
    """The edits of a pair set, each of which is its own photo."""
    pairs = PairSet.load(out)
    for row in pairs.rows:
        photo = read_image(out / PHOTOS / pairs.photos.by_id(row["photo"]).file)
        assert np.abs(photo.astype(int) - read_image(out / row["file_name"])).mean() < 2
    return [read_image(out / row["file_name"]) for row in pairs.rows]


def by_before_and_after(pictures: Path, out: Path) -> Sequence[Pixels]:
    make_pairs(PairsConfig(before=pictures, after=pictures, concept="x", size=SIZE, out=out))
    return both(out)


def by_aligned(pictures: Path, out: Path) -> Sequence[Pixels]:
    make_pairs(PairsConfig(aligned=pictures, concept="x", size=SIZE, out=out))
    return list(PairSet.load(out).photos.array())


def by_unaligned(pictures: Path, out: Path) -> Sequence[Pixels]:
    root = out.with_name(f"{out.name}-unaligned")
    for name in ("trainA", "trainB"):
        shutil.copytree(pictures, root / name)
    make_pairs(PairsConfig(unaligned=root, concept="x", size=SIZE, out=out))
    rows = PairSet.load(out).rows
    assert len(rows) == len(list_images(pictures))
    return [read_image(out / row["file_name"]) for row in rows]


def by_unpaired(pictures: Path, out: Path) -> Sequence[Pixels]:
    make_pairs(PairsConfig(before=pictures, after=pictures, unpaired=True, concept="x", size=SIZE, out=out))
    return [read_image(out / row["file_name"]) for row in PairSet.load(out).rows]


def by_edit(pictures: Path, out: Path) -> Sequence[Pixels]:
    edit(EditConfig(input=(pictures,), adapter=(Path("winter"),), strength=0.0, out=out, device="cpu"))
    return [read_image(path) for path in list_images(out)]


def by_export(pictures: Path, out: Path) -> Sequence[Pixels]:  # noqa: ARG001 (it writes none of them)
    return list(Photographs.of(ExportConfig(model=pictures, photos=pictures, out=pictures)).checked.values())


WAYS: dict[str, list[Way]] = {
    "photos": [by_photos],
    "pairs": [by_before_and_after, by_aligned, by_unaligned, by_unpaired],
    "edit": [by_edit],
    "export": [by_export],
}
NO_PICTURES = {
    "demo": "the built-in photos, which have names of their own",
    **dict.fromkeys(("select", "choose", "concepts"), "folders that this program wrote"),
    **dict.fromkeys(("base", "adapt", "scratch", "evaluate"), "folders that this program wrote"),
    **dict.fromkeys(("ranks", "crucial", "table"), "pair sets of distinct names (load_sets)"),
    "nearest": "folders that this program wrote",
    "sweep": "folders that this program wrote",
    "reproduce": "photo sets, and concepts of distinct names",
    **dict.fromkeys(("cost", "plan"), "no picture at all"),
    **dict.fromkeys(("push", "verify"), "folders that this program wrote"),
    "app": "one picture at a time, which has no name",
}
CLASHING = ["a.png", "a.bmp", "a.tif", "a-bmp.png", "A.PNG", "b/a.png", "B/a.png", "b.png", "\u00e9.png", "e\u0301.png"]


def test_every_command_is_known_here() -> None:
    assert COMMANDS.keys() <= WAYS.keys() | NO_PICTURES.keys()


@pytest.mark.parametrize("way", [way for ways in WAYS.values() for way in ways if way is not by_export])
def test_pictures_of_one_stem_do_not_meet(way: Way, tmp_path: Path) -> None:
    pictures = [smooth(64, 128, seed=i) for i in range(len(CLASHING))]
    for name, picture in zip(CLASHING, pictures, strict=True):
        save(tmp_path / "in" / name, picture)
    if len(list_images(tmp_path / "in")) < len(CLASHING):
        pytest.skip("this disk takes some of these names for one")
    made = way(tmp_path / "in", tmp_path / "out")
    assert len(made) == len(CLASHING)
    assert len({image.tobytes() for image in made}) == len(CLASHING)
    files = [path.relative_to(tmp_path / "out") for path in list_images(tmp_path / "out")]
    assert len({file_key(path) for path in files}) == len(files)
    assert len({unicodedata.normalize("NFC", str(path)).upper() for path in files}) == len(files)


@pytest.mark.parametrize("way", [way for ways in WAYS.values() for way in ways])
def test_a_wide_picture_is_the_same_as_in_srgb(way: Way, tmp_path: Path) -> None:
    suffixes = [".png", ".jpg", ".tif", ".webp"]
    for i in range(8):
        icc, photo = list(WIDE.values())[i % len(WIDE)], smooth(64, 128, seed=i)
        name, options = f"{i}{suffixes[i % 4]}", {"quality": 98, "lossless": True} if i % 4 == 3 else {"quality": 98}
        save(tmp_path / "wide" / name, as_in(icc, photo), icc_profile=icc, **options)
        save(tmp_path / "plain" / name, photo, **options)
    wide, plain = (way(tmp_path / kind, tmp_path / "out" / kind) for kind in ("wide", "plain"))
    assert len(wide) == len(plain) == 8
    for image in wide:
        nearest = min(np.abs(image.astype(int) - other).mean() for other in plain)
        assert nearest < 2.5


def test_a_teachers_program_may_write_any_profile(tmp_path: Path) -> None:
    photo = smooth(64, 64)
    save(tmp_path / "0000.png", as_in(WIDE["adobe"], photo), icc_profile=WIDE["adobe"])
    (found,) = _read_edits(tmp_path, 1, again=False)
    assert isinstance(found, np.ndarray)
    assert np.abs(found.astype(int) - photo).mean() < 1


# ------------------------------------------------------------------------------------------------- what the source says

READERS = {
    "core/picture_kinds.py:open_picture": "the one reader",
    "pairs/candidates.py:CandidateFolder._records": "the text inside a PNG of ours, no pixels",
    "benchmarks/duplicates.py:recompressed": "a JPEG that it has just made in memory",
    "recipes/recording.py:Film.shot": "a picture of the page that it has just made in memory",
}
OPENERS = {"imread", "decode_image", "read_file", "decode_jpeg", "decode_png", "imdecode", "frombytes", "frombuffer"}

OF_TEXTS = "names of concepts, pair sets or models, which are refused where two have one slug"
NAMED = {
    "core/names.py:output_names": "the function that names outputs",
    "research/tables/costs.py:_of_steps": "a method of a fixed list",
    "core/originals.py:_suffix": "whether a name is that of an image",
    "data/photos.py:_once": "make_id: with the start of the file's hash, and no name twice",
    "benchmarks/held_out.py:squares": "make_id",
    "recipes/base.py:crops": "make_id",
    "recipes/base.py:make": "the count in the name of a selection that it wrote",
    "choose/concepts.py:_sheets": "pictures beside concepts.json, which check_beside looks at",
    "choose/photos.py:select_photos": "a picture beside selection.json, which check_beside looks at",
    "editing/video.py:playable_of": "a file beside OUT, which edit_video looks at",
    "editing/video.py:check_out": "that no OUT has such a name",
    "research/ranks.py:plot_of": "a picture beside ranks.json, which check_beside looks at",
    "pairs/candidates.py:CandidateFolder.has_edit": "a teacher's name, which is read",
    "pairs/candidates.py:CandidateFolder.missing": "a teacher's name, which is read",
    "pairs/candidates.py:CandidateFolder.write": "teachers whose files would have one name are refused (make.py)",
    "pairs/make.py:_edit_photos": "that refusal",
    "pairs/build_set.py:_write_images": "a photo's id, read",
    "pairs/import_pairs.py:_matched": "in a message",
    "pairs/import_pairs.py:_partners": "names are compared; what is ambiguous is left out, and told",
    "pairs/concept_lists.py:_row": OF_TEXTS,
    "pairs/concept_lists.py:_rows": OF_TEXTS,
    "pairs/concept_lists.py:shipped_lists": "the package's own lists",
    "export/format.py:bytes_of": "a file that it wrote, and its second one beside it",
    "recipes/styles.py:style_prompts": "the networks of one folder, read",
    "teachers/command.py:_read_edits": "numbers that this program gave",
    "measure/nearest.py:_command": "a name that a command is told with, and written by nobody here",
    "research/comparison.py:Comparison.result": OF_TEXTS,
    "research/comparison.py:Comparison.run": OF_TEXTS,
    "research/comparison.py:load_sets": "that refusal",
    "research/tables/models.py:_embedding_name": "with the hash of its path",
    "export/effects.py:effect_names": "adapters of one name are refused",
    "export/effects.py:write_effect": "that refusal",
    "export/branches.py:identifier": "functions of one name are refused",
    "benchmarks/base.py:plan_bases": OF_TEXTS,
    "benchmarks/curve.py:jobs_of": OF_TEXTS,
    "benchmarks/curve.py:run": OF_TEXTS,
    "benchmarks/edit_sizes.py:run": "two of one name are refused",
    "benchmarks/place.py:jobs_of": OF_TEXTS,
    "benchmarks/place.py:run": OF_TEXTS,
    "benchmarks/variants.py:jobs_of": OF_TEXTS,
    "benchmarks/variants.py:sheets": OF_TEXTS,
    "benchmarks/quality.py:draw": OF_TEXTS,
    "benchmarks/quality_jobs.py:Base.load": "two bases of one name are refused",
    "benchmarks/quality_jobs.py:of_elsewhere": OF_TEXTS,
    "benchmarks/quality_jobs.py:place": OF_TEXTS,
    "benchmarks/quality_jobs.py:recipe_jobs": OF_TEXTS,
}


def functions(path: Path) -> Iterator[tuple[str, ast.AST]]:
    """Each function and method of a module by its qualified name, and the module's own statements."""

    def walk(body: list[ast.stmt], before: str) -> Iterator[tuple[str, ast.AST]]:
        for node in body:
            if isinstance(node, ast.ClassDef):
                yield from walk(node.body, f"{before}{node.name}.")
            else:
                name = node.name if isinstance(node, ast.FunctionDef) else "(module)"
                yield f"{before}{name}", node

    yield from walk(ast.parse(path.read_text("utf-8")).body, "")


def found(uses: Callable[[ast.AST], bool], *folders: str) -> set[str]:
    """The functions in which such a node occurs, as FILE:FUNCTION; of the package from its own root."""
    seen = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            place = path.relative_to(ROOT).as_posix().removeprefix("src/e2gan/")
            for name, node in functions(path):
                if any(uses(child) for child in ast.walk(node)):
                    seen.add(f"{place}:{name}")
    return seen


def opens_an_image(node: ast.AST) -> bool:
    if not isinstance(node, ast.Attribute):
        return False
    of_image = isinstance(node.value, ast.Name) and node.value.id in ("Image", "PIL", "ImageFile")
    return (node.attr in OPENERS and (of_image or node.attr.startswith(("im", "decode_i", "read_file")))) or (
        node.attr == "open" and of_image
    )  # fmt: skip


def test_images_are_opened_by_one_reader() -> None:
    assert found(opens_an_image, "src/e2gan", "benchmarks", "recipes") == READERS.keys()


def names_a_file(node: ast.AST) -> bool:
    """A file's name without its ending, or with another, or made of a text."""
    if isinstance(node, ast.Attribute):
        return node.attr in ("stem", "with_suffix", "with_stem", "splitext")
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("slug", "file_name")


def test_what_is_named_by_a_stem_or_a_text_meets_no_other() -> None:
    """Where this fails: name outputs by `output_names`, or say in NAMED why no two inputs can meet."""
    places = found(names_a_file, "src/e2gan", "benchmarks", "recipes")
    assert not places - NAMED.keys(), "new places that name files"
    assert not NAMED.keys() - places, "places that are gone"


def test_a_picture_beside_a_file_replaces_no_other(project: Project, tmp_path: Path) -> None:
    """selection.json's picture is selection.png: where somebody else's is there, nothing is done."""
    own = save(tmp_path / "holiday.png", smooth())
    before = own.read_bytes()
    out = tmp_path / "holiday.json"
    select = SelectConfig(photos=project.photos, keep=3, out=out)
    concepts = ConceptsConfig(pairs=(project.sepia, project.dusk), keep=1, out=out)
    ranks = RanksConfig(base=project.base, pairs=(project.sepia,), out=out)
    assert "would overwrite" in refused(lambda: select_photos(select))
    assert "would overwrite" in refused(lambda: choose_concepts(concepts))
    assert "would overwrite" in refused(lambda: find_ranks(ranks))
    assert own.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.png"]
