"""Batch normalisation on the target: exact statistics, layer after layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from aetl.data.base import Examples
from aetl.rng import Rng
from aetl.transfer.base import View
from aetl.transfer.parameter.adabn import Adabn
from aetl.types import UserError
from tests.transfer.build import small_network

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def view() -> View:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 255, (50, 1, 4, 4), generator=generator, dtype=torch.uint8)
    target = Examples.of(x, torch.full((50,), -1), ())
    uses = frozenset({"target_inputs"})
    return View("test", uses, {"target_inputs": target}, lambda e, layer: e.x, Rng.of("test"))


@pytest.mark.parametrize("backbone", ["mlp", "conv"])
@pytest.mark.parametrize("batch_size", [7, 256])
def test_every_layers_input_has_the_statistics_that_it_holds(
    backbone: str, batch_size: int
) -> None:
    network, seen = small_network(backbone), view()
    decoder = {k: v.clone() for k, v in network.autoencoder.decoder.state_dict().items()}
    Adabn(batch_size=batch_size).settle(network, seen)
    inputs: dict[nn.Module, torch.Tensor] = {}
    norms = [m for m in network.autoencoder.encoder.modules() if isinstance(m, NORMS)]
    for module in norms:
        module.register_forward_pre_hook(lambda m, i: inputs.update({m: i[0]}))
    network.features(seen.examples("target_inputs").inputs())
    assert len(norms) == 2
    for module in norms:
        points = inputs[module].transpose(0, 1).flatten(1)
        torch.testing.assert_close(module.running_mean, points.mean(1), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(module.running_var, points.var(1), rtol=1e-4, atol=1e-5)
    now = network.autoencoder.decoder.state_dict()
    assert all(torch.equal(decoder[name], now[name]) for name in decoder)


def test_an_encoder_without_batch_normalisation_is_refused() -> None:
    network = small_network()
    for block in network.autoencoder.encoder:
        if isinstance(block, nn.Sequential):
            block[1] = nn.Identity()
    with pytest.raises(UserError, match=r"backbone\.norm=batch"):
        Adabn(batch_size=8).settle(network, view())
