"""Penalties on all weights against sums by hand."""

from __future__ import annotations

import pytest
import torch

from aetl.loss.l1_weights import L1Weights
from aetl.loss.l2_weights import L2Weights
from tests.loss.draw import small_autoencoder


def test_they_are_sums_over_matrices_without_the_biases() -> None:
    model, x = small_autoencoder(2, 3), torch.rand(4, 2, 3, dtype=torch.float64)
    weights = [p for name, p in model.named_parameters() if name.endswith("weight")]
    assert len(weights) == 4
    absolute = sum(abs(w) for p in weights for w in p.flatten().tolist())
    squared = sum(w * w for p in weights for w in p.flatten().tolist())
    assert L1Weights(weight=1.0)(x, model).tolist() == pytest.approx([absolute] * 4)
    assert L2Weights(weight=1.0)(x, model).tolist() == pytest.approx([squared] * 4)


def test_their_gradients_are_the_sign_and_twice_the_weight() -> None:
    model, x = small_autoencoder(2, 3), torch.rand(1, 2, 3, dtype=torch.float64)
    first = model.encoder[1][0].weight
    for term, expected in ((L1Weights, first.sign()), (L2Weights, 2 * first)):
        (gradient,) = torch.autograd.grad(term(weight=1.0)(x, model).sum(), first)
        torch.testing.assert_close(gradient, expected.detach())
