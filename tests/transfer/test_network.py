"""The network of an arm: what it computes, which parameters matter, and its modes."""

from __future__ import annotations

import pytest
import torch

from aetl.autoencoder.composite import Composite
from aetl.bottleneck.normal import Normal
from aetl.corruption.gaussian import Gaussian
from aetl.transfer.network import Network, Representation, evaluating
from tests.backbones import conv


def network(layer: str = "latent", pool: bool = False, **scale: float) -> Network:
    torch.manual_seed(0)
    autoencoder = Composite(
        (1, 8, 8),
        corruption=Gaussian(std=1.0),
        backbone=conv(4, 6, activation="relu", norm="batch", dropout=0.3),
        bottleneck=lambda shape: Normal(shape, latent_dim=5),
    )
    representation = Representation(layer=layer, pool=pool)
    return Network(autoencoder, representation, 3, **{"location": 0.0, "scale": 1.0, **scale})


@pytest.mark.parametrize(
    "layer, pool, dim",
    [("latent", False, 5), ("latent", True, 5), ("encoder.0", False, 64), ("encoder.0", True, 4)],
)
def test_feature_dim_is_that_of_the_representation(layer: str, pool: bool, dim: int) -> None:
    net = network(layer, pool).eval()
    x = torch.rand(7, 1, 8, 8)
    assert net.feature_dim == dim
    assert net.features(x).shape == (7, dim)
    if pool and layer == "encoder.0":
        maps = net.autoencoder.features(x, "encoder.0")
        torch.testing.assert_close(net.features(x), maps.mean((2, 3)))


def test_output_is_in_the_units_of_the_target() -> None:
    net = network(location=10.0, scale=2.0).eval()
    x = torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(net(x), 10.0 + 2.0 * net.head(net.features(x)))


def test_in_use_is_everything_that_the_prediction_depends_on() -> None:
    """Neither the decoder nor the log-variance: features are posterior means, uncorrupted."""
    used = set(network().in_use())
    encoder = {n for n, _ in network().named_parameters() if n.startswith("autoencoder.encoder")}
    mean = {f"autoencoder.bottleneck.mean.1.{p}" for p in ("weight", "bias")}
    assert used == encoder | mean | {"head.weight", "head.bias"}


def test_in_use_of_a_layer_ends_at_that_layer() -> None:
    used = set(network("encoder.0").in_use())
    assert {name.split(".")[2] for name in used if name.startswith("autoencoder")} == {"0"}
    assert not any("bottleneck" in name for name in used)


def test_building_and_asking_leave_modes_and_statistics_alone() -> None:
    net = network().train()
    net.autoencoder.encoder[0].eval()
    modes = [module.training for module in net.modules()]
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.in_use()
    with evaluating(net):
        assert not any(module.training for module in net.modules())
        net(torch.rand(4, 1, 8, 8))
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_modes_come_back_after_an_error() -> None:
    net = network().train()
    with pytest.raises(ZeroDivisionError), evaluating(net):
        raise ZeroDivisionError
    assert all(module.training for module in net.modules())


def test_predictions_of_a_network_in_eval_mode_are_each_examples_own() -> None:
    net = network().eval()
    x = torch.rand(6, 1, 8, 8)
    torch.testing.assert_close(net(x)[2:3], net(x[2:3]))
