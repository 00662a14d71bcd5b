"""The sliced Wasserstein term against optimal assignments and a closed form."""

from __future__ import annotations

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from aetl.loss.sliced_wasserstein import SlicedWasserstein
from aetl.rng import Rng
from tests.loss.draw import normal

RNG = Rng.of(3, "loss")


def test_mean_is_the_cost_of_the_optimal_assignment_on_every_direction() -> None:
    z, term = 1.0 + 2.0 * normal(8, 3), SlicedWasserstein(weight=1.0, directions=4)
    own = RNG.fork("sliced_wasserstein")
    p, axes = own.normal(z), term._axes(z, own.fork("directions"))
    torch.testing.assert_close(axes.square().sum(0), torch.ones(4, dtype=torch.float64))
    costs, each = [], torch.zeros(8, dtype=torch.float64)
    for axis in axes.T:
        cost = ((z @ axis)[:, None] - (p @ axis)[None]).square()
        rows, columns = linear_sum_assignment(cost.numpy())
        costs.append(float(cost[rows, columns].mean()))
        each += cost[rows, columns] / 4
    value = term(z, RNG)
    assert float(value.mean()) == pytest.approx(sum(costs) / 4, rel=1e-10)
    torch.testing.assert_close(value, each, rtol=1e-10, atol=1e-12)


def test_a_shifted_gaussian_is_at_the_shifts_squared_length_by_dimension() -> None:
    """On a unit vector u the distance is (m u)^2, whose mean over directions is |m|^2 / Z."""
    z = normal(4000, 4) + torch.tensor([3.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    value = SlicedWasserstein(weight=1.0, directions=500)(z, RNG).mean()
    assert float(value) == pytest.approx(9 / 4, rel=0.1)
