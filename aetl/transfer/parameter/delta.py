"""Feature maps are held near those of the pretrained network.

Li et al. (2019), DELTA, arXiv:1901.09229, equation 5, with equal attention for every channel
(the paper's "without attention"), and its L2 penalty on the head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aetl.transfer.base import Step, TransferStrategy
from aetl.transfer.depth import layer_outputs


class Delta(TransferStrategy):
    """``alpha / 2`` times the squared distance of the outputs of every encoder layer, summed.

    A layer's distance is the mean over its elements and over the labelled examples of the batch;
    the pretrained network answers in eval mode. ``beta / 2 |v|^2`` is the head's. Costs two more
    passes through the encoder, one of them without gradients.
    """

    def __init__(self, *, alpha: float, beta: float) -> None:
        self.alpha, self.beta = alpha, beta

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor:
        x = step.streams["labelled"].x
        now = layer_outputs(step.network, x, None)
        start = layer_outputs(step.network, x, dict(step.initial))
        maps = [(a - b).square().mean() for a, b in zip(now, start, strict=True)]
        head = [parameter.square().sum() for parameter in step.network.head.parameters()]
        return self.alpha / 2 * torch.stack(maps).sum() + self.beta / 2 * torch.stack(head).sum()
