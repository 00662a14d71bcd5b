"""Boosting of regressions in which the source fades out step by step.

Pardoe and Stone (2010), Boosting for regression transfer, ICML, algorithm 3 (two-stage
TrAdaBoost.R2), over AdaBoost.R2 (Drucker, 1997, Improving regressors using boosting techniques).
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from aetl.ranges import Depth, Folds, NonNegative
from aetl.task.base import Kind, Task
from aetl.transfer.base import Part, Sample, Samples, State, TransferStrategy
from aetl.transfer.instance.base import Space, folds, represented
from aetl.transfer.instance.tradaboost import (
    LEAST_ERROR,
    both_domains,
    learner,
    members_of,
    state_of_members,
)
from aetl.transfer.network import Network

Weights = Float[np.ndarray, " _"]


class TradaboostR2(TransferStrategy):
    """Two-stage TrAdaBoost.R2 on frozen features.

    In ``steps`` steps the target's share of the weight grows from its share of the examples to 1.
    At each the source's weights are frozen and the target's boosted ``iterations`` times; the step
    with the least squared error over ``folds`` folds of the target is kept. The learner is a tree
    of ``depth``, or with ``depth: null`` ridge of strength ``l2``. While the target is boosted its
    weights keep their sum (the paper leaves the normalisation open).
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_labels"})
    tasks: ClassVar[frozenset[Kind]] = frozenset({"regression"})

    def __init__(
        self,
        *,
        space: Space,
        steps: Depth,
        iterations: Depth,
        folds: Folds,
        depth: Depth | None,
        l2: NonNegative,
    ) -> None:
        self.space, self.steps, self.iterations, self.folds = space, steps, iterations, folds
        self.depth, self.l2 = depth, l2

    def head(self, task: Task) -> Any:
        return learner(task, self.depth, self.l2)

    def represent(self, network: Network, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B F"]:
        return represented(network, x, self.space)

    def restore(self, estimator: Any, state: State) -> Median:
        ensemble = Median()
        ensemble.votes, ensemble.weights = state["votes"].tolist(), state["weights"]
        ensemble.members = members_of(estimator, state)
        return ensemble

    def fit(self, estimator: Any, samples: Samples) -> Median:
        target, source = both_domains(samples, "tradaboost_r2")
        schedule = step_weights(estimator, target, source, self.steps)
        parts = folds(len(target.x), self.folds, samples.rng.fork("folds"))
        steps = [(target._replace(weight=a), source._replace(weight=b)) for a, b in schedule]
        errors = [held_out_error(estimator, *step, parts, self.iterations) for step in steps]
        return boosted(estimator, *steps[int(np.argmin(errors))], self.iterations)


class Median:
    """The weighted median of several regressions."""

    def __init__(self) -> None:
        self.members: list[Any] = []
        self.votes: list[float] = []
        self.weights = np.zeros(0)

    def predict(self, x: Float[np.ndarray, "N F"]) -> Float[np.ndarray, " N"]:
        """The least prediction that half of the votes do not exceed."""
        values = np.stack([member.predict(x) for member in self.members], 1)
        order = values.argsort(1, kind="stable")
        reached = np.array(self.votes)[order].cumsum(1)
        place = (reached >= 0.5 * reached[:, -1:]).argmax(1)
        rows = np.arange(len(x))
        return np.asarray(values[rows, order[rows, place]])

    def state(self) -> dict[str, np.ndarray]:
        own = {"votes": np.array(self.votes), "weights": self.weights}
        return own | state_of_members(self.members)


def step_weights(
    estimator: Any, target: Sample, source: Sample, steps: int
) -> list[tuple[Weights, Weights]]:
    """The weights of the targets and of the sources at each step; both together sum to 1."""
    x, y, weight = (np.concatenate(pair) for pair in zip(target, source, strict=True))
    m = len(target.x)
    weight = weight / weight.sum()
    share = weight[:m].sum()
    schedule = [(weight[:m], weight[m:])]
    for step in range(1, steps):
        error = adjusted_error(_fitted(estimator, x, y, weight), x, y)
        wanted = share + step / (steps - 1) * (1.0 - share)
        faded = fade(weight[m:], error[m:], weight[:m].sum() * (1.0 - wanted) / wanted)
        weight = np.concatenate([weight[:m], faded])
        weight = weight / weight.sum()
        schedule.append((weight[:m], weight[m:]))
    return schedule


def fade(weight: Weights, error: Weights, total: float) -> Weights:
    """``weight * beta^error`` with the ``beta`` in [0, 1] that gives the sum ``total``.

    Where even ``beta = 0`` leaves too much (examples without any error), all shrink alike.
    """
    low, high = 0.0, 1.0
    for _ in range(100):
        beta = (low + high) / 2
        if (weight * beta**error).sum() > total:
            high = beta
        else:
            low = beta
    faded = weight * high**error
    return np.asarray(faded * min(1.0, total / max(faded.sum(), np.finfo(float).tiny)))


def adjusted_error(member: Any, x: Float[np.ndarray, "N F"], y: np.ndarray) -> Weights:
    """The absolute error as a fraction of the largest."""
    error = np.abs(member.predict(x) - y)
    return np.asarray(error / (error.max() or 1.0))


def boosted(estimator: Any, target: Sample, source: Sample, iterations: int) -> Median:
    """AdaBoost.R2 with the source's weights frozen.

    It ends where a learner's weighted adjusted error reaches 1/2; that one is left out, unless it
    is the first.
    """
    x, y, weight = (np.concatenate(pair) for pair in zip(target, source, strict=True))
    own = np.arange(len(x)) < len(target.x)
    weight = weight / weight.sum()
    mass = weight[own].sum()
    ensemble = Median()
    for _ in range(iterations):
        member = _fitted(estimator, x, y, weight)
        error = adjusted_error(member, x, y)
        mean = max(float((weight * error).sum()), LEAST_ERROR)
        if mean >= 0.5:
            if not ensemble.members:
                ensemble.members, ensemble.votes = [member], [1.0]
            break
        beta = mean / (1.0 - mean)
        ensemble.members.append(member)
        ensemble.votes.append(float(np.log(1.0 / beta)))
        if not own.any():
            break
        weight = weight * np.where(own, beta ** (1.0 - error), 1.0)
        weight[own] *= mass / weight[own].sum()
    ensemble.weights = weight
    return ensemble


def held_out_error(
    estimator: Any, target: Sample, source: Sample, parts: list[np.ndarray], iterations: int
) -> float:
    """The mean squared error of a step on folds of the target."""
    total = 0.0
    for out in parts:
        kept = Sample(*(array[~out] for array in target))
        if kept.weight.sum() + source.weight.sum() == 0.0:
            return float("inf")  # a single target, held out, and the sources have faded
        fitted = boosted(estimator, kept, source, iterations)
        total += float(((fitted.predict(target.x[out]) - target.y[out]) ** 2).sum())
    return total / len(target.x)


def _fitted(estimator: Any, x: Float[np.ndarray, "N F"], y: np.ndarray, weight: Weights) -> Any:
    """The learner on weights of the mean 1, so that its penalty means the same at every step."""
    return copy.deepcopy(estimator).fit(x, y, weight / weight.mean())
