"""Transferability scores against their definitions by other routes, in float64."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hydra.utils import instantiate
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, norm
from sklearn.covariance import LedoitWolf
from sklearn.metrics import r2_score
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from aetl.config import compose
from aetl.head.chosen import Chosen, dealt
from aetl.head.logistic import Logistic
from aetl.score.a_distance import ADistance
from aetl.score.base import Evidence, Score, coordinates
from aetl.score.gbc import GBC, bhattacharyya
from aetl.score.h_score import HScore, ledoit_wolf
from aetl.score.knn import KNN
from aetl.score.linear_probe import LinearProbe
from aetl.score.logme import LogME
from aetl.score.nleep import NLEEP, leep
from aetl.score.transrate import TransRate


def ridged(l2: float) -> Logistic:
    return Logistic(scale="standard", balanced=False, folds=5, strength=l2)


SCORES: list[Score] = [
    LogME(),
    HScore(),
    TransRate(epsilon=1e-4),
    NLEEP(energy=0.8, components=3),
    GBC(dims=64, covariance="spherical"),
    GBC(dims=64, covariance="diagonal"),
    KNN(neighbours=3),
    LinearProbe(folds=3, head=ridged(1.0)),
]
ids = [f"{type(score).__name__}{i}" for i, score in enumerate(SCORES)]


def given(x: np.ndarray, y: np.ndarray) -> Evidence:
    return Evidence(x, y, x[:0], x[:0])


def blobs(apart: float, n: int = 40, dim: int = 5, seed: int = 0) -> Evidence:
    """Three Gaussian classes whose means lie ``apart`` on three axes, ``n`` examples each."""
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1, 2], n)
    return given(rng.normal(size=(3 * n, dim)) + apart * np.eye(3, dim)[y], y)


@pytest.mark.parametrize("score", SCORES, ids=ids)
def test_classes_farther_apart_score_higher(score: Score) -> None:
    values = [score(blobs(apart)) for apart in (0.0, 1.5, 4.0)]
    assert values[0] < values[1] < values[2]


@pytest.mark.parametrize("n, dim", [(40, 5), (4, 60)])
@pytest.mark.parametrize("score", SCORES[:3] + SCORES[4:], ids=ids[:3] + ids[4:])
def test_order_of_examples_and_names_of_classes_do_not_matter(
    score: Score, n: int, dim: int
) -> None:
    evidence = blobs(2.0, n, dim)
    # In turns, since the folds of the probe keep the order within a class.
    order = np.arange(3 * n).reshape(3, n).T.ravel()
    renamed = given(evidence.features[order], evidence.y[order] + 4)
    assert score(renamed) == pytest.approx(score(evidence), rel=1e-6)


@pytest.mark.parametrize("score", SCORES, ids=ids)
def test_one_example_of_each_class_still_gives_a_number(score: Score) -> None:
    assert np.isfinite(score(blobs(1.0, n=1, dim=7)))


@pytest.mark.parametrize("shape", [(12, 3), (6, 9)])
@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_logme_is_the_largest_evidence(shape: tuple[int, int], kind: str) -> None:
    """By a search over both precisions of the Gaussian's density."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=shape)
    y = x @ rng.normal(size=shape[1]) + rng.normal(size=shape[0])
    columns = [y]
    if kind == "classification":
        y = (y > 0).astype(int)
        columns = [(y == k).astype(float) for k in (0, 1)]

    def negative(logs: np.ndarray, column: np.ndarray) -> float:
        covariance = np.eye(len(x)) * np.exp(-logs[1]) + x @ x.T * np.exp(-logs[0])
        return -float(multivariate_normal.logpdf(column, np.zeros(len(x)), covariance))

    best = [
        max(
            -minimize(negative, start, (column,), method="Nelder-Mead", tol=1e-10).fun
            for start in itertools.product((-2.0, 1.0, 4.0), repeat=2)
        )
        for column in columns
    ]
    assert LogME()(given(x, y)) == pytest.approx(np.mean(best) / len(x), rel=1e-6)


def test_logme_of_pure_noise_is_that_of_no_features() -> None:
    """Orthogonal features that explain nothing: the evidence of y ~ N(0, s^2) at its best s."""
    y = np.array([1.0, -1.0, 1.0, -1.0])
    x = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    assert LogME()(given(x, y)) == pytest.approx(-0.5 * (1 + np.log(2 * np.pi)), rel=1e-6)


@pytest.mark.parametrize("shape", [(50, 4), (12, 30)])
def test_h_score_is_the_trace_with_scikit_learns_ledoit_wolf(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    y = rng.integers(0, 3, shape[0])
    x = rng.normal(size=shape) * np.arange(1, shape[1] + 1) + y[:, None]
    shrunk = LedoitWolf().fit(x)
    centre = x - x.mean(0)
    means = np.stack([centre[y == k].mean(0) for k in range(3)])[y]
    trace = np.trace(np.linalg.inv(shrunk.covariance_) @ (means.T @ means) / len(x))
    assert HScore()(given(x, y)) == pytest.approx((1 - shrunk.shrinkage_) * trace, rel=1e-8)
    values = np.linalg.svd(centre, compute_uv=False) ** 2
    assert ledoit_wolf(centre, values)[0] == pytest.approx(shrunk.shrinkage_, rel=1e-8)


def test_h_score_tends_to_the_between_class_share_of_known_gaussians() -> None:
    """Two classes at +-m with unit variance: m^2 / (1 + m^2) in one dimension."""
    rng = np.random.default_rng(3)
    y = np.arange(20000) % 2
    x = rng.normal(size=(20000, 1)) + 0.7 * (2 * y[:, None] - 1)
    assert HScore()(given(x, y)) == pytest.approx(0.49 / 1.49, abs=0.01)


@pytest.mark.parametrize("shape", [(30, 4), (9, 20)])
def test_transrate_is_the_difference_of_log_determinants(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    y = np.arange(shape[0]) % 3
    x = rng.normal(size=shape) + y[:, None]
    z = x - x.mean(0)
    z /= np.sqrt((z**2).sum(1).mean())

    def rate(z: np.ndarray) -> float:
        return 0.5 * np.log(np.linalg.det(np.eye(z.shape[1]) + z.T @ z / (len(z) * 0.1)))

    expected = rate(z) - np.mean([rate(z[y == k]) for k in range(3)])
    assert TransRate(epsilon=0.1)(given(x, y)) == pytest.approx(expected, rel=1e-9)


def test_leep_is_the_double_sum_of_its_definition() -> None:
    rng = np.random.default_rng(5)
    posterior, y = rng.dirichlet(np.ones(4), 20), rng.integers(0, 3, 20)
    total = 0.0
    for n in range(20):
        inner = 0.0
        for c in range(4):
            joint = sum(posterior[m, c] for m in range(20) if y[m] == y[n]) / 20
            inner += joint / (posterior[:, c].sum() / 20) * posterior[n, c]
        total += np.log(inner)
    assert leep(posterior, y) == pytest.approx(total / 20, rel=1e-12)


def test_leep_is_zero_for_components_that_are_classes_and_minus_the_entropy_for_one() -> None:
    y = np.array([0, 0, 1, 2])
    assert leep(np.eye(3)[y], y) == pytest.approx(0.0)
    entropy = -sum(p * np.log(p) for p in (0.5, 0.25, 0.25))
    assert leep(np.ones((4, 1)), y) == pytest.approx(-entropy)


def test_bhattacharyya_coefficients_are_integrals_of_root_densities() -> None:
    means, variances = np.array([[0.0, 1.0], [1.5, -0.5]]), np.array([[1.0, 0.3], [0.4, 2.0]])
    coefficient = 1.0
    for axis in range(2):
        a, b = (norm(means[k, axis], variances[k, axis] ** 0.5) for k in range(2))
        coefficient *= quad(lambda t, a=a, b=b: np.sqrt(a.pdf(t) * b.pdf(t)), -12, 12)[0]
    assert np.exp(-bhattacharyya(means, variances))[0, 1] == pytest.approx(coefficient, rel=1e-8)


@pytest.mark.parametrize("covariance", ["spherical", "diagonal"])
def test_gbc_is_minus_the_sum_over_ordered_pairs(covariance: Any) -> None:
    evidence = blobs(1.5)
    x = coordinates(evidence.features)
    total = 0.0
    for i, j in itertools.permutations(range(3), 2):
        (m, v), (n, w) = ((p.mean(0), p.var(0)) for p in (x[evidence.y == k] for k in (i, j)))
        if covariance == "spherical":
            v, w = np.full_like(v, v.mean()), np.full_like(w, w.mean())
        s = (v + w) / 2
        distance = ((m - n) ** 2 / s).sum() / 8 + np.log(s / np.sqrt(v * w)).sum() / 2
        total -= np.exp(-distance)
    found = GBC(dims=64, covariance=covariance)(evidence)
    assert found == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize("shape", [(20, 6), (6, 20)])
def test_principal_coordinates_keep_all_distances(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(6).normal(size=shape)
    z = coordinates(x)
    assert z.shape[1] == min(shape[0] - 1, shape[1])
    centre = x - x.mean(0)
    assert z @ z.T == pytest.approx(centre @ centre.T, abs=1e-9)
    assert np.all(np.diff(z.var(0)) < 0)


@pytest.mark.parametrize("neighbours", [1, 3])
def test_knn_is_scikit_learns_under_leave_one_out(neighbours: int) -> None:
    evidence = blobs(1.0)
    x, y = evidence.features, evidence.y
    predicted = cross_val_predict(KNeighborsClassifier(neighbours), x, y, cv=LeaveOneOut())
    assert KNN(neighbours=neighbours)(evidence) == pytest.approx((predicted == y).mean())
    real = x[:, 0] + 0.1 * x[:, 1]
    predicted = cross_val_predict(KNeighborsRegressor(neighbours), x, real, cv=LeaveOneOut())
    assert KNN(neighbours=neighbours)(given(x, real)) == pytest.approx(r2_score(real, predicted))


def test_the_score_of_neighbours_is_that_of_the_arm_under_leave_one_out() -> None:
    """By the defaults of both, with votes that tie."""
    arm = compose(["transfer=feature/knn"]).transfer.feature
    score: KNN = instantiate(compose(["score=knn"]).score.knn)
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(40, 6)), np.arange(40) % 4
    right = []
    for train, (held,) in LeaveOneOut().split(x):
        fitted = Chosen(instantiate(arm).choice, "classification")
        fitted.fit(x[train], y[train], np.ones(len(train)))
        found = fitted.classes_[fitted.predict_proba(x[[held]]).argmax(1)]
        right.append(found[0] == y[held])
    assert 0 < np.mean(right) < 1
    assert score(given(x, y)) == pytest.approx(np.mean(right))


def test_the_probe_scores_examples_that_it_has_not_seen() -> None:
    """With more features than examples every training part is fitted exactly, noise is not."""
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(60, 200)), rng.integers(0, 2, 60)
    assert 0.25 < LinearProbe(folds=5, head=ridged(1e-3))(given(x, y)) < 0.75
    assert LinearProbe(folds=5, head=ridged(1.0))(given(x, rng.normal(size=60))) < 0.1


def test_the_probe_finds_a_linear_relation() -> None:
    x = np.random.default_rng(8).normal(size=(90, 3))
    assert LinearProbe(folds=5, head=ridged(1e-3))(given(x, x @ [1.0, -2.0, 0.5])) > 0.999


def test_every_fold_has_every_class() -> None:
    y = np.array([2, 0, 1] * 10)
    fold = dealt(y, 5)
    assert all(set(y[fold == k]) == {0, 1, 2} for k in range(5))


def test_a_distance_follows_from_the_bayes_error_of_known_gaussians() -> None:
    """Two unit Gaussians d apart: the error of the best classifier is Phi(-d / 2)."""
    rng = np.random.default_rng(9)
    for apart in (0.0, 1.0, 8.0):
        source, target = rng.normal(size=(6000, 1)), rng.normal(apart, 1, size=(2000, 1))
        evidence = Evidence(source[:0], source[:0, 0], source, target)
        expected = 2 * (1 - 2 * norm.cdf(-apart / 2))
        assert ADistance(folds=5, l2=1.0)(evidence) == pytest.approx(expected, abs=0.05)
