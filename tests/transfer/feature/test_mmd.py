"""MMD and its joint form against sums over pairs."""

from __future__ import annotations

import itertools
from math import exp

import pytest
import torch
from torch import Tensor

from aetl.transfer.feature.jan import Jan
from aetl.transfer.feature.mmd import Mmd
from tests.transfer.build import normal, small_network, step

pytestmark = pytest.mark.usefixtures("float64")
SCALES = [0.5, 2.0]


def pair_kernel(points: Tensor, i: int, j: int) -> float:
    """The kernel of two of the points, by the definition."""
    pairs = list(itertools.permutations(range(len(points)), 2))
    mean = sum(float((points[a] - points[b]).square().sum()) for a, b in pairs) / len(pairs)
    squared = float((points[i] - points[j]).square().sum())
    return sum(exp(-squared / (scale * mean)) for scale in SCALES) / len(SCALES)


def by_hand(spaces: list[Tensor], num_source: int) -> float:
    """The sum over all pairs of sign_i sign_j times the product of the kernels of every space."""
    size = len(spaces[0])
    sign = [1 / num_source if i < num_source else -1 / (size - num_source) for i in range(size)]
    total = 0.0
    for i, j in itertools.product(range(size), repeat=2):
        kernel = 1.0
        for points in spaces:
            kernel *= pair_kernel(points, i, j)
        total += sign[i] * sign[j] * kernel
    return total


def test_mmd_is_the_double_sum_over_pairs() -> None:
    network = small_network()
    at = step(network, source=normal(5, 1, 4, 4), target=normal(3, 1, 4, 4, seed=1) + 1)
    both = torch.cat([at.streams["source"].features, at.streams["target"].features]).detach()
    penalty = Mmd(weight=2.0, scales=SCALES).penalty(at, None)
    assert float(penalty.detach()) == pytest.approx(2.0 * by_hand([both], 5), rel=1e-12)


def test_jan_multiplies_the_kernels_of_features_and_predictions() -> None:
    network = small_network()
    at = step(network, source=normal(4, 1, 4, 4), target=normal(3, 1, 4, 4, seed=1) + 1)
    sides = [at.streams["source"], at.streams["target"]]
    spaces = [
        torch.cat([side.features for side in sides]).detach(),
        torch.cat([side.output.softmax(1) for side in sides]).detach(),
    ]
    penalty = Jan(weight=1.0, scales=SCALES).penalty(at, None)
    assert float(penalty.detach()) == pytest.approx(by_hand(spaces, 4), rel=1e-12)


def test_mmd_vanishes_for_equal_samples_and_grows_with_the_distance() -> None:
    network, x = small_network(), normal(8, 1, 4, 4)
    values = []
    for distance in (0.0, 0.3, 1.0):
        at = step(network, source=x, target=x + distance)
        values.append(float(Mmd(weight=1.0, scales=SCALES).penalty(at, None).detach()))
    assert abs(values[0]) < 1e-14
    assert values[0] < values[1] < values[2]
