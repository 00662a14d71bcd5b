"""The joint batch of all ranks, for terms that compare the examples of a batch with each other."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

from aetl import ranks


class JointBatch(NamedTuple):
    """The values of every rank, one rank after the other, and where this rank's own stand."""

    everyone: Float[Tensor, "J ..."]
    own: slice


def joint_batch(values: Float[Tensor, "B ..."]) -> JointBatch:
    """Gather over the ranks, with the gradient that each rank's loss has for every rank's values.

    A mean over the examples of several ranks' gradients is then the one of a single process.
    """
    if ranks.world() == 1:
        return JointBatch(values, slice(0, len(values)))
    sizes = [torch.zeros((), dtype=torch.int64, device=values.device) for _ in range(ranks.world())]
    dist.all_gather(sizes, torch.tensor(len(values), device=values.device))
    numbers = [int(size) for size in sizes]
    padding = values.new_zeros((max(numbers) - len(values), *values.shape[1:]))
    stacked: Tensor = _Gather.apply(torch.cat([values, padding]))
    parts = [part[:number] for part, number in zip(stacked, numbers, strict=True)]
    start = sum(numbers[: ranks.rank()])
    return JointBatch(torch.cat(parts), slice(start, start + len(values)))


class _Gather(torch.autograd.Function):
    """Equal-sized parts of all ranks, stacked."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        parts = [torch.empty_like(values) for _ in range(ranks.world())]
        dist.all_gather(parts, values.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous()
        dist.all_reduce(total)
        return total[ranks.rank()]
