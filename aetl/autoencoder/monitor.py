"""Is the latent still in use: active units, effective rank, codebook perplexity and usage."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from aetl.autoencoder.base import Autoencoder

EXAMPLES = 256
"""So many examples are looked at: enough for the ranks and shares, at the cost of two batches."""
FEW_UNITS = 0.1
"""Fewer active latents than this share of them are called a posterior collapse."""
FEW_CODES = 0.25
"""Fewer codes than this share of those that even use would take are called dead."""
LOW_RANK = 0.05
"""An effective rank below this share of what it could be is called a dimensional collapse."""


@dataclass(frozen=True)
class Vitals:
    """Numbers of a latent by name, and a line for each that says it is hardly used."""

    values: dict[str, float]
    warnings: tuple[str, ...]


@torch.no_grad()
def vitals(autoencoder: Autoencoder, x: Float[Tensor, "N ..."]) -> Vitals:
    """``effective_rank`` of the features, and what the code allows.

    ``active_units`` of a posterior with means, ``codebook_perplexity`` and ``codes_used`` of a
    quantised one. The autoencoder has to be in eval mode; nothing is corrupted or sampled.
    """
    code = autoencoder(x).code
    found = [_rank(autoencoder.features(x).flatten(1))]
    if hasattr(code, "mean"):
        found.append(_units(code.mean.flatten(1)))
    if hasattr(code, "index") and hasattr(code, "codes"):
        found.append(_codes(code.index, code.codes))
    values = {name: value for part, _ in found for name, value in part.items()}
    return Vitals(values, tuple(line for _, line in found if line))


def _rank(features: Float[Tensor, "N F"]) -> tuple[dict[str, float], str | None]:
    possible = min(features.shape)
    if not torch.isfinite(features).all():
        return {"effective_rank": float("nan")}, "the features are not finite"
    rank = effective_rank(features)
    low = rank < LOW_RANK * possible and possible > 1
    line = f"dimensional collapse: the features have effective rank {rank:.1f} of {possible}"
    return {"effective_rank": rank}, line if low else None


def _units(mean: Float[Tensor, "N Z"]) -> tuple[dict[str, float], str | None]:
    number, active = mean.shape[1], active_units(mean)
    line = f"posterior collapse: {active} of {number} latents are active"
    return {"active_units": float(active)}, line if active < FEW_UNITS * number else None


def _codes(index: Int[Tensor, "..."], codes: int) -> tuple[dict[str, float], str | None]:
    used = round(usage(index, codes) * codes)
    even = codes * (1.0 - (1.0 - 1.0 / codes) ** index.numel())
    values = {"codebook_perplexity": perplexity(index, codes), "codes_used": float(used)}
    line = f"dead codes: {used} of {codes} codes are used (even use would take {even:.0f})"
    return values, line if used < FEW_CODES * even else None


def active_units(mean: Float[Tensor, "N Z"], threshold: float = 0.01) -> int:
    """Latents whose posterior mean varies over the data by more than ``threshold`` (a variance).

    Burda, Grosse and Salakhutdinov (2016, arXiv:1509.00519). None is a collapse.
    """
    return int((mean.double().var(0) > threshold).sum())


def effective_rank(features: Float[Tensor, "N F"]) -> float:
    """RankMe: the exponential of the entropy of the normalised singular values, 1 to F.

    Garrido et al. (2023, arXiv:2210.02885, equation 1), without its small constant; features are
    not centred. All zeros have the rank 0.
    """
    singular = torch.linalg.svdvals(features.double())
    if not singular.sum() > 0:
        return 0.0
    shares = singular / singular.sum()
    return float(torch.exp(torch.special.entr(shares).sum()))


def perplexity(index: Int[Tensor, "..."], codes: int) -> float:
    """How many of a codebook's ``codes`` are in use: the exponential of their use's entropy."""
    shares = torch.bincount(index.flatten(), minlength=codes).double() / max(1, index.numel())
    return float(torch.exp(torch.special.entr(shares).sum()))


def usage(index: Int[Tensor, "..."], codes: int) -> float:
    """The fraction of a codebook's ``codes`` that are in use at all; the rest are dead."""
    return int((torch.bincount(index.flatten()) > 0).sum()) / codes
