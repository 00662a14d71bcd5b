"""Deep embedded clustering: its equations one by one, and clusters that it finds."""

from __future__ import annotations

from math import log
from pathlib import Path

import numpy as np
import pytest
import torch

from aetl.task.clustering import Clustering
from aetl.transfer.feature.dec import Assignment, Dec, sharpening
from tests.tiny import MLP, World
from tests.transfer.build import examples, normal, small_network, step, view

exact = pytest.mark.usefixtures("float64")


@exact
def test_assignments_are_shares_by_students_t() -> None:
    layer = Assignment(2, 3)
    x = normal(5, 2)
    distance = (x[:, None] - layer.weight.detach()).square().sum(2).numpy()
    kernel = 1 / (1 + distance)
    expected = kernel / kernel.sum(1, keepdims=True)
    np.testing.assert_allclose(layer(x).exp().detach().numpy(), expected, rtol=1e-10)


@exact
def test_the_target_is_squares_over_the_clusters_shares() -> None:
    q = torch.softmax(normal(6, 3), 1)
    old = torch.softmax(normal(6, 3, seed=1), 1)
    share = old.mean(0)
    total = 0.0
    for i in range(6):
        raw = [float(old[i, j] ** 2 / share[j]) for j in range(3)]
        for j in range(3):
            p = raw[j] / sum(raw)
            total += p * log(p / float(q[i, j]))
    assert float(sharpening(q.log(), old.log(), share)) == pytest.approx(total / 6, rel=1e-10)


@exact
def test_the_target_stays_until_the_next_update() -> None:
    network, x = small_network(), normal(30, 1, 4, 4)
    strategy = Dec(clusters=3, update=2, starts=2)
    strategy.adapt(network)
    seen = view(network, target_labels=examples(x))
    module = strategy.module(network, Clustering(), seen)
    assert network.head.weight.shape[0] == 3
    at = step(network, labelled=x)
    strategy.penalty(at, module)
    before = module.assigned(x).clone()
    with torch.no_grad():
        network.head.weight.add_(1.0)
    strategy.penalty(at, module)
    assert torch.equal(module.assigned(x), before)
    strategy.penalty(at, module)
    assert not torch.equal(module.assigned(x), before)
    torch.testing.assert_close(module.share, module.assigned(x).exp().mean(0))


def test_it_predicts_the_likeliest_centre(tmp_path: Path) -> None:
    world = World(tmp_path, *MLP, "task=clustering", "transfer=feature/dec",
                  "transfer.feature.clusters=4")  # fmt: skip
    saved = np.load(world.transfer().path / "predictions.npz")
    assert set(saved["prediction"]) <= {0, 1, 2, 3}
    assert "probability" not in saved
