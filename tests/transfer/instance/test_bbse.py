"""Label proportions from confusions: recovered where they are known, and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix

from aetl.data.base import Examples
from aetl.label import names_of
from aetl.rng import Rng
from aetl.transfer.base import View
from aetl.transfer.instance.bbse import Bbse, label_ratio
from tests.tiny import MLP, World, receipt

SOURCE, TARGET = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])
MEANS = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])


def domain(shares: np.ndarray, size: int, seed: int) -> Examples:
    """Three overlapping Gaussians: a classifier errs on a fifth of them."""
    rng = np.random.default_rng(seed)
    y = torch.from_numpy(rng.choice(3, size, p=shares))
    x = MEANS[y] + torch.from_numpy(rng.normal(size=(size, 2))).float()
    return Examples.of(x, y, tuple("abc"))


def view_of(source: Examples, target: Examples) -> View:
    parts: Any = {"source_labels": source, "target_inputs": target}
    return View("me", frozenset(parts), parts, lambda e, layer: e.x, Rng.of("test"))


def weights(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The weight of each class, and the true ratio (over the source's own mean)."""
    source, target = domain(SOURCE, size, seed), domain(TARGET, size, seed + 100)
    found = Bbse(space="input", held_out=0.5, clip=100.0, l2=1.0).weigh(view_of(source, target))
    y = source.y.numpy()
    truth = (TARGET / SOURCE)[y]
    each = [float(found[source.y == k][0]) for k in range(3)]
    assert all((found[source.y == k] == each[k]).all() for k in range(3))
    assert float(found.mean()) == pytest.approx(1.0, rel=1e-5)
    return np.array(each), TARGET / SOURCE / truth.mean()


def test_known_proportions_are_recovered_the_better_the_more_there_is_to_see() -> None:
    errors = []
    for size in (300, 6000):
        pairs = [weights(size, seed) for seed in range(6)]
        errors.append(np.mean([np.abs(found - truth).max() for found, truth in pairs]))
    assert errors[1] < 0.25
    assert errors[1] < 0.5 * errors[0]


def test_no_shift_leaves_the_weights_near_one() -> None:
    source, target = domain(SOURCE, 6000, 0), domain(SOURCE, 6000, 1)
    found = Bbse(space="input", held_out=0.5, clip=100.0, l2=1.0).weigh(view_of(source, target))
    assert float((found - 1).abs().max()) < 0.15


def test_the_ratio_solves_the_equations_of_the_confusions() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 400)
    predicted = np.where(rng.random(400) < 0.7, true, rng.integers(0, 3, 400))
    of_target = rng.choice(3, 500, p=[0.2, 0.35, 0.45])
    joint = confusion_matrix(true, predicted).T / 400
    expected = np.linalg.solve(joint, np.bincount(of_target) / 500)
    assert (expected > 0).all()
    np.testing.assert_allclose(label_ratio(predicted, true, of_target, 3), expected, rtol=1e-10)


def test_negative_ratios_are_cut_and_unseen_classes_count_one() -> None:
    true = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    predicted = np.array([0, 0, 0, 1, 0, 1, 1, 1])
    found = label_ratio(predicted, true, np.zeros(10, dtype=np.int64), 3)
    # C = [[3, 1], [1, 3]] / 8 and mu = (1, 0) give (3, -1).
    np.testing.assert_allclose(found, [3.0, 0.0, 1.0], atol=1e-12)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("bbse"), *MLP)


def test_it_multiplies_with_other_weights_and_needs_labels_to_train_on(world: World) -> None:
    """Its slot is its own; alone it is unsupervised adaptation."""
    names = {
        arm: receipt(world.but(f"transfer={arm}").transfer())["effective_sample_size"]
        for arm in ("instance/bbse", "instance/kmm", "[instance/kmm,instance/bbse]")
    }
    assert len(set(names.values())) == 3
    sources = len(world.domains.source.split.train)
    assert all(1 < value < sources for value in names.values())


def test_its_name_is_that_of_its_file_in_a_list_too(world: World) -> None:
    from aetl.config import resolved

    plain = resolved(world.but("transfer=[instance/kmm,instance/bbse]").cfg)
    assert names_of(plain, {})["transfer"] == "instance/kmm+instance/bbse"
