"""Heads against scikit-learn's own estimators, and the choice between them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as SkRidge
from sklearn.model_selection import PredefinedSplit, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from aetl.head import chosen
from aetl.head.auto import Auto
from aetl.head.base import Head
from aetl.head.chosen import Chosen, balanced, compressed, cross_validated, dealt
from aetl.head.knn import Knn
from aetl.head.logistic import Logistic
from aetl.head.nearest_mean import NearestMean
from aetl.head.ridge import Ridge
from aetl.head.svm import Svm

RNG = np.random.default_rng(0)
X, NEW = RNG.normal(size=(60, 4)) * [1, 10, 1, 1], RNG.normal(size=(20, 4)) * [1, 10, 1, 1]
Y = (X[:, 0] > 0).astype(int) + (X[:, 2] > 0.5) + 1
W = RNG.uniform(0.2, 3.0, size=60)
ONES = np.ones(60)
PLAIN: dict[str, Any] = {"scale": "none", "balanced": False, "folds": 5}
STANDARD = PLAIN | {"scale": "standard"}
OPEN = PLAIN | {"scale": "auto"}


def decided(model: Any, x: np.ndarray) -> np.ndarray:
    return np.asarray(model.classes_[model.predict_proba(x).argmax(1)])


@pytest.mark.parametrize("scale", ["none", "standard"])
def test_logistic_is_weighted_logistic_regression_on_features_scaled_or_not(scale: Any) -> None:
    scaler = StandardScaler(with_mean=scale != "none", with_std=scale != "none").fit(X)
    reference = LogisticRegression(C=2.0, max_iter=2000)
    reference.fit(scaler.transform(X), Y, sample_weight=W)
    head = Logistic(**(PLAIN | {"scale": scale}), strength=0.5)
    own = Chosen(head, "classification").fit(X, Y, W)
    expected = reference.predict_proba(scaler.transform(NEW))
    np.testing.assert_allclose(own.predict_proba(NEW), expected, rtol=1e-9)


def test_ridge_is_scikit_learns_of_numbers_and_of_the_signs_of_classes() -> None:
    own = Chosen(Ridge(**STANDARD, strength=3.0), "regression").fit(X, X[:, 1], W)
    scaler = StandardScaler().fit(X)
    reference = SkRidge(alpha=3.0).fit(scaler.transform(X), X[:, 1], sample_weight=W)
    np.testing.assert_allclose(own.predict(NEW), reference.predict(scaler.transform(NEW)))
    classes = Chosen(Ridge(**PLAIN, strength=3.0), "classification").fit(X, Y, W)
    values = [SkRidge(alpha=3.0).fit(X, np.where(k == Y, 1, -1), W).predict(NEW) for k in (1, 2, 3)]
    assert (decided(classes, NEW) == np.argmax(values, 0) + 1).all()


@pytest.mark.parametrize("labels", [Y, (Y > 1).astype(int)])
def test_linear_svm_is_one_machine_against_the_rest_and_keeps_only_a_matrix(labels: Any) -> None:
    own = Chosen(Svm(**PLAIN, strength=0.5, kernel="linear"), "classification").fit(X, labels, W)
    machine = SVC(C=2.0, kernel="linear", tol=1e-6)
    if len(np.unique(labels)) == 2:
        expected = machine.fit(X, labels, W).predict(NEW)
    else:
        one = [SVC(C=2.0, kernel="linear").fit(X, labels == k, W) for k in (1, 2, 3)]
        expected = np.argmax([m.decision_function(NEW) for m in one], 0) + 1
        alike = OneVsRestClassifier(SVC(C=2.0, kernel="linear")).fit(X, labels)
        unweighted = Chosen(Svm(**PLAIN, strength=0.5, kernel="linear"), "classification")
        again = unweighted.fit(X, labels, ONES)
        assert (decided(again, NEW) == alike.predict(NEW)).mean() > 0.9
    assert (decided(own, NEW) == expected).all()
    assert own.state()["model.matrix"].shape[1] == X.shape[1]


@pytest.mark.parametrize("labels", [Y, (Y > 1).astype(int)])
def test_rbf_svm_decides_as_scikit_learns(labels: np.ndarray) -> None:
    head = Svm(**STANDARD, strength=0.5, kernel="rbf")
    own = Chosen(head, "classification").fit(X, labels, ONES)
    svc = SVC(C=2.0, kernel="rbf", break_ties=True)
    reference = make_pipeline(StandardScaler(), svc).fit(X, labels)
    np.testing.assert_allclose(own.predict_proba(NEW).sum(1), 1, rtol=1e-12)
    assert (decided(own, NEW) == reference.predict(NEW)).all()


def test_support_vector_regression_works_in_standardised_units() -> None:
    y = 1000.0 + 50.0 * X[:, 0]
    own = Chosen(Svm(**STANDARD, strength=1.0, kernel="rbf"), "regression").fit(X, y, ONES)
    standard = (y - y.mean()) / y.std()
    reference = make_pipeline(StandardScaler(), SVR(C=1.0)).fit(X, standard).predict(NEW)
    np.testing.assert_allclose(own.predict(NEW), y.mean() + y.std() * reference, rtol=1e-10)


def test_neighbours_are_scikit_learns_and_vote_with_their_weight() -> None:
    head = Knn(**STANDARD, neighbours=5)
    own = Chosen(head, "classification").fit(X, Y, ONES)
    reference = make_pipeline(StandardScaler(), KNeighborsClassifier(5)).fit(X, Y)
    np.testing.assert_allclose(own.predict_proba(NEW), reference.predict_proba(NEW), rtol=1e-12)
    values = Chosen(head, "regression").fit(X, X[:, 1], ONES)
    mean = make_pipeline(StandardScaler(), KNeighborsRegressor(5)).fit(X, X[:, 1])
    np.testing.assert_allclose(values.predict(NEW), mean.predict(NEW), rtol=1e-12)
    x, y, weight = np.array([[-1.0], [0.0], [0.2], [5.0]]), np.array([0, 0, 1, 1]), [1, 1, 3, 0.0]
    two = Chosen(Knn(**PLAIN, neighbours=2), "classification").fit(x, y, np.array(weight))
    np.testing.assert_allclose(two.predict_proba(np.array([[0.1], [5.0]])), [[0.25, 0.75]] * 2)


def test_nearest_mean_is_scikit_learns_centroid_under_weights() -> None:
    own = Chosen(NearestMean(**PLAIN), "classification").fit(X, Y, ONES)
    assert (decided(own, NEW) == NearestCentroid().fit(X, Y).predict(NEW)).all()
    twice = Chosen(NearestMean(**PLAIN), "classification").fit(X, Y, 1.0 + (np.arange(60) < 30))
    repeated = NearestCentroid().fit(np.concatenate([X, X[:30]]), np.concatenate([Y, Y[:30]]))
    assert (decided(twice, NEW) == repeated.predict(NEW)).all()


FEW = OPEN | {"folds": 2}
HEADS: dict[str, Head] = {
    "logistic": Logistic(**FEW, strength="auto"),
    "ridge": Ridge(**FEW, strength="auto"),
    "svm": Svm(**FEW, strength="auto", kernel="linear"),
    "rbf": Svm(**FEW, strength="auto", kernel="rbf"),
    "knn": Knn(**FEW, neighbours="auto"),
    "nearest_mean": NearestMean(**FEW),
}
HEADS["auto"] = Auto(heads=dict(HEADS), balanced=False, folds=2)


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_a_weight_of_zero_leaves_an_example_out(head: Head) -> None:
    weight = (np.arange(60) < 40).astype(float)
    own = Chosen(head, "classification").fit(X, Y, weight)
    alone = Chosen(head, "classification").fit(X[:40], Y[:40], ONES[:40])
    np.testing.assert_allclose(own.predict_proba(NEW), alone.predict_proba(NEW), rtol=1e-9)
    assert own.told == alone.told


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression"])
def test_a_head_comes_back_from_its_arrays(head: Head, kind: Any) -> None:
    if kind not in head.kinds:
        return
    several = np.stack([Y > 1, Y > 2, Y > 0], 1).astype(int)  # the last one is always there
    y = {"classification": Y, "multilabel": several, "regression": X[:, 0] * 2 + Y}[kind]
    own = Chosen(head, kind).fit(X, y, W)
    again = Chosen(head, kind).load_state(own.state())
    method = "predict" if kind == "regression" else "predict_proba"
    assert np.array_equal(getattr(own, method)(NEW), getattr(again, method)(NEW))
    assert own.told["options"] == len(head.options(kind))
    assert own.told["score"] is not None


@pytest.mark.parametrize("name", ["logistic", "ridge", "svm", "nearest_mean"])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_linear_head_is_the_same_as_a_module(name: str, classes: int) -> None:
    own = Chosen(HEADS[name], "classification").fit(X, np.minimum(Y, classes), W)
    graph = own.graph(5)
    assert graph is not None
    found = graph(torch.from_numpy(NEW)).numpy()
    np.testing.assert_allclose(found[:, own.classes_], own.predict_proba(NEW), atol=1e-12)
    assert not found[:, [0, 4]].any()


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("y", [np.full(60, 4), np.arange(60)], ids=["one class", "all different"])
def test_labels_that_nothing_can_be_chosen_by_are_answered_all_the_same(
    head: Head, y: np.ndarray
) -> None:
    own = Chosen(head, "classification").fit(X, y, ONES)
    assert own.told["score"] is None
    assert own.predict_proba(NEW).shape == (20, len(np.unique(y)))


def test_scores_of_options_are_scikit_learns_cross_validation() -> None:
    head = Logistic(**OPEN, strength="auto")
    found = cross_validated(head.options("classification"), "classification", 5, X, Y, ONES)
    folds = PredefinedSplit(dealt(Y, 5))
    for place, option in enumerate(head.options("classification")):
        model: Any = LogisticRegression(C=1 / option.settings["strength"], max_iter=5000)
        if option.settings["scale"] == "standard":
            model = make_pipeline(StandardScaler(), model)
        right = cross_val_score(model, X, Y, cv=folds, scoring="accuracy")
        sizes = np.bincount(dealt(Y, 5))
        assert found.mean(found.right[place]) == pytest.approx((right * sizes).sum() / 60, abs=0.02)


@pytest.mark.parametrize("noise, at_end", [(0.0, True), (1.0, False)])
def test_a_strength_at_an_end_of_the_range_is_told(noise: float, at_end: bool) -> None:
    """Of classes far apart all strengths are as accurate, and the weakest is the surest."""
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    x = rng.normal(size=(200, 5)) * noise + 3.0 * y[:, None] * (np.arange(5) < 1 + 4 * (noise == 0))
    own = Chosen(Logistic(**PLAIN, strength="auto"), "classification").fit(x, y, np.ones(200))
    assert own.told["at_end"] is at_end, own.told
    assert (own.told["strength"] in (0.01, 1000.0)) is at_end
    fixed = Chosen(Logistic(**OPEN, strength=0.01), "classification").fit(x, y, np.ones(200))
    assert fixed.told["at_end"] is False


def test_an_example_that_is_held_out_has_no_part_in_its_own_answer() -> None:
    """A neighbour of distance 0 is the example itself; without it noise is chance."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(200, 3)), rng.integers(0, 2, 200)
    own = Chosen(Knn(**PLAIN, neighbours="auto"), "classification").fit(x, y, np.ones(200))
    assert 0.35 < own.told["score"] < 0.65


def test_scaling_is_fitted_without_what_is_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    moments = chosen.moments

    def watched(x: np.ndarray, weight: np.ndarray) -> Any:
        seen.append(len(x))
        return moments(x, weight)

    monkeypatch.setattr(chosen, "moments", watched)
    head = NearestMean(**OPEN)
    cross_validated(head.options("classification"), "classification", 5, X, Y, ONES)
    assert seen == [48] * 5


def test_features_stay_as_they_are_unless_scaled_ones_are_clearly_better() -> None:
    rng = np.random.default_rng(2)
    y = np.arange(100) % 2
    signal, noise = y + 0.3 * rng.normal(size=100), rng.normal(size=(100, 3))
    for spread, scale in ((0.3, "none"), (1000.0, "standard")):
        x = np.column_stack([signal, noise * spread])
        own = Chosen(Knn(**OPEN, neighbours=5), "classification").fit(x, y, np.ones(100))
        assert own.told["scale"] == scale
    best = cross_validated(HEADS["knn"].options("classification"), "classification", 5, x, y,
                           np.ones(100))  # fmt: skip
    assert not best.clearly_better(0, 0)


def test_auto_takes_the_head_that_the_data_asks_for() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(200, 2))
    rings = (np.linalg.norm(x, axis=1) > 1.2).astype(int)
    near = Chosen(HEADS["auto"], "classification").fit(x, rings, np.ones(200)).told
    assert near["head"] in ("knn", "svm")
    assert near["score"] > 0.9
    plane = (x @ [2.0, 1.0] > 0).astype(int)
    linear = Chosen(HEADS["auto"], "classification").fit(x, plane, np.ones(200)).told
    assert linear["head"] in ("logistic", "svm")


def test_classes_of_equal_weight_move_the_border_to_the_middle() -> None:
    rng = np.random.default_rng(4)
    y = (np.arange(400) < 20).astype(int)
    x = rng.normal(size=(400, 1)) + 1.5 * y[:, None]
    plain, even = (
        Chosen(Logistic(**(PLAIN | {"balanced": b}), strength=1.0), "classification")
        for b in (False, True)
    )
    middle = np.array([[0.75]])
    assert plain.fit(x, y, np.ones(400)).predict_proba(middle)[0, 1] < 0.2
    assert even.fit(x, y, np.ones(400)).predict_proba(middle)[0, 1] == pytest.approx(0.5, abs=0.1)
    assert balanced(y, np.ones(400))[y == 1].sum() == pytest.approx(200)


def test_compression_keeps_all_products_and_distances() -> None:
    rng = np.random.default_rng(5)
    x, new = rng.normal(size=(10, 40)), rng.normal(size=(7, 40))
    rows, others = compressed(x, new)
    assert rows.shape[1] == 11
    np.testing.assert_allclose(others @ rows.T, new @ x.T, atol=1e-9)
    np.testing.assert_allclose(np.square(others).sum(1), np.square(new).sum(1))
    same = compressed(x[:, :5], new[:, :5])
    assert same[0].shape == (10, 5)


def test_every_fold_has_every_class_and_of_several_labels_every_combination() -> None:
    y = np.array([2, 0, 1] * 10)
    assert all(set(y[dealt(y, 5) == k]) == {0, 1, 2} for k in range(5))
    both = np.stack([y > 0, y > 1], 1).astype(int)
    fold = dealt(both, 5)
    assert all(len(np.unique(both[fold == k], axis=0)) == 3 for k in range(5))


def test_of_many_labels_some_choose_and_all_are_fitted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chosen, "EXAMPLES", 25)
    head = Knn(**PLAIN, neighbours="auto")
    judged = cross_validated(head.options("classification"), "classification", 5, X, Y, ONES)
    assert len(judged.y) <= 25
    assert set(judged.y) == {1, 2, 3}
    own = Chosen(head, "classification").fit(X, Y, ONES)
    assert own.told["labels"] == 60
    assert len(own.state()["model.x"]) == 60


def test_one_label_of_each_of_many_classes_is_no_mistake() -> None:
    """scikit-learn warns, in two lines that name a file of its own, that it may be a regression."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for head in (Logistic(**PLAIN, strength=1.0), Knn(**PLAIN, neighbours=1)):
            fitted = Chosen(head, "classification").fit(X[:24], np.arange(24), np.ones(24))
            assert (decided(fitted, X[:24]) == np.arange(24)).mean() > 0.5


def test_a_check_fits_heads_to_few_examples_of_all_classes() -> None:
    y = np.repeat([0, 1, 2], (2000, 700, 300))
    x = RNG.normal(size=(len(y), 3)) + y[:, None]
    head = Logistic(**OPEN, strength=1.0)
    with chosen.briefly():
        few = Chosen(head, "classification").fit(x, y, np.ones(len(y)))
    assert few.told["labels"] == chosen.FEW
    assert few.classes_.tolist() == [0, 1, 2]
    whole = Chosen(head, "classification").fit(x, y, np.ones(len(y)))
    assert whole.told["labels"] == len(y)
