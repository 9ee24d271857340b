"""What a generator costs: parameters, multiply-accumulates, bytes, milliseconds (Tab. 1, Tab. 5, Fig. 4)."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from e2gan.config import CostConfig, TrainingConfig
from e2gan.core.device import resolve_device
from e2gan.core.errors import InputError
from e2gan.core.memory import available_memory, need_memory
from e2gan.networks.baselines.comodgan import ComodganGenerator
from e2gan.networks.baselines.lut import LookUpTable
from e2gan.networks.discriminator import Discriminator
from e2gan.networks.folders import ADAPTER, MODEL, adapter_folder, base_folder
from e2gan.networks.generator import Generator, sampling_layers
from e2gan.networks.lora import attach, rank_of_layers
from e2gan.networks.lora_training import train_mode
from e2gan.networks.models import Model, build_generator
from e2gan.networks.resized_conv import ResizedConv2d, fix_kernels
from e2gan.networks.text import MAX_TOKENS
from e2gan.train.batches import Batch
from e2gan.train.step import Trainer, parameters


@dataclass(frozen=True)
class Cost:
    """Counts are exact; bytes are of the files on disk (None for a generator that is on none)."""

    parameters: int
    parameters_rb: int
    parameters_tb: int
    parameters_sl: int
    parameters_adapter: int
    parameters_discriminator: int
    gmacs: float
    """Billions of multiply-accumulates of the layers, one image at `size`, 77 tokens; transposed convolutions, which
    resize and convolution is run as, at their input."""
    gmacs_at_output: float
    """The same with transposed convolutions, and resize and convolution, counted at their output, as Tab. 1 does."""
    gmacs_attention: float
    """Billions of multiply-accumulates of the attention products, which have no weights and are not in the others."""
    step_gflops: float
    """Billions of operations of one training step at batch 1, all weights trained: G and D, forward and backward."""
    step_gflops_adapter: float
    """The same with the adapter alone trained in G."""
    bytes_model: int | None
    bytes_adapter: int | None
    latency_ms: float
    """Median of one image, PyTorch in fp32."""
    size: int
    device: str
    threads: int

    def __str__(self) -> str:
        def mega(count: int | None) -> str:
            return "-" if count is None else f"{count / 1e6:.2f} MB"

        rows = [
            ("generator", f"{self.parameters:,} parameters"),
            ("  residual blocks", f"{self.parameters_rb:,}"),
            ("  transformer blocks", f"{self.parameters_tb:,}"),
            ("  sampling layers", f"{self.parameters_sl:,}"),
            ("adapter", f"{self.parameters_adapter:,} parameters, {self.parameters_adapter / self.parameters:.2%}"),
            ("discriminator", f"{self.parameters_discriminator:,} parameters"),
            (
                "MACs",
                f"{self.gmacs:.2f} G at {self.size}×{self.size} ({self.gmacs_at_output:.2f} G with transposed "
                f"convs at their output), attention {self.gmacs_attention:.2f} G",
            ),
            ("training step", f"{self.step_gflops:.1f} GFLOP; adapter alone {self.step_gflops_adapter:.1f} GFLOP"),
            ("on disk", f"model {mega(self.bytes_model)}, adapter {mega(self.bytes_adapter)}"),
            ("latency", f"{self.latency_ms:.1f} ms an image (PyTorch fp32, {self.device}, {self.threads} threads)"),
        ]
        return "\n".join(f"{name:<22}{value}" for name, value in rows)


def measure_cost(config: CostConfig) -> Cost:
    """Count and time a base, a base with an adapter, a model from scratch, or a fresh generator of the settings.

    Raises InputError for bad settings or folders.
    """
    CostConfig.checked(config)
    device = resolve_device(config.device)
    generator, model_file, adapter_file = _load(config)
    if config.size % generator.multiple:
        raise InputError(f"--size {config.size}: this generator takes multiples of {generator.multiple}")
    # What the first convolution alone makes, and what becomes of it.
    maps = 2 * 4 * generator.config.width * (config.size // generator.config.fold) ** 2
    need_memory(maps, available_memory(), f"--size {config.size}", "make it smaller")
    layers = rank_of_layers(generator, config.ranks)
    blocks = sum(parameters(s.block) for s in generator.transformers.values())  # pyright: ignore[reportArgumentType]
    sampling = sum(parameters(generator.get_submodule(name)) for name in sampling_layers(generator))
    macs, macs_attention = multiply_accumulates(generator, config.size)
    step = step_adapter = training_flops(Generator(generator.config), config.size)
    parameters_adapter = 0
    if layers:
        attach(adapted := Generator(generator.config), layers)
        train_mode(adapted)
        parameters_adapter = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
        step_adapter = training_flops(adapted, config.size)
    photo, tokens = example(generator, config.size, device)
    twin = fix_kernels(copy.deepcopy(generator)).to(device).eval()
    with torch.inference_mode():
        milliseconds = latency(lambda: twin(photo, tokens), config.repeat, device)
    return Cost(
        parameters=parameters(generator),
        parameters_rb=parameters(generator.blocks),
        parameters_tb=blocks,
        parameters_sl=sampling,
        parameters_adapter=parameters_adapter,
        parameters_discriminator=parameters(Discriminator()),
        gmacs=macs / 1e9,
        gmacs_attention=macs_attention / 1e9,
        gmacs_at_output=(macs + transposed_at_output(generator, config.size)) / 1e9,
        step_gflops=step / 1e9,
        step_gflops_adapter=step_adapter / 1e9,
        bytes_model=model_file.stat().st_size if model_file else None,
        bytes_adapter=adapter_file.stat().st_size if adapter_file else None,
        latency_ms=milliseconds,
        size=config.size,
        device=str(device),
        threads=torch.get_num_threads(),
    )


def _load(config: CostConfig) -> tuple[Generator, Path | None, Path | None]:
    """The generator to count, with an adapter merged; the files that hold it."""
    if config.model is None and config.base is None and config.adapter is None:
        generator = build_generator("e2gan", config.generator, config.size)
        return cast("Generator", generator), None, None
    adapter = () if config.adapter is None else (config.adapter,)
    model = Model.load(base=config.base, adapter=adapter, model=config.model, text=config.text)
    folder = config.model if config.model is not None else base_folder(config.base, config.adapter)
    generator = model.plain()
    if isinstance(generator, LookUpTable):
        raise InputError(
            f"{folder} holds a colour table of {parameters(generator):,} numbers: it has no layers to count"
        )
    if not isinstance(generator, Generator):
        raise InputError(f"{folder} holds another baseline than pix2pix: its cost is in e2gan table fig6")
    return generator, folder / MODEL, adapter_folder(adapter[0]) / ADAPTER if adapter else None


def example(generator: nn.Module, size: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor | None]:
    """A random photo (1, 3, size, size) and prompt (1, 77, D) for a generator; no prompt where it takes none."""
    photo = torch.rand(1, 3, size, size, device=device) * 2 - 1
    if not (isinstance(generator, Generator) and generator.config.takes_prompt):
        return photo, None
    return photo, torch.randn(1, MAX_TOKENS, generator.config.text_width, device=device)


def multiply_accumulates(generator: nn.Module, size: int) -> tuple[int, int]:
    """MACs of one image by PyTorch's counter: those of the layers, and those of the attention products beside them.

    A transposed convolution counts once for each pixel of its input; so does resize and convolution, run as one.
    """
    # Without numbers where that works; Co-Mod-GAN switches autocast off inside, which this device does not know.
    device = torch.device("meta" if isinstance(generator, Generator) else "cpu")
    twin = fix_kernels(copy.deepcopy(generator)).to(device)
    photo, tokens = example(twin, size, device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        twin.eval()(photo, tokens)
    layers = (torch.ops.aten.convolution, torch.ops.aten.mm, torch.ops.aten.addmm)
    counts = counter.get_flop_counts()["Global"]
    of_layers = sum(count for op, count in counts.items() if op in layers)
    return of_layers // 2, (sum(counts.values()) - of_layers) // 2


def transposed_at_output(generator: nn.Module, size: int) -> int:
    """What counting at the output adds: a stride-2 transposed convolution has 4 times the pixels there (Tab. 1).

    A 3×3 convolution of the enlarged map has 9 products at each of them, where 16 at the input are run.
    """
    if isinstance(generator, ComodganGenerator):
        growing = [(int(side) // 2, layer.conv.weight.numel()) for side, layer in generator.grow.items()]  # pyright: ignore
        return sum(3 * side**2 * weights for side, weights in growing)
    eighth = size // int(generator.multiple)  # pyright: ignore[reportArgumentType]
    sides = {"level2_up": 4 * eighth, "level3_up": 2 * eighth}
    total = 0
    for name, module in generator.named_modules():
        pixels = sides.get(name.split(".")[0], eighth) ** 2
        if isinstance(module, nn.ConvTranspose2d):
            total += (4 - 1) * pixels * module.weight.numel()
        elif isinstance(module, ResizedConv2d):
            total += (4 * 9 - 16) * pixels * module.weight.numel() // 9
    return total


@dataclass(frozen=True)
class StepFlops:
    """Operations of one training step (Eq. 1), counted on the real passes of what is trainable."""

    generator_forward: int
    generator_backward: int
    discriminator: int
    """Forward and backward, of its own update and of the generator's."""
    total: int


def step_flops(trainer: Trainer, size: int, number: int = 1) -> StepFlops:
    """Count step `number` of a trainer at batch 1. Its networks are left as they were."""
    batch = example_batch(trainer.generator, size, trainer.device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        trainer.generator(batch.photo, batch.tokens, batch.mask, batch.place)
    forward = counter.get_total_flops()
    total = _count(trainer, batch, number, trainer.config)
    without_discriminator = _count(trainer, batch, number, replace(trainer.config, gan=0.0, l1=1.0))
    return StepFlops(forward, without_discriminator - forward, total - without_discriminator, total)


def _count(trainer: Trainer, batch: Batch, number: int, config: TrainingConfig) -> int:
    """Operations of one step under these settings, after which the networks are as before."""
    buffers = {n: b.clone() for n, b in trainer.generator.named_buffers()}
    counted = copy.copy(trainer)
    counted.average, counted.config = {}, replace(config, precision="fp32")
    # At rate 0 no weight moves; an optimiser's own arithmetic is not counted, as in the paper's Fig. 6.
    counted.optimizer_g, counted.optimizer_d = (
        torch.optim.SGD(o.param_groups[0]["params"], 0.0) for o in (trainer.optimizer_g, trainer.optimizer_d)
    )
    with FlopCounterMode(display=False) as counter:
        counted.step(batch, number)
    for parameter in (*trainer.trained.values(), *trainer.discriminator.parameters()):
        parameter.grad = None
    trainer.discriminator.requires_grad_(True)
    for name, buffer in trainer.generator.named_buffers():
        buffer.copy_(buffers[name])
    return counter.get_total_flops()


def example_batch(generator: nn.Module, size: int, device: torch.device) -> Batch:
    """One random pair (1, 3, size, size), with a prompt of 77 tokens where the generator takes one."""
    photo, tokens = example(generator, size, device)
    mask = torch.ones(1, MAX_TOKENS, dtype=torch.bool, device=device)
    empty = torch.zeros(1, 1, 1, device=device)
    return Batch(photo, torch.rand_like(photo) * 2 - 1, empty if tokens is None else tokens, mask)


def training_flops(generator: Generator, size: int) -> int:
    """Operations of one training step at batch 1 (Eq. 1), of what is trainable in `generator`."""
    trainer = Trainer(generator.train(), Discriminator(), TrainingConfig(precision="fp32"))
    return _count(trainer, example_batch(generator, size, torch.device("cpu")), 1, trainer.config)


def latency(
    run: Callable[[], object],
    repeat: int,
    device: torch.device | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Median milliseconds of `run`, after two runs that do not count."""
    return latencies({"": run}, repeat, device, clock)[""]


Key = TypeVar("Key", bound=Hashable)


def latencies(
    runs: Mapping[Key, Callable[[], object]],
    repeat: int,
    device: torch.device | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[Key, float]:
    """As `latency` for each of `runs`, in turns, so that what else the machine does slows all of them alike."""
    times: dict[Key, list[float]] = {name: [] for name in runs}
    for i in range(repeat + 2):
        for name, run in runs.items():
            start = clock()
            run()
            if device is not None and device.type == "cuda":
                torch.cuda.synchronize(device)
            if i >= 2:
                times[name].append(clock() - start)
    return {name: 1000 * statistics.median(of_run) for name, of_run in times.items()}
