"""L1 penalty on the code, which makes it sparse (Goodfellow et al., Deep Learning, 14.2.1)."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from aetl.loss.base import LossTerm


class L1Code(LossTerm):
    """``sum_z |z|``."""

    unit: ClassVar[str] = "latent units"

    def forward(self, latent: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
        return latent.abs().flatten(1).sum(1)
