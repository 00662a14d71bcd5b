"""Which state along a training is kept, and what each of them predicts for the test inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aetl import ranks
from aetl.data.base import Examples
from aetl.loss.objective import Objective
from aetl.metric.base import Metric
from aetl.selector.base import Candidate, Selector
from aetl.stage.arm import mapped, predict, unlabelled
from aetl.stage.domains import Domain, Domains
from aetl.task.base import Task
from aetl.transfer.base import Part
from aetl.transfer.network import Network, evaluating
from aetl.types import DoesNotFit, Prediction, UserError

STATES = 10
"""About so many states of a training are candidates, whatever its length; the last one always."""
EXAMPLES = 1000
"""At most so many examples of each part that a selector sees, and test inputs for the oracle."""


class Selection:
    """Looks at states along a training by a selector, and keeps the best one.

    The oracle's share: what every candidate predicts for (some of) the test inputs. No label of
    theirs is here: evaluation, after everything is decided, says how good the best one was.
    """

    def __init__(
        self, selector: Selector, parts: Mapping[Part, Examples], task: Task, test: Domain,
        name: str, metric: Metric, objective: Objective | None = None,
    ) -> None:  # fmt: skip
        self.objective = objective
        self.selector, self.parts, self.task, self.metric = selector, parts, task, metric
        self.rows = evenly(np.arange(len(test.test)), task.candidates_on)
        seen = test.test.subset(self.rows)
        self.test = dataclasses.replace(seen, y=torch.full_like(seen.y, -1))
        self.output_dim = task.output_dim(test.pool)
        own = selector.uses_metric and "target_labels" in selector.uses
        self.name = name if own else name_of(selector)
        self.best: tuple[float, int, dict[str, Tensor]] | None = None
        self.seen: list[tuple[int, Prediction]] = []
        self._fixed: dict[str, Any] = {}

    def look(self, network: Network, step: int) -> float | None:
        """The score of this state, kept where it is the best so far (of equal ones the first)."""
        if ranks.rank() == 0:
            found = predict(network, self.task, self.test, self.objective)
            numbers = {name: part for name, part in found.parts.items() if part.ndim == 1}
            self.seen.append((step, dataclasses.replace(found, parts=numbers)))
        score = self.score(network)
        if score is None:
            return None
        if self.best is None or score > self.best[0]:
            self.best = (score, step, {k: v.clone() for k, v in network.state_dict().items()})
        turned = self.selector.uses_metric and not self.metric.higher_is_better
        return -score if turned else score

    @torch.no_grad()
    def score(self, network: Network) -> float | None:
        """What the selector thinks of a state, higher is better; None where it thinks nothing."""
        with evaluating(network):
            return self.selector.score(
                Candidate(
                    self.selector.uses, self.parts, self.task, self.metric, self.output_dim,
                    lambda examples: mapped(network, network.features, examples),
                    lambda features: network.output(features.to(network.scale.device)).cpu(),
                    float(network.scale), self._fixed,
                )
            )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """For the checkpoint of a training that is to be resumed."""
        best = self.best and (float(self.best[0]), *self.best[1:])
        return {"best": best, "seen": seen_as_tensors(self.seen)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.best = state["best"]
        self.seen = seen_from(state["seen"])

    def arrays(self) -> dict[str, np.ndarray]:
        """The candidates' steps and predictions, which rows of the test set, and the choice."""
        chosen = self.best[1] if self.best is not None else self.seen[-1][0]
        steps = np.array([step for step, _ in self.seen])
        found = {
            "step": steps,
            "chosen": np.flatnonzero(steps == chosen)[0],
            "row": self.rows,
        }
        every = [seen.arrays() for _, seen in self.seen]
        return found | {name: np.stack([arrays[name] for arrays in every]) for name in every[0]}


Seen = tuple[int, Tensor, Tensor | None, dict[str, Tensor]]
"""A candidate's step, values, probabilities and parts."""


def seen_as_tensors(seen: Sequence[tuple[int, Prediction]]) -> list[Seen]:
    """Candidates' predictions for a file that is read without running anything."""
    return [
        (
            step,
            torch.from_numpy(p.value),
            None if p.probability is None else torch.from_numpy(p.probability),
            {name: torch.from_numpy(values) for name, values in p.parts.items()},
        )
        for step, p in seen
    ]


def seen_from(kept: Sequence[Seen]) -> list[tuple[int, Prediction]]:
    return [
        (
            step,
            Prediction(
                value.numpy(),
                None if probability is None else probability.numpy(),
                {name: values.numpy() for name, values in parts.items()},
            ),
        )
        for step, value, probability, parts in kept
    ]


def is_candidate(epoch: int, num_epochs: int) -> bool:
    """Whether the state after ``epoch`` (from 0) is one of about ``STATES``, evenly spaced."""
    return (epoch + 1) * STATES // num_epochs > epoch * STATES // num_epochs


def name_of(selector: Selector) -> str:
    return type(selector).__module__.rpartition(".")[2]


def hold_out(selector: Selector, labelled: Examples) -> tuple[Examples, Examples | None]:
    """Split the budget into what trains and what selects (the order is stratified already)."""
    number = selector.held_out(len(labelled))
    if number <= 0:
        return labelled, None
    index = np.arange(len(labelled))
    return labelled.subset(index[:-number]), labelled.subset(index[-number:])


def parts_for(
    selector: Selector, domains: Domains, task: Task, held_out: Examples | None
) -> dict[Part, Examples]:
    """What the selector declares; ``UserError`` where there is no such thing."""
    name, source, target = name_of(selector), domains.source, domains.target
    if task.kind not in selector.kinds:
        raise DoesNotFit(f"selector={name}: is for {' and '.join(sorted(selector.kinds))}")
    parts: dict[Part, Examples] = {}
    if "target_labels" in selector.uses:
        if held_out is None:
            budget = len(target.split.labelled)
            raise UserError(f"selector={name}: a budget of {budget} has no label to hold out")
        parts["target_labels"] = held_out
    if "source_labels" in selector.uses:
        parts["source_labels"] = _source_validation(name, domains, task)
    if "source_inputs" in selector.uses:
        parts["source_inputs"] = unlabelled(source, evenly(source.split.train))
    if "target_inputs" in selector.uses:
        parts["target_inputs"] = unlabelled(target, evenly(target.split.train))
    return parts


def _source_validation(name: str, domains: Domains, task: Task) -> Examples:
    source, target = domains.source, domains.target
    if not source.pool.labelled:
        raise DoesNotFit(f"selector={name}: judges by source labels, and the source has none")
    if source.pool.classes != target.pool.classes:
        raise DoesNotFit(
            f"selector={name}: judges by source labels, and the source's classes "
            f"({len(source.pool.classes)}) are not the target's ({len(target.pool.classes)})"
        )
    rows = source.split.validation
    rows = rows[source.pool.known[rows]]
    if not len(rows):
        raise UserError(
            f"selector={name}: judges by the labels of the source's validation part, which is "
            "empty or has none; set source.validation_fraction above 0"
        )
    return source.with_targets(task).pool.subset(evenly(rows))


def evenly(index: np.ndarray, most: int = EXAMPLES) -> np.ndarray:
    """At most so many of the rows, evenly spaced."""
    places = np.linspace(0, len(index) - 1, min(most, len(index))).round().astype(int)
    return np.asarray(index[places])


def selection_key(selector: Selector, plain: Mapping[str, Any], domains: Domains) -> dict[str, Any]:
    """What the choice depends on beside what the training does."""
    key: dict[str, Any] = {}
    if selector.uses_metric:
        key["metric"] = plain["metric"]
    if "source_labels" in selector.uses:
        key["source_validation"] = domains.source.split.validation.tolist()
    return key
