"""The autoencoder goes on reconstructing while the task is learnt.

Le, Patterson and White (2018), Supervised autoencoders, NeurIPS: the decoder as a regulariser.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from aetl.ranges import NonNegative
from aetl.transfer.base import Part, Step, TransferStrategy


class KeepReconstructing(TransferStrategy):
    """Adds ``weight`` times the pretraining loss of the target's inputs, for each input element.

    That is the mean over the batch of the labelled and of the unlabelled examples together.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"target_labels", "target_inputs"})
    reconstructs: ClassVar[bool] = True

    def __init__(self, *, weight: NonNegative) -> None:
        self.weight = weight

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor:
        x = torch.cat([stream.x for stream in step.streams.values()])
        each = step.reconstruction_loss(x, step.rng.fork("reconstruction"))
        return self.weight * each.mean() / x[0].numel()
