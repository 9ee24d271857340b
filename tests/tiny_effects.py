"""A second concept's adapter on the project's tiny base, and both as a folder of effects."""

from __future__ import annotations

from pathlib import Path

from e2gan import AdaptConfig, ExportConfig, TrainingConfig, adapt, export_model
from tests.conftest import Project


def second_adapter(project: Project, out: Path) -> Path:
    """Trained as the project's own is, on the other pair set, whose prompt has another number of words."""
    training = TrainingConfig(steps=30, batch=4, lr=2e-3, precision="fp32")
    adapt(AdaptConfig(pairs=project.dusk, base=project.base, out=out, training=training))
    return out


def effects_config(project: Project, *adapters: Path, out: Path) -> ExportConfig:
    return ExportConfig(base=project.base, adapter=adapters, format="effects", out=out, photos=project.photos)


def effects_folder(project: Project, root: Path) -> Path:
    """effects.json and its files, of the adapters `adapter` and `second`."""
    second = second_adapter(project, root / "second")
    return export_model(effects_config(project, project.adapter, second, out=root / "effects")).folder
