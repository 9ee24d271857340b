"""Where an experiment's settings stand beside the paper: as printed, another value, or left open there.

`e2gan table … --dry-run` and `e2gan reproduce … --dry-run` show it; docs/paper.md says more of each.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from e2gan.config.network import PAPER, Ranks
from e2gan.config.research import ExperimentConfig, ReproduceConfig

# Setting → the paper's value, and where it is printed.
PRINTED: dict[str, tuple[Any, str]] = {
    "epochs": (100, "Sec. 5.1"),
    "baseline_epochs": (200, "Sec. 5.1"),
    "lr": (2e-4, "Sec. 5.1, with Adam"),
    "adapter_lr": (2e-4, "Sec. 5.1, with Adam"),
    "keep": (400, "Sec. 5.1, of 800"),
    "metric": ("fid", "Sec. 5.1, Clean-FID"),
    "generator": (PAPER, "Sec. 4.2.1, Fig. 3"),
    "ranks": (Ranks(), "B.2, Tab. 5"),
    "limit": (1000, "Sec. 5.1"),
    "size": (256, "Sec. 5.1"),
    "teacher": (
        ("sd-img2img", "instruct-pix2pix", "null-text", "controlnet-normal", "instruct-diffusion"),
        "Sec. 5.1, B.1",
    ),
}

# Settings that the paper leaves open, and why ours are what they are.
OPEN: dict[str, str] = {
    "base_epochs": "of a base; Sec. 5.1 has 100 for E²GAN",
    "batch": "pix2pix's 1",
    "schedule": "pix2pix's: constant for a half, then linearly to zero",
    "text": "CLIP ViT-B/32, the one whose width meets the paper's counts",
    "model": "which CLIP compares photos; ViT-B/32",
    "precision": "the faster of fp32 and bf16 autocast on the machine",
    "seed": "one seed",
    "generator.heads": "latent diffusion's 8",
    "generator.norm": "pix2pix's instance norm; without affine weights it meets the paper's counts",
    "generator.padding": "pix2pix's reflection",
    "generator.z": "pix2pix's dropout, off",
    "training.betas": "pix2pix's",
    "training.l1": "λ of Eq. 1; pix2pix's",
    "training.gan": "the other term of Eq. 1 has weight 1",
    "training.flip": "ours; pix2pix mirrors too",
    "training.discriminator": "70×70 PatchGAN, pix2pix's; an adapter's starts from its base's",
    "teach.source": "the words for what the photos show, which null-text goes from",
    "teach.prefer": "how the best perceptual quality is judged: structure kept, and the direction in CLIP",
    "teach.retries": "ours: failed edits are tried again, and rejected where that fails too",
    "teach.align": "ours: a shifted or zoomed edit is put back in place",
    "teach.max_residual": "ours: an edit that lies further away is rejected",
    "concepts.samples": "edited photos whose mean embedding stands for a concept: 100",
}

# What is the user's to say, and no part of an experiment.
NEUTRAL = (
    *("out", "photos", "photos_of", "device", "features", "inception", "clip", "preference", "embedding"),
    *("minutes", "steps", "base_minutes", "base_steps"),
    *("base_concepts", "evaluation_concepts", "keep_concepts", "teacher_model", "set"),
)

# The fields of a training that none of the above speaks of are off, as in the paper.
OFF = ("perceptual", "gram", "warmup", "clip", "r1", "ema", "crop", "tensorboard")


def remarks(settings: ExperimentConfig) -> dict[str, Any]:
    """What a dry run shows beside the settings: those that differ from the paper, those that it leaves open, and the
    trainings that follow from them."""
    recipe = {"recipe": _recipe(settings)} if isinstance(settings, ReproduceConfig) else {}
    return recipe | {
        "not the paper's": _differing(settings),
        "left open by the paper": OPEN,
        "trainings": {of: settings.training(of) for of in ("base", "adapter", "scratch", "comodgan")},
    }


def _recipe(settings: ReproduceConfig) -> dict[str, Any]:
    """What the settings that are left out come to."""
    base, evaluation = settings.lists
    return {
        "base_concepts": base,
        "keep_concepts": settings.base_count or "all",
        "evaluation_concepts": evaluation,
        "teacher": settings.teacher or "those of the lists (the paper's: the five of Sec. 5.1)",
        "keep": settings.keep or 400,
        "embedding": settings.embedding or ("facenet" if settings.photos_of == "faces" else "clip"),
        "models": ["pix2pix, 9 RBs, all pairs", "Co-Mod-GAN, all pairs", "adapter of the base, the pairs kept"],
    }


def _differing(settings: ExperimentConfig) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, (printed, where) in PRINTED.items():
        value = getattr(settings, name, printed)
        value = value[0] if name == "keep" and len(value) == 1 else value
        if value not in (printed, (), None):
            found |= _by_field(name, value, printed, where)
    for name in ("minutes", "steps", "base_minutes", "base_steps"):
        if (value := getattr(settings, name)) is not None:
            epochs = settings.base_epochs if name.startswith("base") else settings.epochs
            found[name] = f"{value:g} in place of epochs; the paper: {epochs} epochs (Sec. 5.1)"
    if settings.embedding not in (None, "clip", "facenet"):
        found["embedding"] = f"{settings.embedding}; the paper: facenet for faces, clip for scenes (Sec. 5.1)"
    if settings.text.partition(":")[0] != "clip":
        found["text"] = f"{settings.text}; the paper's counts point to clip"
    usual = settings.training("comodgan")
    found["trainings.comodgan"] = (
        f"lr {usual.lr:g}, betas {usual.betas}, R1 {usual.r1:g}, {usual.schedule}: as its own authors train it, since "
        "its weights are scaled; the paper: 0.0002 for all (Sec. 5.1)"
    )
    return found | (_of_reproduction(settings) if isinstance(settings, ReproduceConfig) else {})


def _of_reproduction(settings: ReproduceConfig) -> dict[str, str]:
    found: dict[str, str] = {}
    base, evaluation = settings.lists
    if base == "paper-faces-base":
        found["base_concepts"] = (
            f"{base}: the 24 of B.3 without Low Quality photo, which is evaluated on too; Sec. 5.1: 20"
        )
    else:
        ours = "ten of ours, for the paper's were never published" if base == "scenes-base" else "your own"
        found["base_concepts"] = f"{base}: {ours}"
    if evaluation == "paper-scenes-evaluation":
        found["evaluation_concepts"] = f"{evaluation}: the eight that the paper names of its ten"
    elif evaluation != "paper-faces-evaluation":
        found["evaluation_concepts"] = f"{evaluation}: your own; the paper: 30 for faces (B.3), 10 for scenes"
    if settings.keep_concepts is not None:
        found["keep_concepts"] = f"{settings.keep_concepts}; the paper: 7 for scenes, all of B.3 for faces"
    for name in ("set", "teacher_model"):
        if value := getattr(settings, name):
            found[name] = f"{', '.join(value)}; without it the teachers are those of B.1"
    return found


def _by_field(name: str, value: Any, printed: Any, where: str) -> dict[str, str]:
    """What differs; of a group of settings each on its own."""
    if is_dataclass(printed) and not isinstance(printed, type):
        pairs = ((f.name, getattr(value, f.name), getattr(printed, f.name)) for f in fields(printed))
        return {
            f"{name}.{of}": f"{ours}; the paper: {theirs} ({where})" for of, ours, theirs in pairs if ours != theirs
        }
    return {name: f"{value}; the paper: {printed} ({where})"}
