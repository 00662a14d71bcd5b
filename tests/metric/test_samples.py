"""Distances of samples: against torchmetrics, SciPy and brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from aetl.metric.base import Metric
from aetl.metric.fid import FrechetDistance, frechet_distance
from aetl.metric.kid import KernelDistance, kernel_distance
from aetl.metric.pseudo_values import Layout, parts
from aetl.types import Prediction

RNG = np.random.default_rng(0)
N, F = 60, 5
X = RNG.normal(size=(N, F)) @ RNG.normal(size=(F, F)) + 3
OTHER = RNG.normal(1.5, 2.0, size=(N, F))
Y = np.full(N, -1)
PREDICTION = Prediction(np.zeros(N), None, {"features": X, "drawn": OTHER})


class Flat(torch.nn.Module):
    """The pixels of bytes as features."""

    num_features = F

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1).double()


def test_the_frechet_distance_is_that_of_two_gaussians() -> None:
    cov, cov_ = np.cov(X.T), np.cov(OTHER.T)
    root = sqrtm(cov @ cov_).real
    expected = np.square(X.mean(0) - OTHER.mean(0)).sum() + np.trace(cov + cov_ - 2 * root)
    assert frechet_distance(X, OTHER) == pytest.approx(expected, rel=1e-9)
    assert FrechetDistance()(PREDICTION, Y) == frechet_distance(X, OTHER)
    assert frechet_distance(X, X) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(X, X + 2) == pytest.approx(4 * F)
    few = RNG.normal(size=(3, 8))  # fewer examples than features
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-6)
    assert np.isnan(frechet_distance(X[:1], OTHER))


def test_both_are_those_of_torchmetrics_with_the_same_features() -> None:
    real, fake = (torch.randint(0, 256, (N, 1, 1, F), dtype=torch.uint8) for _ in range(2))
    fake = fake // 2
    flat = [t.flatten(1).double().numpy() for t in (real, fake)]
    fid = FrechetInceptionDistance(feature=Flat(), input_img_size=(1, 1, F)).set_dtype(
        torch.float64
    )
    kid = KernelInceptionDistance(feature=Flat(), subsets=1, subset_size=N)
    for metric in (fid, kid):
        metric.update(real, real=True)
        metric.update(fake, real=False)
    assert frechet_distance(*flat) == pytest.approx(float(fid.compute()), rel=1e-6)
    assert kernel_distance(*flat) == pytest.approx(float(kid.compute()[0]), rel=1e-6)


def test_the_kernel_distance_is_the_mean_over_pairs() -> None:
    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / F + 1) ** 3)

    x, other = X[:9], OTHER[:7]
    own, others = (
        np.mean([kernel(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j])
        for s in (x, other)
    )
    across = np.mean([kernel(a, b) for a in x for b in other])
    assert kernel_distance(x, other) == pytest.approx(own + others - 2 * across)
    assert np.isnan(kernel_distance(X[:1], OTHER))


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("metric", [FrechetDistance(), KernelDistance()],
                         ids=lambda metric: type(metric).__name__)  # fmt: skip
def test_an_examples_part_is_the_score_without_it(metric: Metric, grouped: bool) -> None:
    layout = Layout(np.arange(N, dtype=np.uint64), np.arange(N) // 7 if grouped else None)
    unit, units = layout.units(metric.most_units)
    left = Metric.without(metric, PREDICTION, Y, unit, units)
    expected = units * metric(PREDICTION, Y) - (units - 1) * left
    np.testing.assert_allclose(parts(metric, PREDICTION, Y, layout), expected, rtol=1e-7)
