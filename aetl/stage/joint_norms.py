"""Batch normalisation over the joint batch of all ranks (torch's own knows CUDA alone)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from aetl import ranks
from aetl.joint_batch import all_gather, all_reduce, joint_sum
from aetl.stage.mixed_in import mixed_in


@contextmanager
def joint_norms(module: nn.Module) -> Iterator[None]:
    """Within the block every batch norm below the module takes the joint batch's moments.

    Their names, parameters and buffers stay: only what training mode computes is another.
    """
    if ranks.world() == 1:
        yield
        return
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    with mixed_in(_Joint, norms):
        yield


class _Joint(_BatchNorm):
    def forward(self, input: Tensor) -> Tensor:
        own = self.training or (self.running_mean is None and self.running_var is None)
        if not own or ranks.world() == 1:
            result: Tensor = super().forward(input)
            return result
        self._check_input_dim(input)  # type: ignore[no-untyped-call]
        count, mean, squares = _joint_moments(input)
        if input.numel() <= input.shape[1] and count <= 1:
            raise ValueError(
                "Expected more than 1 value per channel when training, "
                f"got {int(count)} in the joint batch of all processes"
            )
        self._follow(mean, squares / (count - 1))
        weight: Tensor = self.weight if self.affine else torch.ones_like(mean)
        bias: Tensor = self.bias if self.affine else torch.zeros_like(mean)
        normed: Tensor = _Normed.apply(
            input, weight, bias, mean, squares / count, count, float(self.eps)
        )
        return normed

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """The running moments (the variance is the unbiased one), as torch has them."""
        if not self.track_running_stats or self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        rate = self.momentum
        if rate is None:
            rate = 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean), rate)
        self.running_var.lerp_(variance.to(self.running_var), rate)


@torch.no_grad()
def _joint_moments(input: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The joint batch's values per channel, their mean and their summed squares about it [C].

    Each rank's own are put together as by Chan, Golub and LeVeque (1979), so the ranks talk once.
    """
    values = _precise(input)
    number = values.numel() // values.shape[1]
    mean = _over_channels(values) / max(number, 1)
    squares = _over_channels((values - mean.view(_shape(values))).square_())
    own = torch.stack([torch.full_like(mean, number), mean, squares])
    parts = [torch.empty_like(own) for _ in range(ranks.world())]
    all_gather(parts, own)
    numbers, means, found = torch.stack(parts).unbind(1)
    count = numbers.sum(0)
    mean = (numbers * means).sum(0) / count
    squares = (found + numbers * (means - mean).square()).sum(0)
    return count[0], mean, squares


def _precise(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _over_channels(values: Tensor) -> Tensor:
    """The sums per channel [C] of values [B, C, ...]."""
    return values.flatten(2).sum(2).sum(0) if values.dim() > 2 else values.sum(0)


def _affine(
    x: Tensor, mean: Tensor, variance: Tensor, eps: float,
    slope: Tensor | None = None, shift: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """``slope (x - mean) / sqrt(variance + eps) + shift``, per channel."""
    return F.batch_norm(x, mean, variance, slope, shift, False, 0.0, eps)


def _shape(values: Tensor) -> list[int]:
    return [1, -1, *[1] * (values.dim() - 2)]


class _Normed(torch.autograd.Function):
    """``weight (x - mean) / sqrt(variance + eps) + bias`` with the joint batch's moments, and the
    gradient that every rank's loss has through them."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor,
        mean: Tensor, variance: Tensor, count: Tensor, eps: float,
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(x, weight, bias, mean, variance, count)
        ctx.eps = eps
        return _affine(x, mean, variance, eps, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, variance, count = ctx.saved_tensors
        needed = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled():  # this gradient will have one of its own
            asked = [one for one, need in zip((x, weight, bias), needed, strict=True) if need]
            found = iter(torch.autograd.grad(
                _step_by_step(x, weight, bias, ctx.eps), asked, gradients[0], create_graph=True
            ))  # fmt: skip
            return (*(next(found) if need else None for need in needed), *[None] * 4)
        # Sums and affine maps: torch's own backward takes twice as long on a CPU.
        values, gradient = _precise(x), _precise(gradients[0])
        of_weight, of_bias = torch.zeros_like(mean), torch.zeros_like(mean)
        if len(x):
            of_weight = _over_channels(_affine(values, mean, variance, ctx.eps).mul_(gradient))
            of_bias = _over_channels(gradient)
        own = x
        if needed[0]:
            # What the joint moments add, of all ranks' examples.
            joint = torch.stack([of_weight, of_bias])
            all_reduce(joint)
            scale = weight * torch.rsqrt(variance + ctx.eps)
            slope, shift = -scale / count * joint
            if len(x):
                own = _affine(values, mean, variance, ctx.eps, slope, shift)
                own = own.addcmul_(gradient, scale.view(_shape(x))).to(x.dtype)
        return (*(
            one if need else None
            for one, need in zip((own, of_weight, of_bias), needed, strict=True)
        ), *[None] * 4)  # fmt: skip


def _step_by_step(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """The same of operations that have derivatives of any order."""
    rest = [d for d in range(x.dim()) if d != 1]
    shape = _shape(x)
    count = joint_sum(x.new_tensor(float(x.numel() // x.shape[1])))
    centred = x - (joint_sum(x.sum(rest)) / count).view(shape)
    variance = joint_sum(centred.square().sum(rest)) / count
    scaled = centred * torch.rsqrt(variance + eps).view(shape)
    return scaled * weight.view(shape) + bias.view(shape)
