"""Scores of single classes and calibration, beside scikit-learn and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import precision_recall_fscore_support
from torchmetrics.functional.classification import multiclass_calibration_error

from aetl.comparison.by_class import calibration_error, class_scores, reliability


@pytest.mark.parametrize("labels", [1, 4])
def test_precision_recall_and_f1_are_those_of_scikit_learn(labels: int) -> None:
    random = np.random.default_rng(0)
    shape, most = ((300,), 5) if labels == 1 else ((300, labels), 2)
    y, prediction = random.integers(0, most, shape), random.integers(0, most, shape)
    found = class_scores(y, prediction, 5)
    expected = precision_recall_fscore_support(y, prediction, average=None)
    got = [(one.precision, one.recall, one.f1, one.support) for one in found]
    np.testing.assert_allclose(np.array(got, dtype=float).T, expected, rtol=1e-12)


def test_what_cannot_be_divided_is_none() -> None:
    never_said, never_there, unlabelled = class_scores(
        np.array([0, 0, -1, -1]), np.array([1, 1, 0, 2]), 3
    )
    assert (never_said.precision, never_said.recall, never_said.f1) == (None, 0.0, 0.0)
    assert (never_there.precision, never_there.recall, never_there.f1) == (0.0, None, None)
    assert (unlabelled.precision, unlabelled.recall, unlabelled.support) == (None, None, 0)


def test_the_calibration_error_is_that_of_torchmetrics() -> None:
    random = np.random.default_rng(1)
    probability = random.dirichlet(np.full(4, 0.4), 500)
    y = random.integers(0, 4, 500)
    expected = multiclass_calibration_error(
        torch.tensor(probability), torch.tensor(y), 4, n_bins=15, norm="l1"
    )
    bins = reliability(y, probability)
    assert calibration_error(bins) == pytest.approx(float(expected), rel=1e-6)
    assert sum(one.count for one in bins) == 500


def test_who_is_right_as_often_as_sure_is_calibrated() -> None:
    random = np.random.default_rng(2)
    sure = random.uniform(0.5, 1, 20_000)
    y = (random.random(20_000) > sure).astype(int)
    bins = reliability(y, np.stack([sure, 1 - sure], axis=1))
    assert calibration_error(bins) < 0.02
    assert calibration_error([]) == 0.0
