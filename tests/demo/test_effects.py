"""An effect of the demo, without what is beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2gan.config import RECIPES, DemoConfig
from e2gan.core.errors import InputError
from e2gan.demo.demo import effects
from e2gan.demo.effects import Effect
from e2gan.teachers.filters.filters import find
from tests.conftest import Project


def effect(project: Project, concept: str, folder: Path) -> Effect:
    training = RECIPES["quick"].training["adapt"]
    return Effect(find(concept), project.base, folder, size=32, seed=0, training=training, recipe=RECIPES["quick"])


def test_an_edit_that_the_base_knows_is_refused_by_the_flag_that_named_it(project: Project, tmp_path: Path) -> None:
    known = effect(project, "dusk", tmp_path)
    with pytest.raises(InputError, match=r'--strokes dusk: the base has learned "make it dusk"; new to it are'):
        known.check("--strokes")
    effect(project, "sepia", tmp_path).check("--strokes")


def test_the_demos_strokes_are_learned_with_a_perceptual_loss_and_the_look_with_pix2pix_beside(
    project: Project,
) -> None:
    config = DemoConfig(base=project.base, strokes_base=project.base, minutes=2, strokes_minutes=3)
    look, strokes = effects(config)
    assert (look.folder, strokes.folder) == (config.out, config.out / "strokes")
    assert (look.training.minutes, strokes.training.minutes) == (2, 3)
    assert strokes.training.perceptual
    assert not strokes.training.gan
    assert strokes.pix2pix is None
    assert look.pix2pix is not None
    assert look.pix2pix.gan  # with its own losses, whatever the recipe's are
    assert not look.pix2pix.perceptual
