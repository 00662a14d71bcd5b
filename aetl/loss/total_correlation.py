"""Total correlation of the aggregate posterior (Chen et al., 2018, arXiv:1802.04942)."""

from __future__ import annotations

from math import log, pi
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from aetl.joint_batch import joint_batch
from aetl.loss.base import LossTerm, Weight
from aetl.ranges import NonNegative


class TotalCorrelation(LossTerm):
    """``log q(z) - sum_j log q(z_j)`` at the example's sample, with ``q(z)`` from the batch.

    ``weighted`` is minibatch weighted sampling, ``q(z) ~ 1/(N J) sum_i q(z|x_i)`` (equation 3):
    biased, by about ``(Z - 1) log N`` in this term. ``stratified`` gives the example's own
    posterior 1/N and the others ``(N - 1) / (N (J - 1))`` each: unbiased for ``q(z)``, and exact
    when the batch is the data set. (Appendix C.2 gives one of the others less, by its place in the
    batch; this is the mean over all places.) ``N`` is the size of the data set, ``J`` the batch's.

    The KL term of the bound contains the total correlation once already, so beta of the paper is
    1 plus the weight (equation 4 with alpha = gamma = 1).
    """

    unit: ClassVar[str] = "nats"

    def __init__(
        self, *, weight: NonNegative | Weight, sampling: Literal["weighted", "stratified"]
    ) -> None:
        super().__init__(weight=weight)
        self.sampling = sampling

    def forward(
        self,
        latent: Float[Tensor, "B Z"],
        mean: Float[Tensor, "B Z"],
        logvar: Float[Tensor, "B Z"],
        data_size: int,
    ) -> Float[Tensor, " B"]:
        means, own = joint_batch(mean)
        logvars = joint_batch(logvar).everyone
        squared = (latent[:, None] - means[None]).square() / logvars.exp()[None]
        density = -0.5 * (log(2.0 * pi) + logvars[None] + squared)
        weights = self._log_weights(len(means), data_size).to(latent)[own]
        joint = torch.logsumexp(weights + density.sum(2), 1)
        marginals = torch.logsumexp(weights[:, :, None] + density, 1)
        return joint - marginals.sum(1)

    def _log_weights(self, batch: int, data: int) -> Float[Tensor, "J J"]:
        if self.sampling == "weighted":
            return torch.full((batch, batch), -log(data * batch), dtype=torch.float64)
        others = (data - 1) / (data * max(batch - 1, 1))
        weights = torch.full((batch, batch), others, dtype=torch.float64)
        return weights.fill_diagonal_(1.0 / data).log()
