"""KL of the posterior from a mixture prior, by the drawn sample (arXiv:1705.07120)."""

from __future__ import annotations

from math import log, pi
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from aetl.loss.base import LossTerm, Role


class MixturePriorKL(LossTerm):
    """``log q(z|x) - log 1/M sum_m N(z; prior_mean_m, prior_logvar_m)`` at the example's sample.

    Its mean over samples is the KL divergence, which has no closed form for a mixture; a single
    number may be negative.
    """

    unit: ClassVar[str] = "nats"
    role: ClassVar[Role | None] = "rate"

    def forward(
        self,
        latent: Float[Tensor, "B Z"],
        mean: Float[Tensor, "B Z"],
        logvar: Float[Tensor, "B Z"],
        prior_mean: Float[Tensor, "M Z"],
        prior_logvar: Float[Tensor, "M Z"],
    ) -> Float[Tensor, " B"]:
        components = _log_normal(latent[:, None], prior_mean[None], prior_logvar[None])
        log_prior = torch.logsumexp(components, 1) - log(len(prior_mean))
        return _log_normal(latent, mean, logvar) - log_prior


def _log_normal(z: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    squared = (z - mean).square() * torch.exp(-logvar)
    return -0.5 * (log(2.0 * pi) + logvar + squared).sum(-1)
