"""Total correlation by a discriminator (Kim and Mnih, 2018, FactorVAE, arXiv:1802.05983)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aetl.backbone.base import Shape
from aetl.joint_batch import joint_batch
from aetl.loss.adversarial import Adversarial, dense_discriminator, taken_for
from aetl.loss.base import Weight
from aetl.ranges import NonNegative, Size
from aetl.rng import Rng


class AdversarialTC(Adversarial):
    """``log D(z) / (1 - D(z))`` at the example's sample (equation 3, by the density ratio trick).

    ``D`` tells samples of ``q(z)`` from samples of ``prod_j q(z_j)``: the batch's latents, with
    each dimension permuted over the joint batch by itself (algorithm 1). Its mean over samples is
    the total correlation when ``D`` is right; a single number may be negative. The paper takes a
    second batch for the discriminator's step, this the same examples with other posterior samples.
    """

    unit: ClassVar[str] = "nats"

    def __init__(
        self, *, weight: NonNegative | Weight, lr_scale: NonNegative, hidden: Sequence[Size]
    ) -> None:
        super().__init__(weight=weight, lr_scale=lr_scale)
        self.hidden = tuple(hidden)

    def build(self, shape: Shape, latent_shape: Shape) -> nn.Module:
        return dense_discriminator(prod(latent_shape), self.hidden)

    def forward(self, latent: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
        logit: Tensor = self.discriminator(latent)
        return logit

    def adversary_loss(self, latent: Float[Tensor, "B ..."], rng: Rng) -> Float[Tensor, " B"]:
        shuffled = permuted(latent.flatten(1), rng.fork("permutation"))
        joint, product = self.discriminator(latent), self.discriminator(shuffled)
        return 0.5 * (taken_for(True, joint) + taken_for(False, product))


def permuted(z: Float[Tensor, "B Z"], rng: Rng) -> Float[Tensor, "B Z"]:
    """Each column in a random order of its own over the joint batch; this rank's rows of that."""
    in_order = joint_batch(z).everyone
    total = len(in_order)
    orders = [rng.fork(j).permutation(total).to(z.device) for j in range(z.shape[1])]
    columns = [column[order] for column, order in zip(in_order.unbind(1), orders, strict=True)]
    return torch.stack(columns, 1)[rng.rank :: rng.world]
