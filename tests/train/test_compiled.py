"""A compiled training step gives the losses of an eager one. On a CPU: CUDA graphs are not in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters

from e2gan.cli import main
from e2gan.config import ScratchConfig, TrainingConfig
from e2gan.core.errors import InputError, MachineError
from e2gan.train.compiled import MOST_VARIANTS, compiled_step, in_channels_last
from e2gan.train.cyclegan import CycleGANTrainer
from e2gan.train.loop import batches, train
from e2gan.train.perceptual import NETWORK
from e2gan.train.step import SIGNS, Trainer
from tests.conftest import Project
from tests.train.tiny_training import QUICK, data, rows, trainer

# PyTorch's compiler imports what PyTorch deprecates, and looks at what PyTorch warns of.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
]
EAGER = replace(QUICK, steps=30, save_every=1e9)


def losses(step: object, config: TrainingConfig, steps: int) -> list[dict[str, float]]:
    made = zip(range(steps), batches(data(), config, 0), strict=False)
    return [{k: float(v) for k, v in step(batch, number).items()} for number, batch in made]  # type: ignore[operator]


def without_clock(folder: Path) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows(folder)]


def agree(ours: list[dict[str, float]], theirs: list[dict[str, float]], within: float = 1e-3) -> None:
    assert [row.keys() for row in ours] == [row.keys() for row in theirs]
    for a, b in zip(ours, theirs, strict=True):
        assert list(a.values()) == pytest.approx(list(b.values()), rel=within)


@pytest.mark.slow
def test_losses_are_those_of_the_eager_step_and_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    for name, config in (("eager", EAGER), ("whole", replace(EAGER, compile=True))):
        (tmp_path / name).mkdir()
        train(trainer(config), data(), tmp_path / name)
    eager, whole = (without_clock(tmp_path / name) for name in ("eager", "whole"))
    agree(whole, eager)

    (tmp_path / "stopped").mkdir()
    config = replace(EAGER, compile=True, save_every=0)
    t = trainer(config)
    real = t.step

    def step(batch: object, number: int = 0) -> dict[str, torch.Tensor]:
        if number == 25:
            raise KeyboardInterrupt
        return real(batch, number)  # type: ignore[arg-type]

    t.step = step  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        train(t, data(), tmp_path / "stopped")
    train(trainer(config), data(), tmp_path / "stopped")
    agree(without_clock(tmp_path / "stopped"), whole, 1e-5)


@pytest.mark.slow
def test_an_edit_and_its_losses_are_one_piece_from_the_first_step() -> None:
    config = replace(EAGER, gan=0, perceptual=5, gram=1)
    NETWORK.clear()  # as in a process that begins with a compiled training
    torch._dynamo.reset()
    counters.clear()
    compiled, eager = trainer(config), trainer(config)
    for one in (compiled, eager):
        one.signs = torch.zeros(len(SIGNS))  # as where a guard watches
    found = losses(compiled_step(compiled), config, 3)
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] == 1
    assert torch._dynamo.config.recompile_limit >= MOST_VARIANTS
    agree(found, losses(eager.step, config, 3))
    assert compiled.signs is not None
    assert eager.signs is not None
    assert torch.allclose(compiled.signs, eager.signs, atol=1e-3)


@pytest.mark.slow
def test_minutes_do_not_count_the_compiling(tmp_path: Path) -> None:
    """Which takes longer than these three seconds, or nothing where PyTorch has kept what it compiled."""
    result = train(trainer(replace(EAGER, steps=None, minutes=0.05, compile=True)), data(), tmp_path)
    assert result.steps > 20
    assert 3 <= result.seconds < 6


def test_the_layout_leaves_the_losses_and_a_checkpoint_fits_it() -> None:
    plain, laid_out = trainer(EAGER), trainer(EAGER)
    agree(losses(in_channels_last(laid_out), EAGER, 6), losses(plain.step, EAGER, 6))
    again = trainer(EAGER)
    step = in_channels_last(again)
    again.load_state({name: t.clone().contiguous() for name, t in plain.state().items()})
    conv = next(p for p in again.trained.values() if p.dim() == 4 and p.shape[1] > 1 and p.shape[2] > 1)
    assert conv.is_contiguous(memory_format=torch.channels_last)
    assert again.optimizer_g.state[conv]["exp_avg"].stride() == conv.stride()
    agree(losses(step, EAGER, 3), losses(plain.step, EAGER, 3))


@pytest.mark.slow
def test_the_command_says_in_one_line_that_there_is_no_compiler(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "no-such-compiler"))
    command = f"scratch --model e2gan --pairs {project.sepia} --out {tmp_path}/m --steps 3 --batch 2 --compile "
    sizes = "--precision fp32 --width 8 --blocks 1 --transformers 1 --heads 2 --text-width 24"
    assert main((command + sizes).split()) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("e2gan: --compile: PyTorch cannot compile here: ")
    assert last.endswith("(leave --compile out)")
    assert not (tmp_path / "m").exists()


def test_what_it_is_not_for() -> None:
    with pytest.raises(InputError, match="as --r1 5 does: leave it out, or take --r1 0"):
        TrainingConfig(compile=True, r1=5.0).check()
    unpaired = ScratchConfig(
        pairs=Path("p"), out=Path("o"), model="cyclegan", unpaired=True, training=TrainingConfig(compile=True)
    )
    with pytest.raises(InputError, match="--compile is for trainings on pairs"):
        unpaired.check()
    t = trainer()
    other: Trainer = CycleGANTrainer.__new__(CycleGANTrainer)
    other.generator, other.discriminator, other.device = t.generator, t.discriminator, t.device
    with pytest.raises(InputError, match="--compile is for trainings on pairs"):
        compiled_step(other)
    t.device = torch.device("mps")
    with pytest.raises(InputError, match="not on mps"):
        compiled_step(t)


def test_what_a_step_raises_of_the_compiler_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.exc import BackendCompilerFailed

    t = trainer()

    def fails(*_: object) -> None:
        raise BackendCompilerFailed(lambda: None, RuntimeError("no compiler\nat all"), None)

    monkeypatch.setattr(t, "step", fails)
    with pytest.raises(MachineError, match="no compiler at all") as error:
        compiled_step(t)(next(batches(data(), EAGER, 0)), 0)
    assert "\n" not in str(error.value)
