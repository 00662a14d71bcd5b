"""Images of black and white, drawn from grey ones (Salakhutdinov and Murray, ICML 2008)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt64
from torch import Tensor

from aetl.rng import Rng, uniform_by_key

Binarise = Literal["none", "threshold", "fixed", "epoch"]
ROWS = 4096
"""Images at a time."""


def black_and_white(x: Tensor, identity: UInt64[np.ndarray, " N"], how: Binarise) -> Tensor:
    """uint8 images of 0 and 255: each pixel white with its grey value as probability, as follows
    from the ``identity`` of its image, or (``threshold``) where it is above half."""
    if how == "threshold":
        return (x > 127).to(torch.uint8) * 255
    parts = [x[:0]]
    for start in range(0, len(x), ROWS):
        rows = x[start : start + ROWS]
        drawn = uniform_by_key(identity[start : start + ROWS], rows[0].numel())
        parts.append((torch.from_numpy(drawn).view(rows.shape) * 255 < rows).to(torch.uint8) * 255)
    return torch.cat(parts)


def drawn_again(x: Tensor, rng: Rng) -> Tensor:
    """Grey images in [0, 1] as black and white ones."""
    return (rng.uniform(x) < x).to(x.dtype)
