"""Self-training by hand, and where it helps."""

from __future__ import annotations

import numpy as np
import pytest

from aetl.head.nearest_mean import NearestMean
from aetl.rng import Rng
from aetl.task.classification import Classification
from aetl.transfer.base import Sample, Samples
from aetl.transfer.instance.self_training import SelfTraining, surest
from tests.tiny import MLP, World, receipt

HEAD = NearestMean(scale="none", balanced=False, folds=5)
"""Not asked: the tests bring the estimators that are fitted."""


def samples(seed: int, labels: int = 2) -> tuple[Samples, np.ndarray, np.ndarray]:
    """Two long parallel clusters; the labelled targets lie at opposite ends."""
    rng = np.random.default_rng(seed)
    y = np.arange(200) % 2
    x = np.stack([rng.uniform(-4, 4, 200), 3.0 * y - 1.5 + 0.3 * rng.normal(size=200)], 1)
    ends = [int(np.argmin(x[:, 0] + 100 * y)), int(np.argmax(x[:, 0] - 100 * (1 - y)))]
    target = Sample(x[ends], y[ends], np.ones(2))
    return Samples(target, None, lambda: x, Rng.of("test")), x, y


def test_each_round_fits_on_the_labels_and_the_surest_of_each_class() -> None:
    given, x, _ = samples(0)
    head = Classification().linear_head(1.0)
    strategy = SelfTraining(rounds=3, threshold=0.6, per_class=20, weight=0.5, head=HEAD)
    found = strategy.fit(head, given)
    fitted = Classification().linear_head(1.0).fit(*given.pooled())
    for limit in (7, 14, 20):
        probability = fitted.predict_proba(x)
        rows = []
        for k in (0, 1):
            own = [i for i in range(200) if probability[i].argmax() == k]
            own.sort(key=lambda i: -probability[i].max())
            rows += [i for i in own[:limit] if probability[i].max() >= 0.6]
        assert 0 < len(rows) <= 2 * limit
        fitted = (
            Classification()
            .linear_head(1.0)
            .fit(
                np.concatenate([given.target.x, x[rows]]),
                np.concatenate([given.target.y, probability[rows].argmax(1)]),
                np.concatenate([np.ones(2), np.full(len(rows), 0.5)]),
            )
        )
    np.testing.assert_allclose(found.predict_proba(x), fitted.predict_proba(x), atol=1e-6)


def test_the_surest_are_balanced_over_the_predicted_classes() -> None:
    first = np.array([0.95, 0.9, 0.99, 0.8, 0.2, 0.02, 0.4])
    probability = np.stack([first, 1 - first], 1)
    assert np.flatnonzero(surest(probability, 0.5, 2)).tolist() == [0, 2, 4, 5]
    assert np.flatnonzero(surest(probability, 0.9, 2)).tolist() == [0, 2, 5]
    assert surest(probability, 0.999, 2).sum() == 0


def test_unlabelled_targets_mend_a_border_that_two_labels_tilt() -> None:
    gains = []
    for seed in range(5):
        given, x, y = samples(seed)
        strategy = SelfTraining(rounds=10, threshold=0.5, per_class=100, weight=1.0, head=HEAD)
        plain = Classification().linear_head(0.1).fit(*given.pooled())
        found = strategy.fit(Classification().linear_head(0.1), given)
        score = [(model.predict_proba(x).argmax(1) == y).mean() for model in (plain, found)]
        gains.append(score[1] - score[0])
    assert np.mean(gains) > 0.05
    assert min(gains) >= 0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("self"), *MLP)


@pytest.mark.slow
def test_sources_count_where_a_control_declares_their_labels(world: World) -> None:
    own = world.but("transfer=instance/self_training").transfer()
    both = world.but("transfer=[control/source_only,instance/self_training]").transfer()
    scores = []
    for entry in (own, both):
        assert receipt(entry)["changed"] == []
        saved = np.load(entry.path / "predictions.npz")
        scores.append(saved["probability"])
    assert not np.allclose(*scores)
