"""Boosting over both domains, in which sources that the learner gets wrong fade out.

Dai, Yang, Xue and Yu (2007), Boosting for transfer learning, ICML, algorithm 1.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from torch import Tensor

from aetl.head.fitted import joined, parts_of, put_back, state_of
from aetl.ranges import Depth, Inner, Positive
from aetl.task.base import Kind, Task
from aetl.transfer.base import Part, Sample, Samples, State, TransferStrategy
from aetl.transfer.instance.base import Space, represented
from aetl.transfer.network import Network
from aetl.types import DoesNotFit

LEAST_ERROR = 1e-10
"""A learner without an error on the target would have an infinite vote."""


class Tradaboost(TransferStrategy):
    """TrAdaBoost on frozen features: target errors gain weight, source errors lose it.

    With K classes the votes are those of SAMME (Zhu et al., 2009, Statistics and its Interface 2):
    ``log((1 - e) / e) + log(K - 1)`` at an error ``e`` below ``1 - 1 / K``. For two classes that is
    the paper's algorithm. The learner is a tree of ``depth``, or with ``depth: null`` the task's
    linear head with a penalty of strength ``l2``; its weights are scaled to the mean 1. At first
    the targets have the share ``target_share`` of all weight; ``null``: that of their number.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_labels"})
    tasks: ClassVar[frozenset[Kind]] = frozenset({"classification"})

    def __init__(
        self,
        *,
        space: Space,
        iterations: Depth,
        target_share: Inner | None,
        depth: Depth | None,
        l2: Positive,
    ) -> None:
        self.space, self.iterations, self.target_share = space, iterations, target_share
        self.depth, self.l2 = depth, l2

    def head(self, task: Task) -> Any:
        return learner(task, self.depth, self.l2)

    def represent(self, network: Network, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B F"]:
        return represented(network, x, self.space)

    def restore(self, estimator: Any, state: State) -> Ensemble:
        ensemble = Ensemble(state["classes"])
        ensemble.votes, ensemble.weights = state["votes"].tolist(), state["weights"]
        ensemble.members = members_of(estimator, state)
        return ensemble

    def fit(self, estimator: Any, samples: Samples) -> Ensemble:
        target, source = both_domains(samples, "tradaboost")
        if self.target_share is not None:
            target = weighing(target, self.target_share)
            source = weighing(source, 1.0 - self.target_share)
        return boosted(estimator, target, source, self.iterations)


def learner(task: Task, depth: int | None, l2: float) -> Any:
    if depth is None:
        return task.linear_head(l2)
    if task.kind == "regression":
        return DecisionTreeRegressor(max_depth=depth, random_state=0)
    return DecisionTreeClassifier(max_depth=depth, random_state=0)


def both_domains(samples: Samples, name: str) -> tuple[Sample, Sample]:
    if samples.target is None or samples.source is None:
        raise DoesNotFit(f"transfer.instance: {name} needs labelled targets (target.budget)")
    return samples.target, samples.source


def weighing(sample: Sample, total: float) -> Sample:
    """The same examples with that sum of weights."""
    return sample._replace(weight=sample.weight * (total / sample.weight.sum()))


class Ensemble:
    """Learners that vote; ``weights`` are those of the examples (targets first) at the end."""

    def __init__(self, classes: np.ndarray) -> None:
        self.classes_ = classes
        self.members: list[Any] = []
        self.votes: list[float] = []
        self.weights = np.zeros(0)

    def predict_proba(self, x: Float[np.ndarray, "N F"]) -> Float[np.ndarray, "N K"]:
        """The share of the votes of the second half of the learners (equation of step 6)."""
        shares = np.zeros((len(x), len(self.classes_)))
        first = (len(self.members) + 1) // 2 - 1  # the paper counts from 1: ceil(N / 2)
        votes = np.array(self.votes[first:])
        if not votes.any():  # none is better than chance, so none is better than another
            votes = np.ones(len(votes))
        for member, vote in zip(self.members[first:], votes, strict=True):
            shares += vote * (decided(member, x)[:, None] == self.classes_)
        return np.asarray(shares / shares.sum(1, keepdims=True))

    def state(self) -> dict[str, np.ndarray]:
        own = {"classes": self.classes_, "votes": np.array(self.votes), "weights": self.weights}
        return own | state_of_members(self.members)


def state_of_members(members: Sequence[Any]) -> dict[str, np.ndarray]:
    """Of learners that keep their state by themselves, or of trees."""
    states = [m.state() if hasattr(m, "state") else state_of(m) for m in members]
    return joined({str(k): state for k, state in enumerate(states)})


def members_of(estimator: Any, state: State) -> list[Any]:
    """The learners again, from one that is not fitted and from what was kept of them."""
    members = []
    for part in parts_of(state):
        member = copy.deepcopy(estimator)
        restored = hasattr(member, "load_state")
        members.append(member.load_state(part) if restored else put_back(member, part))
    return members


def decided(member: Any, x: Float[np.ndarray, "N F"]) -> np.ndarray:
    return np.asarray(member.classes_[member.predict_proba(x).argmax(1)])


def boosted(estimator: Any, target: Sample, source: Sample, iterations: int) -> Ensemble:
    """The ensemble after all iterations.

    The paper requires errors below chance. A learner that is no better has no vote here and leaves
    the targets' weights, while the sources that it gets wrong go on fading.
    """
    x, y, weight = (np.concatenate(pair) for pair in zip(target, source, strict=True))
    own = np.arange(len(x)) < len(target.x)
    ensemble = Ensemble(np.unique(y))
    chance = 1.0 - 1.0 / max(2, len(ensemble.classes_))
    fading = 1.0 / (1.0 + np.sqrt(2.0 * np.log(len(source.x)) / iterations))
    for _ in range(iterations):
        weight = weight / weight.mean()
        member = copy.deepcopy(estimator).fit(x, y, weight)
        wrong = decided(member, x) != y
        error = float((weight * wrong)[own].sum() / weight[own].sum())
        error = min(max(error, LEAST_ERROR), chance)
        vote = np.log((1.0 - error) / error) + np.log(chance / (1.0 - chance))
        ensemble.members.append(member)
        ensemble.votes.append(float(vote))
        weight = weight * np.where(own, np.exp(vote * wrong), fading**wrong)
    ensemble.weights = weight / weight.sum()
    return ensemble
