"""TrAdaBoost and two-stage TrAdaBoost.R2 against literal transcriptions of the papers."""

from __future__ import annotations

from math import ceil, log, prod, sqrt
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import AdaBoostRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from aetl.rng import Rng
from aetl.transfer.base import Sample
from aetl.transfer.instance import tradaboost, tradaboost_r2
from aetl.transfer.instance.base import folds
from aetl.types import UserError
from tests.tiny import MLP, World, receipt


def sample(x: np.ndarray, y: np.ndarray) -> Sample:
    return Sample(x, y, np.ones(len(x)))


def two_classes(seed: int) -> tuple[Sample, Sample]:
    """Targets split by one diagonal, sources by another, some of both with a wrong label."""
    rng = np.random.default_rng(seed)
    target, source = rng.normal(size=(24, 2)), rng.normal(0.3, 1.0, size=(40, 2))
    y = (target.sum(1) > 0) ^ (rng.random(24) < 0.1)
    z = ((source * (1.0, 0.3)).sum(1) > 0.3) ^ (rng.random(40) < 0.1)
    return sample(target, y.astype(np.int64)), sample(source, z.astype(np.int64))


def algorithm_1(
    target: Sample, source: Sample, new: np.ndarray, iterations: int
) -> tuple[np.ndarray, list[float]]:
    """Dai et al. (2007), word by word: labels 0 and 1, sources first, indices from 1."""
    n, m = len(source.x), len(target.x)
    x, c = np.concatenate([source.x, target.x]), [*source.y, *target.y]
    w = [1.0] * (n + m)
    beta = 1 / (1 + sqrt(2 * log(n) / iterations))
    hypotheses, betas = [], []
    for _ in range(iterations):
        p = np.array(w) / sum(w)
        h = DecisionTreeClassifier(max_depth=1, random_state=0).fit(x, c, p)
        said = h.predict(x)
        error = sum(w[i] * abs(said[i] - c[i]) for i in range(n, n + m)) / sum(w[n:])
        assert 0 < error < 0.5
        beta_t = error / (1 - error)
        for i in range(n + m):
            wrong = abs(said[i] - c[i])
            w[i] *= beta**wrong if i < n else beta_t**-wrong
        hypotheses.append(h)
        betas.append(beta_t)
    start = ceil(iterations / 2) - 1
    answers = []
    for row in new:
        votes = [(h.predict(row[None])[0], b) for h, b in zip(hypotheses, betas, strict=True)]
        left = prod(b**-said for said, b in votes[start:])
        answers.append(int(left >= prod(b**-0.5 for _, b in votes[start:])))
    return np.array(answers), [v / sum(w) for v in w]


@pytest.mark.parametrize("iterations", [1, 4, 7])
@pytest.mark.parametrize("seed", [1, 3])
def test_two_classes_are_boosted_as_in_the_paper(seed: int, iterations: int) -> None:
    target, source = two_classes(seed)
    new = np.random.default_rng(9).normal(size=(200, 2))
    expected, weights = algorithm_1(target, source, new, iterations)
    stump = DecisionTreeClassifier(max_depth=1, random_state=0)
    found = tradaboost.boosted(stump, target, source, iterations)
    assert np.array_equal(found.predict_proba(new).argmax(1), expected)
    mine = np.concatenate([found.weights[24:], found.weights[:24]])
    np.testing.assert_allclose(mine, weights, rtol=1e-10)
    assert 0 < expected.mean() < 1


def test_several_classes_vote_as_in_samme() -> None:
    """One round: target errors grow by ``(K - 1) (1 - e) / e``, source errors fade by beta."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(90, 2)), rng.integers(0, 3, 90)
    x[:, 0] += 1.5 * y
    target, source = sample(x[:30], y[:30]), sample(x[30:], y[30:])
    stump = DecisionTreeClassifier(max_depth=2, random_state=0)
    found = tradaboost.boosted(stump, target, source, 1)
    wrong = stump.fit(x, y).predict(x) != y
    error = wrong[:30].mean()
    assert 0 < error < 2 / 3
    factor = np.ones(90)
    factor[:30][wrong[:30]] = 2 * (1 - error) / error
    factor[30:][wrong[30:]] = 1 / (1 + sqrt(2 * log(60)))
    np.testing.assert_allclose(found.weights, factor / factor.sum(), rtol=1e-12)
    assert found.votes == pytest.approx([log((1 - error) / error) + log(2)])


def test_a_learner_no_better_than_chance_has_no_vote_but_sources_go_on_fading() -> None:
    """Three of four targets contradict the sources, which outnumber them at first."""
    x, y = np.zeros((4, 1)), np.array([0, 0, 0, 1])
    z, labels = np.zeros((8, 1)), np.ones(8, dtype=np.int64)
    z[7], labels[7] = 1.0, 0
    stump = DecisionTreeClassifier(max_depth=1, random_state=0)
    found = tradaboost.boosted(stump, sample(x, y), sample(z, np.array(labels)), 2)
    assert found.votes[0] == 0.0
    np.testing.assert_allclose(found.predict_proba(x).sum(1), 1.0)
    only = tradaboost.boosted(stump, sample(x, 1 - y), sample(x[:1], y[:1]), 1)
    assert np.isfinite(only.predict_proba(x)).all()


def test_the_targets_have_their_share_of_the_weight_at_first() -> None:
    """As many times each as it takes: whole-number weights are repetitions."""
    target, source = two_classes(1)
    strategy = tradaboost.Tradaboost(
        space="input", iterations=1, target_share=0.625, depth=1, l2=1.0
    )
    samples = tradaboost.Samples(target, source, lambda: target.x, Rng.of(0))
    stump = DecisionTreeClassifier(max_depth=1, random_state=0)
    found = strategy.fit(stump, samples)
    # 24 targets and 40 sources: 0.625 / 24 is 25/9 times 0.375 / 40.
    both = [np.concatenate([np.repeat(a, 25, 0), np.repeat(b, 9, 0)])
            for a, b in zip(target[:2], source[:2], strict=True)]  # fmt: skip
    expected = stump.fit(*both)
    assert np.array_equal(found.predict_proba(source.x).argmax(1), expected.predict(source.x))
    error = (expected.predict(target.x) != target.y).mean()
    assert found.votes == pytest.approx([log((1 - error) / error)])


def curves(seed: int, targets: int = 18) -> tuple[Sample, Sample]:
    rng = np.random.default_rng(seed)
    x, z = rng.uniform(-2, 2, (targets, 1)), rng.uniform(-2, 2, (30, 1))
    y = np.sin(2 * x[:, 0]) + 0.1 * rng.normal(size=targets)
    return sample(x, y), sample(z, np.sin(2 * z[:, 0] + 0.6) + 0.4)


def tree() -> DecisionTreeRegressor:
    return DecisionTreeRegressor(max_depth=2, random_state=0)


def algorithm_r2(x: np.ndarray, y: np.ndarray, w: np.ndarray, n: int, rounds: int) -> list[tuple]:
    """AdaBoost.R2 (Drucker, 1997) over n frozen sources, then targets: learners and log(1/beta)."""
    w = w / w.sum()
    found = []
    for _ in range(rounds):
        h = tree().fit(x, y, w)
        absolute = [abs(h.predict(x[i : i + 1])[0] - y[i]) for i in range(len(x))]
        e = [a / max(absolute) for a in absolute]
        average = sum(e[i] * w[i] for i in range(len(x)))
        if average >= 0.5:
            break
        beta = average / (1 - average)
        found.append((h, log(1 / beta)))
        before = w[n:].sum()
        for i in range(n, len(x)):
            w[i] *= beta ** (1 - e[i])
        w[n:] *= before / w[n:].sum()
    return found


def weighted_median(found: list[tuple], row: np.ndarray) -> float:
    votes = sorted((float(h.predict(row[None])[0]), v) for h, v in found)
    total = sum(v for _, v in votes)
    return next(
        y for k, (y, _) in enumerate(votes) if sum(v for _, v in votes[: k + 1]) >= total / 2
    )


def test_adaboost_r2_with_frozen_sources_is_that_of_the_paper() -> None:
    target, source = curves(0)
    x, y = np.concatenate([source.x, target.x]), np.concatenate([source.y, target.y])
    expected = algorithm_r2(x, y, np.ones(len(x)), 30, 6)
    found = tradaboost_r2.boosted(tree(), target, source, 6)
    assert len(found.members) == len(expected) > 2
    np.testing.assert_allclose(found.votes, [vote for _, vote in expected], rtol=1e-9)
    new = np.linspace(-2, 2, 50)[:, None]
    np.testing.assert_allclose(
        found.predict(new), [weighted_median(expected, row) for row in new], rtol=1e-12
    )
    np.testing.assert_allclose(found.weights[18:], 1 / 48, rtol=1e-12)
    assert found.weights[:18].sum() == pytest.approx(18 / 48)


def test_the_weighted_median_is_scikit_learns() -> None:
    target, source = curves(1)
    found = tradaboost_r2.boosted(tree(), target, source, 5)
    theirs = AdaBoostRegressor(tree())
    theirs.estimators_ = found.members
    theirs.estimator_weights_ = np.array(found.votes)
    new = np.linspace(-2, 2, 40)[:, None]
    np.testing.assert_allclose(
        found.predict(new), theirs._get_median_predict(new, len(found.votes))
    )


def test_the_targets_share_grows_in_equal_steps_to_one() -> None:
    target, source = curves(2)
    schedule = tradaboost_r2.step_weights(tree(), target, source, 5)
    shares = [own.sum() for own, _ in schedule]
    np.testing.assert_allclose(shares, 18 / 48 + np.arange(5) / 4 * 30 / 48, rtol=1e-9)
    for own, others in schedule:
        assert own.sum() + others.sum() == pytest.approx(1.0)
        np.testing.assert_allclose(own, own.mean())  # the first stage leaves targets alone


def test_sources_fade_by_a_power_of_their_error() -> None:
    """The first step: ``w_i beta^e_i`` for one ``beta``, found here on a grid."""
    target, source = curves(2)
    _, others = tradaboost_r2.step_weights(tree(), target, source, 5)[1]
    x, y = np.concatenate([target.x, source.x]), np.concatenate([target.y, source.y])
    error = np.abs(tree().fit(x, y).predict(x) - y)
    error = (error / error.max())[18:]
    ratio = others * 48
    scale = ratio / ratio[error.argmin()]  # of the least error
    betas = scale[error > 0.05] ** (1 / (error - error.min())[error > 0.05])
    np.testing.assert_allclose(betas, betas[0], rtol=1e-6)
    assert 0 < betas[0] < 1


def test_the_step_of_the_least_error_over_folds_is_kept() -> None:
    target, source = curves(3)
    strategy = tradaboost_r2.TradaboostR2(
        space="input", steps=4, iterations=3, folds=3, depth=2, l2=1.0
    )
    rng = Rng.of("test")
    parts = folds(18, 3, rng.fork("folds"))
    errors = []
    schedule = tradaboost_r2.step_weights(tree(), target, source, 4)
    for own, others in schedule:
        squares = []
        for out in parts:
            x = np.concatenate([source.x, target.x[~out]])
            y = np.concatenate([source.y, target.y[~out]])
            fitted = algorithm_r2(x, y, np.concatenate([others, own[~out]]), 30, 3)
            squares += [
                (weighted_median(fitted, row) - value) ** 2
                for row, value in zip(target.x[out], target.y[out], strict=True)
            ]
        errors.append(np.mean(squares))
    own, others = schedule[int(np.argmin(errors))]
    x, y = np.concatenate([source.x, target.x]), np.concatenate([source.y, target.y])
    expected = algorithm_r2(x, y, np.concatenate([others, own]), 30, 3)
    samples = tradaboost_r2.Samples(target, source, lambda: np.zeros((0, 1)), rng)
    found = strategy.fit(tree(), samples)
    new = np.linspace(-2, 2, 30)[:, None]
    np.testing.assert_allclose(
        found.predict(new), [weighted_median(expected, row) for row in new], rtol=1e-9
    )


def test_boosting_beats_both_domains_pooled_where_a_part_of_the_source_is_upside_down() -> None:
    gains = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        x, z, new = (rng.normal(size=(n, 4)) for n in (20, 60, 500))
        w = np.array([1.0, -1.0, 0.5, 0.0])
        y, labels = (x @ w > 0).astype(int), ((z @ w > 0) ^ (z[:, 3] > 0.5)).astype(int)
        truth = (new @ w > 0).astype(int)
        shallow = DecisionTreeClassifier(max_depth=2, random_state=0)
        found = tradaboost.boosted(shallow, sample(x, y), sample(z, labels), 20)
        score = (found.predict_proba(new).argmax(1) == truth).mean()
        pooled = shallow.fit(np.concatenate([x, z]), np.concatenate([y, labels]))
        gains.append(score - (pooled.predict(new) == truth).mean())
    assert np.mean(gains) > 0.08


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("boosting"), *MLP)


@pytest.mark.parametrize("space", ["input", "latent", "encoder.1"])
def test_boosting_goes_through_the_stage_and_trains_nothing(world: World, space: str) -> None:
    arm = world.but("transfer=instance/tradaboost", f"transfer.instance.space={space}")
    found = receipt(arm.transfer())
    assert found["changed"] == found["trainable"] == []


def test_one_labelled_target_is_boosted_too() -> None:
    target, source = curves(4, targets=1)
    strategy = tradaboost_r2.TradaboostR2(
        space="input", steps=3, iterations=2, folds=5, depth=2, l2=1.0
    )
    samples = tradaboost_r2.Samples(target, source, lambda: np.zeros((0, 1)), Rng.of(0))
    assert np.isfinite(strategy.fit(tree(), samples).predict(source.x)).all()


def test_regressions_are_boosted_through_the_stage(tmp_path: Path) -> None:
    world = World(tmp_path, *MLP, "task=regression", "metric=r2", "transfer=instance/tradaboost_r2")
    assert receipt(world.transfer())["changed"] == []


def test_boosting_needs_labelled_targets() -> None:
    target, _ = two_classes(0)
    samples = tradaboost.Samples(None, target, lambda: np.zeros((0, 2)), Rng.of(0))
    with pytest.raises(UserError, match="needs labelled targets"):
        tradaboost.both_domains(samples, "tradaboost")


def test_of_two_equal_votes_the_lower_prediction_is_the_median() -> None:
    """The least that half of the votes do not exceed."""

    class Constant:
        def __init__(self, value: float) -> None:
            self.value = value

        def predict(self, x: np.ndarray) -> np.ndarray:
            return np.full(len(x), self.value)

    ensemble = tradaboost_r2.Median()
    ensemble.members, ensemble.votes = [Constant(2.0), Constant(1.0)], [0.5, 0.5]
    assert ensemble.predict(np.zeros((3, 1))).tolist() == [1.0] * 3
    ensemble.votes = [0.6, 0.4]
    assert ensemble.predict(np.zeros((3, 1))).tolist() == [2.0] * 3
