"""e2gan: a photo edit as a 92-thousand-parameter adapter of a generator small enough for a phone.

Each stage is a function of its settings, and a command:

    from e2gan import AdaptConfig, adapt
    adapt(AdaptConfig(base=Path("base"), pairs=Path("autumn"), out=Path("autumn-adapter")))

Names are imported when they are first used: `import e2gan` imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from e2gan.choose.concepts import choose_concepts
    from e2gan.choose.photos import select_photos
    from e2gan.config import (
        PRESETS,
        RECIPES,
        AdaptConfig,
        BaseConfig,
        ChooseConfig,
        ConceptsConfig,
        CostConfig,
        CrucialConfig,
        DemoConfig,
        EditConfig,
        EvaluateConfig,
        ExportConfig,
        GeneratorConfig,
        PairsConfig,
        PhotosConfig,
        Ranks,
        RanksConfig,
        ScratchConfig,
        SelectConfig,
        TableConfig,
        TeachConfig,
        TrainingConfig,
    )
    from e2gan.core.errors import InputError
    from e2gan.data.pair_set import PairSet
    from e2gan.data.photos import PhotoSet, prepare_photos
    from e2gan.demo.demo import run_demo
    from e2gan.editing.edit import edit
    from e2gan.editing.predictor import Predictor
    from e2gan.export.export import export_model
    from e2gan.measure.cost import measure_cost
    from e2gan.measure.distances import frechet_distance
    from e2gan.measure.evaluate import evaluate
    from e2gan.networks.discriminator import Discriminator
    from e2gan.networks.generator import Generator
    from e2gan.networks.models import Model
    from e2gan.pairs.choose_again import choose_again
    from e2gan.pairs.make import make_pair_sets, make_pairs
    from e2gan.research.crucial import find_crucial
    from e2gan.research.ranks import find_ranks
    from e2gan.research.tables import run_table
    from e2gan.teachers.function import FunctionTeacher
    from e2gan.teachers.teacher import Ask, Failed, Teacher
    from e2gan.train.adapter import adapt
    from e2gan.train.base import train_base
    from e2gan.train.scratch import train_scratch

# Module → what of it is public, in the order of the data's way.
_PUBLIC = {
    "config": (
        "PhotosConfig SelectConfig PairsConfig TeachConfig ChooseConfig ConceptsConfig BaseConfig AdaptConfig "
        "ScratchConfig RanksConfig CrucialConfig EvaluateConfig TableConfig CostConfig ExportConfig "
        "EditConfig DemoConfig "
        "GeneratorConfig TrainingConfig Ranks PRESETS RECIPES"
    ),
    "core.errors": "InputError",
    "data.photos": "prepare_photos PhotoSet",
    "data.pair_set": "PairSet",
    "choose.photos": "select_photos",
    "teachers.teacher": "Teacher Ask Failed",
    "teachers.function": "FunctionTeacher",
    "pairs.make": "make_pairs make_pair_sets",
    "pairs.choose_again": "choose_again",
    "choose.concepts": "choose_concepts",
    "networks.generator": "Generator",
    "networks.discriminator": "Discriminator",
    "networks.models": "Model",
    "train.base": "train_base",
    "train.adapter": "adapt",
    "train.scratch": "train_scratch",
    "editing.edit": "edit",
    "editing.predictor": "Predictor",
    "measure.distances": "frechet_distance",
    "measure.evaluate": "evaluate",
    "measure.cost": "measure_cost",
    "export.export": "export_model",
    "research.ranks": "find_ranks",
    "research.crucial": "find_crucial",
    "research.tables": "run_table",
    "demo.demo": "run_demo",
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names.split()}

__all__ = [
    "AdaptConfig",
    "Ask",
    "BaseConfig",
    "ChooseConfig",
    "ConceptsConfig",
    "CostConfig",
    "CrucialConfig",
    "DemoConfig",
    "Discriminator",
    "EditConfig",
    "EvaluateConfig",
    "ExportConfig",
    "Failed",
    "FunctionTeacher",
    "Generator",
    "GeneratorConfig",
    "InputError",
    "Model",
    "PRESETS",
    "PairSet",
    "PairsConfig",
    "PhotoSet",
    "PhotosConfig",
    "Predictor",
    "RECIPES",
    "Ranks",
    "RanksConfig",
    "ScratchConfig",
    "SelectConfig",
    "TableConfig",
    "TeachConfig",
    "Teacher",
    "TrainingConfig",
    "adapt",
    "choose_again",
    "choose_concepts",
    "edit",
    "evaluate",
    "export_model",
    "find_crucial",
    "find_ranks",
    "frechet_distance",
    "make_pair_sets",
    "make_pairs",
    "measure_cost",
    "prepare_photos",
    "run_demo",
    "run_table",
    "select_photos",
    "train_base",
    "train_scratch",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'e2gan' has no attribute '{name}'")
    return getattr(importlib.import_module(f"e2gan.{_MODULE_OF[name]}"), name)
