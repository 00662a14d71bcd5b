"""Closed-form heads: an estimator on the frozen features of an arm."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aetl.data.base import Examples
from aetl.stage.arm import Strategies, mapped
from aetl.stage.fitted import ClosedForm
from aetl.task.base import Task, numpy
from aetl.transfer.base import Alignment, Part, Sample, Samples, TransferStrategy, View
from aetl.transfer.network import Network
from aetl.types import UserError


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
        kind.groups is not TransferStrategy.groups
        or kind.penalty is not TransferStrategy.penalty
        or strategy.repeats > 1
    )


def fit_head(
    strategy: TransferStrategy, estimator: Any, task: Task, network: Network,
    parts: Mapping[Part, Examples], weights: Mapping[Part, Tensor], view: View,
) -> ClosedForm:  # fmt: skip
    """Fit the head on frozen features of the labelled targets and the weighted sources."""
    identity = Alignment(lambda z: z, lambda z: z)
    to_source, to_target, alignment, warnings = strategy.align(view) or identity

    def features(examples: Examples) -> np.ndarray:
        return numpy(mapped(network, lambda x: strategy.represent(network, x), examples))

    def sample(part: Part, aligned: Callable[[np.ndarray], np.ndarray]) -> Sample | None:
        if part not in parts or not len(parts[part]):
            return None
        labelled = parts[part]
        weight = weights.get(part, torch.ones(len(labelled)))
        return Sample(aligned(features(labelled)), numpy(labelled.y), numpy(weight))

    samples = Samples(
        sample("target_labels", to_target),
        sample("source_labels", to_source),
        lambda: to_target(features(view.examples("target_inputs"))),
        view.rng,
    )
    fitted = strategy.fit(estimator, samples)
    told = getattr(fitted, "told", {})  # an estimator of a user's has nothing to tell
    found = ClosedForm(strategy, fitted, alignment, told, warnings)
    if not found.keeps:
        return found
    # As it will be read again: what predicts here and what is taken away are one.
    read = ClosedForm.of(strategy, task, found.state())
    return dataclasses.replace(read, told=told, warnings=warnings)
