"""Selectors against their formulas by brute force, and that each prefers the better model."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import entropy, norm
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from aetl.data.base import Examples
from aetl.metric.accuracy import Accuracy
from aetl.metric.nll import NegativeLogLikelihood
from aetl.selector.base import Candidate, Selector
from aetl.selector.dev import DEV, controlled_risk
from aetl.selector.entropy import Entropy, mean_entropy
from aetl.selector.importance_weighted import ImportanceWeighted
from aetl.selector.last import Last
from aetl.selector.reverse_validation import ReverseValidation
from aetl.selector.soft_neighborhood_density import SoftNeighborhoodDensity, density
from aetl.selector.source_validation import SourceValidation
from aetl.selector.target_validation import TargetValidation
from aetl.task.classification import Classification
from aetl.transfer.base import Undeclared
from aetl.transfer.instance.density_ratio import density_ratio

CLASSES = ("0", "1")


def examples(x: np.ndarray, y: np.ndarray) -> Examples:
    return Examples.of(torch.from_numpy(x).float(), torch.from_numpy(y), CLASSES)


def domains(n: int = 400, seed: int = 0) -> dict[str, Examples]:
    """A covariate shift: the class is the side of a parabola, the target lies to its right."""
    rng = np.random.default_rng(seed)

    def domain(centre: float) -> Examples:
        x = rng.normal([centre, 0.5], 1.0, (n, 2))
        return examples(x, (x[:, 1] > 0.5 * x[:, 0] ** 2).astype(int))

    source, target = domain(0.0), domain(2.0)
    return {
        "source_labels": domain(0.0),
        "target_labels": target,
        "source_inputs": source,
        "target_inputs": target,
    }


def candidate(
    uses: Any, parts: dict[str, Examples], weight: list[list[float]], bias: float = 0.0,
    metric: Any = None, fixed: dict[str, Any] | None = None,
) -> Candidate:  # fmt: skip
    """A state whose features are the input and whose logit of class 1 is linear in it."""
    w = torch.tensor(weight, dtype=torch.float64)

    def output(features: torch.Tensor) -> torch.Tensor:
        logit = features.double() @ w[0] + bias
        return torch.stack([-logit / 2, logit / 2], 1)

    return Candidate(
        frozenset(uses), parts, Classification(), metric or Accuracy(), 2,
        lambda part: part.inputs(), output, 1.0, {} if fixed is None else fixed,
    )  # fmt: skip


def judged(selector: Selector, parts: dict[str, Examples], *state: Any, **more: Any) -> float:
    score = selector.score(candidate(selector.uses, parts, *state, **more))
    assert score is not None
    return score


def probability(parts: dict[str, Examples], name: str, weight: Any, bias: float) -> np.ndarray:
    logit = parts[name].x.double().numpy() @ np.array(weight[0]) + bias
    p = 1 / (1 + np.exp(-logit))
    return np.stack([1 - p, p], 1)


STATE: tuple[Any, ...] = ([[-0.5, 1.2]], 0.3)


@pytest.mark.parametrize("labels", [1, 10, 1000])
def test_only_target_validation_takes_labels_out_of_the_budget(labels: int) -> None:
    others = [Last(), SourceValidation(), DEV(l2=1.0), Entropy(), ReverseValidation(l2=1.0)]
    assert [selector.held_out(labels) for selector in others] == [0] * len(others)


@pytest.mark.parametrize(
    "fraction, labels, held",
    [(0.2, 100, 20), (0.25, 10, 2), (0.2, 3, 1), (0.01, 10, 1), (0.9, 2, 1), (1.0, 10, 9)],
)
def test_target_validation_holds_out_its_fraction(fraction: float, labels: int, held: int) -> None:
    assert TargetValidation(fraction=fraction).held_out(labels) == held


@pytest.mark.parametrize("labels", range(1, 30))
def test_something_is_always_left_to_train_on(labels: int) -> None:
    assert 0 <= TargetValidation(fraction=0.97).held_out(labels) < labels


def test_the_last_state_is_taken_without_looking() -> None:
    assert Last().score(candidate((), {}, *STATE)) is None


def test_a_selector_gets_what_it_declares_and_nothing_else() -> None:
    parts = domains()
    with pytest.raises(Undeclared, match="uses target_labels without declaring it"):
        candidate({"target_inputs"}, parts, *STATE).prediction("target_labels")


@pytest.mark.parametrize(
    "selector, part",
    [(SourceValidation(), "source_labels"), (TargetValidation(fraction=0.2), "target_labels")],
)
def test_validation_is_the_metric_turned_so_that_more_is_better(
    selector: Selector, part: str
) -> None:
    parts = domains()
    p, y = probability(parts, part, *STATE), parts[part].y.numpy()
    assert judged(selector, parts, *STATE) == pytest.approx((p.argmax(1) == y).mean())
    nll = judged(selector, parts, *STATE, metric=NegativeLogLikelihood())
    assert nll == pytest.approx(np.log(p[np.arange(len(y)), y]).mean(), rel=1e-6)


def brute_ratio(parts: dict[str, Examples], l2: float) -> np.ndarray:
    """p_T / p_S at the labelled source points by the textbook's formula of Bayes."""
    source, target = (parts[f"{name}_inputs"].x.double().numpy() for name in ("source", "target"))
    both = np.concatenate([source, target])
    scaler = StandardScaler().fit(both)
    domain = np.repeat([0, 1], [len(source), len(target)])
    model = LogisticRegression(C=1 / l2, max_iter=10_000, tol=1e-9).fit(
        scaler.transform(both), domain
    )
    p = model.predict_proba(scaler.transform(parts["source_labels"].x.double().numpy()))
    return np.asarray(p[:, 1] / p[:, 0] * len(source) / len(target))


def losses(parts: dict[str, Examples], *state: Any) -> np.ndarray:
    y = parts["source_labels"].y.numpy()
    p = probability(parts, "source_labels", *state)
    return np.asarray(-np.log(p[np.arange(len(y)), y]))


@pytest.mark.parametrize("space", ["input", "latent"])
def test_importance_weighted_risk_is_the_weighted_mean_loss(space: Any) -> None:
    parts = domains()
    expected = np.mean(brute_ratio(parts, 2.0) * losses(parts, *STATE))
    selector = ImportanceWeighted(space=space, l2=2.0)
    assert judged(selector, parts, *STATE) == pytest.approx(-expected, rel=1e-5)


def test_weights_on_the_input_are_estimated_once() -> None:
    parts, fixed = domains(), dict[str, Any]()
    selector = ImportanceWeighted(space="input", l2=1.0)
    judged(selector, parts, *STATE, fixed=fixed)
    (weight,) = fixed.values()
    fixed["weight"] = np.zeros_like(weight)
    assert judged(selector, parts, *STATE, fixed=fixed) == 0.0


def test_the_ratio_of_two_known_gaussians_is_found() -> None:
    """Of equal variance, so that the log ratio is linear."""
    rng = np.random.default_rng(1)
    source, target = rng.normal(0, 1, (20000, 1)), rng.normal(0.8, 1, (5000, 1))
    points = np.linspace(-2, 2, 9)[:, None]
    true = norm.pdf(points[:, 0], 0.8) / norm.pdf(points[:, 0])
    assert density_ratio(points, source, target, l2=1.0) == pytest.approx(true, rel=0.1)


def test_dev_is_the_published_estimate() -> None:
    """As in the authors' code: cov and var with one degree of freedom less, whose ratio is ours."""
    parts = domains()
    weight, loss = brute_ratio(parts, 1.0), losses(parts, *STATE)
    both = np.cov(np.stack([weight * loss, weight]))
    eta = -both[0, 1] / np.var(weight, ddof=1)
    expected = np.mean(weight * loss) + eta * np.mean(weight) - eta
    assert judged(DEV(l2=1.0), parts, *STATE) == pytest.approx(-expected, rel=1e-5)


def test_the_control_variate_takes_variance_and_no_truth_away() -> None:
    """Source N(0, 1), target N(1, 1), loss x^2: the target's risk is 2."""
    rng = np.random.default_rng(2)
    plain, controlled = [], []
    for _ in range(400):
        x = rng.normal(size=500)
        weight, loss = np.exp(x - 0.5), x**2
        plain.append(np.mean(weight * loss))
        controlled.append(controlled_risk(weight, loss))
    assert np.mean(plain) == pytest.approx(2.0, abs=0.1)
    assert np.mean(controlled) == pytest.approx(2.0, abs=0.1)
    assert np.var(controlled) < 0.5 * np.var(plain)


def test_equal_weights_control_nothing() -> None:
    assert controlled_risk(np.ones(4), np.array([1.0, 2.0, 3.0, 6.0])) == 3.0


def test_entropy_is_scipys() -> None:
    parts = domains()
    p = probability(parts, "target_inputs", *STATE)
    assert judged(Entropy(), parts, *STATE) == pytest.approx(-entropy(p, axis=1).mean(), rel=1e-6)
    assert mean_entropy(np.eye(3)) == 0.0
    assert mean_entropy(np.full((2, 4), 0.25)) == pytest.approx(np.log(4))


def test_neighbourhood_density_is_the_double_loop_of_its_definition() -> None:
    p = np.random.default_rng(3).dirichlet(np.ones(3), 12)
    unit = p / np.sqrt((p**2).sum(1, keepdims=True))
    total = 0.0
    for i in range(12):
        others = np.array([unit[i] @ unit[j] / 0.05 for j in range(12) if j != i])
        share = np.exp(others) / np.exp(others).sum()
        total -= (share * np.log(share)).sum()
    assert density(p, 0.05) == pytest.approx(total / 12, rel=1e-9)


def test_density_is_largest_where_all_predictions_of_a_class_agree() -> None:
    """n examples in two tight clusters: each has n / 2 - 1 neighbours that are all alike."""
    tight = np.eye(2)[np.repeat([0, 1], 20)]
    assert density(tight, 0.05) == pytest.approx(np.log(19), abs=1e-3)
    loose = np.random.default_rng(4).dirichlet([1, 1], 40)
    assert density(loose, 0.01) < density(tight, 0.01)


def test_reverse_validation_learns_from_the_states_own_predictions() -> None:
    parts = domains()
    x = parts["target_inputs"].x.double().numpy()
    own = probability(parts, "target_inputs", *STATE).argmax(1)
    scaler = StandardScaler().fit(x)
    model = LogisticRegression(C=0.5, max_iter=2000).fit(scaler.transform(x), own)
    predicted = model.predict(scaler.transform(parts["source_labels"].x.double().numpy()))
    expected = (predicted == parts["source_labels"].y.numpy()).mean()
    assert judged(ReverseValidation(l2=2.0), parts, *STATE) == pytest.approx(expected)


RIGHT: tuple[Any, ...] = ([[-2.0, 1.0]], 1.6)
"""A line along the parabola where the target lies."""
LEFT: tuple[Any, ...] = ([[0.0, 1.0]], -0.5)
"""A line along the parabola where the source lies."""


def test_the_weighted_risk_prefers_the_better_model_for_the_target_and_the_plain_one_does_not() -> (
    None
):
    """A covariate shift built so that the source's best line is the target's worse one."""
    parts = domains(n=2000)
    risk = {
        (state, part): -np.log(
            probability(parts, part, *vars_)[np.arange(2000), parts[part].y.numpy()]
        ).mean()
        for (state, vars_), part in product(
            (("right", RIGHT), ("left", LEFT)), ("source_labels", "target_labels")
        )
    }
    assert risk["right", "target_labels"] < risk["left", "target_labels"]
    assert risk["right", "source_labels"] > risk["left", "source_labels"]
    for selector in (ImportanceWeighted(space="input", l2=1.0), DEV(l2=1.0)):
        assert judged(selector, parts, *RIGHT) > judged(selector, parts, *LEFT)
    plain = {"metric": NegativeLogLikelihood()}
    source = SourceValidation()
    assert judged(source, parts, *RIGHT, **plain) < judged(source, parts, *LEFT, **plain)


def clustered(n: int = 200, seed: int = 5) -> dict[str, Examples]:
    """Two clusters, one for each class, in both domains; the target's are turned a little."""
    rng = np.random.default_rng(seed)

    def domain(angle: float) -> Examples:
        y = np.arange(n) % 2
        axis = np.array([np.cos(angle), np.sin(angle)])
        return examples((2 * y[:, None] - 1) * 3 * axis + rng.normal(size=(n, 2)) * 0.5, y)

    source, target = domain(0.0), domain(0.5)
    return {"source_labels": source, "target_labels": target, "target_inputs": target}


@pytest.mark.parametrize(
    "selector",
    [Entropy(), SoftNeighborhoodDensity(temperature=0.05), ReverseValidation(l2=1.0)],
    ids=lambda selector: type(selector).__name__,
)
def test_without_target_labels_the_cut_between_clusters_is_preferred_to_one_through_them(
    selector: Selector,
) -> None:
    parts = clustered()
    between = [[8 * np.cos(0.5), 8 * np.sin(0.5)]]
    through = [[-8 * np.sin(0.5), 8 * np.cos(0.5)]]
    accuracy = {
        name: (
            probability(parts, "target_labels", weight, 0.0).argmax(1)
            == parts["target_labels"].y.numpy()
        ).mean()
        for name, weight in (("between", between), ("through", through))
    }
    assert accuracy["between"] > 0.99
    assert accuracy["through"] < 0.7
    assert judged(selector, parts, between) > judged(selector, parts, through)
