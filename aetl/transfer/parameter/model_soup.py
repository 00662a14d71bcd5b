"""The average of several fine-tunings of one pretraining.

Wortsman et al. (2022), Model soups, arXiv:2203.05482, section 2 and recipe 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal

import torch
from annotated_types import Interval
from torch import Tensor

from aetl.transfer.base import TransferStrategy
from aetl.types import UserError

State = Mapping[str, Tensor]


class ModelSoup(TransferStrategy):
    """``members`` fine-tunings from the same weights and head, in other orders, averaged.

    ``uniform`` averages all. ``greedy`` goes through them from the one that the
    selector likes best, and keeps each that does not lower the average's score. The paper's
    members differ in hyper-parameters too. Running statistics are averaged like weights; counters
    are the first member's.
    """

    def __init__(
        self,
        *,
        members: Annotated[int, Interval(ge=2, le=1_000)],
        recipe: Literal["uniform", "greedy"],
    ) -> None:
        if members < 2:
            raise UserError(f"transfer.parameter.members={members}: a soup has at least 2")
        self.repeats, self.recipe = members, recipe
        self.repeats_are_judged = recipe == "greedy"

    def combine(
        self, states: Sequence[State], score: Callable[[dict[str, Tensor]], float]
    ) -> dict[str, Tensor]:
        if self.recipe == "uniform":
            return average(states)
        scores = [score(dict(state)) for state in states]
        order = sorted(range(len(states)), key=lambda i: -scores[i])
        soup, best = [states[order[0]]], scores[order[0]]
        for i in order[1:]:
            new = score(average([*soup, states[i]]))
            if new >= best:
                soup, best = [*soup, states[i]], new
        return average(soup)


def average(states: Sequence[State]) -> dict[str, Tensor]:
    """The mean of every tensor of real numbers; of others the first.

    What no training touched keeps every bit: three times a third is not always one.
    """
    mean: dict[str, Tensor] = {}
    for name, first in states[0].items():
        every = [state[name] for state in states]
        touched = not all(torch.equal(first, tensor) for tensor in every)
        mean[name] = (
            torch.stack(every).mean(0) if touched and first.is_floating_point() else first.clone()
        )
    return mean
