"""The DIP penalties against torch.cov and the covariance of samples."""

from __future__ import annotations

import torch

from aetl.loss.dip import DIP
from tests.loss.draw import normal


def penalty(covariance: torch.Tensor, diagonal: float) -> torch.Tensor:
    total = covariance.new_zeros(())
    for i, row in enumerate(covariance):
        for j, c in enumerate(row):
            total = total + (diagonal * (c - 1) ** 2 if i == j else c**2)
    return total


def test_kind_i_looks_at_the_covariance_of_the_means() -> None:
    mean, logvar = normal(9, 4), normal(9, 4, seed=1)
    reference = penalty(torch.cov(mean.T, correction=0), 3.0)
    value = DIP(weight=1.0, kind="i", diagonal=3.0)(mean, logvar)
    torch.testing.assert_close(value, reference.expand(9), rtol=1e-10, atol=0)


def test_kind_ii_looks_at_the_covariance_of_samples_of_the_aggregate_posterior() -> None:
    mean, logvar = normal(6, 3), normal(6, 3, seed=1)
    samples = mean + (0.5 * logvar).exp() * normal(200_000, 6, 3, seed=2)
    reference = penalty(torch.cov(samples.flatten(0, 1).T, correction=0), 3.0)
    value = DIP(weight=1.0, kind="ii", diagonal=3.0)(mean, logvar)
    torch.testing.assert_close(value, reference.expand(6), rtol=0.02, atol=0)


def test_whitened_means_cost_nothing() -> None:
    q, _ = torch.linalg.qr(normal(8, 4) - normal(8, 4).mean(0))
    white = q * 8**0.5
    torch.testing.assert_close(
        DIP(weight=1.0, kind="i", diagonal=1.0)(white, white), white.new_zeros(8)
    )
