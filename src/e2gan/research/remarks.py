"""What a dry run says of an experiment beside its settings: what it trains, and where they stand beside the paper.

A setting is as printed, another than the paper's, or left open there; docs/paper.md says more of each.
"""

from __future__ import annotations

import inspect
from dataclasses import asdict
from typing import Any

from e2gan.config import KEPT, PAPER, ExperimentConfig, Ranks, ReproduceConfig, TableConfig, Training
from e2gan.research.tables.experiments import ALL, Experiment
from e2gan.research.tables.rows import PAPER_PHOTOS
from e2gan.research.tables.run import experiment_of
from e2gan.teachers.diffusion.presets import find_preset

FIVE = ("sd-img2img", "instruct-pix2pix", "null-text", "controlnet-normal", "instruct-diffusion")

# Setting → the paper's value, and where it is printed.
PRINTED: dict[str, tuple[Any, str]] = {
    "epochs": (100, "Sec. 5.1"),
    "baseline_epochs": (200, "Sec. 5.1"),
    "lr": (2e-4, "Sec. 5.1, with Adam"),
    "adapter_lr": (2e-4, "Sec. 5.1, with Adam"),
    "metric": ("fid", "Sec. 5.1, Clean-FID"),
    "limit": (1000, "Sec. 5.1"),
    "size": (256, "Sec. 5.1"),
    "teacher": (FIVE, "Sec. 5.1, B.1"),
    "generator.width": (PAPER.width, "Fig. 3, B.2"),
    "generator.blocks": (PAPER.blocks, "Sec. 4.2.1"),
    "generator.transformers": (PAPER.transformers, "Sec. 4.2.1"),
    "generator.around": (PAPER.around, "Sec. 4.2.1, Tab. 10"),
    "generator.cross_attention": (PAPER.cross_attention, "Sec. 4.2.1"),
    "generator.skip": (PAPER.skip, "Fig. 3"),
    "generator.upsample": (PAPER.upsample, "B.2"),
    "generator.fold": (PAPER.fold, "Fig. 3"),
    "generator.place": (PAPER.place, "Fig. 3"),
    **{f"ranks.{name}": (rank, "B.2, Tab. 5") for name, rank in asdict(Ranks()).items()},
}

# Setting that the paper leaves open → ours, and why.
OPEN: dict[str, tuple[Any, str]] = {
    "base_epochs": (100, "of a base; Sec. 5.1 has 100 for E²GAN"),
    "batch": (1, "pix2pix's"),
    "schedule": ("linear", "pix2pix's: constant for a half, then linearly to zero"),
    "text": ("clip", "CLIP ViT-B/32, the one whose width meets the paper's counts"),
    "model": (None, "what embeds the photos is CLIP ViT-B/32, or FaceNet trained on VGGFace2"),
    "precision": ("auto", "the faster of fp32 and bf16 autocast on the machine"),
    "seed": (0, "one seed"),
    "generator.heads": (PAPER.heads, "latent diffusion's"),
    "generator.text_width": (PAPER.text_width, "that of the text encoder"),
    "generator.norm": (PAPER.norm, "pix2pix's; without affine weights it meets the paper's counts"),
    "generator.padding": (PAPER.padding, "pix2pix's"),
    "generator.activation": (PAPER.activation, "pix2pix's"),
    "generator.output": (PAPER.output, "pix2pix's"),
    "generator.z": (PAPER.z, "pix2pix's dropout, off"),
    "clip": ("openai/clip-vit-base-patch32", "how the best perceptual quality is judged: structure, direction in CLIP"),
    "preference": (None, "PickScore may judge the quality too"),
}
OPEN_IN_TRAINING = {
    "betas": "pix2pix's",
    "l1": "λ of Eq. 1: pix2pix's",
    "gan": "the other term of Eq. 1 has weight 1",
    "flip": "ours; pix2pix mirrors too",
    "discriminator": "pix2pix's 70×70 PatchGAN; an adapter's starts from its base's",
}
# Settings that count only where an experiment has one of these trainings.
OF_TRAININGS: dict[str, tuple[Training, ...]] = {
    "epochs": ("adapter", "finetune"),
    "adapter_lr": ("adapter",),
    "baseline_epochs": ("scratch", "comodgan"),
    "lr": ("base", "finetune", "scratch"),
    "base_epochs": ("base",),
    "model": ("adapter",),
    "batch": ("base", "adapter", "finetune", "scratch", "comodgan"),
    "schedule": ("base", "adapter", "finetune", "scratch"),
    "metric": ("base", "adapter", "finetune", "scratch", "comodgan"),
    "text": ("base", "scratch"),
}
# Of a training, what is off, as in the paper.
OFF = ("perceptual", "gram", "feature_matching", "lr_d", "warmup", "clip", "r1", "ema", "crop", "tensorboard")
# What is no part of an experiment, or is spoken of below by itself.
NEUTRAL = (
    *("number", "out", "photos", "photos_of", "device", "features", "inception", "paper", "segmenter", "labels"),
    *("pairs", "base_pairs", "random_pairs", "art_pairs", "single_pairs", "base", "generator", "ranks"),
    *("minutes", "steps", "base_minutes", "base_steps", "keep", "embedding"),
    *("base_concepts", "evaluation_concepts", "keep_concepts", "teacher_model", "set"),
    *("align", "retries", "max_residual"),
)


def remarks(settings: TableConfig | ReproduceConfig) -> dict[str, Any]:
    """The experiment, what differs from the paper and what it leaves open, and the trainings that follow.

    Raises InputError where there is no such experiment.
    """
    name = experiment_of(settings.number if isinstance(settings, TableConfig) else f"table3-{settings.photos_of}")
    experiment = ALL[name]
    values = _values(settings, experiment)
    recipe = {"recipe": _recipe(settings)} if isinstance(settings, ReproduceConfig) else {}
    about = {"name": name, "title": experiment.title, "compares": _first_line(experiment), "notes": experiment.notes}
    return recipe | {
        "experiment": about,
        "not the paper's": _differing(settings, name, experiment, values),
        "left open by the paper": _open(values, experiment),
        "trainings": {of: settings.training(of) for of in experiment.trains} | experiment.special,
    }


def _first_line(experiment: Experiment) -> str:
    return (inspect.getdoc(experiment.variants) or "").splitlines()[0]


def _values(settings: ExperimentConfig, experiment: Experiment) -> dict[str, Any]:
    """The settings that count by name, `generator.norm` for one inside a group."""
    values: dict[str, Any] = {}
    for name, value in vars(settings).items():
        counted = not experiment.trains and name in ("epochs", "baseline_epochs")  # of the cost tables
        if name in OF_TRAININGS and not {*OF_TRAININGS[name]} & {*experiment.trains} and not counted:
            continue
        if name in ("generator", "ranks"):
            values |= {f"{name}.{inner}": of for inner, of in asdict(value).items()}
        else:
            values[name] = value
    return values


def _open(values: dict[str, Any], experiment: Experiment) -> dict[str, str]:
    found = {}
    for name, (ours, why) in OPEN.items():
        if name in values:
            value = values[name]
            found[name] = f"{value}: {why}" if value == ours else f"{value} is given here; ours is {ours}, {why}"
    return found | ({f"trainings: {name}": why for name, why in OPEN_IN_TRAINING.items()} if experiment.trains else {})


def _differing(settings: ExperimentConfig, name: str, experiment: Experiment, values: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for of, (printed, where) in PRINTED.items():
        if of in values and values[of] not in (printed, None) and not _same_names(values[of], printed):
            found[of] = f"{values[of]}; the paper: {printed} ({where})"
    if isinstance(settings, TableConfig) and settings.size is None and experiment.trains:
        found["size"] = "that of the pair sets; the paper: 256 (Sec. 5.1)"
    for of in ("minutes", "steps") if experiment.trains else ():
        if (value := values[of]) is not None:
            found[of] = f"{value:g} {of} in place of the paper's 100 epochs of E²GAN and 200 of baselines (Sec. 5.1)"
        if (value := values[f"base_{of}"]) is not None and "base" in experiment.trains:
            found[f"base_{of}"] = f"{value:g} {of} in place of epochs, whose number the paper leaves open for a base"
    if "adapter" in experiment.trains:
        found |= _selection(settings, name, experiment)
    if "comodgan" in experiment.trains:
        usual = settings.training("comodgan")
        found["trainings.comodgan"] = (
            f"lr {usual.lr:g}, betas {usual.betas}, R1 {usual.r1:g}, {usual.schedule}: as its own authors train it, "
            "since its weights are scaled; the paper: 0.0002 for all (Sec. 5.1). λ, batch and no moving average are as "
            "of the others. The paper's learns from edits of pix2pix-zero, ours from the pairs of the others"
        )
    return found | (_of_reproduction(settings) if isinstance(settings, ReproduceConfig) else {})


def _same_names(given: Any, printed: Any) -> bool:
    """Whether two lists of names are the same in another order."""
    return isinstance(given, tuple) and all(isinstance(of, str) for of in given) and sorted(given) == sorted(printed)


def _selection(settings: ExperimentConfig, name: str, experiment: Experiment) -> dict[str, str]:
    found = {}
    printed = tuple(PAPER_PHOTOS) if name == "fig7" else (KEPT,)
    where = "Fig. 7: 100 to 800" if name == "fig7" else "the paper: 400 of 800 (Sec. 5.1)"
    if tuple(sorted(settings.keep)) not in ((), printed):
        found["keep"] = f"{', '.join(map(str, settings.keep))}; {where}"
    embedding = "facenet" if experiment.faces else "clip"
    if name == "table7" and settings.embedding not in (None, embedding):
        found["embedding"] = f"{settings.embedding}; left open by the paper for cats, and ours is clip"
    elif settings.embedding not in (None, embedding):
        found["embedding"] = f"{settings.embedding}; the paper: facenet for faces, clip for scenes (Sec. 5.1)"
    return found


def _recipe(settings: ReproduceConfig) -> dict[str, Any]:
    """What the settings that are left out come to."""
    base, evaluation = settings.lists
    return {
        "base_concepts": base,
        "keep_concepts": settings.base_count or "all",
        "evaluation_concepts": evaluation,
        "teacher": settings.teacher or "those of the lists (the paper's: the five of Sec. 5.1)",
        "keep": settings.keep or KEPT,
        "embedding": settings.compares_by(faces=settings.faces),
        "teachers' settings": {name: dict(find_preset(name).arguments) for name in FIVE if not settings.teacher},
        "edits without a pair": "ours: those that are black, blank, noise, or their photo unchanged",
    }


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
    if settings.keep_concepts not in (None, None if settings.faces else 7):
        found["keep_concepts"] = f"{settings.keep_concepts}; the paper: 7 for scenes, all of B.3 for faces"
    if settings.set:
        found["set"] = f"{', '.join(settings.set)}; without it the teachers are those of B.1"
    if copies := [of for of in settings.teacher_model if not of.startswith("instruct-diffusion=")]:
        found["teacher_model"] = f"{', '.join(copies)}; copies of the checkpoints of B.1, where they are that"
    if settings.clip == "none":
        found["clip"] = "none: structure alone chooses among the teachers' edits, which favours those that change least"
    for name in ("align", "retries", "max_residual"):
        if value := getattr(settings, name):
            found[name] = f"{value}: ours; the paper puts no edit back in place, and says nothing of failed ones"
    return found
