"""Small backbones by what a test wants of them."""

from __future__ import annotations

from typing import Any

from aetl.backbone.conv import Conv
from aetl.backbone.mlp import MLP

PLAIN = {"activation": "tanh", "norm": "none", "dropout": 0.0, "tied": False,
         "spectral_norm": "none"}  # fmt: skip


def mlp(*hidden: int, **options: Any) -> MLP:
    """Dense layers with tanh, and nothing else that is not asked for."""
    return MLP(hidden=list(hidden), **{**PLAIN, **options})


def conv(*channels: int, **options: Any) -> Conv:
    """The same for convolutions, 3 by 3."""
    return Conv(channels=list(channels), **{"kernel_size": 3, **PLAIN, **options})
