"""The smallest singular values of the features are shrunk.

Chen et al. (2019), Catastrophic forgetting meets negative transfer: batch spectral shrinkage.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.linalg import svdvals

from aetl.ranges import NonNegative, Size
from aetl.transfer.base import Step, TransferStrategy


class Bss(TransferStrategy):
    """``weight`` times the sum of the squares of the ``smallest`` singular values (equation 4).

    Of the labelled batch's feature matrix [B, F].
    """

    def __init__(self, *, weight: NonNegative, smallest: Size) -> None:
        self.weight, self.smallest = weight, smallest

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor:
        values = svdvals(step.streams["labelled"].features)
        smallest: Tensor = values[max(0, len(values) - self.smallest) :]
        return self.weight * smallest.square().sum()
