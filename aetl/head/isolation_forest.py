"""How soon random cuts leave an example alone (Liu, Ting and Zhou, ICDM 2008)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float
from sklearn.ensemble import IsolationForest as SkForest

from aetl.head.base import Estimator, Head, Model, State
from aetl.ranges import Count, Seed
from aetl.types import Kind


class IsolationForest(Head):
    """``2^(-E[h(x)] / c(n))`` over ``trees`` trees, each of at most ``examples`` examples (equation
    2): 1 is alone at once, 0.5 and less is normal. The trees are scikit-learn's."""

    kinds: ClassVar[frozenset[Kind]] = frozenset({"anomaly"})

    def __init__(
        self, *, scale: Literal["none", "standard"], trees: Count, examples: Count, seed: Seed
    ) -> None:
        super().__init__(scale=scale, balanced=False, folds=2)
        self.trees, self.examples, self.seed = trees, examples, seed

    def models(self, kind: Kind) -> list[Model]:
        return [Model({"trees": self.trees}, lambda: Forest(self))]


FIELDS = ("left", "right", "feature", "threshold", "depth")


class Forest(Estimator):
    """Trees as arrays of nodes, padded to the largest."""

    def __init__(self, head: IsolationForest) -> None:
        self.head = head

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Forest:
        x = x[weight > 0]
        # scikit-learn's trees see float32: cuts are made and asked on the same numbers.
        number = min(self.head.examples, len(x))
        forest = SkForest(
            n_estimators=self.head.trees, max_samples=number, random_state=self.head.seed
        ).fit(x.astype(np.float32))
        trees = [_nodes(estimator.tree_) for estimator in forest.estimators_]
        size = max(len(tree["left"]) for tree in trees)
        padded = {
            name: np.stack([np.pad(tree[name], (0, size - len(tree[name]))) for tree in trees])
            for name in FIELDS
        }
        return self.load_state(padded | {"normal": np.array(average_path(np.array([number]))[0])})

    def predict(self, x: np.ndarray) -> np.ndarray:
        x = x.astype(np.float32)
        total, rows = np.zeros(len(x)), np.arange(len(x))
        for tree in range(len(self.nodes["left"])):
            left, right, feature, threshold, depth = (self.nodes[name][tree] for name in FIELDS)
            place = np.zeros(len(x), np.int64)
            while (inner := left[place] > 0).any():
                below = x[rows, feature[place]] <= threshold[place]
                place = np.where(inner, np.where(below, left[place], right[place]), place)
            total += depth[place]
        mean = total / len(self.nodes["left"])
        return np.asarray(2.0 ** (-mean / self.normal)) if self.normal else np.ones(len(x))

    def state(self) -> dict[str, np.ndarray]:
        return self.nodes | {"normal": np.array(self.normal)}

    def load_state(self, state: State) -> Forest:
        self.nodes = {name: np.asarray(state[name]) for name in FIELDS}
        self.normal = float(state["normal"])
        return self


def _nodes(tree: object) -> dict[str, np.ndarray]:
    """Of each node its children (0: none), its cut, and how deep what ends there lies."""
    left, right = tree.children_left, tree.children_right  # type: ignore[attr-defined]
    depth = np.zeros(len(left))
    for node in range(len(left)):  # children come after their parents
        for child in (left[node], right[node]):
            if child >= 0:
                depth[child] = depth[node] + 1
    depth += average_path(tree.n_node_samples)  # type: ignore[attr-defined]
    return {
        "left": np.maximum(left, 0), "right": np.maximum(right, 0),
        "feature": np.maximum(tree.feature, 0),  # type: ignore[attr-defined]
        "threshold": tree.threshold, "depth": depth,  # type: ignore[attr-defined]
    }  # fmt: skip


def average_path(number: np.ndarray) -> Float[np.ndarray, " N"]:
    """``c(n)``: the mean path of a search in a binary tree of n that fails (equation 1)."""
    n = np.maximum(number, 3).astype(np.float64)
    large = 2.0 * (np.log(n - 1.0) + np.euler_gamma) - 2.0 * (n - 1.0) / n
    return np.asarray(np.where(number <= 1, 0.0, np.where(number == 2, 1.0, large)))
