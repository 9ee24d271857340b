"""A folder of `export --format effects` at work: one base, effects that are switched and mixed between two photos."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np

from e2gan.config.export_schemas import EffectsFile, EffectsInput
from e2gan.config.network import MOST_RANK
from e2gan.core.errors import InputError, InputTypeError
from e2gan.core.files import read_json, sha256
from e2gan.core.images import Pixels
from e2gan.core.names import inside
from e2gan.core.pixel_input import Picture, as_batch
from e2gan.core.tensors import TensorHeader, read_tensors
from e2gan.export.onnx import open_session
from e2gan.export.pixel_model import check_sides
from e2gan.networks.generator import WHOLE

BASE = "base.onnx"
MOST_STRENGTH = 1.5
FEW = 8  # of a hash's 64 digits, that differ where the hash is damaged; where the file is, some 60 do
PROBE = 64  # pixels of a side of the picture that each effect is tried on
BEFORE_EFFECTS = ("photo", "place", "strength", "weights")  # inputs that are their own kind

Arrays = dict[str, np.ndarray]


class EffectsModel:
    """The base in ONNX Runtime on the CPU, and the effects of its folder: uint8 (N, H, W, 3) → uint8 (N, H, W, 3).

    names: of the effects. size: which each was trained at, by name. It begins with the first effect at strength 1.
    """

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        """path: the folder, or its effects.json. threads: 0 takes ONNX Runtime's choice.

        Raises InputError where a file is missing, none of ours, or not the one that effects.json was written with.
        """
        path = Path(path)
        self.path = path / "effects.json" if path.is_dir() else path
        self.manifest: EffectsFile = read_json(self.path, EffectsFile)
        told = self.manifest["base"]
        self.session = open_session(self._whole(told["file"], told["sha256"]), threads)
        self.providers = list(self.session.get_providers())
        self.multiple = told["multiple"]
        self._inputs = {row["name"]: row for row in self.manifest["inputs"]}
        self._check_inputs()
        self._entries = {entry["name"]: entry for entry in self.manifest["effects"]}
        if len(self._entries) != len(self.manifest["effects"]):
            raise InputError(f"{self.path}: two effects of one name")
        self.names = list(self._entries)
        self.size = {name: entry["size"] for name, entry in self._entries.items()}
        self._loaded: dict[str, tuple[Arrays, Arrays]] = {}
        self._feed: Arrays = {}
        self._tried: set[str] = set()
        self.set(self.names[0])

    def set(self, effects: str | Mapping[str, float], strength: float = 1.0) -> None:
        """What the next photos become: an effect, or several by their weights, which lie in 0..1 and add to 1.

        strength: 0 is the photo, 1 the edit, up to 1.5. Raises InputError for what is none of these, and where an
        effect's file is missing or is not the one that effects.json was written with.
        """
        if not isinstance(effects, (str, Mapping)):
            raise InputTypeError(f"an effect's name, or weights by name, are expected, not {type(effects).__name__}")
        given = {effects: 1.0} if isinstance(effects, str) else dict(effects)
        for name, weight in given.items():
            if name not in self._entries:
                raise InputError(f"{self.path} has no effect {name!r}; there are {', '.join(self.names)}")
            if not (_is_number(weight) and 0 <= weight <= 1):
                raise InputError(f"weight {weight} of {name}: must lie in 0..1")
        if not math.isclose(sum(given.values()), 1, abs_tol=1e-3):
            raise InputError(f"weights {', '.join(map(str, given.values()))}: must add to 1")
        if not (_is_number(strength) and 0 <= strength <= MOST_STRENGTH):
            raise InputError(f"strength {strength}: must lie in 0..{MOST_STRENGTH}")
        # What counts nothing would cost its prompt all the same.
        mixed = {name: weight for name, weight in given.items() if weight}
        parts = [self._load(name) for name in mixed]
        feed = {"strength": np.array(strength, np.float32), "weights": np.array([*mixed.values()], np.float32)}
        for name, row in self._inputs.items():
            if row["kind"] == "prompt":
                feed[name] = np.concatenate([prompt[name] for _, prompt in parts])
            elif row["kind"] == "lora":
                scales = mixed.values() if row.get("scaled") else [1.0] * len(parts)
                each = [lora[name] * np.float32(w) for (lora, _), w in zip(parts, scales, strict=True)]
                feed[name] = each[0] if len(each) == 1 else np.concatenate(each, row.get("rank_axis", 0))
        if not self._tried >= mixed.keys():
            self._try(mixed, feed)
        self._feed = feed

    def _try(self, effects: Iterable[str], feed: Arrays) -> None:
        """Raises InputError where an edit is one colour: the weights are finite, and too large for what they make."""
        side = -(-PROBE // self.multiple) * self.multiple
        ramp = np.linspace(0, 255, side).astype(np.uint8)
        photo = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], ramp[None, ::-1]), -1)[None]
        feed = feed | {"strength": np.array(1, np.float32), "photo": photo} | self._seen(WHOLE)
        if self._run(feed).std(axis=(1, 2)).max() == 0:
            names = " and ".join(effects)
            raise InputError(f"{self.path}: the edit by {names} is one flat colour: its weights are damaged")
        self._tried |= set(effects)

    def __call__(self, photos_NHWC: Picture, place: Sequence[float] = WHOLE) -> Pixels:
        """photos_NHWC: uint8, or what `core.pixel_input.as_batch` takes. place: left, top, right and bottom of what
        is seen, in parts of the whole photo; without effect where the base has no sense of place. Raises InputError
        for what is no such photos, and a height or width that is no multiple of the base's own."""
        return self._run(self.feed(photos_NHWC, place))

    def feed(self, photos_NHWC: Picture, place: Sequence[float] = WHOLE) -> Arrays:
        """All of the graph's inputs by name, for another runtime. Arguments and errors: as of a call."""
        photos = as_batch(photos_NHWC)
        check_sides(photos, None, self.multiple)
        return self._feed | {"photo": photos} | self._seen(place)

    def _seen(self, place: Sequence[float]) -> Arrays:
        return {"place": np.array([place], np.float32)} if "place" in self._inputs else {}

    def _run(self, feed: Arrays) -> Pixels:
        (edits,) = self.session.run(["edit"], feed)
        return edits  # pyright: ignore[reportReturnType]

    def _check_inputs(self) -> None:
        """Raises InputError where effects.json does not say what the graph is."""
        graph = {each.name: each for each in self.session.get_inputs()}
        same = graph.keys() == self._inputs.keys() and len(graph) == len(self.manifest["inputs"])
        for name, row in self._inputs.items() if same else ():
            kind = name if name in BEFORE_EFFECTS else "prompt" if name.startswith("prompt.") else "lora"
            type_ = "uint8" if name == "photo" else "float"
            sides, axis = [n if isinstance(n, int) else None for n in graph[name].shape], row.get("rank_axis", 0)
            same &= row["kind"] == kind and graph[name].type == f"tensor({type_})" and row["type"].startswith(type_)
            same &= len(sides) == len(row["shape"])
            same &= all(a == b or (a is None and kind == "prompt") for a, b in zip(sides, row["shape"], strict=False))
            if kind == "lora":
                same &= name.endswith((".A", ".B")) and sides[axis : axis + 1] == [None]
        same &= self.session.get_modelmeta().custom_metadata_map.get("multiple") == str(self.multiple)
        if not same:
            raise InputError(f"{self.path}: what it says of the inputs is not what {self.manifest['base']['file']} has")

    def _load(self, name: str) -> tuple[Arrays, Arrays]:
        """An effect's A and B, and its prompt, float32, read once."""
        if name not in self._loaded:
            entry = self._entries[name]
            files = (entry["file"], entry["sha256"], "lora"), (entry["prompt_file"], entry["prompt_sha256"], "prompt")
            lora, prompt = (self._read(self._whole(file, wanted), kind) for file, wanted, kind in files)
            for layer in [each.removesuffix(".A") for each in lora if each.endswith(".A")]:
                A, B = (
                    lora[each].shape[self._inputs[each].get("rank_axis", 0)] for each in (f"{layer}.A", f"{layer}.B")
                )
                if A != B:
                    raise InputError(f"{self.path.parent / entry['file']}: {layer} has A of rank {A} and B of {B}")
            self._loaded[name] = lora, prompt
        return self._loaded[name]

    def _read(self, path: Path, kind: str) -> Arrays:
        wanted = {name: row for name, row in self._inputs.items() if row["kind"] == kind}

        def check(header: Mapping[str, TensorHeader]) -> None:
            if header.keys() != wanted.keys():
                raise InputError(f"{path}: its tensors are not the inputs that {self.path} names")
            for name, found in header.items():
                if not _fits(found.shape, wanted[name]):
                    raise InputError(f"{path}: {name[:80]!r} of {found.shape} is no input of {self.path}")

        return {name: tensor.float().numpy() for name, tensor in read_tensors(path, check)[0].items()}

    def _whole(self, name: str, wanted: str) -> Path:
        """The file that effects.json names, where its bytes are those that were written."""
        path = inside(self.path.parent, name)
        if not path.is_file():
            raise InputError(f"{path} is not there: it is missing, or {self.path.name}, which names it, is damaged")
        found = sha256(path)
        if 0 < sum(a != b for a, b in zip_longest(found, wanted)) <= FEW:
            raise InputError(f"{self.path} is damaged: {name} is whole, but for what is written of it there")
        if found != wanted:
            raise InputError(f"{path} is not the file that {self.path} was written with: it is damaged, or another's")
        return path


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _fits(shape: tuple[int, ...], row: EffectsInput) -> bool:
    """Whether a tensor of one effect is of an input's shape: along a free axis it has its rank, or one prompt."""
    most = MOST_RANK if row["kind"] == "lora" else 1
    return len(shape) == len(row["shape"]) and all(
        n == wanted or (wanted is None and 1 <= n <= most) for n, wanted in zip(shape, row["shape"], strict=True)
    )
