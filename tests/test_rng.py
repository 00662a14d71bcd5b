"""Keyed randomness: the same key the same numbers, other keys others, parts compose."""

from __future__ import annotations

import torch
from scipy.stats import kstest

from aetl.rng import Rng


def test_the_same_key_gives_the_same_numbers_whatever_was_drawn_before() -> None:
    like = torch.zeros(4, 3)
    first = Rng.of(1, "a", 2).normal(like)
    torch.rand(100)
    assert torch.equal(first, Rng.of(1, "a", 2).normal(like))
    assert not torch.equal(first, Rng.of(1, "a", 3).normal(like))
    assert not torch.equal(first, Rng.of(1, "a", 2).fork("x").normal(like))


def test_the_parts_of_two_ranks_make_up_the_joint_draw() -> None:
    joint = Rng(("k",)).normal(torch.zeros(5, 2))
    for rank in (0, 1):
        part = Rng(("k",), rank=rank, world=2, total=5)
        mine = joint[rank::2]
        assert torch.equal(part.normal(torch.zeros_like(mine)), mine)


def test_draws_follow_their_distributions() -> None:
    like = torch.zeros(20000, dtype=torch.float64)
    assert kstest(Rng.of(0).normal(like).numpy(), "norm").pvalue > 0.001
    assert kstest(Rng.of(0).uniform(like).numpy(), "uniform").pvalue > 0.001
