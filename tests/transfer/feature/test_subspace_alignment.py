"""Subspace alignment and TCA against their definitions and known solutions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import eigh
from sklearn.decomposition import PCA

from aetl.data.base import Examples
from aetl.head.nearest_mean import NearestMean
from aetl.rng import Rng
from aetl.transfer.base import View
from aetl.transfer.feature.subspace_alignment import SubspaceAlignment, stable_dim
from aetl.transfer.feature.tca import Tca, transfer_components

HEAD = NearestMean(scale="none", balanced=False, folds=5)


def view(source: np.ndarray, target: np.ndarray) -> View:
    parts = {
        name: Examples.of(torch.from_numpy(x).float(), torch.zeros(len(x)), ())
        for name, x in (("source_labels", source), ("target_inputs", target))
    }
    return View("test", frozenset(parts), parts, lambda e, layer: e.x, Rng.of("test"))


def samples() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(2, 6, 6))
    return rng.normal(size=(50, 6)) @ basis[0], rng.normal(size=(40, 6)) @ basis[1] + 2.0


def test_subspaces_are_those_of_pca_and_the_source_is_moved_by_their_product() -> None:
    source, target = samples()
    found = SubspaceAlignment(head=HEAD, dim=3).align(view(source, target))
    one, other = PCA(3).fit(source), PCA(3).fit(target)
    moved = one.transform(source) @ one.components_ @ other.components_.T
    kept = other.transform(target)
    for got, expected in ((found.source(source), moved), (found.target(target), kept)):
        sign = np.sign((got * expected).sum(0))  # of an axis, arbitrary
        np.testing.assert_allclose(got * sign, expected, atol=1e-4)


def test_a_rotated_copy_is_aligned_exactly() -> None:
    rng = np.random.default_rng(1)
    source = rng.normal(size=(80, 4)) * [4.0, 3.0, 2.0, 1.0]
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    target = source @ rotation
    found = SubspaceAlignment(head=HEAD, dim=4).align(view(source, target))
    # All four axes: the aligned source is the source itself, in the target's axes.
    expected = (source - source.mean(0)) @ np.linalg.svd(target - target.mean(0))[2].T
    np.testing.assert_allclose(np.abs(found.source(source)), np.abs(expected), atol=1e-4)


def test_components_solve_the_generalised_eigenproblem() -> None:
    source, target = samples()
    points = np.concatenate([source, target])
    kernel, size, n = points @ points.T, 90, 50
    e = np.zeros((size, size))
    e[:n, :n], e[n:, n:], e[:n, n:], e[n:, :n] = 1 / n**2, 1 / 40**2, -1 / (n * 40), -1 / (n * 40)
    centre = np.eye(size) - 1 / size
    constraint = kernel @ e @ kernel + 0.5 * np.eye(size)
    scatter = kernel @ centre @ kernel
    w = transfer_components(kernel, n, 0.5, 2)
    np.testing.assert_allclose(w.T @ constraint @ w, np.eye(2), atol=1e-7)
    best = eigh(scatter, constraint, eigvals_only=True)[::-1][:2]
    np.testing.assert_allclose(np.diag(w.T @ scatter @ w), best, rtol=1e-7)


@pytest.mark.parametrize("kernel", ["linear", "gaussian"])
def test_tca_brings_the_means_together(kernel: str) -> None:
    rng = np.random.default_rng(2)
    source, target = rng.normal(size=(60, 5)), rng.normal(size=(60, 5))
    target[:, 0] += 3.0

    def gap(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.linalg.norm(a.mean(0) - b.mean(0)) / np.concatenate([a, b]).std(0).mean())

    strategy = Tca(head=HEAD, dim=3, mu=1e-3, kernel=kernel, landmarks=1000)  # type: ignore[arg-type]
    found = strategy.align(view(source, target))
    assert gap(found.source(source), found.target(target)) < 0.1 * gap(source, target)


def test_the_stable_dimension_is_where_both_spectra_still_fall() -> None:
    """Three strong directions and equal noise: with few examples none of the noise is stable."""
    rng = np.random.default_rng(3)
    samples = [rng.normal(size=(2000, 10)) * [9, 7, 5, *[1.0] * 7] for _ in range(2)]
    gap, norm = 24.0, max(np.linalg.norm(x - x.mean(0), axis=1).max() for x in samples)
    # The bound of dimension 3, by hand: above it only gaps of the strong directions are left.
    least = (1 + np.sqrt(np.log(20) / 2)) * 16 * 3**1.5 * norm / np.sqrt(2000)
    assert stable_dim(*samples, deviation=least / (0.9 * gap)) == 3
    assert stable_dim(*samples, deviation=least / (50 * gap)) == 1
    assert stable_dim(*samples) >= 8


def test_the_laplacian_kernel_is_of_the_distance_over_its_median() -> None:
    source, target = samples()
    found = Tca(head=HEAD, dim=4, mu=1.0, kernel="laplacian", landmarks=500)
    alignment = found.align(view(source, target))
    points = np.concatenate([source, target])
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    width = np.median(distance[np.triu_indices(90, 1)])
    expected = np.abs(np.exp(-distance / width) @ transfer_components(
        np.exp(-distance / width), 50, 1.0, 4))  # fmt: skip
    np.testing.assert_allclose(np.abs(alignment.source(points)), expected, atol=1e-4)
