"""The composite autoencoder is the composition of its parts, and features come from any layer."""

from __future__ import annotations

import pytest
import torch

from aetl.autoencoder.composite import Composite
from aetl.autoencoder.fields import given_fields
from aetl.bottleneck.normal import Normal
from aetl.corruption.gaussian import Gaussian
from aetl.rng import Rng
from aetl.types import UserError
from tests.backbones import conv, mlp


@pytest.fixture
def model() -> Composite:
    torch.manual_seed(0)
    return Composite(
        (1, 4, 4),
        corruption=Gaussian(std=0.5),
        backbone=mlp(12, 8),
        bottleneck=lambda shape: Normal(shape, latent_dim=3),
    )


def test_output_is_decoder_of_bottleneck_of_encoder_of_corruption(model: Composite) -> None:
    x, rng = torch.rand(5, 1, 4, 4), Rng.of(7)
    output = model(x, rng)
    corrupted = model.corruption(x, rng.fork("corruption"))
    code = model.bottleneck(model.encoder(corrupted), rng.fork("posterior"))
    assert torch.equal(output.corrupted, corrupted)
    assert torch.equal(output.latent, code.latent)
    assert torch.equal(output.reconstruction, model.decoder(code.latent))
    assert not torch.equal(output.corrupted, x)


def test_corruption_and_posterior_draw_independently(model: Composite) -> None:
    """The same numbers for both would tie the noise of the input to that of the code."""
    like = torch.zeros(4000, 3)
    rng = Rng.of(7)
    noise = rng.fork("corruption").normal(like), rng.fork("posterior").normal(like)
    assert torch.corrcoef(torch.stack([n.flatten() for n in noise]))[0, 1].abs() < 0.03


def test_without_randomness_nothing_is_corrupted_or_sampled(model: Composite) -> None:
    x = torch.rand(5, 1, 4, 4)
    output = model(x)
    assert output.corrupted is x
    assert torch.equal(output.latent, model.bottleneck.mean(model.encoder(x)))
    assert torch.equal(output.latent, model.features(x))


def test_features_of_a_layer_are_what_comes_out_of_it(model: Composite) -> None:
    x = torch.rand(5, 1, 4, 4)
    flat, first, second = model.encoder
    assert torch.equal(model.features(x, "encoder.0"), x.flatten(1))
    assert torch.equal(model.features(x, "encoder.1"), first(flat(x)))
    assert torch.equal(model.features(x, "encoder.2"), second(first(flat(x))))


def test_an_unknown_layer_is_refused_with_those_that_there_are(model: Composite) -> None:
    message = r"representation\.layer=encoder\.9: no such layer \(encoder\.0, .*, latent\)"
    with pytest.raises(UserError, match=message):
        model.features(torch.rand(2, 1, 4, 4), "encoder.9")


def test_layers_go_from_input_to_output(model: Composite) -> None:
    names = [name for name, _ in model.layers()]
    # Blocks without parameters (the flattening) are no layers.
    assert names == ["encoder.1", "encoder.2", "bottleneck", "decoder.1", "decoder.2", "decoder.3"]
    assert model.layers()[0][1] is model.encoder[1]


def test_feature_maps_go_through_a_convolutional_composite() -> None:
    model = Composite(
        (2, 9, 5),
        corruption=Gaussian(std=0.1),
        backbone=conv(3, 4, activation="relu"),
        bottleneck=lambda shape: Normal(shape, latent_dim=3),
    )
    x = torch.rand(2, 2, 9, 5)
    assert model.features(x, "encoder.0").shape == (2, 3, 5, 3)
    assert model(x).reconstruction.shape == x.shape


def test_what_it_gives_is_read_from_annotations() -> None:
    node = {
        "_target_": "aetl.autoencoder.composite.Composite",
        "bottleneck": {"_target_": "aetl.bottleneck.linear.Linear"},
    }
    plain = given_fields(node)
    assert {"reconstruction", "corrupted", "latent", "x", "y", "autoencoder"} <= plain
    assert "code" not in plain
    variational = node | {"bottleneck": {"_target_": "aetl.bottleneck.normal.Normal"}}
    assert given_fields(variational) - plain == {"mean", "logvar"}
