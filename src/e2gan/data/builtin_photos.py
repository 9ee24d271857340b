"""Built-in photographs: the colour pictures inside the scikit-image and scikit-learn packages, no download.

As those packages document them:
- astronaut: Eileen Collins, NASA Great Images; no known copyright restrictions, public domain
- chelsea: a cat, by Stefan van der Walt; CC0
- coffee: by Rachel Michetti, courtesy of Pikolo Espresso Bar; CC0
- hubble: eXtreme Deep Field, NASA, HubbleSite; public domain
- motorcycle: Middlebury 2014 stereo benchmark, by D. Scharstein and others at Middlebury College; no licence stated
- rocket: launch of DSCOVR on Falcon 9, by SpaceX; public domain
- china: by danielbuechele, flickr.com/photos/danielbuechele/6061409035; CC BY 2.0
- flower: by vultilion, flickr.com/photos/vultilion/6056698931; CC BY 2.0
(The micrograph and the retina that scikit-image has too are no photographs that anyone would edit.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files as package_files
from pathlib import Path

import numpy as np

from e2gan.core.errors import InputError
from e2gan.core.identity import hash_files
from e2gan.core.images import Pixels, read_image, square
from e2gan.core.outputs import writing
from e2gan.data.photos import Item, PhotoSet, PhotosResult, make_id, pixel_hash, result_of, write_photo_set

FILES = {  # picture → package, path inside it
    "astronaut": ("skimage", "data/astronaut.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "coffee": ("skimage", "data/coffee.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "hubble": ("skimage", "data/hubble_deep_field.jpg"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
}
TEST = ("china", "chelsea")  # a building with sky, water and trees; an animal's face
SMALLEST = 0.3  # of a picture's shorter side: smaller crops show no scene
SHUFFLED = 0.5  # part of the training crops with their colour channels shuffled: so few pictures hold hardly any green
LIVELY = 8.0  # standard deviation in 8-bit levels; below, a crop is an empty wall or sky


def builtin_pictures() -> dict[str, Pixels]:
    """The pictures that are there, by name: uint8 (H, W, 3), 300 to 1,000 pixels a side.

    They are read by path, since scikit-image's own loader may go to the network for a file that is absent.
    """
    return {name: read_image(path) for name, path in _paths().items()}


def _paths() -> dict[str, Path]:
    paths = {name: Path(str(package_files(package))) / file for name, (package, file) in FILES.items()}
    return {name: path for name, path in paths.items() if path.is_file()}


def pictures_hash() -> str:
    """Of the pictures' files, by their bytes: another version of those packages may have others."""
    return hash_files(_paths().items())


def test_pictures() -> dict[str, Pixels]:
    """The whole pictures that no training crop shows."""
    return {name: picture for name, picture in builtin_pictures().items() if name in TEST}


def demo_photo_set(folder: Path, size: int, seed: int, crops: int = 400) -> PhotosResult:
    """Write a photo set of crops of the built-in pictures: `crops` for train, a tenth as many each for val and test.

    Squares at random places and scales, which may overlap. Val shows the pictures that train shows, so it is no
    witness of how an edit does on new ones; the `test_pictures` are in no other split, and the first test crop of
    each is its whole centre square. Run again, it finds them done.

    Raises InputError where fewer than two pictures are there for either part, or `folder` holds something else.
    """
    if crops < 1:
        raise InputError(f"{crops} crops: at least 1 is needed")
    pictures = builtin_pictures()
    test = [name for name in TEST if name in pictures]
    train = [name for name in pictures if name not in TEST]
    if len(test) < 2 or len(train) < 2:
        raise InputError("pictures of scikit-image or scikit-learn are missing: install both anew, or use e2gan photos")
    few = max(len(test), round(crops / 10))
    settings = {"builtin": train + test, "size": size, "seed": seed, "crops": crops}
    with writing(folder, "photos", settings, reads={"builtin": pictures_hash()}) as partial:
        if partial is None:
            return result_of(PhotoSet.load(folder), already_done=True)
        parts = (("train", train, crops), ("val", train, few), ("test", test, few))
        write_photo_set(partial, _crops(pictures, parts, size, seed))
    return result_of(PhotoSet.load(folder))


Part = tuple[str, list[str], int]  # split, pictures, how many crops


def _crops(pictures: dict[str, Pixels], parts: Sequence[Part], size: int, seed: int) -> Iterator[Item]:
    """Of each part, crops of its pictures in turn."""
    ids: set[str] = set()
    for number, (split, names, count) in enumerate(parts):
        rng = np.random.default_rng((seed, number))
        for i in range(count):
            name = names[i % len(names)]
            picture = pictures[name]
            whole = split == "test" and i < len(names)
            image = square(picture, size) if whole else _crop(picture, size, rng)
            if split != "test" and rng.random() < SHUFFLED:
                image = np.ascontiguousarray(image[..., rng.permutation(3)])
            sha256 = pixel_hash(image)
            yield make_id(name, sha256, ids), image, split, name, picture.shape[1], picture.shape[0], sha256


def _crop(picture: Pixels, size: int, rng: np.random.Generator) -> Pixels:
    """A random square of the picture that shows something, scaled to `size`."""
    height, width = picture.shape[:2]
    short = min(height, width)
    least = min(max(SMALLEST * short, size), short)  # enlarged only where the whole picture is too small
    crop = picture
    for _ in range(20):
        side = round(float(np.exp(rng.uniform(np.log(least), np.log(short)))))
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        crop = picture[top : top + side, left : left + side]
        if crop.std() >= LIVELY:
            break
    return square(crop, size)
