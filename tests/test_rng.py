"""Keyed randomness: the same key the same numbers, other keys others, parts compose."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import kstest

from aetl.rng import Rng, seed_global


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


def test_the_global_source_is_seeded_as_by_torch_and_no_call_stack_is_written_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seed = 2**62 + 7
    torch.manual_seed(seed)
    expected = torch.rand(5)
    for device in (torch.cuda, torch.xpu, torch.mtia):
        monkeypatch.delattr(device, "_lazy_call")
    seed_global(seed)
    assert torch.equal(torch.rand(5), expected)
