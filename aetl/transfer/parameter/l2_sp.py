"""Weights are drawn back to where they started (Li et al., 2018, L2-SP, arXiv:1802.01483)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from aetl.ranges import NonNegative
from aetl.transfer.base import Step, TransferStrategy
from aetl.types import DECODED, SUPERVISED, Kind


class L2Sp(TransferStrategy):
    """``alpha / 2 |w - w0|^2`` over the pretrained weights, ``beta / 2 |v|^2`` over the head's.

    Equation 4 of the paper: only what trains counts.
    """

    tasks: ClassVar[frozenset[Kind]] = SUPERVISED | DECODED

    def __init__(self, *, alpha: NonNegative, beta: NonNegative) -> None:
        self.alpha, self.beta = alpha, beta

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor:
        terms = []
        for name, parameter in step.network.named_parameters():
            if not parameter.requires_grad:
                continue
            if name.startswith("head."):
                terms.append(self.beta / 2 * parameter.square().sum())
            else:
                start = step.initial[name].to(parameter.device)
                terms.append(self.alpha / 2 * (parameter - start).square().sum())
        return torch.stack(terms).sum()
