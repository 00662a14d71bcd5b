"""The classifier's loss on known labels (Kingma et al., 2014, arXiv:1406.5298, equation 9)."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from aetl.loss.base import LossTerm


class LabelNLL(LossTerm):
    """``-log q(y|x)``, nothing where the label is not known.

    The paper weighs its mean over the labelled examples by ``0.1 N``; as the mean here is over all
    examples, that is a weight of ``0.1 N / labels``.
    """

    unit: ClassVar[str] = "nats"

    def forward(
        self, y: Int[Tensor, " B"], class_logits: Float[Tensor, "B K"]
    ) -> Float[Tensor, " B"]:
        value: Tensor = cross_entropy(class_logits, y, ignore_index=-1, reduction="none")
        return value
