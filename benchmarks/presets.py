"""Which generator learns fastest: the presets, and what they differ in, on the same pair sets for the same steps.

    python benchmarks/presets.py --pairs PAIRS … [--steps 400] [--batch 4] [--lr 2e-4] [--only paper residual …]

Trains a base of each variant and prints the mean absolute difference to the teacher on the test split, in 8-bit
levels, a column a pair set; first that of the photo as it is. The figures in docs/log.md come from here.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from e2gan import PRESETS, BaseConfig, GeneratorConfig, Model, PairSet, Predictor, TrainingConfig, train_base

RESIDUAL, PAPER, DEVICE = PRESETS["residual"], PRESETS["paper"], PRESETS["device"]
VARIANTS: dict[str, GeneratorConfig] = {
    "paper": PAPER,
    "paper, batch norm": replace(PAPER, norm="batch"),
    "paper, no norm": replace(PAPER, norm="none"),
    "residual": RESIDUAL,
    "residual, instance norm": replace(RESIDUAL, norm="instance"),
    "residual, layer norm": replace(RESIDUAL, norm="layer"),
    "residual, batch norm": replace(RESIDUAL, norm="batch"),
    "residual, no norm": replace(RESIDUAL, norm="none"),
    "residual, transposed": replace(RESIDUAL, upsample="transpose"),
    "device": DEVICE,
}


def l1(photos: np.ndarray, edits: np.ndarray) -> float:
    return float(np.abs(photos.astype(np.float32) - edits).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, nargs="+", required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--gan", type=float, default=1.0)
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    arguments = parser.parse_args()

    sets = [PairSet.load(folder) for folder in arguments.pairs]
    tests = [s.arrays("test")[:2] for s in sets]
    print(
        f"| {arguments.steps} steps of {arguments.batch}, {sets[0].size} px | s | mean | "
        + " | ".join(s.prompt for s in sets)
        + " |"
    )
    print("|---|" + "---|" * (len(sets) + 2))
    row("the photo as it is", 0, [l1(photos, edits) for photos, edits in tests])
    training = TrainingConfig(steps=arguments.steps, batch=arguments.batch, lr=arguments.lr, gan=arguments.gan)
    for name in arguments.only:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "base"
            start = time.perf_counter()
            train_base(BaseConfig(pairs=tuple(arguments.pairs), out=out, generator=VARIANTS[name], training=training))
            seconds = time.perf_counter() - start
            found = []
            for pair_set, (photos, edits) in zip(sets, tests, strict=True):
                found.append(l1(Predictor(Model.load(base=out, prompt=pair_set.prompt)).batch(photos), edits))
        row(name, seconds, found)


def row(name: str, seconds: float, found: list[float]) -> None:
    cells = [name, f"{seconds:.0f}", f"{np.mean(found):.1f}", *(f"{v:.1f}" for v in found)]
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
