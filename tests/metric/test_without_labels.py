"""Metrics of the tasks without labels, against brute force and scikit-learn."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from aetl.head.ranking import average_precisions
from aetl.metric.ari import AdjustedRandIndex
from aetl.metric.auroc import Auroc
from aetl.metric.average_precision import AveragePrecision
from aetl.metric.base import Metric
from aetl.metric.cluster_accuracy import ClusterAccuracy
from aetl.metric.fpr95 import FalsePositiveRate
from aetl.metric.nmi import NormalizedMutualInformation
from aetl.metric.pseudo_values import Layout, parts
from aetl.metric.psnr import PeakSignalToNoise
from aetl.metric.recall_at import RecallAt
from aetl.metric.retrieval_precision import RetrievalPrecision
from aetl.metric.rmse_hidden import HiddenError
from aetl.types import Prediction

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 2, 80)
SCORE = Prediction((RNG.normal(size=80) + Y).round(1), None)  # with ties
CLASS = RNG.integers(0, 3, 60)
CLUSTER = Prediction((CLASS + (RNG.random(60) < 0.3)) % 4, None)


def test_scores_are_ranked_as_scikit_learn_ranks_them() -> None:
    assert Auroc()(SCORE, Y) == pytest.approx(roc_auc_score(Y, SCORE.value))
    assert AveragePrecision()(SCORE, Y) == pytest.approx(average_precision_score(Y, SCORE.value))
    false, found, _ = roc_curve(Y, SCORE.value, drop_intermediate=False)
    assert FalsePositiveRate()(SCORE, Y) == pytest.approx(false[found >= 0.95].min())


def test_the_best_matching_is_that_of_all_matchings() -> None:
    best = max(
        np.mean([order[c] == y for c, y in zip(CLUSTER.value, CLASS, strict=True)])
        for order in permutations(range(4))
    )
    assert ClusterAccuracy()(CLUSTER, CLASS) == pytest.approx(best)


def test_a_cluster_without_a_class_is_wrong() -> None:
    split = Prediction(np.array([0, 1, 2, 2]), None)
    assert ClusterAccuracy()(split, np.array([0, 0, 1, 1])) == 0.75


def test_names_of_clusters_do_not_matter() -> None:
    renamed = Prediction(np.array([3, 0, 2, 1])[CLUSTER.value], None)
    for metric in (ClusterAccuracy(), NormalizedMutualInformation(), AdjustedRandIndex()):
        assert metric(renamed, CLASS) == pytest.approx(metric(CLUSTER, CLASS))
        assert metric(Prediction(CLASS, None), CLASS) == pytest.approx(1.0)


def test_mutual_information_is_that_of_the_table_of_counts() -> None:
    joint = np.zeros((3, 4))
    np.add.at(joint, (CLASS, CLUSTER.value), 1 / len(CLASS))
    rows, columns = joint.sum(1), joint.sum(0)

    def entropy(p: np.ndarray) -> float:
        return float(-(p[p > 0] * np.log(p[p > 0])).sum())

    information = entropy(rows) + entropy(columns) - entropy(joint.ravel())
    expected = information / ((entropy(rows) + entropy(columns)) / 2)
    assert NormalizedMutualInformation()(CLUSTER, CLASS) == pytest.approx(expected)


def test_the_rand_index_counts_pairs() -> None:
    same = [(CLASS[i] == CLASS[j], CLUSTER.value[i] == CLUSTER.value[j])
            for i in range(60) for j in range(i)]  # fmt: skip
    a, b = np.array(same).T
    expected, most = a.sum() * b.sum() / len(a), (a.sum() + b.sum()) / 2
    found = ((a & b).sum() - expected) / (most - expected)
    assert AdjustedRandIndex()(CLUSTER, CLASS) == pytest.approx(found)


NUMBER = RNG.integers(0, 6, 50)
HIDDEN = Prediction(
    RNG.random(50), None, {"hidden": RNG.random(50) * (NUMBER > 0), "number": NUMBER}
)


def test_the_error_of_hidden_cells_counts_cells_and_not_examples() -> None:
    error, number = HIDDEN.parts["hidden"], HIDDEN.parts["number"]
    cells = np.concatenate([np.full(n, e) for e, n in zip(error, number, strict=True)])
    assert HiddenError()(HIDDEN, NUMBER) == pytest.approx(np.sqrt(cells.mean()))


def test_the_peak_signal_to_noise_ratio_is_in_decibels() -> None:
    found = PeakSignalToNoise()(Prediction(np.array([0.1, 0.001, 0.0]), None), np.zeros(3))
    assert found == pytest.approx((10 + 30 + 120) / 3)


def test_rankings_are_scored_as_scikit_learn_scores_them() -> None:
    labels = RNG.integers(0, 4, 70)
    order = np.argsort(RNG.random((9, 70)), 1)
    found = average_precisions(order, labels, np.arange(4))
    for query, ranks in enumerate(order):
        nearness = np.empty(70)
        nearness[ranks] = -np.arange(70.0)
        for k in range(4):
            expected = average_precision_score(labels == k, nearness)
            assert found[query, k] == pytest.approx(expected)


def test_the_score_is_that_of_the_querys_own_class() -> None:
    precision = np.array([[0.2, 0.9], [0.5, 0.1]])
    prediction = Prediction(np.array([[0, 1, 1], [1, 1, 0]]), precision)
    y = np.array([1, 0])
    assert RetrievalPrecision()(prediction, y) == pytest.approx((0.9 + 0.5) / 2)
    assert RecallAt(neighbours=1)(prediction, y) == 0.0
    assert RecallAt(neighbours=2)(prediction, y) == 0.5
    assert RecallAt(neighbours=3)(prediction, y) == 1.0


CASES: list[tuple[Metric, Prediction, np.ndarray]] = [
    (AveragePrecision(), SCORE, Y), (Auroc(), SCORE, Y),
    (HiddenError(), HIDDEN, NUMBER), (NormalizedMutualInformation(), CLUSTER, CLASS),
    (AdjustedRandIndex(), CLUSTER, CLASS),
]  # fmt: skip


@pytest.mark.parametrize("metric, prediction, y", CASES, ids=lambda v: type(v).__name__)
def test_every_example_has_its_part_in_the_score(
    metric: Metric, prediction: Prediction, y: np.ndarray
) -> None:
    n = len(y)
    found = parts(metric, prediction, y, Layout(np.arange(n).astype(np.uint64)))
    kept = [np.arange(n) != i for i in range(n)]
    left = np.array([metric(prediction.subset(rows), y[rows]) for rows in kept])
    np.testing.assert_allclose(found, n * metric(prediction, y) - (n - 1) * left, rtol=1e-9)


def test_without_contrast_nothing_can_be_scored() -> None:
    for metric in (Auroc(), AveragePrecision(), FalsePositiveRate(), ClusterAccuracy()):
        assert metric.undefined(np.zeros(5, np.int64)) is not None
    assert ClusterAccuracy().undefined(np.array([-1, 0, 1])) is not None
    assert AveragePrecision().undefined(np.array([0, 1])) is None
