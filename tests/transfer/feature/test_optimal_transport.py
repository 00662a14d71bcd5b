"""Optimal transport against linear programming, enumeration and Sinkhorn's own fixed point."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from scipy.spatial.distance import cdist
from torch.nn.functional import cross_entropy, mse_loss

from aetl.head.nearest_mean import NearestMean
from aetl.task.regression import Regression
from aetl.transfer.feature.deep_jdot import DeepJdot
from aetl.transfer.feature.optimal_transport import OptimalTransport, images, transport_plan
from aetl.types import UserError
from tests.transfer.build import examples, normal, small_network, step, view

ot = pytest.importorskip("ot", reason="optimal transport is an extra")


SHIFT = np.array([4.0, -2.0, 1.0])


def clouds(n: int = 7, m: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 3)), rng.normal(size=(m, 3)) + 1.0, np.arange(n) % 2


def transport(**settings: Any) -> OptimalTransport:
    head = NearestMean(scale="none", balanced=False, folds=5)
    given = {"entropy": 0.05, "same_class": 0.0, "samples": 50, "iterations": 1000, "rescale": True}
    return OptimalTransport(head=head, **(given | settings))


def test_exact_plan_is_the_solution_of_the_linear_programme() -> None:
    source, target, labels = clouds()
    n, m = len(source), len(target)
    cost = cdist(source, target, "sqeuclidean")
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    masses = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
    best = linprog(cost.ravel(), A_eq=np.concatenate([rows, columns]), b_eq=masses)
    plan = transport_plan(source, target, labels, 0.0, 0.0, 1000)
    assert (plan * cost).sum() == pytest.approx(best.fun, rel=1e-9)
    np.testing.assert_allclose(plan, best.x.reshape(n, m), atol=1e-9)


def test_entropic_plan_is_the_scaled_kernel_with_uniform_margins() -> None:
    """``diag(u) exp(-C / entropy) diag(v)``: by Sinkhorn's theorem there is only one."""
    source, target, labels = clouds()
    cost = cdist(source, target, "sqeuclidean")
    kernel = np.exp(-cost / np.median(cost) / 0.05)
    u, v = np.ones(7), np.ones(5)
    for _ in range(20000):
        u = 1 / 7 / (kernel @ v)
        v = 1 / 5 / (kernel.T @ u)
    plan = transport_plan(source, target, labels, 0.05, 0.0, 20000)
    np.testing.assert_allclose(plan, u[:, None] * kernel * v, atol=1e-8)


def test_classes_are_kept_from_meeting_in_one_target() -> None:
    source, target, labels = clouds(12, 8)

    def mixing(plan: np.ndarray) -> float:
        mass = np.stack([plan[labels == c].sum(0) for c in (0, 1)])
        return float((mass.min(0) / mass.sum(0)).sum())

    plain, split = (transport_plan(source, target, labels, 0.1, eta, 1000) for eta in (0.0, 1.0))
    assert mixing(split) < 0.8 * mixing(plain)
    np.testing.assert_allclose(split.sum(0), 1 / 8, atol=1e-6)


def test_a_shifted_domain_is_carried_back_by_the_shift() -> None:
    source = clouds(9)[0]
    moved = np.random.default_rng(1).permutation(source + SHIFT)
    plan = transport_plan(source, moved, np.zeros(9), 0.0, 0.0, 1000)
    found = images(plan, moved, True)
    np.testing.assert_allclose(found, source + SHIFT, atol=1e-9)


def test_images_are_those_of_pot_and_stretched_they_vary_as_the_targets_do() -> None:
    source, target, labels = clouds(30, 40)
    plan = transport_plan(source, target, labels, 0.2, 0.0, 5000)
    reference = ot.da.SinkhornTransport(reg_e=0.2, norm="median", max_iter=5000, tol=1e-12)
    expected = reference.fit(Xs=source, Xt=target).transform(Xs=source)
    np.testing.assert_allclose(images(plan, target, False), expected, atol=1e-6)
    assert expected.var(0).sum() < 0.6 * target.var(0).sum()
    stretched = images(plan, target, True)
    assert stretched.var(0).sum() == pytest.approx(target.var(0).sum())
    np.testing.assert_allclose(stretched.mean(0), expected.mean(0))


def test_a_plan_of_hardly_any_entropy_is_stable_and_nearly_the_exact_one() -> None:
    source, target, labels = clouds(20, 20)
    plan = transport_plan(source, target + 3.0, labels, 0.002, 0.0, 20000)
    exact = transport_plan(source, target + 3.0, labels, 0.0, 0.0, 1000)
    cost = cdist(source, target + 3.0, "sqeuclidean")
    assert (plan * cost).sum() == pytest.approx((exact * cost).sum(), rel=0.01)


@pytest.mark.usefixtures("float64")
def test_a_plan_that_has_not_converged_is_told() -> None:
    network = small_network()
    given = view(network, source_labels=normal(30, 1, 4, 4),
                 target_inputs=normal(30, 1, 4, 4, seed=1))  # fmt: skip
    assert transport(entropy=0.5).align(given).warnings == ()
    (line,) = transport(entropy=0.01, iterations=1).align(given).warnings
    assert "after 1 iterations" in line


@pytest.mark.usefixtures("float64")
def test_sources_outside_of_the_sample_move_like_their_nearest_inside() -> None:
    network, x = small_network(), normal(12, 1, 4, 4)
    given = view(network, source_labels=x, target_inputs=normal(9, 1, 4, 4, seed=1))
    strategy = transport(entropy=0.0, samples=6)
    carry = strategy.align(given).source
    z = network.features(x).detach().numpy()
    moved = carry(z) - z
    assert len(np.unique(np.round(moved, 9), axis=0)) == 6
    far = carry(z[:1] + 1e-7) - z[:1] - 1e-7
    np.testing.assert_allclose(far, moved[:1], atol=1e-9)


def test_same_class_without_classes_is_refused() -> None:
    network = small_network()
    numbers = replace(examples(normal(5, 1, 4, 4)), y=torch.rand(5), classes=())
    strategy = transport(entropy=0.1, same_class=1.0, samples=6)
    with pytest.raises(UserError, match="same_class: needs one class for each source"):
        strategy.align(view(network, source_labels=numbers, target_inputs=normal(4, 1, 4, 4)))


@pytest.mark.usefixtures("float64")
def test_deep_jdot_is_the_cheapest_of_all_assignments() -> None:
    network = small_network()
    at = step(network, source=normal(4, 1, 4, 4), target=normal(4, 1, 4, 4, seed=1))
    source, target = at.streams["source"], at.streams["target"]
    cost = np.empty((4, 4))
    for i in range(4):
        for j in range(4):
            distance = (source.features[i] - target.features[j]).square().sum()
            label = cross_entropy(target.output[j : j + 1], source.y[i : i + 1])
            cost[i, j] = float((0.5 * distance + 2.0 * label).detach())
    best = min(sum(cost[i, p[i]] for i in range(4)) / 4 for p in permutations(range(4)))
    penalty = DeepJdot(alpha=0.5, weight=2.0).penalty(at, None)
    assert float(penalty.detach()) == pytest.approx(best, rel=1e-10)
    gradients = torch.autograd.grad(penalty, list(network.head.parameters()))
    assert all(gradient.abs().max() > 0 for gradient in gradients)


@pytest.mark.usefixtures("float64")
def test_deep_jdot_takes_the_squared_error_of_numbers() -> None:
    network = small_network()
    at = replace(step(network, source=normal(1, 1, 4, 4), target=normal(1, 1, 4, 4, seed=1)),
                 task=Regression())  # fmt: skip
    sides = {
        name: s._replace(y=torch.tensor([1.5]), output=s.output[:, :1])
        for name, s in at.streams.items()
    }
    penalty = DeepJdot(alpha=0.0, weight=2.0).penalty(replace(at, streams=sides), None)
    expected = 2.0 * mse_loss(sides["target"].output.squeeze(1), torch.tensor([1.5]))
    torch.testing.assert_close(penalty, expected)
