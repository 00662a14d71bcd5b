"""Measures of the latent's use at known truths."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from aetl.autoencoder.monitor import active_units, effective_rank, perplexity, usage


def test_units_that_hardly_vary_are_not_active() -> None:
    means = torch.randn(5000, 4) * torch.tensor([1.0, 0.11, 0.09, 0.0]) + 3.0
    assert active_units(means) == 2  # variances 1, 0.0121, 0.0081, 0
    assert active_units(means, threshold=0.005) == 3


def test_equal_singular_values_have_full_rank_and_one_direction_has_rank_one() -> None:
    q, _ = torch.linalg.qr(torch.randn(20, 5))
    assert effective_rank(3.0 * q) == pytest.approx(5.0)
    assert effective_rank(torch.outer(torch.randn(20), torch.randn(5))) == pytest.approx(1.0, 1e-4)
    assert effective_rank(torch.zeros(4, 3)) == 0.0


def test_effective_rank_is_the_entropy_of_numpys_singular_values() -> None:
    features = torch.randn(30, 6, dtype=torch.float64)
    singular = np.linalg.svd(features.numpy(), compute_uv=False)
    assert effective_rank(features) == pytest.approx(np.exp(entropy(singular)))


def test_perplexity_counts_codes_that_are_used_alike() -> None:
    assert perplexity(torch.tensor([[0, 3], [3, 0]]), 10) == pytest.approx(2.0)
    assert perplexity(torch.tensor([7, 7, 7]), 10) == pytest.approx(1.0)
    counts = [3, 1, 0, 4]
    index = torch.repeat_interleave(torch.arange(4), torch.tensor(counts))
    assert perplexity(index, 4) == pytest.approx(float(np.exp(entropy(counts))))


def test_usage_counts_codes_that_are_used_at_all() -> None:
    assert usage(torch.tensor([[0, 3], [3, 9]]), 10) == pytest.approx(0.3)
