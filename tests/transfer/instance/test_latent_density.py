"""Weights by the target's density against SciPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from aetl.rng import Rng
from aetl.transfer.instance.latent_density import LatentDensity, mixture

COMMON: dict[str, Any] = {"space": "latent", "clip": 1e9, "mix": 1.0, "components": 1}


def points() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(15, 3)), rng.normal(0.5, 0.8, size=(40, 3))


def kernels(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    width = len(target) ** (-1 / 7)
    return np.mean([multivariate_normal.pdf(source, t, width**2) for t in target], 0)


def one_gaussian(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    covariance = np.cov(target.T, bias=True) + 1e-3 * np.eye(3)
    return multivariate_normal.pdf(source, target.mean(0), covariance)


@pytest.mark.parametrize("density, expected", [("kde", kernels), ("gmm", one_gaussian)])
@pytest.mark.parametrize("temperature", [1.0, None])
def test_weights_are_powers_of_the_targets_density(
    density: Any, expected: Any, temperature: float | None
) -> None:
    source, target = points()
    strategy = LatentDensity(**COMMON, density=density, temperature=temperature)
    found = strategy.ratio(source, target, Rng.of("test"))
    truth = expected(source, target) ** (1 / (temperature or 3))
    np.testing.assert_allclose(found, truth / truth.max(), rtol=1e-8)


def test_two_clusters_are_two_components() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-3, 0.2, (100, 2)), rng.normal(3, 0.2, (300, 2))])
    found = mixture(x, 2, Rng.of("test"))
    np.testing.assert_allclose(sorted(found.weights_), [0.25, 0.75], atol=1e-6)
    np.testing.assert_allclose(np.sort(found.means_[:, 0]), [-3, 3], atol=0.1)


def test_there_are_no_more_components_than_targets() -> None:
    assert len(mixture(np.random.default_rng(0).normal(size=(3, 2)), 5, Rng.of(0)).weights_) == 3
