"""Features of both domains are drawn together by their maximum mean discrepancy.

Long et al. (2015), Deep Adaptation Networks, arXiv:1502.02791; the statistic is that of Gretton et
al., JMLR 13 (2012), equation 3 without the diagonal (unbiased) or with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aetl.ranges import NonNegative, Positive
from aetl.transfer.base import Part, Step, TransferStrategy


class Mmd(TransferStrategy):
    """``weight`` times the squared MMD of the batch's features under a sum of Gaussian kernels.

    The bandwidths are ``scales`` times the mean squared distance within the joint batch, which is
    held constant in the gradient. The paper learns the kernels' weights; here they are equal.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})

    def __init__(self, *, weight: NonNegative, scales: Sequence[Positive]) -> None:
        self.weight, self.scales = weight, scales

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor:
        source, target = step.streams["source"].features, step.streams["target"].features
        return self.weight * squared_mmd(gaussian_kernel(source, target, self.scales), len(source))


def gaussian_kernel(
    source: Float[Tensor, "N F"], target: Float[Tensor, "M F"], scales: Sequence[float]
) -> Float[Tensor, "L L"]:
    """The mean over ``scales`` of ``exp(-d^2 / (scale * mean d^2))`` between all points of both."""
    both = torch.cat([source, target])
    squared = (both[:, None] - both[None]).square().sum(2)
    number = len(both)
    mean = (squared.detach().sum() / (number * (number - 1))).clamp(min=1e-12)
    return torch.stack([torch.exp(-squared / (scale * mean)) for scale in scales]).mean(0)


def squared_mmd(kernel: Float[Tensor, "L L"], num_source: int) -> Float[Tensor, ""]:
    """The biased statistic, which is never negative: the first ``num_source`` rows are source."""
    within_source = kernel[:num_source, :num_source].mean()
    within_target = kernel[num_source:, num_source:].mean()
    return within_source + within_target - 2 * kernel[:num_source, num_source:].mean()
