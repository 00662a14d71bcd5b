"""The joint batch of all ranks, for what compares the examples of a batch with each other."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from aetl import ranks


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
    numbers = of_all_ranks(torch.tensor(len(values), device=values.device)).tolist()
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


def of_all_ranks(own: Shaped[Tensor, "..."]) -> Shaped[Tensor, "R ..."]:
    """The values of all ranks, stacked, without a gradient; they have the same shape on each.

    Two ranks on CPUs send each other a message: gloo's collective calls go through threads of its
    own, which takes several times as long.
    """
    own = own.detach().contiguous()
    everyone = own.new_empty((dist.get_world_size(), *own.shape))
    if not _are_two_on_cpus(own):
        dist.all_gather(list(everyone.unbind()), own)
        return everyone
    rank = dist.get_rank()
    everyone[rank] = own
    for one in range(2):
        if one == rank:
            dist.send(own, 1 - rank)
        else:
            dist.recv(everyone[one], one)
    return everyone


def sum_of_ranks(own: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """The sum of all ranks' values, without a gradient."""
    if _are_two_on_cpus(own):
        return of_all_ranks(own).sum(0)
    total = own.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


def _are_two_on_cpus(value: Tensor) -> bool:
    return dist.get_world_size() == 2 and value.device.type == "cpu"


class _Gather(torch.autograd.Function):
    """Equal-sized parts of all ranks, stacked."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return of_all_ranks(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total: Tensor = _Sum.apply(gradients[0])[dist.get_rank()]
        return total


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return sum_of_ranks(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total: Tensor = _Sum.apply(gradients[0])  # which has a derivative of its own
        return total


def average_by_messages(module: Any) -> None:
    """Let DDP gather two CPU processes' gradients and add them up here: gloo's own reduction takes
    three times as long."""
    if not isinstance(module, DistributedDataParallel):
        return
    if all(_are_two_on_cpus(parameter) for parameter in module.parameters()):
        # A lambda, since it wants no annotations that are texts.
        module.register_comm_hook(None, lambda state, bucket: _averaged(bucket))


def _averaged(bucket: Any) -> torch.futures.Future[Tensor]:
    own = bucket.buffer()
    everyone = own.new_empty((2, *own.shape))

    def mean(done: torch.futures.Future[Any]) -> Tensor:
        done.value()  # raises where the other process is gone: nothing was gathered then
        return torch.add(*everyone, out=own).div_(2)

    return dist.all_gather(list(everyone.unbind()), own, async_op=True).get_future().then(mean)
