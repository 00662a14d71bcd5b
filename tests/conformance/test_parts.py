"""The parts of a joint batch, uneven or empty, have the loss and the gradient of the whole.

Every autoencoder with its own loss and every loss term is here by existing. What compares the
examples of a batch and forgets to gather them (``aetl.joint_batch``) is found here, in one
process; ``test_two_processes`` has the whole training.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from jaxtyping import Float
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.nn.utils.parametrizations import _SpectralNorm

from aetl.config import compose, conf_dir
from aetl.data.base import Examples
from aetl.data.loader import Loader
from aetl.loss.base import LossTerm
from aetl.rng import Rng
from aetl.stage.pretrain import Pretraining, build_autoencoder, objective_of
from aetl.stage.schedule import Constant
from aetl.types import UserError
from tests.conformance.test_autoencoders import AUTOENCODERS, CLASSES, NARROW, own_backbone
from tests.conformance.two_threads import WORLD, together

SHAPE = (1, 8, 8)
SHAPES = {"mixed": (64,)}
"""Of what a loss of other data than images takes."""
LOSSES = sorted(path.stem for path in (conf_dir() / "loss").glob("*.yaml"))
WITHOUT = {"perceptual", "perceptual_run"}
"""They need weights that come from elsewhere."""
EVERYDAY = {"factor_vae", "vq", "m2", "dip_i", "mmd", "sparsity_kl"}
"""Tested by default; the rest is ``slow``."""
Found = tuple[dict[str, Tensor], dict[str, Tensor | None]]


def each(names: list[str], without: set[str]) -> list[object]:
    return [
        pytest.param(name, marks=[pytest.mark.slow] * (name not in EVERYDAY))
        for name in names
        if name not in without
    ]


@cache
def config(autoencoder: str, *overrides: str) -> DictConfig:
    own = OmegaConf.load(conf_dir() / "autoencoder" / f"{autoencoder}.yaml")
    narrow = [] if "backbone" in own else NARROW.get(own_backbone(autoencoder), [])
    return compose([f"autoencoder={autoencoder}", *narrow, *overrides])


@cache
def trained_by() -> dict[str, str]:
    """An autoencoder that brings each loss term, since not every one gives its fields."""
    found: dict[str, str] = {}
    for autoencoder in AUTOENCODERS:
        node: Any = OmegaConf.load(conf_dir() / "autoencoder" / f"{autoencoder}.yaml")
        for line in node.defaults:
            chosen = line.get("override /loss", []) if isinstance(line, DictConfig) else []
            for name in [chosen] if isinstance(chosen, str) else chosen:
                found.setdefault(name, autoencoder)
    return found


def pretraining(cfg: DictConfig, size: int, shape: tuple[int, ...]) -> tuple[Pretraining, Loader]:
    """A module in double precision, and the loader of one joint batch."""
    generator = torch.Generator().manual_seed(1)
    x = (torch.rand(size, *shape, generator=generator) < 0.4).to(torch.uint8) * 255
    data = Examples.of(x, torch.arange(size) % (CLASSES + 1) - 1, ("a", "b", "c"))
    loader = Loader(data, torch.arange(size), batch_size=size, rng=Rng.of(0), shuffle=False)
    built = build_autoencoder(cfg, shape, CLASSES)
    objective = objective_of(cfg)
    module = Pretraining(
        built, objective, loader, seed=0, schedule=Constant(), total_steps=1,
        fit=instantiate(cfg.pretrain), optimizer=torch.optim.Adam,
    )  # fmt: skip
    return module.double(), loader


def of_whole_and_parts(
    cfg: DictConfig, size: int, shape: tuple[int, ...] = SHAPE
) -> tuple[Found, Found]:
    """Values and gradients on the joint batch, and the means over the ranks of those on parts."""
    module, loader = pretraining(cfg, size, shape)
    for part in module.modules():
        # A pass of it moves the estimate of a spectral norm. Each process has its own, which moves
        # once a step; the one that stands for all of them here has to stay.
        if isinstance(part, _SpectralNorm):
            part.eval()

    def losses(rank: int, world: int) -> dict[str, Tensor]:
        loader.rank, loader.world = rank, world
        (batch,) = loader
        given = batch._replace(x=batch.x.double())
        return module.losses(given, Rng.of(0), 0, 0.5)

    def found(values: dict[str, Tensor]) -> Found:
        module.zero_grad(set_to_none=True)
        values["loss"].backward()
        return values, {n: p.grad for n, p in module.named_parameters() if p.requires_grad}

    whole = found(losses(0, 1))
    parts = together(lambda rank: losses(rank, WORLD))
    means = {name: (parts[0][name] + parts[1][name]) / WORLD for name in parts[0]}
    return whole, found(means)


def assert_same(whole: Found, parts: Found) -> None:
    assert whole[0].keys() == parts[0].keys()
    for name, value in whole[0].items():
        torch.testing.assert_close(parts[0][name], value, rtol=1e-6, atol=1e-7, msg=name)
    for name, gradient in whole[1].items():
        other = parts[1][name]
        assert (gradient is None) == (other is None), name
        if gradient is not None:
            torch.testing.assert_close(other, gradient, rtol=1e-7, atol=1e-9, msg=name)


@pytest.mark.parametrize("size", [5, 1], ids=["uneven", "empty"])
@pytest.mark.parametrize("autoencoder", each(AUTOENCODERS, {"identity"}))
def test_an_autoencoder_learns_from_parts_as_from_the_whole(autoencoder: str, size: int) -> None:
    cfg = config(autoencoder)
    if not list(build_autoencoder(cfg, SHAPE, CLASSES).parameters()):
        pytest.skip("is computed in closed form")
    assert_same(*of_whole_and_parts(cfg, size))


@pytest.mark.parametrize("size", [5, 1], ids=["uneven", "empty"])
@pytest.mark.parametrize("loss", each(LOSSES, WITHOUT))
def test_a_loss_of_parts_is_that_of_the_whole(loss: str, size: int) -> None:
    by = trained_by().get(loss, "undercomplete")
    try:
        shape = SHAPES.get(loss, SHAPE)
        whole, parts = of_whole_and_parts(config(by, f"loss=[{loss}]"), size, shape)
    except UserError as refusal:
        pytest.skip(str(refusal))
    assert_same(whole, parts)


class Forgetful(LossTerm):
    """The variance of the codes over the batch, of the part that is at hand."""

    unit = "nats"

    def forward(self, latent: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
        spread = latent.flatten(1).var(0, correction=0).sum()
        return spread.expand(len(latent))


def test_a_term_that_forgets_to_gather_is_found() -> None:
    planted: Any = config("undercomplete").copy()
    OmegaConf.set_readonly(planted, False)
    planted.loss = {"forgetful": {"_target_": f"{__name__}.Forgetful", "weight": 1.0}}
    whole, parts = of_whole_and_parts(planted, 5)
    with pytest.raises(AssertionError, match="loss"):
        assert_same(whole, parts)
