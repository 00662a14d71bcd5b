"""Reconstruction of the target as a bridge between the domains.

Ghifary et al. (2016), Deep reconstruction-classification networks, arXiv:1607.03516, equation 3.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from aetl.ranges import NonNegative
from aetl.transfer.base import Part, Step, TransferStrategy


class Drcn(TransferStrategy):
    """Adds ``weight`` times the target's pretraining loss (mean over the batch) to the source's.

    The paper alternates an epoch of each, with ``lambda`` and ``1 - lambda``; here both are in one
    step. The loss is the sum over pixels that pretraining uses, divided by the number of pixels.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})
    reconstructs: ClassVar[bool] = True

    def __init__(self, *, weight: NonNegative) -> None:
        self.weight = weight

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor:
        x = step.streams["target"].x
        each = step.reconstruction_loss(x, step.rng.fork("reconstruction"))
        return self.weight * each.mean() / x[0].numel()
