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
    from e2gan.adapter import adapt
    from e2gan.assembly import choose_again
    from e2gan.base import train_base
    from e2gan.concepts import choose_concepts
    from e2gan.config import (
        PRESETS,
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
        FinetuneConfig,
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
    from e2gan.cost import measure_cost
    from e2gan.crucial import find_crucial
    from e2gan.demo import run_demo
    from e2gan.discriminator import Discriminator
    from e2gan.errors import InputError
    from e2gan.evaluation import evaluate
    from e2gan.export import export_model
    from e2gan.fid import frechet_distance
    from e2gan.finetune import finetune_base
    from e2gan.generator import Generator
    from e2gan.models import Model
    from e2gan.pairs import PairSet, make_pair_sets, make_pairs
    from e2gan.photos import PhotoSet, prepare_photos
    from e2gan.predictor import Predictor, edit
    from e2gan.ranks import find_ranks
    from e2gan.scratch import train_scratch
    from e2gan.selection import select_photos
    from e2gan.tables import run_table
    from e2gan.teachers.function import FunctionTeacher
    from e2gan.teachers.teacher import Ask, Failed, Teacher

# Module → what of it is public, in the order of the data's way.
_PUBLIC = {
    "config": (
        "PhotosConfig SelectConfig PairsConfig TeachConfig ChooseConfig ConceptsConfig BaseConfig AdaptConfig "
        "ScratchConfig FinetuneConfig RanksConfig CrucialConfig EvaluateConfig TableConfig CostConfig ExportConfig "
        "EditConfig DemoConfig "
        "GeneratorConfig TrainingConfig Ranks PRESETS"
    ),
    "errors": "InputError",
    "photos": "prepare_photos PhotoSet",
    "selection": "select_photos",
    "pairs": "make_pairs make_pair_sets PairSet",
    "assembly": "choose_again",
    "teachers.teacher": "Teacher Ask Failed",
    "teachers.function": "FunctionTeacher",
    "concepts": "choose_concepts",
    "generator": "Generator",
    "discriminator": "Discriminator",
    "base": "train_base",
    "adapter": "adapt",
    "scratch": "train_scratch",
    "finetune": "finetune_base",
    "ranks": "find_ranks",
    "crucial": "find_crucial",
    "models": "Model",
    "fid": "frechet_distance",
    "evaluation": "evaluate",
    "tables": "run_table",
    "cost": "measure_cost",
    "export": "export_model",
    "predictor": "edit Predictor",
    "demo": "run_demo",
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
    "FinetuneConfig",
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
    "finetune_base",
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
