"""Backbones with few channels and the defaults of their files otherwise."""

from __future__ import annotations

from typing import Any

from hydra.utils import instantiate
from omegaconf import OmegaConf

from aetl.backbone.base import Backbone
from aetl.config import conf_dir
from aetl.types import Entries, told

TOKENS = 7

NARROW: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": [6, 5]},
    "conv": {"channels": [3, 4]},
    "conv1d": {"channels": [3, 4]},
    "conv_pool": {"channels": [3, 4]},
    "resnet": {"width": 4},
    "vit": {"dim": 8, "depth": 1, "heads": 2, "decoder_dim": 4},
}


def backbone(name: str, /, **options: Any) -> Backbone:
    """The backbone of ``conf/backbone/{name}.yaml`` with these options."""
    node = OmegaConf.load(conf_dir() / "backbone" / f"{name}.yaml")
    made = instantiate(OmegaConf.merge(node, NARROW.get(name, {}), options))
    built: Backbone = told(made, Entries(tokens=TOKENS))
    return built
