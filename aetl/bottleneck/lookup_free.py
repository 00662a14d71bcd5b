"""Lookup-free quantisation (Yu et al., 2024, arXiv:2310.05737, section 3.1)."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Interval
from jaxtyping import Float
from torch import Tensor

from aetl.backbone.base import Shape
from aetl.bottleneck.base import Bottleneck
from aetl.bottleneck.tokens import Tokens
from aetl.bottleneck.vector_quantized import QuantizedCode
from aetl.ranges import Size
from aetl.rng import Rng
from aetl.types import UserError

MAX_BITS = 16


class LookupFree(Bottleneck):
    """Each of a token's ``bits`` numbers becomes its sign, -1 or 1 (equation 3; zero becomes -1).

    The codebook is the corners of a cube, ``2^bits`` of them: nothing is looked up or learned. The
    first number counts most in the index (the paper's equation 4 has it count least). The gradient
    passes the sign unchanged; what keeps the bits in use is the loss term ``lookup_free``.
    """

    def __init__(
        self, in_shape: Shape, *, tokens: Size, bits: Annotated[int, Interval(ge=1, le=16)]
    ) -> None:
        super().__init__()
        if not 1 <= bits <= MAX_BITS:
            raise UserError(
                f"bottleneck.bits={bits}: must be 1 to {MAX_BITS} "
                "(the entropy of the codebook is a sum over 2^bits codes)"
            )
        self.tokens, self.bits = Tokens(in_shape, tokens=tokens, dim=bits), bits
        self.latent_shape = self.tokens.latent_shape

    def forward(self, h: Float[Tensor, "B ..."], rng: Rng | None) -> QuantizedCode:
        before: Tensor = self.tokens(h)
        on = before.detach() > 0
        after = 2.0 * on.to(before) - 1.0
        place = 2 ** torch.arange(self.bits - 1, -1, -1, device=before.device)
        latent = self.tokens.latent(before + (after - before).detach())
        return QuantizedCode(latent, before, after, (on * place).sum(2), 2**self.bits)
