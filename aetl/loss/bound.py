"""What a bound on the likelihood of held-out data is in bits per dimension."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, prod

import torch
from jaxtyping import Float
from torch import Tensor

from aetl.autoencoder.base import Autoencoder
from aetl.loss.base import LossTerm, Measure
from aetl.loss.importance_weighted import ImportanceWeighted
from aetl.loss.objective import Objective, evaluated
from aetl.rng import Rng
from aetl.types import field_values

LEVELS = 256
"""Grey values of a stored image."""


@dataclass(frozen=True)
class Bits:
    """An upper bound on the negative log2-likelihood of an example, divided by its dimension."""

    value: float
    bound: str
    data: str


@torch.no_grad()
def bits_per_dim(
    autoencoder: Autoencoder,
    objective: Objective,
    x: Float[Tensor, "N ..."],
    *,
    images: bool,
    rng: Rng,
) -> Bits | None:
    """``bound / (D log 2)``, the mean over the examples; None where the objective has no bound.

    The bound in nats is ``-log p(x|z) + KL(q(z|x) || p(z))`` with a sample of the posterior (ELBO;
    Kingma and Welling, 2014, arXiv:1312.6114, equation 3) or the importance-weighted one. All its
    terms count once, whatever their weights, capacities and free bits in training; penalties
    beside them do not count. Over what the probabilities are, ``data`` tells:

    - ``dequantised``: a density of images of 256 grey values. The bound is on ``x = (k + u) / 256``
      with the grey value ``k`` and uniform noise ``u`` in [0, 1), and 8 bits are added for the
      bin's width. So it bounds the code length of the grey values (Theis, van den Oord and Bethge,
      2016, arXiv:1511.01844, section 3.1).
    - ``levels``: probabilities of grey levels, as they are.
    - ``binary``: the Bernoulli cross-entropy. Its mean bounds the code length of the image with
      each pixel set at random, with its grey value as probability. Not to be compared with the
      others.
    - ``density``: of vectors, as they are; it may be negative. ``counts``: a multinomial.
    """
    terms = [term.plain() for term in objective.terms.values() if isinstance(term, LossTerm)]
    parts = _parts(terms)
    if parts is None:
        return None
    data: str = _measure(parts)
    offset = 0.0
    if images and data == "density":
        levels = (x * (LEVELS - 1)).round()
        x, data = (levels + rng.fork("dequantise").uniform(x)) / LEVELS, "dequantised"
        offset = log(LEVELS, 2)
    fields = _fields(autoencoder, x, rng)
    nats = torch.stack([evaluated(term, fields).double() for term in parts]).sum(0)
    return Bits(float(nats.mean()) / (prod(x.shape[1:]) * log(2)) + offset, _name(parts), data)


def _parts(terms: list[LossTerm]) -> list[LossTerm] | None:
    """A whole bound alone, or one likelihood with at least one rate."""
    of = {role: [t for t in terms if t.role == role] for role in ("bound", "likelihood", "rate")}
    if len(of["bound"]) == 1:
        return of["bound"]
    if len(of["likelihood"]) == 1 and of["rate"]:
        return [*of["likelihood"], *of["rate"]]
    return None


def _measure(parts: list[LossTerm]) -> Measure:
    first = parts[0]
    return first.likelihood.measure if isinstance(first, ImportanceWeighted) else first.measure


def _name(parts: list[LossTerm]) -> str:
    first = parts[0]
    return f"IWAE, {first.samples} samples" if isinstance(first, ImportanceWeighted) else "ELBO"


def _fields(autoencoder: Autoencoder, x: Tensor, rng: Rng) -> Mapping[str, object]:
    output = autoencoder(x, rng)
    return field_values(output, output.code) | {
        "x": x,
        "autoencoder": autoencoder,
        "latent": output.latent,
        "rng": rng.fork("loss"),
        "progress": 1.0,
        "data_size": len(x),
    }
