"""Fitted estimators of scikit-learn as plain arrays by name, and back: nothing is pickled.

The parameters of an estimator are the config's; here is what ``fit`` added to them. An estimator
that is put back predicts by the same code on the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline
from sklearn.tree._tree import Tree

TEXT = ":text"
"""Marks an array of bytes that is a string."""


def state_of(estimator: Any) -> dict[str, np.ndarray]:
    """All that ``fit`` gave a scikit-learn estimator, or the steps of a pipeline."""
    if isinstance(estimator, Pipeline):
        return joined({name: state_of(step) for name, step in estimator.steps})
    parameters = estimator.get_params(deep=False)
    found: dict[str, np.ndarray] = {}
    for name, value in vars(estimator).items():
        if name not in parameters:
            found |= _plain(name, value)
    return found


def put_back(estimator: Any, state: Mapping[str, np.ndarray]) -> Any:
    """An unfitted estimator of the same parameters as it was fitted; the estimator itself."""
    if isinstance(estimator, Pipeline):
        for name, step in estimator.steps:
            put_back(step, below(name, state))
        return estimator
    if isinstance(estimator, NearestNeighbors):
        return estimator.fit(state["_fit_X"])  # its tree follows from the points
    if "tree_.values" in state:
        estimator.tree_ = _tree(estimator, state)
    for name, array in state.items():
        if name.endswith(TEXT):
            setattr(estimator, name.removesuffix(TEXT), array.tobytes().decode())
        elif "." not in name:
            setattr(estimator, name, array.item() if array.ndim == 0 else array)
    return estimator


def joined(parts: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The states of several parts as one, the names of each below that of the part."""
    return {f"{part}.{name}": a for part, state in parts.items() for name, a in state.items()}


def below(part: str, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The state of one of the parts that were joined."""
    start = f"{part}."
    return {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}


def parts_of(state: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """The states that were joined by the names 0, 1, 2, ..., in this order."""
    numbers = sorted({int(name.partition(".")[0]) for name in state if name[0].isdigit()})
    return [below(str(number), state) for number in numbers]


def _plain(name: str, value: Any) -> dict[str, np.ndarray]:
    """An attribute as arrays; empty where it is nothing, or follows from the others."""
    if isinstance(value, Tree):
        return joined({name: _of_tree(value)})
    if isinstance(value, str):
        return {f"{name}{TEXT}": np.frombuffer(value.encode(), np.uint8)}
    if isinstance(value, bool | int | float | np.number | np.bool_ | np.ndarray | tuple):
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{name} is an array of {array.dtype}")
        return {name: array}
    return {}


def _of_tree(tree: Tree) -> dict[str, np.ndarray]:
    state = tree.__getstate__()
    nodes = state["nodes"]
    fields = {f"nodes.{field}": np.ascontiguousarray(nodes[field]) for field in nodes.dtype.names}
    depth = np.asarray(state["max_depth"])
    return fields | {"values": state["values"], "max_depth": depth}


def _tree(estimator: Any, state: Mapping[str, np.ndarray]) -> Tree:
    found = below("tree_", state)
    fields = below("nodes", found)
    features, outputs = int(state["n_features_in_"]), int(state["n_outputs_"])
    classes = np.atleast_1d(state.get("n_classes_", np.ones(outputs))).astype(np.intp)
    tree = Tree(features, classes, outputs)
    dtype = tree.__getstate__()["nodes"].dtype  # of this version of the library
    nodes = np.zeros(len(found["values"]), dtype)
    for name, values in fields.items():
        nodes[name] = values
    tree.__setstate__(
        {
            "max_depth": int(found["max_depth"]),
            "node_count": len(nodes),
            "nodes": nodes,
            "values": found["values"],
        }
    )
    return tree
