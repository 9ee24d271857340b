"""What rows are made of; what each experiment's rows are is in test_experiments.py."""

from __future__ import annotations

from e2gan import GeneratorConfig, Ranks
from e2gan.networks.generator import Generator
from e2gan.networks.lora import parameter_count
from e2gan.research.tables.rows import random_ranks


def test_random_ranks_are_drawn_by_the_seed_and_near_the_papers_size() -> None:
    paper = GeneratorConfig()
    drawn = {random_ranks(paper, seed, (Ranks(),)) for seed in range(20)}
    assert len(drawn) > 3
    assert Ranks() not in drawn
    for ranks in drawn:
        assert 0.095e6 < parameter_count(Generator(paper), ranks) < 0.105e6  # Tab. 5: 0.100 M
    assert random_ranks(paper, 3) == random_ranks(paper, 3)
