"""Every setting, its default, and where the number is from.

One frozen dataclass a stage; the field comments are the command line's help. This package imports no torch, so that
`e2gan --help` answers at once. "Sec.", "Tab.", "Alg." and "Eq." are those of the ICML 2024 paper; where the paper
is silent the comment says "undisclosed" and the number is ours.
"""

from __future__ import annotations

from e2gan.config.data import ChooseConfig, ConceptsConfig, PairsConfig, PhotosConfig, SelectConfig, TeachConfig
from e2gan.config.nearest import NearestConfig
from e2gan.config.network import (
    DEVICE,
    PAPER,
    PIX2PIX,
    PRESETS,
    THRESHOLDS,
    Activation,
    GeneratorConfig,
    Norm,
    Ranks,
    Upsample,
)
from e2gan.config.plan import PlanConfig
from e2gan.config.recipes import RECIPES, Recipe, Stage, as_published
from e2gan.config.research import (
    KEPT,
    CrucialConfig,
    ExperimentConfig,
    FinetuneConfig,
    Part,
    RanksConfig,
    ReproduceConfig,
    TableConfig,
    Training,
)
from e2gan.config.stages import (
    AdaptConfig,
    AppConfig,
    BaseConfig,
    CostConfig,
    DemoConfig,
    Detail,
    EditConfig,
    EvaluateConfig,
    ExportConfig,
    Init,
    Metadata,
    PushConfig,
    RuntimeName,
    ScratchConfig,
    VerifyConfig,
)
from e2gan.config.sweep import SweepConfig
from e2gan.config.training import COMODGAN_TRAINING, TrainingConfig
