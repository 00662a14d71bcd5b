"""Spectral normalisation on either side of every backbone."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from aetl.backbone.base import WEIGHTED
from aetl.config import conf_dir
from tests.backbone.build import TOKENS, backbone

BACKBONES = sorted(path.stem for path in (conf_dir() / "backbone").glob("*.yaml"))
SHAPES: dict[str, tuple[int, ...]] = {
    "conv1d": (2, 12), "token_conv": (12,), "token_transformer": (12,)
}  # fmt: skip
"""Of those that take no images."""


def built(name: str, side: str) -> dict[str, nn.Sequential]:
    torch.manual_seed(0)
    shape = SHAPES.get(name, (2, 8, 8))
    given_back = (TOKENS * shape[0],) if len(shape) == 1 else shape
    made = backbone(name, spectral_norm=side)
    encoder, hidden = made.encoder(shape)
    return {"encoder": encoder, "decoder": made.decoder(given_back, hidden)}


@pytest.mark.parametrize("side", ["none", "encoder", "decoder", "both"])
@pytest.mark.parametrize("name", BACKBONES)
def test_layers_of_the_chosen_sides_and_no_others_are_normalised(name: str, side: str) -> None:
    for part, blocks in built(name, side).items():
        layers = [layer for layer in blocks.modules() if isinstance(layer, WEIGHTED)]
        normed = [nn.utils.parametrize.is_parametrized(layer, "weight") for layer in layers]
        assert layers
        assert all(normed) if side in (part, "both") else not any(normed)


def test_largest_singular_value_becomes_one() -> None:
    encoder = built("mlp", "encoder")["encoder"]
    x = torch.rand(4, 2, 8, 8)
    for _ in range(100):  # a step of power iteration each
        encoder(x)
    for block in encoder.eval()[1:]:
        largest = torch.linalg.matrix_norm(block[0].weight, 2)
        assert float(largest.detach()) == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("name", BACKBONES)
def test_normalised_networks_copy_save_load_and_have_gradients(name: str) -> None:
    encoder = built(name, "both")["encoder"]
    x = torch.rand(4, *SHAPES.get(name, (2, 8, 8)))
    x = (TOKENS * x).floor() if x.dim() == 2 else x
    twin = copy.deepcopy(encoder)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(1.1)
    twin.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(twin.eval()(x), encoder.eval()(x))
    encoder.train()(x).square().sum().backward()
    originals = [p for n, p in encoder.named_parameters() if n.endswith("original")]
    assert originals
    assert all(p.grad is not None for p in originals)
