"""Is the latent still in use: active units, effective rank, codebook perplexity and usage."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


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
