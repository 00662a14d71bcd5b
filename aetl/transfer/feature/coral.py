"""The covariances of both domains' features are drawn together.

Sun and Saenko (2016), Deep CORAL, arXiv:1607.01719, equations 1 to 3.
"""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from aetl.ranges import NonNegative
from aetl.transfer.base import Part, Step, TransferStrategy


class Coral(TransferStrategy):
    """``weight / (4 F^2)`` times the squared Frobenius distance of the batches' covariances."""

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})

    def __init__(self, *, weight: NonNegative) -> None:
        self.weight = weight

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor:
        source, target = step.streams["source"].features, step.streams["target"].features
        difference = covariance(source) - covariance(target)
        return self.weight * difference.square().sum() / (4 * source.shape[1] ** 2)


def covariance(x: Float[Tensor, "N F"]) -> Float[Tensor, "F F"]:
    """The unbiased covariance (zero for a single point)."""
    centred = x - x.mean(0)
    return centred.T @ centred / max(1, len(x) - 1)
