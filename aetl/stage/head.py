"""Closed-form heads: an estimator on the frozen features of an arm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from aetl.data.base import Examples
from aetl.stage.arm import Strategies, mapped
from aetl.stage.domains import Domains
from aetl.task.base import Task, numpy
from aetl.transfer.base import Alignment, Part, TransferStrategy, View
from aetl.transfer.network import Network
from aetl.types import Prediction, UserError


def closed_form_head(strategies: Strategies, task: Task) -> tuple[Any | None, str]:
    heads = {family: strategy.head(task) for family, strategy in strategies.items()}
    found = [(head, family) for family, head in heads.items() if head is not None]
    if len(found) > 1:
        raise UserError(f"transfer: {' and '.join(f for _, f in found)} both fit the head")
    trains = [f for f, s in strategies.items() if _trains(s) and heads[f] is None]
    if found and trains:
        raise UserError(
            f"transfer: {found[0][1]} fits the head in closed form on a frozen network, "
            f"so there is nothing to train for {', '.join(trains)}"
        )
    return found[0] if found else (None, "")


def _trains(strategy: TransferStrategy) -> bool:
    """Whether a strategy says what is trained by gradients, or adds to that loss."""
    kind = type(strategy)
    return (
        kind.groups is not TransferStrategy.groups or kind.penalty is not TransferStrategy.penalty
    )


def fit_head(
    strategy: TransferStrategy, estimator: Any, task: Task, network: Network,
    parts: Mapping[Part, Examples], weights: Tensor | None, domains: Domains, view: View,
) -> Prediction:  # fmt: skip
    """Fit the head on frozen features of the labelled targets and the weighted sources."""
    identity = Alignment(lambda z: z, lambda z: z)
    to_source, to_target = strategy.align(view) or identity

    def features(examples: Examples) -> np.ndarray:
        return numpy(mapped(network, lambda x: strategy.represent(network, x), examples))

    x: list[np.ndarray] = []
    y: list[np.ndarray] = []
    w: list[np.ndarray] = []
    if "target_labels" in parts and len(parts["target_labels"]):
        labelled = parts["target_labels"]
        x.append(to_target(features(labelled)))
        y.append(numpy(labelled.y))
        w.append(np.ones(len(labelled)))
    if "source_labels" in parts:
        source = parts["source_labels"]
        x.append(to_source(features(source)))
        y.append(numpy(source.y))
        w.append(np.ones(len(source)) if weights is None else numpy(weights))
    estimator.fit(np.concatenate(x), np.concatenate(y), np.concatenate(w))
    output_dim = task.output_dim(domains.target.pool)
    return task.predict_with(estimator, to_target(features(domains.target.test)), output_dim)
