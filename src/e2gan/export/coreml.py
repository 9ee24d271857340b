"""Core ML: a package with an image in and an image out, for iPhones, iPads and Macs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import torch

from e2gan.core.errors import InputError
from e2gan.core.files import write_json
from e2gan.core.temporary import temporary_files
from e2gan.export.fixed_model import FixedModel
from e2gan.export.format import Check, Format, Order, as_facts, quiet, require_packages

PACKAGES = ("coremltools",)


def require() -> None:
    """Raises InputError where the package of the extra `coreml` is missing."""
    with quiet():
        require_packages("Core ML", "coreml", *PACKAGES)


def write(order: Order, path: Path) -> None:
    """A package of an ML program: `photo` → `edit`, RGB images of size × size, for iOS 16 and macOS 13 on."""
    assert order.size is not None
    with temporary_files(), quiet():
        import coremltools

        example = torch.zeros(1, 3, order.size, order.size)
        model = FixedModel(order.model, order.size, channels_first=True, rounded=True).eval()
        program = torch.export.export(model, (example,)).run_decompositions({})
        if order.precision == "fp16" and not half_holds(model):
            raise InputError("a weight of this model is too large for fp16: export it with --precision fp32")
        precision = coremltools.precision.FLOAT16 if order.precision == "fp16" else coremltools.precision.FLOAT32
        package: Any = coremltools.convert(
            program,
            inputs=[coremltools.ImageType("photo", example.shape, color_layout=coremltools.colorlayout.RGB)],
            outputs=[coremltools.ImageType("edit", color_layout=coremltools.colorlayout.RGB)],
            convert_to="mlprogram",
            minimum_deployment_target=coremltools.target.iOS16,
            compute_precision=precision,
            skip_model_load=True,
        )
        about = as_facts(order)
        package.short_description = f"E²GAN: {about.get('prompt', '')}"
        package.version, package.license = about["e2gan"], about["licence"]
        package.user_defined_metadata.update(about)
        package.save(str(path))
    settle(path)


def settle(package: Path) -> None:
    """Give a package the same bytes for the same model, whatever chance coremltools has: in maps' order, in names."""
    from coremltools.proto import Model_pb2

    [file] = package.rglob("*.mlmodel")
    spec: Any = Model_pb2.Model()  # pyright: ignore[reportAttributeAccessIssue]
    spec.ParseFromString(file.read_bytes())
    file.write_bytes(spec.SerializeToString(deterministic=True))
    name_parts(package / "Manifest.json")


def name_parts(manifest: Path) -> None:
    """Call a package's parts by where they lie, not by chance, so that the same model has the same bytes again."""
    found = json.loads(manifest.read_text("utf-8"))
    parts = sorted(found["itemInfoEntries"].items(), key=lambda item: item[1]["path"])
    names = {name: str(uuid5(NAMESPACE_OID, part["path"])).upper() for name, part in parts}
    found["itemInfoEntries"] = {names[name]: part for name, part in parts}
    found["rootModelIdentifier"] = names[found["rootModelIdentifier"]]
    write_json(manifest, found)


def checks(path: Path) -> list[Check]:
    """What its specification says, which is all that a machine without Core ML can see of it."""
    with temporary_files(), quiet():
        import coremltools

        spec = coremltools.models.MLModel(str(path), skip_model_load=True).get_spec()
    size = spec.description.metadata.userDefined.get("size", "")
    reasons = [f"it has {len(spec.description.input)} inputs"] if len(spec.description.input) != 1 else []
    for name, features in (("photo", spec.description.input), ("edit", spec.description.output)):
        image = features[0].type.imageType
        rgb = image.colorSpace == image.RGB
        if features[0].name != name or not rgb or {str(image.width), str(image.height)} != {size}:
            reasons.append(f"its {name} is no RGB image of {size}×{size}")
    return [Check("Core ML specification", not reasons, reasons)]


def operators(path: Path) -> dict[str, int]:
    """Name of each operation of a package, and how often it is there; constants left out."""
    with temporary_files(), quiet():
        import coremltools

        spec = coremltools.models.MLModel(str(path), skip_model_load=True).get_spec()
    blocks = spec.mlProgram.functions["main"].block_specializations.values()
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
)
