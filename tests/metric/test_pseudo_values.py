"""Pseudo-values and their fast forms, against the metric computed anew without each unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aetl.metric.accuracy import Accuracy
from aetl.metric.auroc import Auroc
from aetl.metric.base import Metric
from aetl.metric.macro_f1 import MacroF1
from aetl.metric.mae import MAE
from aetl.metric.mean_average_precision import MeanAveragePrecision
from aetl.metric.nll import NegativeLogLikelihood
from aetl.metric.pseudo_values import Layout, parts
from aetl.metric.r2 import R2
from aetl.types import Prediction

CLASSIFIED: list[Metric] = [
    *(Accuracy(), MacroF1(), NegativeLogLikelihood(), Auroc(), MeanAveragePrecision()),
]
MULTILABEL: list[Metric] = [MacroF1(), Auroc(), MeanAveragePrecision(), NegativeLogLikelihood()]


def case(kind: str, n: int, seed: int = 0, ties: bool = False) -> tuple[Prediction, np.ndarray]:
    random = np.random.default_rng(seed)
    if kind == "regression":
        y = random.normal(3.0, 2.0, n)
        return Prediction(y + random.normal(size=n), None), y
    shape = (n, 2 if kind == "binary" else 3)
    raw = random.random(shape) + 0.05
    raw = raw.round(1) + 0.05 if ties else raw
    if kind == "multilabel":
        y = (random.random(shape) < 0.4).astype(np.int64)
        return Prediction((raw > 0.5).astype(np.int64), np.minimum(raw, 0.95)), y
    probability = raw / raw.sum(1, keepdims=True)
    y = random.integers(0, shape[1], n)
    return Prediction(probability.argmax(1), probability), y


def brute(metric: Metric, prediction: Prediction, y: np.ndarray, unit: np.ndarray) -> Any:
    units = int(unit.max()) + 1
    left = Metric.without(metric, prediction, y, unit, units)
    return units * metric(prediction, y) - (units - 1) * left


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("kind", ["binary", "several", "multilabel", "regression"])
def test_fast_forms_are_the_score_computed_anew(kind: str, grouped: bool, ties: bool) -> None:
    metrics = {"multilabel": MULTILABEL, "regression": [R2(), MAE()]}.get(kind, CLASSIFIED)
    prediction, y = case(kind, 36, ties=ties)
    identity = np.random.default_rng(1).permutation(36).astype(np.uint64)
    group = np.random.default_rng(2).integers(0, 11, 36) if grouped else None
    layout = Layout(identity, group)
    for metric in metrics:
        unit, units = layout.units(2000)
        found = parts(metric, prediction, y, layout)
        expected = brute(metric, prediction, y, unit)
        if metric.each(prediction, y) is not None and not grouped:
            expected = expected[unit]  # in the order of the rows
        assert len(found) == units
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9, err_msg=str(metric))


@pytest.mark.parametrize("metric", CLASSIFIED, ids=lambda metric: type(metric).__name__)
def test_rare_classes_that_vanish_with_an_example_are_counted_as_the_metric_does(
    metric: Metric,
) -> None:
    prediction, _ = case("several", 30)
    y = np.repeat([0, 1], 15)
    y[7] = 2
    layout = Layout(np.arange(30, dtype=np.uint64))
    expected = brute(metric, prediction, y, np.arange(30))
    np.testing.assert_allclose(parts(metric, prediction, y, layout), expected, atol=1e-9)


def test_a_large_test_set_is_cut_into_units_whatever_the_order_of_its_rows() -> None:
    prediction, y = case("binary", 5000)
    identity = np.random.default_rng(3).integers(0, 2**63, 5000).astype(np.uint64)
    order = np.random.default_rng(4).permutation(5000)
    turned = Prediction(prediction.value[order], prediction.probability[order])  # type: ignore[index]
    one = parts(Auroc(), prediction, y, Layout(identity))
    other = parts(Auroc(), turned, y[order], Layout(identity[order]))
    assert len(one) == 2000
    np.testing.assert_allclose(one, other, rtol=1e-9)


def test_copies_of_an_example_are_units_of_their_own() -> None:
    unit, units = Layout(np.array([5, 5, 1, 9], np.uint64)).units(2000)
    assert (units, sorted(unit)) == (4, [0, 1, 2, 3])


def test_the_pseudo_values_of_auroc_have_delongs_variance() -> None:
    """DeLong et al. (1988): S10 / positives + S01 / negatives of the placement values."""
    prediction, y = case("binary", 400)
    assert prediction.probability is not None
    score = prediction.probability[:, 1]
    positive, negative = score[y == 1], score[y == 0]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    expected = wins.mean(1).var(ddof=1) / len(positive) + wins.mean(0).var(ddof=1) / len(negative)
    found = parts(Auroc(), prediction, y, Layout(np.arange(400, dtype=np.uint64)))
    assert found.var(ddof=1) / 400 == pytest.approx(expected, rel=0.01)
