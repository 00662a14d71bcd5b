"""Inserted modules: they start as nothing, and compute what their formula says."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aetl.bottleneck.normal import Normal
from aetl.transfer.parameter.adapters import Adapter, Adapters
from aetl.transfer.parameter.lora import Lora, LowRankConv2d, LowRankLinear
from tests.transfer.build import normal, small_network

pytestmark = pytest.mark.usefixtures("float64")
STRATEGIES = [Lora(rank=2, alpha=4.0), Adapters(dim=3)]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=["lora", "adapters"])
@pytest.mark.parametrize("backbone", ["mlp", "conv"])
def test_adapted_network_starts_where_it_was_and_keeps_its_names(
    strategy: Lora | Adapters, backbone: str
) -> None:
    network, x = small_network(backbone), normal(5, 1, 4, 4)
    before, names = network(x), dict(network.named_parameters())
    strategy.adapt(network)
    torch.testing.assert_close(network(x), before, rtol=0, atol=0)
    now = dict(network.named_parameters())
    assert all(now[name] is parameter for name, parameter in names.items())
    inserted = now.keys() - names.keys()
    assert inserted
    assert not any("decoder" in name for name in inserted)
    trained = {id(p) for group in strategy.groups(network) for p in group.parameters}
    assert trained == {id(now[name]) for name in inserted | {"head.weight", "head.bias"}}


def test_low_rank_linear_is_one_matrix() -> None:
    base = nn.Linear(5, 4)
    layer, x = LowRankLinear(base, 2, 6.0), normal(3, 5)
    with torch.no_grad():
        layer.lora_b.copy_(normal(4, 2, seed=1))
    dense = base.weight + 3.0 * layer.lora_b @ layer.lora_a
    torch.testing.assert_close(layer(x), x @ dense.T + base.bias, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(layer.merged_weight(), dense)
    assert torch.linalg.matrix_rank(layer.merged_weight() - base.weight) == 2


def test_low_rank_convolution_is_one_kernel() -> None:
    base = nn.Conv2d(3, 4, 3, stride=2, padding=1)
    layer, x = LowRankConv2d(base, 2, 6.0), normal(2, 3, 7, 7)
    with torch.no_grad():
        layer.lora_b.copy_(normal(4, 2, 1, 1, seed=1))
    kernel = base.weight.clone()
    for o in range(4):
        for r in range(2):
            kernel[o] += 3.0 * layer.lora_b[o, r, 0, 0] * layer.lora_a[r]
    expected = F.conv2d(x, kernel, base.bias, stride=2, padding=1)
    torch.testing.assert_close(layer(x), expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(layer.merged_weight(), kernel)


@pytest.mark.parametrize("spatial", [False, True])
def test_adapter_is_a_bottleneck_over_the_channels_with_a_residual(spatial: bool) -> None:
    adapter = Adapter(4, 3, spatial=spatial)
    h = normal(2, 4, 5, 5) if spatial else normal(2, 4)
    with torch.no_grad():
        adapter.up.weight.copy_(normal(*adapter.up.weight.shape, seed=1))
    down, up = adapter.down.weight.reshape(3, 4), adapter.up.weight.reshape(4, 3)
    points = h.movedim(1, -1)
    low = torch.relu(points @ down.T + adapter.down.bias)
    torch.testing.assert_close(adapter(h), (points + low @ up.T).movedim(-1, 1))


def test_every_adapter_is_passed_through() -> None:
    network, x = small_network("conv"), normal(5, 1, 4, 4)
    Adapters(dim=3).adapt(network)
    before = network(x)
    adapters = [m for m in network.modules() if isinstance(m, Adapter)]
    assert len(adapters) == 2  # one for each block; the bottleneck gives a code, not a tensor
    for adapter in adapters:
        with torch.no_grad():
            adapter.up.weight += 0.5
        assert (network(x) - before).abs().max() > 1e-3
        with torch.no_grad():
            adapter.up.weight -= 0.5


def test_what_the_prediction_does_not_depend_on_is_left_alone() -> None:
    network = small_network()
    network.autoencoder.bottleneck = Normal((5,), latent_dim=4)
    before = {name for name, _ in network.autoencoder.bottleneck.logvar.named_parameters()}
    Lora(rank=2, alpha=4.0).adapt(network)
    assert {name for name, _ in network.autoencoder.bottleneck.logvar.named_parameters()} == before
    inserted = [name for name, _ in network.named_parameters() if "lora_a" in name]
    assert any("bottleneck.mean" in name for name in inserted)
    assert set(inserted) <= network.in_use().keys()
