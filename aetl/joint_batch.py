"""The joint batch of all ranks, for what compares the examples of a batch with each other."""

from __future__ import annotations

import os
import time
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor

from aetl import ranks

AWAKE = 0.02
"""Seconds for which a rank that waits for another on CPUs stays awake: a core that sleeps takes
longer to wake than such an exchange takes, and there is one at each batch norm."""


class JointBatch(NamedTuple):
    """The values of all ranks in the order of a single process, and where this rank's stand."""

    everyone: Shaped[Tensor, "J ..."]
    own: slice


def joint_batch(values: Shaped[Tensor, "B ..."]) -> JointBatch:
    """Gather over the ranks, with the gradient that each rank's loss has for every rank's values.

    A mean over the examples of several ranks' gradients is then the one of a single process. A
    rank holds the part ``rank::world`` of the joint batch, which may be empty.
    """
    world = ranks.world()
    if world == 1:
        return JointBatch(values, slice(0, len(values)))
    sizes = [torch.zeros((), dtype=torch.int64, device=values.device) for _ in range(world)]
    all_gather(sizes, torch.tensor(len(values), device=values.device))
    numbers = [int(size) for size in sizes]
    padding = values.new_zeros((max(numbers) - len(values), *values.shape[1:]))
    stacked: Tensor = _Gather.apply(torch.cat([values, padding]))
    parts = torch.cat([part[:number] for part, number in zip(stacked, numbers, strict=True)])
    places = [torch.arange(rank, len(parts), world) for rank in range(world)]
    assert [len(place) for place in places] == numbers
    return JointBatch(
        parts[torch.cat(places).argsort().to(parts.device)], slice(ranks.rank(), None, world)
    )


def joint_sum(value: Tensor) -> Tensor:
    """The sum over the ranks, with the gradient of every rank's loss."""
    if ranks.world() == 1:
        return value
    total: Tensor = _Sum.apply(value)
    return total


def all_gather(parts: list[Tensor], own: Tensor) -> None:
    """Each rank's tensor into ``parts``, in the order of the ranks."""
    _done(dist.all_gather(parts, own, async_op=True), own)


def all_reduce(value: Tensor) -> None:
    """The sum over the ranks, in place."""
    _done(dist.all_reduce(value, async_op=True), value)


def _done(work: Any, value: Tensor) -> None:
    if value.device.type == "cpu":
        until = time.monotonic() + AWAKE
        while not work.is_completed() and time.monotonic() < until:
            os.sched_yield()
    work.wait()


class _Gather(torch.autograd.Function):
    """Equal-sized parts of all ranks, stacked."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        parts = [torch.empty_like(values) for _ in range(dist.get_world_size())]
        all_gather(parts, values.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total: Tensor = _Sum.apply(gradients[0])[dist.get_rank()]
        return total


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone(memory_format=torch.contiguous_format)
        all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total: Tensor = _Sum.apply(gradients[0])  # which has a derivative of its own
        return total
