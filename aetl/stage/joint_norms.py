"""Batch normalisation over the joint batch of all ranks (torch's own knows CUDA alone)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from aetl import ranks
from aetl.joint_batch import joint_sum


@contextmanager
def joint_norms(module: nn.Module) -> Iterator[None]:
    """Within the block every batch norm below the module takes the joint batch's moments.

    Their names, parameters and buffers stay: only what training mode computes is another.
    """
    if ranks.world() == 1:
        yield
        return
    found = {part: type(part) for part in module.modules() if isinstance(part, _BatchNorm)}
    for part, kind in found.items():
        part.__class__ = type(f"Joint{kind.__name__}", (_Joint, kind), {})
    try:
        yield
    finally:
        for part, kind in found.items():
            part.__class__ = kind


class _Joint(_BatchNorm):
    def forward(self, input: Tensor) -> Tensor:
        own = self.training or (self.running_mean is None and self.running_var is None)
        if not own or ranks.world() == 1:
            result: Tensor = super().forward(input)
            return result
        self._check_input_dim(input)  # type: ignore[no-untyped-call]
        rest = [d for d in range(input.dim()) if d != 1]
        shape = [1, -1, *[1] * (input.dim() - 2)]
        count = joint_sum(input.new_tensor(float(input.numel() // input.shape[1])))
        if count <= 1:
            raise ValueError(
                "Expected more than 1 value per channel when training, "
                f"got {int(count)} in the joint batch of all processes"
            )
        mean = joint_sum(input.sum(rest)) / count
        centred = input - mean.view(shape)
        variance = joint_sum(centred.square().sum(rest)) / count
        self._follow(mean.detach(), variance.detach() * count / (count - 1))
        scaled = centred * torch.rsqrt(variance + self.eps).view(shape)
        return scaled * self.weight.view(shape) + self.bias.view(shape) if self.affine else scaled

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
