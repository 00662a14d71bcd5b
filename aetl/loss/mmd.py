"""Maximum mean discrepancy of the codes from the prior (Gretton et al., JMLR 13, 2012).

As in Wasserstein autoencoders (Tolstikhin et al., 2018, arXiv:1711.01558, algorithm 2) and in
InfoVAE (Zhao, Song and Ermon, 2017, arXiv:1706.02262).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from aetl.joint_batch import joint_batch
from aetl.loss.base import LossTerm, Prior, Weight
from aetl.ranges import NonNegative, Positive
from aetl.rng import Rng


class MMD(LossTerm):
    """The unbiased estimate of ``MMD^2(q(z), N(0, I))``, split over the examples.

    With ``J`` codes ``z`` and as many draws ``p`` from the prior, example i has
    ``sum_{j != i} (k(z_i, z_j) + k(p_i, p_j)) / (J - 1) - 2 sum_j k(z_i, p_j) / J``: the mean over
    the batch is the estimate, which may be negative. A batch of one has nothing to compare: 0.

    ``k`` is the sum over ``scales`` of ``C / (C + d^2)`` (``imq``) or ``exp(-d^2 / C)`` (``rbf``)
    with ``C = 2 Z scale``, where ``2 Z`` is the mean squared distance of two draws from the prior.
    """

    unit: ClassVar[str] = "squared discrepancy"
    prior: ClassVar[Prior | None] = "normal"

    def __init__(
        self,
        *,
        weight: NonNegative | Weight,
        kernel: Literal["imq", "rbf"],
        scales: Sequence[Positive],
    ) -> None:
        super().__init__(weight=weight)
        self.kernel, self.scales = kernel, tuple(scales)

    def forward(self, latent: Float[Tensor, "B ..."], rng: Rng) -> Float[Tensor, " B"]:
        own = latent.flatten(1)
        drawn = rng.fork("mmd").normal(own)
        z, at = joint_batch(own)
        p = joint_batch(drawn).everyone
        if len(z) < 2:
            return 0.0 * own.sum(1)
        others = 1.0 - torch.eye(len(z), dtype=own.dtype, device=own.device)[at]
        within = (self._k(own, z) + self._k(drawn, p)) * others
        return within.sum(1) / (len(z) - 1) - 2.0 * self._k(own, p).mean(1)

    def _k(self, a: Float[Tensor, "B Z"], b: Float[Tensor, "J Z"]) -> Float[Tensor, "B J"]:
        # Not cdist, whose gradient at distance zero is undefined.
        squared = (a[:, None] - b[None]).square().sum(2)
        widths = [2.0 * a.shape[1] * scale for scale in self.scales]
        if self.kernel == "rbf":
            return torch.stack([torch.exp(-squared / c) for c in widths]).sum(0)
        return torch.stack([c / (c + squared) for c in widths]).sum(0)
