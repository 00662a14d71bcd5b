"""The error on what was corrupted, against a loop over the elements."""

from __future__ import annotations

import pytest
import torch

from aetl.corruption.masking import Masking
from aetl.loss.masked import Masked
from aetl.rng import Rng
from tests.loss.draw import normal


def test_corrupted_and_clean_elements_have_their_own_weights() -> None:
    r, x = normal(4, 3, 5), normal(4, 3, 5, seed=1)
    corrupted = Masking(fraction=0.4)(x, Rng.of(0))
    expected = [
        sum(
            (0.75 if c != a else 0.25) * (b - a) ** 2
            for a, b, c in zip(*(t[i].flatten().tolist() for t in (x, r, corrupted)), strict=True)
        )
        for i in range(4)
    ]
    value = Masked(weight=1.0, corrupted=0.75, clean=0.25)(r, x, corrupted)
    assert value.tolist() == pytest.approx(expected, rel=1e-12)


def test_without_weight_on_the_clean_ones_only_the_hidden_are_learned() -> None:
    r, x = normal(2, 6).requires_grad_(), normal(2, 6, seed=1)
    corrupted = x.clone()
    corrupted[:, 2:4] = 0.0
    Masked(weight=1.0, corrupted=1.0, clean=0.0)(r, x, corrupted).sum().backward()
    assert r.grad is not None
    assert torch.equal(r.grad != 0, corrupted != x)
