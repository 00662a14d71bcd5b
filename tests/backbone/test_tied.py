"""Tied weights: the decoder is the transpose of the encoder, and owns its biases alone."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from aetl.autoencoder.composite import Composite
from aetl.bottleneck.linear import Linear
from aetl.config import conf_dir
from aetl.corruption.none import NoCorruption
from aetl.types import UserError
from tests.backbone.build import backbone

SHAPE = (2, 7, 5)
CASES = [
    ("mlp", "linear"),
    ("mlp", "normal"),
    ("mlp", "vector_quantized"),
    ("conv", "linear"),
    ("conv", "vector_quantized"),
]


def build(name: str, bottleneck: str, **options: Any) -> Composite:
    torch.manual_seed(0)
    node = OmegaConf.load(conf_dir() / "bottleneck" / f"{bottleneck}.yaml")
    parts = backbone(name, activation="tanh", norm="none", tied=True, **options)
    model = Composite(
        SHAPE, corruption=NoCorruption(), backbone=parts, bottleneck=instantiate(node)
    )
    return model.double()


def test_a_dense_decoder_is_the_encoders_matrices_transposed() -> None:
    model = build("mlp", "linear")
    w1, w2 = model.encoder[1][0].weight, model.encoder[2][0].weight
    w3 = model.bottleneck.project[1].weight
    z = torch.randn(4, 32, dtype=torch.float64)
    hidden = torch.tanh(z @ w3 + model.decoder[1][0].bias)
    hidden = torch.tanh(hidden @ w2 + model.decoder[2][0].bias)
    expected = (hidden @ w1 + model.decoder[3][0].bias).view(4, *SHAPE)
    torch.testing.assert_close(model.decode(z), expected)


def test_a_transposed_convolution_is_the_adjoint_of_the_encoders() -> None:
    """``<conv x, y> = <x, conv^T y>`` for layers without bias, at odd sizes too."""
    model = build("conv", "linear")
    sizes = [SHAPE, (3, 4, 3), (4, 2, 2)]
    for i, (big, small) in enumerate(pairwise(sizes)):
        x, y = (torch.randn(1, *size, dtype=torch.float64) for size in (big, small))
        down, up = model.encoder[i][0], model.decoder[2 - i][0]
        forth = torch.nn.functional.conv2d(x, down.weight, None, 2, 1)
        torch.testing.assert_close((forth * y).sum(), (x * up(y)).sum())


@pytest.mark.parametrize("name, bottleneck", CASES)
def test_the_decoder_owns_biases_alone_and_every_weight_gets_both_sides_gradient(
    name: str, bottleneck: str
) -> None:
    model = build(name, bottleneck)
    assert all(key.endswith("bias") for key in model.decoder.state_dict())
    parts = [id(p) for _, layer in model.layers() for p in layer.parameters()]
    assert len(parts) == len(set(parts))
    z = torch.randn(3, *model.latent_shape, dtype=torch.float64)
    model.decode(z).square().sum().backward()
    first = model.encoder[1][0] if name == "mlp" else model.encoder[0][0]
    assert first.weight.grad.any()


@pytest.mark.parametrize("name, bottleneck", CASES)
def test_copies_and_saved_weights_are_tied_in_themselves(name: str, bottleneck: str) -> None:
    model, x = build(name, bottleneck), torch.rand(3, *SHAPE, dtype=torch.float64)
    twin = copy.deepcopy(model)
    other = build(name, bottleneck)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.3)
    state = {key: value.clone() for key, value in other.state_dict().items()}
    before = model(x).reconstruction
    twin.load_state_dict(state)
    torch.testing.assert_close(twin(x).reconstruction, other(x).reconstruction)
    assert torch.equal(model(x).reconstruction, before)


class Cut(Linear):
    """A bottleneck that says that it is narrower than its weights."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(shape, latent_dim=4, activation="none")
        self.latent_shape = (3,)


def test_a_decoder_that_is_no_mirror_is_refused_in_a_line() -> None:
    parts = backbone("mlp", tied=True)
    with pytest.raises(UserError, match="the decoder is no mirror of the encoder") as caught:
        Composite(SHAPE, corruption=NoCorruption(), backbone=parts, bottleneck=Cut)
    assert "\n" not in str(caught.value)


def test_an_autoencoder_that_does_not_tie_says_so() -> None:
    decoder = backbone("mlp", tied=True).decoder(SHAPE, (3,))
    with pytest.raises(UserError, match="does not tie its weights"):
        decoder(torch.rand(2, 3))


def test_spectral_norm_of_a_tied_decoder_alone_is_refused() -> None:
    with pytest.raises(UserError, match="use backbone.spectral_norm=encoder"):
        build("mlp", "linear", spectral_norm="decoder")
