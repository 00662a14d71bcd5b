"""Proportions of classes from kernel means, where they are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from aetl.transfer.instance.base import gaussian
from aetl.transfer.instance.target_shift import class_ratio
from tests.tiny import MLP, World, receipt

MEANS = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])


def drawn(shares: list[float], number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.choice(3, number, p=shares)
    return MEANS[y] + rng.normal(size=(number, 2)), y


def test_known_proportions_are_found() -> None:
    x, y = drawn([0.6, 0.2, 0.2], 1500, 0)
    target, _ = drawn([0.2, 0.3, 0.5], 1500, 1)
    found = class_ratio(gaussian(x, x, 1.5), gaussian(x, target, 1.5), y, 3)
    np.testing.assert_allclose(found, [0.2 / 0.6, 0.3 / 0.2, 0.5 / 0.2], atol=0.25)
    assert (np.bincount(y) / len(y)) @ found == pytest.approx(1.0)


def test_the_ratios_minimise_the_distance_of_the_means() -> None:
    x, y = drawn([0.3, 0.3, 0.4], 80, 2)
    target, _ = drawn([0.05, 0.15, 0.8], 90, 3)
    within, between = gaussian(x, x, 1.0), gaussian(x, target, 1.0)
    shares = np.bincount(y) / len(y)

    def distance(ratio: np.ndarray) -> float:
        weight = ratio[y] / len(y)
        return float(weight @ within @ weight - 2 * weight @ between.mean(1))

    found = class_ratio(within, between, y, 3)
    best = minimize(
        distance, np.ones(3), bounds=[(0, None)] * 3, tol=1e-12,
        constraints={"type": "eq", "fun": lambda b: shares @ b - 1},
    )  # fmt: skip
    assert distance(found) <= best.fun + 1e-8
    np.testing.assert_allclose(found, best.x, atol=2e-3)


def test_a_class_without_an_example_counts_one() -> None:
    x, y = drawn([0.5, 0.5, 0.0], 60, 4)
    found = class_ratio(gaussian(x, x, 1.0), gaussian(x, x, 1.0), y, 4)
    assert found[2:].tolist() == [1.0, 1.0]
    np.testing.assert_allclose(found[:2], 1.0, atol=1e-6)


def test_it_weighs_the_source_of_an_arm(tmp_path_factory: pytest.TempPathFactory) -> None:
    world = World(tmp_path_factory.mktemp("shift"), *MLP)
    said = receipt(world.but("transfer=instance/target_shift").transfer())
    assert 1 < said["effective_sample_size"] < len(world.domains.source.split.train)
