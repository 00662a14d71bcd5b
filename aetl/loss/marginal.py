"""The likelihood of data under a variational autoencoder, by importance sampling.

Rezende, Mohamed and Wierstra (2014, arXiv:1401.4082, appendix E); with k samples it is the bound of
Burda, Grosse and Salakhutdinov (2016, arXiv:1509.00519, equation 8) at evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log, pi
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from aetl.autoencoder.base import Autoencoder
from aetl.data.base import identity_of
from aetl.loss.base import LossTerm
from aetl.loss.importance_weighted import ImportanceWeighted
from aetl.loss.objective import Objective, evaluated
from aetl.rng import Rng
from aetl.types import DoesNotFit

BLOCK = 25
"""Draws at a time, however many examples there are: what is drawn depends on nothing else."""
ROWS = 8192
"""Decoded examples at a time."""


def likelihood_of(terms: Mapping[str, Any]) -> LossTerm:
    """The term that is ``-log p(x|z)``; ``UserError`` where the prior is not a standard normal."""
    found = [term for term in terms.values() if isinstance(term, LossTerm)]
    bounds = [term.likelihood for term in found if isinstance(term, ImportanceWeighted)]
    likelihoods = [term for term in found if term.role == "likelihood"]
    rates = [term for term in found if term.role == "rate"]
    if len(bounds) == 1 and not likelihoods:
        return bounds[0]
    if len(likelihoods) != 1 or not rates or any(term.prior != "normal" for term in rates):
        raise DoesNotFit(
            "loss: holds no bound on the likelihood under a standard normal prior, so there is "
            "none to estimate; use autoencoder=vae (loss=elbo), iwae, or beta_vae"
        )
    return likelihoods[0]


@torch.no_grad()
def negative_log_likelihood(
    autoencoder: Autoencoder, objective: Objective, x: Float[Tensor, "B ..."], samples: int
) -> Float[Tensor, " B"]:
    """``-log 1/k sum_i p(x|z_i) p(z_i) / q(z_i|x)`` in nats, with k = ``samples`` draws of
    ``q(z|x)``, in float64.

    What is drawn for an example follows from the example alone: whoever asks gets the same.
    """
    likelihood = likelihood_of(dict(objective.terms.items()))
    code: Any = autoencoder(x).code
    mean, logvar = code.mean.flatten(1), code.logvar.flatten(1)
    keys = identity_of(x.detach().float().cpu())
    generators = [Rng.of("marginal", int(key)).generator() for key in keys]
    total = torch.full((len(x),), -torch.inf, dtype=torch.float64, device=x.device)
    for start in range(0, samples, BLOCK):
        shape = min(BLOCK, samples - start), mean.shape[1]
        noise = torch.stack([torch.randn(shape, generator=g) for g in generators], 1).to(mean)
        z = mean + torch.exp(0.5 * logvar) * noise
        surprise = _surprise(likelihood, autoencoder, x, z)
        prior = -0.5 * (z.double().square() + log(2 * pi)).sum(2)
        posterior = -0.5 * (noise.square() + logvar + log(2 * pi)).double().sum(2)
        total = torch.logaddexp(total, torch.logsumexp(prior - posterior - surprise, 0))
    return log(samples) - total


def _surprise(
    likelihood: LossTerm, autoencoder: Autoencoder, x: Float[Tensor, "B ..."],
    z: Float[Tensor, "k B Z"],
) -> Float[Tensor, "k B"]:  # fmt: skip
    """``-log p(x|z)`` of every draw."""
    parts = []
    for latent in torch.split(z, max(1, ROWS // max(1, len(x)))):
        decoded = autoencoder.decode(latent.flatten(0, 1).view(-1, *autoencoder.latent_shape))
        repeated = x.expand(len(latent), *x.shape).flatten(0, 1)
        fields = {"reconstruction": decoded, "x": repeated}
        parts.append(evaluated(likelihood, fields).view(len(latent), -1).double())
    return torch.cat(parts)
