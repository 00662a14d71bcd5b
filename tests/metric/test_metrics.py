"""Metrics against their definitions, counted out by hand."""

from __future__ import annotations

from collections.abc import Callable
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aetl.metric.accuracy import Accuracy
from aetl.metric.auroc import Auroc
from aetl.metric.macro_f1 import MacroF1
from aetl.metric.mae import MAE
from aetl.metric.mean_average_precision import MeanAveragePrecision
from aetl.metric.nll import NegativeLogLikelihood
from aetl.metric.r2 import R2
from aetl.types import Prediction

CLASSES = 4


@st.composite
def classified(draw: st.DrawFn) -> tuple[Prediction, np.ndarray]:
    n = draw(st.integers(1, 30))
    y = draw(arrays.arrays(np.int64, n, elements=st.integers(0, CLASSES - 1)))
    raw = draw(arrays.arrays(np.float64, (n, CLASSES), elements=st.floats(0.01, 1.0)))
    probability = raw / raw.sum(1, keepdims=True)
    return Prediction(probability.argmax(1), probability), y


@settings(max_examples=50, deadline=None)
@given(classified())
def test_accuracy_counts_the_hits(case: tuple[Prediction, np.ndarray]) -> None:
    prediction, y = case
    hits = sum(int(p) == int(t) for p, t in zip(prediction.value, y, strict=True))
    assert Accuracy()(prediction, y) == pytest.approx(hits / len(y), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(classified())
def test_macro_f1_is_the_mean_over_the_classes_that_occur(
    case: tuple[Prediction, np.ndarray],
) -> None:
    prediction, y = case
    scores = []
    for k in range(CLASSES):
        predicted, true = prediction.value == k, y == k
        both, either = (predicted & true).sum(), predicted.sum() + true.sum()
        if either:
            scores.append(2 * both / either)
    assert MacroF1()(prediction, y) == pytest.approx(np.mean(scores), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(classified())
def test_nll_is_the_mean_surprise_at_the_true_class(case: tuple[Prediction, np.ndarray]) -> None:
    prediction, y = case
    assert prediction.probability is not None
    each = [-log(row[k]) for row, k in zip(prediction.probability, y, strict=True)]
    assert NegativeLogLikelihood()(prediction, y) == pytest.approx(sum(each) / len(y), rel=1e-9)


def test_nll_of_an_impossible_class_is_finite() -> None:
    sure = Prediction(np.array([0, 0]), np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert NegativeLogLikelihood()(sure, np.array([0, 1])) == pytest.approx(-log(1e-12) / 2)


regressed = st.integers(2, 30).flatmap(
    lambda n: st.tuples(
        *(arrays.arrays(np.float64, n, elements=st.floats(-100, 100)) for _ in range(2))
    )
)


@settings(max_examples=50, deadline=None)
@given(regressed)
def test_mae_is_the_mean_distance(case: tuple[np.ndarray, np.ndarray]) -> None:
    value, y = case
    by_hand = sum(abs(a - b) for a, b in zip(value, y, strict=True)) / len(y)
    assert MAE()(Prediction(value, None), y) == pytest.approx(by_hand, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(regressed.filter(lambda case: float(np.ptp(case[1])) > 1e-3))
def test_r2_is_the_share_of_the_variance_that_is_explained(
    case: tuple[np.ndarray, np.ndarray],
) -> None:
    value, y = case
    mean = sum(y) / len(y)
    left = sum((a - b) ** 2 for a, b in zip(value, y, strict=True))
    by_hand = 1 - left / sum((b - mean) ** 2 for b in y)
    assert R2()(Prediction(value, None), y) == pytest.approx(by_hand, rel=1e-6, abs=1e-6)


def test_known_values_of_r2() -> None:
    y = np.array([1.0, 2.0, 3.0])
    assert R2()(Prediction(y, None), y) == 1.0
    assert R2()(Prediction(np.full(3, 2.0), None), y) == 0.0


@pytest.mark.parametrize(
    "metric", [Accuracy, MacroF1, NegativeLogLikelihood, Auroc, MeanAveragePrecision, MAE, R2]
)
def test_a_better_prediction_scores_better_as_the_metric_says(metric: type) -> None:
    if "classification" in metric.kinds:  # type: ignore[attr-defined]
        y = np.array([0, 1, 2, 0])
        good = np.eye(3)[y] * 0.8 + 0.2 / 3
        bad = np.roll(good, 1, axis=1)
        predictions = [Prediction(p.argmax(1), p) for p in (good, bad)]
    else:
        y = np.array([0.0, 1.0, 3.0])
        predictions = [Prediction(y + 0.1, None), Prediction(y + 5.0, None)]
    better, worse = (metric()(prediction, y) for prediction in predictions)
    assert (better > worse) is metric.higher_is_better  # type: ignore[attr-defined]


def labelled_rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (40, 3))
    y[:, 2] = 0  # a label that nobody has
    return y, np.clip(y * 0.2 + rng.random((40, 3)) * 0.8, 0, 1).round(1)


def area_by_pairs(y: np.ndarray, score: np.ndarray) -> float:
    """The chance that one who has it scores above one who has not; ties count half."""
    pairs = [(a, b) for a in score[y == 1] for b in score[y == 0]]
    return sum((a > b) + 0.5 * (a == b) for a, b in pairs) / len(pairs)


def precision_by_cuts(y: np.ndarray, score: np.ndarray) -> float:
    """The sum over thresholds of the precision times the recall that is gained there."""
    total, before = 0.0, 0.0
    for cut in sorted(set(score), reverse=True):
        above = score >= cut
        recall = y[above].sum() / y.sum()
        total += (recall - before) * y[above].mean()
        before = recall
    return total


@pytest.mark.parametrize(
    "metric, by_hand", [(Auroc, area_by_pairs), (MeanAveragePrecision, precision_by_cuts)]
)
def test_rankings_of_labels_and_of_classes_are_means_over_those_that_can_be_ranked(
    metric: type, by_hand: Callable[[np.ndarray, np.ndarray], float]
) -> None:
    y, probability = labelled_rows()
    expected = np.mean([by_hand(y[:, k], probability[:, k]) for k in range(2)])
    prediction = Prediction((probability >= 0.5).astype(int), probability)
    assert metric()(prediction, y) == pytest.approx(expected, rel=1e-9)
    classes = np.arange(40) % 3
    expected = np.mean([by_hand(classes == k, probability[:, k]) for k in range(3)])
    assert metric()(Prediction(probability.argmax(1), probability), classes) == pytest.approx(
        expected
    )
    two = np.stack([1 - probability[:, 0], probability[:, 0]], 1)
    binary = metric()(Prediction(two.argmax(1), two), y[:, 0])
    assert binary == pytest.approx(by_hand(y[:, 0], probability[:, 0]), rel=1e-9)


def test_nll_and_macro_f1_of_labels_are_those_of_each_label() -> None:
    y, probability = labelled_rows()
    prediction = Prediction((probability >= 0.5).astype(int), probability)
    chosen = np.where(y == 1, probability, 1 - probability)
    total = -np.log(np.maximum(chosen, 1e-12)).sum() / 40
    assert NegativeLogLikelihood()(prediction, y) == pytest.approx(total, rel=1e-9)
    each = []
    for k in range(3):
        hit = int((prediction.value[:, k] * y[:, k]).sum())
        total_true = int(prediction.value[:, k].sum() + y[:, k].sum())
        each.append(2 * hit / total_true if total_true else 0.0)
    assert MacroF1()(prediction, y) == pytest.approx(np.mean(each), rel=1e-9)
