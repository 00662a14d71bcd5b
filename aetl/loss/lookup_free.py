"""Entropy and commitment loss of lookup-free quantisation (Yu et al., 2024, arXiv:2310.05737)."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from aetl.joint_batch import joint_batch
from aetl.loss.base import LossTerm, Weight
from aetl.ranges import NonNegative, Positive


class LookupFreeEntropy(LossTerm):
    """``sum_t H[q_t] - diversity T H[mean q]``, in nats, and ``commitment |before - after|^2``.

    ``q_t(c)`` is the softmax of ``-|before - c|^2 / temperature`` over the corners ``c`` of the
    cube, the mean is over all tokens of the joint batch (equation 5): every token is to be sure of
    its code, and all codes are to be used. The numbers of a token are independent under ``q_t``, so
    its own entropy is a sum over bits.
    """

    unit: ClassVar[str] = "nats"

    def __init__(
        self,
        *,
        weight: NonNegative | Weight,
        temperature: Positive,
        diversity: NonNegative,
        commitment: NonNegative,
    ) -> None:
        super().__init__(weight=weight)
        self.temperature, self.diversity, self.commitment = temperature, diversity, commitment

    def forward(
        self, before: Float[Tensor, "B T Z"], after: Float[Tensor, "B T Z"]
    ) -> Float[Tensor, " B"]:
        # -(b - 1)^2 + (b + 1)^2 = 4 b
        logits = 4.0 * before / self.temperature
        each = binary_cross_entropy_with_logits(logits, logits.sigmoid(), reduction="none")
        shares = joint_batch(_corners(logits).exp().mean(1)).everyone.mean(0)
        # Not entr, whose gradient at an unused code is infinite.
        tiny = torch.finfo(shares.dtype).tiny
        used = -(shares * shares.clamp(min=tiny).log()).sum() * before.shape[1]
        committed = (before - after.detach()).square()
        own: Tensor = (each + self.commitment * committed).flatten(1).sum(1)
        return own - self.diversity * used


def _corners(logits: Float[Tensor, "B T Z"]) -> Float[Tensor, "B T K"]:
    """The logarithm of every corner's probability, the first number counting most."""
    total = logits.new_zeros((*logits.shape[:2], 1))
    for bit in logits.unbind(2):
        both = torch.stack([logsigmoid(-bit), logsigmoid(bit)], 2)
        total = (total[..., None] + both[:, :, None]).flatten(2)
    return total
