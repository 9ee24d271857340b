from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from e2gan.cli import main
from e2gan.config import PAPER, PIX2PIX, CostConfig, GeneratorConfig, Ranks
from e2gan.measure.cost import measure_cost, multiply_accumulates, training_flops, transposed_at_output
from e2gan.networks.generator import Generator
from e2gan.networks.lora import attach, rank_of_layers
from e2gan.networks.resized_conv import ResizedConv2d
from tests.conftest import Project, refused

SMALL = GeneratorConfig(width=8, heads=2, text_width=16)


def test_macs_are_the_papers() -> None:
    layers, attention = multiply_accumulates(Generator(PAPER), 256)
    assert layers == 23_130_800_128
    # 1,024 positions at an eighth of 256: self-attention 2·1024²·256, cross-attention 2·1024·77·256
    assert attention == 2 * 1024 * 256 * (1024 + 77)
    assert multiply_accumulates(Generator(PIX2PIX), 256) == (49_551_507_456, 0)


def test_resize_and_convolution_is_counted_as_it_is_run_and_at_the_output_as_it_is_defined() -> None:
    transposed, resized = Generator(PAPER), Generator(replace(PAPER, upsample="resize"))
    pixels_and_weights = 32**2 * 256 * 256 + 64**2 * 256 * 128 + 128**2 * 128 * 64
    layers, _ = multiply_accumulates(resized, 256)
    assert layers - multiply_accumulates(transposed, 256)[0] == (4 * 4 - 3 * 3) * pixels_and_weights
    assert layers == 25_479_610_368
    assert transposed_at_output(transposed, 256) == 3 * 3 * 3 * pixels_and_weights
    assert layers + transposed_at_output(resized, 256) == 32_190_496_768


def test_max_pooling_around_the_tb_saves_its_two_convolutions() -> None:
    layers, _ = multiply_accumulates(Generator(PAPER), 256)
    pooled, _ = multiply_accumulates(Generator(replace(PAPER, around="max")), 256)
    # two 3×3 convolutions of 256 channels at 32×32, the transposed one counted at its input
    assert layers - pooled == 2 * 32**2 * 256 * 256 * 9


@pytest.mark.slow
def test_pix2pix_counted_at_the_outputs_is_tab_1s() -> None:
    found = measure_cost(CostConfig(generator=PIX2PIX, size=64, repeat=1))
    # Tab. 1 says 56.9 G at 256×256, sixteen times the pixels
    assert found.gmacs_at_output * 16 == pytest.approx(56.9, rel=0.003)
    assert found.parameters == 11_378_179
    assert found.parameters_tb == 0


def test_cost_of_the_default_generator() -> None:
    found = measure_cost(CostConfig(generator=SMALL, size=32, repeat=1))
    assert found.parameters == found.parameters_rb + found.parameters_tb + found.parameters_sl
    assert found.latency_ms > 0
    assert found.step_gflops_adapter < found.step_gflops
    assert "parameters" in str(found)


def test_frozen_layers_save_their_weight_gradients() -> None:
    whole = Generator(PAPER)
    adapted = Generator(PAPER)
    attach(adapted, rank_of_layers(adapted, Ranks()))
    before = {n: p.clone() for n, p in adapted.named_parameters()}
    assert training_flops(adapted, 32) < 0.8 * training_flops(whole, 32)
    # counting is a real step, but leaves the weights as they were
    assert all((before[n] == p).all() for n, p in adapted.named_parameters())


def test_a_base_and_a_model_on_disk_are_counted_too(project: Project, capsys: pytest.CaptureFixture) -> None:
    for arguments in (f"--base {project.base} --adapter {project.adapter}", f"--model {project.model}"):
        assert main(f"cost {arguments} --size 32 --repeat 1 --json".split()) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["bytes_model"] > 0
        assert found["step_gflops_adapter"] < found["step_gflops"]


def test_a_size_that_the_generator_cannot_work_at_is_refused() -> None:
    config = CostConfig(generator=replace(SMALL, fold=2), size=40)
    assert refused(lambda: measure_cost(config)) == "--size 40: this generator takes multiples of 16"


@pytest.mark.parametrize("fold", [1, 2])
def test_transposed_convolutions_are_counted_at_the_size_that_they_run_at(fold: int) -> None:
    generator, seen = Generator(replace(SMALL, fold=fold)).eval(), {}
    for name, module in generator.named_modules():
        if isinstance(module, ResizedConv2d):
            module.register_forward_hook(lambda m, into, _, name=name: seen.update({name: (m, into[0].shape[2] ** 2)}))
    generator(torch.zeros(1, 3, 64, 64), torch.zeros(1, 4, SMALL.text_width))
    expected = sum((4 * 9 - 16) * pixels * module.weight.numel() // 9 for module, pixels in seen.values())
    assert len(seen) == 3
    assert transposed_at_output(generator, 64) == expected
