"""Blocks that keep no activations: the backward pass computes them again.

Chen, Xu, Zhang and Guestrin (2016, arXiv:1604.06174): memory for time, with the same gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.backends import cuda
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrize import is_parametrized
from torch.utils.checkpoint import checkpoint

from aetl.autoencoder.base import Layered
from aetl.stage.mixed_in import mixed_in
from aetl.types import DoesNotFit


@contextmanager
def recomputed(module: nn.Module, asked: bool) -> Iterator[None]:
    """Within the block every block of an encoder or a decoder below the module is computed twice.

    Names, parameters and buffers stay, and so do all numbers: dropout draws the same, and batch
    normalisation follows its moments once.
    """
    if not asked:
        yield
        return
    blocks = _blocks(module)
    if not blocks:
        raise DoesNotFit("engine.checkpointing=true: this autoencoder has no blocks of layers")
    with mixed_in(_Recomputed, blocks):
        yield


def _blocks(module: nn.Module) -> list[nn.Module]:
    layered = [part for part in module.modules() if isinstance(part, Layered)]
    sides = [side for part in layered for side in (part.encoder, part.decoder)]
    if any(is_parametrized(layer) for side in sides for layer in side.modules()):
        raise DoesNotFit(
            "engine.checkpointing=true: a spectral norm takes a step of its own at each pass, and "
            "would take two; use backbone.spectral_norm=none"
        )
    blocks = [block for side in sides for block in side if any(True for _ in block.parameters())]
    return list(dict.fromkeys(blocks))


class _Recomputed(nn.Module):
    def forward(self, *inputs: Any) -> Any:
        if not torch.is_grad_enabled():
            return super().forward(*inputs)
        again = _Again([m for m in self.modules() if isinstance(m, _BatchNorm)])
        return checkpoint(
            super().forward, *inputs, use_reentrant=False,
            context_fn=lambda: (nullcontext(), again),
        )  # fmt: skip


KINDS: dict[SDPBackend, Any] = {
    SDPBackend.FLASH_ATTENTION: cuda.flash_sdp_enabled,
    SDPBackend.EFFICIENT_ATTENTION: cuda.mem_efficient_sdp_enabled,
    SDPBackend.CUDNN_ATTENTION: cuda.cudnn_sdp_enabled,
    SDPBackend.MATH: cuda.math_sdp_enabled,
}


class _Again:
    """The second pass: attention of the first one's kinds, and moments that nobody keeps."""

    def __init__(self, norms: list[_BatchNorm]) -> None:
        self.norms = norms
        self.kept: list[dict[str, Tensor | None]] = []
        self.kinds = [kind for kind, allowed in KINDS.items() if allowed()]
        self.inside = ExitStack()

    def __enter__(self) -> None:
        self.inside.enter_context(sdpa_kernel(self.kinds))
        self.kept = [dict(norm._buffers) for norm in self.norms]
        for norm, kept in zip(self.norms, self.kept, strict=True):
            norm._buffers |= {n: None if t is None else t.clone() for n, t in kept.items()}

    def __exit__(self, *_: object) -> None:
        for norm, kept in zip(self.norms, self.kept, strict=True):
            norm._buffers |= kept
        self.inside.close()
