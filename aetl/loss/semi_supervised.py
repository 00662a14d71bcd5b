"""The bound of M2 with and without a label (Kingma et al., 2014, arXiv:1406.5298)."""

from __future__ import annotations

from math import log
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from aetl.loss.base import LossTerm, Weight
from aetl.ranges import NonNegative


class SemiSupervised(LossTerm):
    """``L(x, y)`` of a labelled example, ``U(x)`` of another (equations 6 and 7), ``p(y) = 1/K``.

    ``L(x, y) = -log p(x|y, z) + log K + KL(q(z|x, y) || N(0, I))`` at a sample of ``z``, and
    ``U(x) = sum_y q(y|x) (L(x, y) + log q(y|x))``: upper bounds on ``-log p(x, y)`` and on
    ``-log p(x)``. ``likelihood`` is a loss term that is a negative log-likelihood in nats (its own
    weight is not used).
    """

    unit: ClassVar[str] = "nats"

    def __init__(self, *, weight: NonNegative | Weight, likelihood: LossTerm) -> None:
        super().__init__(weight=weight)
        self.likelihood = likelihood
        self.outputs = likelihood.outputs

    def forward(
        self,
        x: Float[Tensor, "B ..."],
        y: Int[Tensor, " B"],
        class_logits: Float[Tensor, "B K"],
        class_mean: Float[Tensor, "B K Z"],
        class_logvar: Float[Tensor, "B K Z"],
        class_reconstruction: Float[Tensor, "B K ..."],
    ) -> Float[Tensor, " B"]:
        classes = class_logits.shape[1]
        repeated = x.repeat_interleave(classes, 0)
        surprise = self.likelihood(class_reconstruction.flatten(0, 1), repeated)
        divergence = class_mean.square() + class_logvar.exp() - 1.0 - class_logvar
        each = surprise.view(-1, classes) + log(classes) + 0.5 * divergence.sum(2)
        log_q = torch.log_softmax(class_logits, 1)
        unlabelled = (log_q.exp() * (each + log_q)).sum(1)
        labelled = each.gather(1, y.clamp(min=0)[:, None]).squeeze(1)
        return torch.where(y >= 0, labelled, unlabelled)

    def mean(self, reconstruction: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        return self.likelihood.mean(reconstruction)
