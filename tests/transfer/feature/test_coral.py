"""Both forms of CORAL against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import fractional_matrix_power

from aetl.head.nearest_mean import NearestMean
from aetl.transfer.covariance import covariance
from aetl.transfer.feature.coral import Coral
from aetl.transfer.feature.coral_closed import CoralClosed
from tests.transfer.build import normal, small_network, step


@pytest.mark.usefixtures("float64")
def test_penalty_is_the_scaled_distance_of_the_covariances() -> None:
    at = step(small_network(), source=normal(9, 1, 4, 4), target=normal(7, 1, 4, 4, seed=1))
    here, there = (
        np.cov(at.streams[name].features.detach().numpy(), rowvar=False)
        for name in ("source", "target")
    )
    expected = 3.0 * np.linalg.norm(here - there, "fro") ** 2 / (4 * 4**2)
    assert float(Coral(weight=3.0).penalty(at, None).detach()) == pytest.approx(expected, rel=1e-12)


def recolouring(source: np.ndarray, target: np.ndarray, ridge: float) -> np.ndarray:
    closed = CoralClosed(head=NearestMean(scale="none", balanced=False, folds=5), ridge=1.0)
    return closed.matrix(covariance(source, ridge), covariance(target, ridge))


def samples() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(2, 5, 5))
    return rng.normal(size=(60, 5)) @ mix[0], rng.normal(size=(40, 5)) @ mix[1]


def test_closed_form_gives_the_source_the_targets_covariance_exactly() -> None:
    source, target = samples()
    moved = source @ recolouring(source, target, 0.0)
    np.testing.assert_allclose(
        np.cov(moved, rowvar=False), np.cov(target, rowvar=False), rtol=1e-9, atol=1e-9
    )


def test_closed_form_is_that_of_matrix_powers() -> None:
    source, target = samples()
    ridged = []
    for x in (source, target):
        found = np.cov(x, rowvar=False)
        ridged.append(found + 0.1 * np.trace(found) / 5 * np.eye(5))
    expected = fractional_matrix_power(ridged[0], -0.5) @ fractional_matrix_power(ridged[1], 0.5)
    np.testing.assert_allclose(recolouring(source, target, 0.1), expected, rtol=1e-8, atol=1e-10)
