"""Detectors and clusters against scikit-learn, SciPy and their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist, mahalanobis
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.cluster import KMeans as SkKMeans
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest as SkForest
from sklearn.mixture import GaussianMixture as SkMixture
from sklearn.svm import OneClassSVM

from aetl.head.base import Head
from aetl.head.chosen import Chosen
from aetl.head.gaussian_mixture import GaussianMixture
from aetl.head.isolation_forest import IsolationForest
from aetl.head.kmeans import KMeans
from aetl.head.knn import Knn
from aetl.head.mahalanobis import Mahalanobis
from aetl.head.one_class_svm import OneClassSvm
from aetl.head.pca import Pca
from aetl.types import Kind

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 5)) @ RNG.normal(size=(5, 5))
NEW = RNG.normal(size=(40, 5)) * 3
NOBODY = np.full(len(X), -1)
MIXTURE: dict[str, Any] = {"scale": "none", "covariance": "full", "ridge": 1e-4, "seed": 3}


def fitted(head: Head, kind: Kind = "anomaly", weight: np.ndarray | None = None) -> Chosen:
    return Chosen(head, kind).fit(X, NOBODY, np.ones(len(X)) if weight is None else weight)


def test_mahalanobis_is_the_distance_in_units_of_the_covariance() -> None:
    found = fitted(Mahalanobis(scale="none", shrinkage=0.0)).predict(NEW)
    inverse = np.linalg.inv(np.cov(X.T, bias=True))
    expected = [mahalanobis(x, X.mean(0), inverse) for x in NEW]
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    shrunk = fitted(Mahalanobis(scale="none", shrinkage="auto")).predict(NEW)
    np.testing.assert_allclose(shrunk**2, LedoitWolf().fit(X).mahalanobis(NEW), rtol=1e-8)


def test_a_direction_without_variance_is_strange_and_finite() -> None:
    flat = np.concatenate([X, np.zeros((len(X), 1))], 1)
    head = Chosen(Mahalanobis(scale="none", shrinkage=0.0), "anomaly")
    head.fit(flat, NOBODY, np.ones(len(X)))
    same, other = head.predict(np.concatenate([NEW[:1], [[0.0]]], 1)), None
    other = head.predict(np.concatenate([NEW[:1], [[1.0]]], 1))
    assert np.isfinite(other).all()
    assert other[0] > 1e3 * same[0]


def test_neighbours_give_the_distance_to_the_last_of_them() -> None:
    found = fitted(Knn(scale="auto", balanced=False, folds=5, neighbours="auto")).predict(NEW)
    np.testing.assert_allclose(found, np.sort(cdist(NEW, X), 1)[:, 4], rtol=1e-12)


def test_a_mixture_gives_minus_the_log_likelihood_and_its_likeliest_component() -> None:
    sk = SkMixture(3, covariance_type="full", reg_covar=1e-4, random_state=3).fit(X)
    parts = [
        np.log(w) + multivariate_normal(m, c).logpdf(NEW)
        for w, m, c in zip(sk.weights_, sk.means_, sk.covariances_, strict=True)
    ]
    found = fitted(GaussianMixture(**MIXTURE, components=3)).predict(NEW)
    np.testing.assert_allclose(found, -logsumexp(parts, axis=0), rtol=1e-7)
    clusters = fitted(GaussianMixture(**MIXTURE, components=3), "clustering").predict(NEW)
    assert np.array_equal(clusters, np.argmax(parts, 0))


def test_one_class_svm_is_minus_scikit_learns_decision() -> None:
    found = fitted(OneClassSvm(scale="none", nu=0.1, examples=1000)).predict(NEW)
    np.testing.assert_allclose(
        found, -OneClassSVM(nu=0.1, gamma="scale").fit(X).decision_function(NEW), rtol=1e-8
    )
    some = fitted(OneClassSvm(scale="none", nu=0.1, examples=50))
    assert len(some.model.vectors) <= 50


def test_the_forest_is_scikit_learns() -> None:
    found = fitted(IsolationForest(scale="none", trees=20, examples=64, seed=5)).predict(NEW)
    sk = SkForest(n_estimators=20, max_samples=64, random_state=5).fit(X.astype(np.float32))
    np.testing.assert_allclose(found, -sk.score_samples(NEW.astype(np.float32)), rtol=1e-7)


@pytest.mark.parametrize("rows", [300, 4])
def test_components_leave_the_error_that_scikit_learns_leave(rows: int) -> None:
    head = Chosen(Pca(scale="none", components=2), "anomaly")
    head.fit(X[:rows], NOBODY[:rows], np.ones(rows))
    sk = PCA(2).fit(X[:rows])
    expected = np.square(sk.inverse_transform(sk.transform(NEW)) - NEW).mean(1)
    np.testing.assert_allclose(head.predict(NEW), expected, rtol=1e-8)
    mean = Chosen(Pca(scale="none", components=0), "reconstruction")
    mean.fit(X[:rows], NOBODY[:rows], np.ones(rows))
    np.testing.assert_allclose(mean.predict(NEW), np.tile(X[:rows].mean(0), (len(NEW), 1)))


def test_kmeans_is_scikit_learns() -> None:
    found = fitted(KMeans(scale="none", clusters=4, starts=3, seed=1), "clustering").predict(NEW)
    sk = SkKMeans(4, n_init=3, random_state=1).fit(X)
    assert np.array_equal(found, sk.predict(NEW))


HEADS: list[tuple[Head, Kind]] = [
    (Mahalanobis(scale="standard", shrinkage="auto"), "anomaly"),
    (Knn(scale="none", balanced=False, folds=5, neighbours=3), "anomaly"),
    (GaussianMixture(**MIXTURE, components=3), "anomaly"),
    (GaussianMixture(**MIXTURE, components=3), "clustering"),
    (OneClassSvm(scale="none", nu=0.2, examples=100), "anomaly"),
    (IsolationForest(scale="none", trees=5, examples=32, seed=0), "anomaly"),
    (Pca(scale="standard", components=2), "anomaly"),
    (Pca(scale="none", components=2), "reconstruction"),
    (KMeans(scale="none", clusters=3, starts=1, seed=0), "clustering"),
]


@pytest.mark.parametrize("head, kind", HEADS, ids=lambda v: getattr(v, "name", v))
def test_what_is_kept_predicts_the_same_and_weightless_examples_do_not_exist(
    head: Head, kind: Kind
) -> None:
    whole = fitted(head, kind)
    again = Chosen(head, kind).load_state(whole.state())
    assert np.array_equal(again.predict(NEW), whole.predict(NEW))
    weight = np.concatenate([np.ones(200), np.zeros(100)])
    part = Chosen(head, kind).fit(X[:200], NOBODY[:200], np.ones(200))
    assert np.array_equal(fitted(head, kind, weight).predict(NEW), part.predict(NEW))
