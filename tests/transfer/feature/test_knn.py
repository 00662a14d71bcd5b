"""Heads on frozen features against scikit-learn's own."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from aetl.transfer.feature.knn import Neighbours
from aetl.transfer.feature.svm import SupportVectorClassifier, SupportVectorRegression

RNG = np.random.default_rng(0)
X, NEW = RNG.normal(size=(60, 4)) * [1, 10, 1, 1], RNG.normal(size=(20, 4)) * [1, 10, 1, 1]
Y = (X[:, 0] > 0).astype(int) + (X[:, 2] > 0.5) + 1
ONES = np.ones(60)


def test_unit_weights_give_scikit_learns_neighbours() -> None:
    own = Neighbours(5, "classification").fit(X, Y, ONES)
    reference = make_pipeline(StandardScaler(), KNeighborsClassifier(5)).fit(X, Y)
    np.testing.assert_allclose(own.predict_proba(NEW), reference.predict_proba(NEW), rtol=1e-12)
    assert own.classes_.tolist() == [1, 2, 3]
    values = Neighbours(5, "regression").fit(X, X[:, 1], ONES)
    mean = make_pipeline(StandardScaler(), KNeighborsRegressor(5)).fit(X, X[:, 1])
    np.testing.assert_allclose(values.predict(NEW), mean.predict(NEW), rtol=1e-12)


def test_neighbours_vote_with_their_weight_and_those_without_do_not_exist() -> None:
    x = np.array([[-1.0], [0.0], [0.2], [5.0]])
    head = Neighbours(2, "classification").fit(x, np.array([0, 0, 1, 1]), np.array([1, 1, 3, 0.0]))
    np.testing.assert_allclose(head.predict_proba(np.array([[0.1]])), [[0.25, 0.75]])
    np.testing.assert_allclose(head.predict_proba(np.array([[5.0]])), [[0.25, 0.75]])


@pytest.mark.parametrize("labels", [Y, (Y > 1).astype(int)])
def test_support_vector_machine_decides_as_scikit_learns(labels: np.ndarray) -> None:
    own = SupportVectorClassifier(2.0, "rbf").fit(X, labels, ONES)
    svc = SVC(C=2.0, kernel="rbf", break_ties=True)
    reference = make_pipeline(StandardScaler(), svc).fit(X, labels)
    probability = own.predict_proba(NEW)
    np.testing.assert_allclose(probability.sum(1), 1, rtol=1e-12)
    assert (own.classes_[probability.argmax(1)] == reference.predict(NEW)).all()


def test_a_weight_of_zero_leaves_an_example_out_of_the_machine() -> None:
    weight = (np.arange(60) < 40).astype(float)
    own = SupportVectorClassifier(1.0, "linear").fit(X, Y, weight)
    alone = SupportVectorClassifier(1.0, "linear").fit(X[:40], Y[:40], ONES[:40])
    np.testing.assert_allclose(own.predict_proba(NEW), alone.predict_proba(NEW), rtol=1e-12)


def test_a_single_class_is_answered() -> None:
    head = SupportVectorClassifier(1.0, "rbf").fit(X, np.full(60, 4), ONES)
    assert head.classes_.tolist() == [4]
    assert (head.predict_proba(NEW) == 1).all()


def test_support_vector_regression_works_in_standardised_units() -> None:
    y = 1000.0 + 50.0 * X[:, 0]
    own = SupportVectorRegression(1.0, "rbf").fit(X, y, ONES).predict(NEW)
    standard = (y - y.mean()) / y.std()
    reference = make_pipeline(StandardScaler(), SVR(C=1.0)).fit(X, standard).predict(NEW)
    np.testing.assert_allclose(own, y.mean() + y.std() * reference, rtol=1e-12)
