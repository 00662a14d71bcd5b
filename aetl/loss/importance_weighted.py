"""The importance-weighted bound (Burda, Grosse and Salakhutdinov, 2016, arXiv:1509.00519)."""

from __future__ import annotations

from math import log, pi
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from aetl.autoencoder.base import Autoencoder
from aetl.loss.base import LossTerm, Prior, Role, Weight
from aetl.ranges import Draws, NonNegative
from aetl.rng import Rng


class ImportanceWeighted(LossTerm):
    """``-log 1/k sum_i p(x|z_i) p(z_i) / q(z_i|x)`` with ``samples`` = k draws (equation 8).

    The prior is ``N(0, I)``, the posterior the bottleneck's diagonal Gaussian, and ``likelihood``
    a loss term that is a negative log-likelihood in nats (its own weight is not used). With one
    draw it is the negative evidence lower bound by sampling; it falls with k towards
    ``-log p(x)``. Costs k decoder passes.
    """

    unit: ClassVar[str] = "nats"
    prior: ClassVar[Prior | None] = "normal"
    role: ClassVar[Role | None] = "bound"

    def __init__(
        self, *, weight: NonNegative | Weight, samples: Draws, likelihood: LossTerm
    ) -> None:
        super().__init__(weight=weight)
        self.samples, self.likelihood = samples, likelihood
        self.outputs = likelihood.outputs

    def forward(
        self,
        x: Float[Tensor, "B ..."],
        mean: Float[Tensor, "B Z"],
        logvar: Float[Tensor, "B Z"],
        autoencoder: Autoencoder,
        rng: Rng,
    ) -> Float[Tensor, " B"]:
        std = torch.exp(0.5 * logvar)
        noise = torch.stack([rng.fork("iwae", i).normal(mean) for i in range(self.samples)])
        z = mean + std * noise
        decoded = autoencoder.decode(z.flatten(0, 1))
        repeated = x.expand(self.samples, *x.shape).flatten(0, 1)
        surprise = self.likelihood(decoded, repeated).view(self.samples, -1)
        log_prior = -0.5 * (z.square() + log(2.0 * pi)).sum(2)
        log_posterior = -0.5 * (noise.square() + logvar + log(2.0 * pi)).sum(2)
        weights = log_prior - log_posterior - surprise
        return log(self.samples) - torch.logsumexp(weights, 0)

    def mean(self, reconstruction: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        return self.likelihood.mean(reconstruction)
