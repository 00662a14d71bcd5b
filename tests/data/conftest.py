"""Data sets as their YAML files describe them."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from aetl.config import conf_dir
from aetl.data.base import Dataset

Build = Callable[..., Dataset]


@cache
def with_defaults(name: str) -> Any:
    """A YAML merged with those that its list of defaults names."""
    node: Any = OmegaConf.load(conf_dir() / "dataset" / f"{name}.yaml")
    parents = [with_defaults(other) for other in node.pop("defaults", []) if other != "_self_"]
    return OmegaConf.merge(*parents, node)


@pytest.fixture
def build() -> Build:
    """``build("digits", size=10, **{"shift.invert": True})``: the data set of that YAML."""

    def make(name: str, /, **overrides: Any) -> Dataset:
        node = copy.deepcopy(with_defaults(name))
        for key, value in ({"split_seed": 0} | overrides).items():
            OmegaConf.update(node, key, value)
        return instantiate(node)

    return make


@pytest.fixture
def real_data() -> Path:
    """The folder of the public sets, where somebody said where it is."""
    folder = os.environ.get("AETL_DATA_DIR")
    if not folder or not Path(folder, "MNIST").is_dir():
        pytest.skip("needs MNIST, FashionMNIST and USPS in AETL_DATA_DIR")
    return Path(folder)
