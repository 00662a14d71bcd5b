"""Transport in closed form: the linear map between normal distributions, and labels on the way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist

from aetl.head.chosen import Chosen
from aetl.head.knn import Knn
from aetl.rng import Rng
from aetl.transfer.base import Sample, Samples
from aetl.transfer.feature.label_transport import LabelTransport, carried
from aetl.transfer.feature.linear_transport import LinearTransport

RNG = np.random.default_rng(0)


def monge_map(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    head = Knn(scale="none", balanced=False, folds=2, neighbours=1)
    return LinearTransport(head=head, ridge=1.0).matrix(source, target)


def covariance(seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(9, 4))
    return np.asarray(x.T @ x)


def test_the_map_carries_one_covariance_to_the_other_by_the_shortest_way() -> None:
    source, target = covariance(1), covariance(2)
    found = monge_map(source, target)
    np.testing.assert_allclose(found, found.T, atol=1e-10)
    assert (np.linalg.eigvalsh(found) > 0).all()  # the gradient of a convex function
    np.testing.assert_allclose(found @ source @ found, target, rtol=1e-8)
    root = sqrtm(source)
    bures = np.trace(source + target - 2 * sqrtm(root @ target @ root).real)
    moved = np.trace((found - np.eye(4)) @ source @ (found - np.eye(4)))
    assert moved == pytest.approx(bures, rel=1e-8)


def test_it_is_the_map_of_the_library_that_has_it() -> None:
    ot = pytest.importorskip("ot")
    x, y = RNG.normal(size=(200, 3)) @ covariance(3)[:3, :3], RNG.normal(size=(300, 3))
    matrix, _ = ot.gaussian.empirical_bures_wasserstein_mapping(x, y, reg=1e-12)
    found = monge_map(np.cov(x.T), np.cov(y.T))
    # Its covariances are divided by n: the ratio of the two corrections is left.
    scale = np.sqrt((300 / 299) / (200 / 199))
    np.testing.assert_allclose(found, matrix * scale, rtol=1e-5)


def test_a_target_gets_the_class_that_most_of_its_mass_comes_from() -> None:
    plan = np.array([[0.2, 0.0, 0.0], [0.1, 0.1, 0.0], [0.0, 0.3, 0.0]])
    label, share = carried(plan, np.array([4, 7, 7]))
    assert label[:2].tolist() == [4, 7]
    np.testing.assert_allclose(share, [2 / 3, 1.0, 0.0])


def test_the_head_is_fitted_on_targets_alone_with_labels_that_came_by_the_exact_plan() -> None:
    pytest.importorskip("ot")
    centres = np.array([[0.0, 0.0], [4.0, 0.0]])
    y = np.arange(40) % 2
    x = centres[y] + 0.3 * RNG.normal(size=(40, 2))
    targets = centres[np.arange(40) // 20] + [1.5, 6.0] + 0.3 * RNG.normal(size=(40, 2))
    choice = Knn(scale="none", balanced=False, folds=2, neighbours=1)
    strategy = LabelTransport(head=choice, entropy=0.0, samples=40, iterations=10)
    samples = Samples(None, Sample(x, y, np.ones(40)), lambda: targets, Rng.of(0))
    fitted = strategy.fit(Chosen(choice, "classification"), samples)
    answers = fitted.classes_[fitted.predict_proba(targets).argmax(1)]
    assert np.array_equal(answers, np.arange(40) // 20)
    nearest = y[cdist(targets, x).argmin(1)]
    assert (nearest != answers).any()  # which no nearest neighbour across the shift finds
