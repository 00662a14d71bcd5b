"""Alternating updates: what plays against a model is trained in turn with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from torch import Tensor, nn

from aetl import ranks

Seen = tuple[Any, int]
"""A batch and its index in the epoch."""


class Adversary:
    """Takes one step after each of the model's, on the same batches, by its own optimiser.

    The batches that the model accumulated over go through the model as it is after its step. The
    step is done by Lightning's own plugins, so precision, the gradient's scaler, clipping and
    accumulation hold for both players; the steps of the run are the model's alone. The parameters
    want gradients in their turn only: neither the model's optimiser nor DDP know of them, so their
    gradients are averaged over the ranks here.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.seen: list[Seen] = []
        self.totals: list[tuple[Tensor, dict[str, Tensor]]] = []
        """What it minimised at each batch, and its terms, since somebody looked."""

    def turn(
        self, module: pl.LightningModule, rates: Sequence[float], accumulate: int,
        loss: Callable[[Any, int], Tensor],
    ) -> None:  # fmt: skip
        """One step at these rates of the groups; ``loss(batch, index)`` is this rank's share."""
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        trainer = module.trainer

        def closure() -> Tensor:
            self.optimizer.zero_grad()
            total = torch.zeros((), device=self.parameters[0].device)
            for batch, index in self.seen:
                with trainer.precision_plugin.train_step_context():
                    part = loss(batch, index) / accumulate
                total = total + part.detach()
                trainer.strategy.backward(part, self.optimizer)
            average(self.parameters)
            return total

        with _only(module, self.parameters):
            trainer.strategy.optimizer_step(self.optimizer, closure, model=module)
        self.optimizer.zero_grad()
        self.seen.clear()


def average(parameters: Sequence[nn.Parameter]) -> None:
    """The gradients' means over the ranks."""
    if ranks.world() == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        dist.all_reduce(parameter.grad)
        parameter.grad /= ranks.world()


@contextmanager
def _only(module: nn.Module, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Inside, these parameters alone want gradients; afterwards those that did before."""
    before = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    module.requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter, wanted in before:
            parameter.requires_grad_(wanted)
