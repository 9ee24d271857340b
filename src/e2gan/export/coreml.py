"""Core ML: a package with an image in and an image out, for iPhones, iPads and Macs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import numpy as np
import torch

from e2gan.core.errors import InputError
from e2gan.core.files import write_bytes, write_json
from e2gan.core.progress import track
from e2gan.core.temporary import temporary_files, temporary_folder
from e2gan.export.fixed_model import FixedModel
from e2gan.export.format import Check, Format, Order, as_facts, quiet, require_packages
from e2gan.export.pixel_model import PixelModel

PACKAGES = ("coremltools",)
SPECIFICATION, WEIGHTS = (f"Data/com.apple.CoreML/{name}" for name in ("model.mlmodel", "weights/weight.bin"))
HALF = 10  # FLOAT16 among the types of its specification


def require() -> None:
    """Raises InputError where the package of the extra `coreml` is missing."""
    with quiet():
        require_packages("Core ML", "coreml", *PACKAGES)


def write(order: Order, path: Path) -> None:
    """A package of an ML program: `photo` → `edit`, RGB images of size × size, for iOS 16 and macOS 13 on.

    With functions: one of each effect, the first by default, which share the base's weights; for iOS 18 and macOS 15
    on. Raises InputError where fp16 cannot hold a weight.
    """
    with temporary_files(), temporary_folder() as folder:
        if order.functions:
            package = joined(order, folder)
        else:
            with quiet():
                package = converted(order.model, order, "iOS16")
        label(package, order)
        with quiet():
            package.save(str(path))
    name_parts(path / "Manifest.json")
    order_specification(path)


def converted(model: PixelModel, order: Order, target: str) -> Any:
    """A package with the one function `main`."""
    import coremltools

    assert order.size is not None
    example = torch.zeros(1, 3, order.size, order.size)
    fixed = FixedModel(model, order.size, channels_first=True, rounded=True).eval()
    program = torch.export.export(fixed, (example,)).run_decompositions({})
    if order.precision == "fp16" and not half_holds(fixed):
        raise InputError("a weight of this model is too large for fp16: export it with --precision fp32")
    precision = coremltools.precision.FLOAT16 if order.precision == "fp16" else coremltools.precision.FLOAT32
    return coremltools.convert(
        program,
        inputs=[coremltools.ImageType("photo", example.shape, color_layout=coremltools.colorlayout.RGB)],
        outputs=[coremltools.ImageType("edit", color_layout=coremltools.colorlayout.RGB)],
        convert_to="mlprogram",
        minimum_deployment_target=coremltools.target[target],
        compute_precision=precision,
        skip_model_load=True,
    )


def joined(order: Order, folder: Path) -> Any:
    """A package with a function for each effect, equal weights of which lie in it once. folder: for what is made on
    the way; what is returned reads its weights there."""
    paths = {function.name: folder / f"{function.name}.mlpackage" for function in order.functions}
    for function in track(order.functions, "functions"):
        with quiet():
            converted(function.model, order, "iOS18").save(str(paths[function.name]))
    with quiet():
        import coremltools
        from coremltools.models.utils import MultiFunctionDescriptor, save_multifunction

        together = MultiFunctionDescriptor()
        for name, path in paths.items():
            together.add_function(str(path), "main", name)
        together.default_function_name = next(iter(paths))
        save_multifunction(together, str(folder / "together.mlpackage"))
        return coremltools.models.MLModel(str(folder / "together.mlpackage"), skip_model_load=True)


def label(package: Any, order: Order) -> None:
    """Write what a package says of itself into it; of functions, which there are and the prompt of each."""
    about = as_facts(order)
    if order.functions:
        about["functions"] = " ".join(function.name for function in order.functions)
        about |= {f"prompt.{function.name}": function.merged.prompt for function in order.functions}
    package.short_description = f"E²GAN: {about.get('prompt', '')}"
    package.version, package.license = about["e2gan"], about["licence"]
    package.user_defined_metadata.update(about)


def name_parts(manifest: Path) -> None:
    """Call a package's parts by where they lie, not by chance, so that the same model has the same bytes again."""
    found = json.loads(manifest.read_text("utf-8"))
    parts = sorted(found["itemInfoEntries"].items(), key=lambda item: item[1]["path"])
    names = {name: str(uuid5(NAMESPACE_OID, part["path"])).upper() for name, part in parts}
    found["itemInfoEntries"] = {names[name]: part for name, part in parts}
    found["rootModelIdentifier"] = names[found["rootModelIdentifier"]]
    write_json(manifest, found)


def order_specification(path: Path) -> None:
    """Put the entries of a package's specification in an order that is not chance, which differs between processes."""
    write_bytes(path / SPECIFICATION, read_spec(path).SerializeToString(deterministic=True))


def checks(path: Path) -> list[Check]:
    """What its specification and its weights say, which is all that a machine without Core ML can see of it."""
    spec = read_spec(path)
    size = spec.description.metadata.userDefined.get("size", "")
    reasons = []
    for function, (inputs, outputs) in interfaces(spec).items():
        its = f"{function}: its" if function else "its"
        if len(inputs) != 1 or len(outputs) != 1:
            reasons.append(f"{its} inputs are {len(inputs)} and its outputs {len(outputs)}")
            continue
        for name, feature in (("photo", inputs[0]), ("edit", outputs[0])):
            image = feature.type.imageType
            rgb = image.colorSpace == image.RGB
            if feature.name != name or not rgb or {str(image.width), str(image.height)} != {size}:
                reasons.append(f"{its} {name} is no RGB image of {size}×{size}")
    told = spec.description.metadata.userDefined.get("functions", "").split()
    if told != [name for name in interfaces(spec) if name]:
        reasons.append(f"its functions are {', '.join(interfaces(spec))}, and it says {', '.join(told)}")
    found = [Check("Core ML specification", not reasons, reasons)]
    used = weights(path)
    every = {place: weight for of in used.values() for place, weight in of.items()}
    broken = sum(not weight.finite for weight in every.values())
    found.append(Check("Core ML weights", not broken, [f"{broken} are not finite"] if broken else []))
    if told:
        twice = len(every) - len({weight.digest for weight in every.values()})
        reasons = [f"{twice} weights are written more than once"] if twice else []
        base = sum(every[place].bytes for place in set.intersection(*map(set, used.values())))
        for name, own in functions(path).items():
            if own >= base:
                reasons.append(f"{name} has {own / 1e6:.2f} MB of its own beside the {base / 1e6:.2f} MB of all")
        found.append(Check("Core ML functions share the base's weights", not reasons, reasons))
    return found


def read_spec(path: Path) -> Any:
    """The specification of a package."""
    with temporary_files(), quiet():
        import coremltools

        return coremltools.models.MLModel(str(path), skip_model_load=True).get_spec()


def interfaces(spec: Any) -> dict[str, tuple[Any, Any]]:
    """Inputs and outputs of each function; one alone has no name."""
    about = spec.description
    return {part.name: (part.input, part.output) for part in about.functions} or {"": (about.input, about.output)}


@dataclass(frozen=True)
class Weight:
    """A constant in a package's file of weights, where all lie that are not tiny. digest: of its values."""

    bytes: int
    finite: bool
    digest: str


def weights(path: Path) -> dict[str, dict[int, Weight]]:
    """The weights that each function of a package uses, by where they lie in its file."""
    with quiet():
        from coremltools.libmilstoragepython import _BlobStorageReader as Reader

    spec, reader, known = read_spec(path), Reader(str(path / WEIGHTS)), {}
    found: dict[str, dict[int, Weight]] = {}
    for name, function in spec.mlProgram.functions.items():
        found[name] = {}
        for block in function.block_specializations.values():
            for op in block.operations:
                value = op.attributes["val"] if op.type == "const" else None
                if value is None or not value.HasField("blobFileValue"):
                    continue
                place = value.blobFileValue.offset
                if place not in known:
                    half = value.type.tensorType.dataType == HALF
                    values = reader.read_fp16_data(place).view(np.float16) if half else reader.read_float_data(place)
                    digest = sha256(values.tobytes()).hexdigest()
                    known[place] = Weight(values.nbytes, bool(np.isfinite(values).all()), digest)
                found[name][place] = known[place]
    return found


def functions(path: Path) -> dict[str, int]:
    """Functions of a package, and the bytes of weights that no other one of them uses."""
    used = weights(path)
    told = read_spec(path).description.metadata.userDefined.get("functions", "").split()
    counts = Counter(place for of in used.values() for place in of)
    return {name: sum(w.bytes for place, w in used[name].items() if counts[place] == 1) for name in told}


def operators(path: Path) -> dict[str, int]:
    """Name of each operation of a package, and how often it is there; constants left out."""
    blocks = [b for f in read_spec(path).mlProgram.functions.values() for b in f.block_specializations.values()]
    return dict(Counter(op.type for block in blocks for op in block.operations if op.type != "const").most_common())


def half_holds(model: torch.nn.Module) -> bool:
    """Whether fp16 holds each of the model's weights as a finite number."""
    return all(bool(tensor.half().isfinite().all()) for tensor in model.state_dict().values())


FORMAT = Format(
    file="model.mlpackage",
    purpose="Core ML: iPhone, iPad, Mac; Swift and Objective-C",
    packages=PACKAGES,
    require=require,
    write=write,
    load=None,
    precisions=("fp16", "fp32"),
    fixed_size=True,
    checks=checks,
    operators=operators,
    functions=functions,
)
