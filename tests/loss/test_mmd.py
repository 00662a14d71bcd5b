"""The MMD term against the definition by loops and against a closed form."""

from __future__ import annotations

from math import exp

import pytest
import torch

from aetl.loss.mmd import MMD
from aetl.rng import Rng
from tests.loss.draw import normal

RNG = Rng.of(3, "loss")
SCALES = [0.5, 2.0]


@pytest.mark.parametrize("kernel", ["imq", "rbf"])
def test_mean_over_the_batch_is_the_unbiased_estimate(kernel: str) -> None:
    z = 0.5 + normal(7, 3)
    p = RNG.fork("mmd").normal(z)

    def k(a: torch.Tensor, b: torch.Tensor) -> float:
        squared = float(((a - b) ** 2).sum())
        widths = [2 * 3 * s for s in SCALES]
        return sum(exp(-squared / c) if kernel == "rbf" else c / (c + squared) for c in widths)

    n = len(z)
    pairs = [(i, j) for i in range(n) for j in range(n)]
    within = sum(k(z[i], z[j]) + k(p[i], p[j]) for i, j in pairs if i != j) / (n * (n - 1))
    across = sum(k(z[i], p[j]) for i, j in pairs) / n**2
    value = MMD(weight=1.0, kernel=kernel, scales=SCALES)(z, RNG)
    assert value.shape == (n,)
    assert float(value.mean()) == pytest.approx(within - 2 * across, rel=1e-10)


def test_it_estimates_the_closed_form_of_two_gaussians() -> None:
    """For ``exp(-d^2 / C)``, ``N(m, I)`` and ``N(0, I)``: 2 s (1 - exp(-|m|^2 / (C + 4)))."""
    z, shift = 1.0 + normal(1500, 2), 2.0
    c = 2 * 2 * 1.0
    exact = 2 * (c / (c + 4)) ** (2 / 2) * (1 - exp(-shift / (c + 4)))
    value = MMD(weight=1.0, kernel="rbf", scales=[1.0])(z, RNG)
    assert float(value.mean()) == pytest.approx(exact, rel=0.1)


def test_it_is_about_zero_for_the_prior_and_zero_for_a_batch_of_one() -> None:
    term = MMD(weight=1.0, kernel="imq", scales=[1.0])
    assert abs(float(term(normal(800, 2), RNG).mean())) < 5e-3
    assert term(normal(1, 2), RNG).tolist() == [0.0]
