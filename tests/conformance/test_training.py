"""Every autoencoder learns on every backbone that carries it, by the real stage on real digits.

A new variant or backbone is here by existing. Most is ``slow``: ``make test-matrix`` runs it all.
"""

from __future__ import annotations

import pytest
import torch
from omegaconf import OmegaConf

from aetl.autoencoder.base import Autoencoder
from aetl.config import conf_dir
from aetl.stage.pretrain import build_autoencoder, objective_of
from aetl.types import UserError
from tests.conformance.test_autoencoders import (
    AUTOENCODERS,
    BACKBONES,
    NARROW,
    config,
    own_backbone,
)
from tests.tiny import World, differing, same_bits

SHORT = (
    "source.size=600",
    "pretrain.max_steps=60",
    "pretrain.batch_size=32",
    "pretrain.lr=3e-3",
    "pretrain.epochs=60",
)
STEPS = {"vae_gan": 320, "contractive": 25}
"""For a reconstruction that waits for its discriminator, and for steps that take a second each."""
LEFT_OUT = {
    ("vae_gan", "resnet"): "takes a minute, and learns on smaller backbones",
    ("vae_gan", "torchvision"): "takes a minute, and learns on smaller backbones",
}
SHAPE, CLASSES = (1, 8, 8), 10
MARGIN = 0.85
"""What is left of the untrained error; the mean image alone leaves about 0.45 of it."""
EVERYDAY = {("undercomplete", "mlp"), ("vae", "conv"), ("vq", "mlp"), ("pca", "mlp"),
            ("mae", "vit"), ("k_sparse", "conv_pool")}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("matrix"), *SHORT)


def cases() -> list[object]:
    pairs = [(a, b) for a in AUTOENCODERS for b in BACKBONES if not b.startswith("token_")]
    marks = {pair: () if pair in EVERYDAY else (pytest.mark.slow,) for pair in pairs}
    return [pytest.param(*pair, id="-".join(pair), marks=marks[pair]) for pair in pairs]


def overrides(autoencoder: str, backbone: str) -> list[str]:
    own = OmegaConf.load(conf_dir() / "autoencoder" / f"{autoencoder}.yaml")
    narrow = [] if "backbone" in own else NARROW.get(backbone, [])
    steps = [f"pretrain.max_steps={STEPS[autoencoder]}"] if autoencoder in STEPS else []
    return [f"autoencoder={autoencoder}", f"backbone={backbone}", *narrow, *steps]


@pytest.mark.parametrize("autoencoder, backbone", cases())
def test_training_beats_the_untrained_on_held_out_digits(
    autoencoder: str, backbone: str, world: World
) -> None:
    if config(autoencoder, backbone) is None:
        assert backbone != own_backbone(autoencoder)
        pytest.skip("the autoencoder and the backbone do not go together")
    if backbone == "timm" and autoencoder != "undercomplete":
        pytest.skip("takes a minute, and is a model like torchvision's")
    if (autoencoder, backbone) in LEFT_OUT:
        pytest.skip(LEFT_OUT[autoencoder, backbone])
    here = world.but(*overrides(autoencoder, backbone))
    try:
        untrained = build_autoencoder(here.cfg, SHAPE, CLASSES).eval()
        if not untrained.state_dict():
            pytest.skip("there is nothing to learn")
        pretrained = here.pretrain()
    except UserError as refusal:
        if backbone == own_backbone(autoencoder):
            raise
        pytest.skip(str(refusal))
    trained = build_autoencoder(here.cfg, SHAPE, CLASSES).eval()
    trained.load_state_dict(dict(pretrained.state))
    source = here.domains.source
    x = source.pool.inputs(source.split.validation)
    assert error(here, trained, x) < MARGIN * error(here, untrained, x)
    features = trained.features(x)
    assert torch.isfinite(features).all()
    # The file in the store is the whole encoder: a model of another start answers alike from it.
    assert pretrained.entry is not None
    again = build_autoencoder(OmegaConf.merge(here.cfg, {"seed": 1}), SHAPE, CLASSES).eval()
    assert differing(again.state_dict(), trained.state_dict())
    again.load_state_dict(torch.load(pretrained.entry.path / "autoencoder.pt", weights_only=True))
    assert same_bits(again.features(x), features)


@torch.no_grad()
def error(world: World, autoencoder: Autoencoder, x: torch.Tensor) -> float:
    """The mean squared error of clean inputs on the scale of the data."""
    mean = objective_of(world.cfg).mean(autoencoder.reconstruct(x))
    return float((mean - x).square().mean())
