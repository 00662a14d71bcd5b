"""An arm after its training: what it predicts, and the files from which it predicts the same again.

The network's tensors are in ``network.safetensors``; what a head in closed form and the alignment
of its features come down to, as arrays, in ``head.safetensors``. Everything else is the config's.
A run predicts its own test set by this object, so a model that is taken away cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor

from aetl.data.base import Examples
from aetl.files import read_tensors, write_tensors
from aetl.head.fitted import below, joined
from aetl.loss.objective import Objective
from aetl.stage.arm import Strategies, mapped, network_of, predict
from aetl.stage.domains import Domains
from aetl.stage.pretrain import objective_of
from aetl.task.base import Task, numpy
from aetl.transfer.base import State, TransferStrategy
from aetl.transfer.network import Network
from aetl.types import PLAIN, Entries, Prediction, UserError

NETWORK, HEAD, LOSS = "network.safetensors", "head.safetensors", "objective.safetensors"
SIZE = 1024
"""Examples that go through the network at a time: sums may round in another way for others."""


class Form(NamedTuple):
    """What the size of an arm's network follows from, beside the config."""

    shape: tuple[int, ...]
    """Of an example as the network sees it."""
    source_classes: int
    output_dim: int
    entries: Entries = PLAIN


@dataclass(frozen=True)
class ClosedForm:
    """A head that was fitted in closed form, on features that may be aligned before."""

    strategy: TransferStrategy
    estimator: Any
    alignment: State
    told: Mapping[str, Any] = field(default_factory=dict)
    """What the head became, for the record."""
    warnings: tuple[str, ...] = ()

    @property
    def keeps(self) -> bool:
        """Whether the estimator can be reduced to arrays (one of a user's may not be)."""
        return hasattr(self.estimator, "state")

    def state(self) -> dict[str, np.ndarray]:
        return joined({"estimator": self.estimator.state(), "alignment": self.alignment})

    @staticmethod
    def of(strategy: TransferStrategy, task: Task, state: State) -> ClosedForm:
        """As it is read from a file, so that the memory's layout is the same too."""
        plain = {name: np.array(array, order="C", copy=True) for name, array in state.items()}
        estimator = strategy.restore(strategy.head(task), below("estimator", plain))
        return ClosedForm(strategy, estimator, below("alignment", plain))

    def predict(
        self, network: Network, task: Task, output_dim: int, examples: Examples
    ) -> Prediction:
        features = mapped(network, lambda x: self.strategy.represent(network, x), examples, SIZE)
        aligned = self.strategy.target_map(self.alignment)(numpy(features))
        return task.closed(self.estimator, aligned, output_dim, examples)


@dataclass(frozen=True)
class FittedArm:
    """A network under its own head, or under one in closed form."""

    network: Network
    task: Task
    output_dim: int
    closed_form: ClosedForm | None = None
    objective: Objective | None = None
    """Where the task asks the decoder."""

    def predict(self, examples: Examples) -> Prediction:
        """Predictions for all examples, in eval mode."""
        if self.closed_form is not None:
            return self.closed_form.predict(self.network, self.task, self.output_dim, examples)
        return predict(self.network, self.task, examples, self.objective, SIZE)

    def save(self, folder: Path) -> None:
        write_tensors(folder / NETWORK, self.network.state_dict())
        if self.closed_form is not None and self.closed_form.keeps:
            arrays = self.closed_form.state()
            write_tensors(folder / HEAD, {name: _tensor(array) for name, array in arrays.items()})
        if self.objective is not None and (learnt := self.objective.state_dict()):
            write_tensors(folder / LOSS, learnt)

    @staticmethod
    def load(folder: Path, cfg: DictConfig, strategies: Strategies, form: Form) -> FittedArm:
        """The arm of a config from the files that ``save`` left in ``folder``."""
        task: Task = instantiate(cfg.task)
        network = load_network(folder, cfg, strategies, form)
        heads = [s for s in strategies.values() if s.head(task) is not None]
        if not heads:
            objective = _objective(folder, cfg, form.entries) if task.decodes else None
            return FittedArm(network, task, form.output_dim, None, objective)
        arrays = {name: tensor.numpy() for name, tensor in _read(folder / HEAD).items()}
        head = ClosedForm.of(heads[0], task, arrays)
        return FittedArm(network, task, form.output_dim, head)


def _objective(folder: Path, cfg: DictConfig, entries: Entries) -> Objective:
    """With what it learnt in training (a likelihood's scale), where it did."""
    objective = objective_of(cfg, entries)
    if (folder / LOSS).exists():
        objective.load_state_dict(dict(_read(folder / LOSS)), strict=False)
    return objective


def form_of(domains: Domains, task: Task) -> Form:
    pool = domains.target.pool
    return Form(pool.shape, len(domains.source.pool.classes), task.output_dim(pool), pool.entries)


def load_network(folder: Path, cfg: DictConfig, strategies: Strategies, form: Form) -> Network:
    """The network of an arm with the weights that it ended with."""
    network = network_of(
        cfg, form.shape, form.source_classes, form.output_dim, (0.0, 1.0), form.entries
    )
    for strategy in strategies.values():
        strategy.adapt(network)
    state = _read(folder / NETWORK)
    network.to(next(tensor.dtype for tensor in state.values() if tensor.is_floating_point()))
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        line = " ".join(str(error).split())[:300]
        raise UserError(f"{folder / NETWORK}: does not fit the run's config ({line})") from None
    return network


def _read(file: Path) -> Mapping[str, Tensor]:
    try:
        return read_tensors(file)
    except FileNotFoundError:
        raise UserError(
            f"{file}: is not there, so this arm cannot predict any more; `aetl rerun` makes it anew"
        ) from None


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array, order="C", copy=True))
