"""L2-SP, DELTA and BSS against NumPy and against the layers called by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from aetl.transfer.parameter.bss import Bss
from aetl.transfer.parameter.delta import Delta
from aetl.transfer.parameter.l2_sp import L2Sp
from tests.transfer.build import normal, small_network, step

pytestmark = pytest.mark.usefixtures("float64")


def test_l2_sp_is_half_the_squared_distance_from_the_start_of_what_trains() -> None:
    network = small_network()
    at = step(network, labelled=normal(4, 1, 4, 4))
    for parameter in network.autoencoder.decoder.parameters():
        parameter.requires_grad_(False)
    moved = []
    with torch.no_grad():
        for i, (name, parameter) in enumerate(network.named_parameters()):
            parameter += 0.1 * (i + 1)
            if parameter.requires_grad and not name.startswith("head."):
                moved.append(parameter.numel() * (0.1 * (i + 1)) ** 2)
    head = sum(float((p.detach() ** 2).sum()) for p in network.head.parameters())
    penalty = L2Sp(alpha=3.0, beta=0.5).penalty(at, None)
    assert float(penalty.detach()) == pytest.approx(1.5 * sum(moved) + 0.25 * head, rel=1e-12)


def test_delta_is_the_distance_of_every_layers_output_from_the_start() -> None:
    network, start, x = small_network().train(), small_network(), normal(6, 1, 4, 4)
    at = step(network, labelled=x)
    network.eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1
    total = 0.0
    for layer in ("encoder.1", "encoder.2", "latent"):
        now = network.autoencoder.features(x, layer).detach().numpy()
        before = start.autoencoder.features(x, layer).detach().numpy()
        total += ((now - before) ** 2).mean()
    head = sum(float((p.detach() ** 2).sum()) for p in network.head.parameters())
    penalty = Delta(alpha=2.0, beta=0.5).penalty(step(network, labelled=x), None)
    assert float(penalty.detach()) == pytest.approx(0.25 * head, rel=1e-12)  # its own start
    fresh = step(start, labelled=x)
    moved = replace(at, network=network, initial=fresh.initial)
    value = Delta(alpha=2.0, beta=0.5).penalty(moved, None)
    assert float(value.detach()) == pytest.approx(total + 0.25 * head, rel=1e-9)


def test_delta_leaves_modes_and_statistics_of_the_start_alone() -> None:
    network = small_network().train()
    at = step(network, labelled=normal(6, 1, 4, 4))
    before = {name: tensor.clone() for name, tensor in at.initial.items()}
    Delta(alpha=1.0, beta=0.0).penalty(at, None)
    assert all(torch.equal(before[name], at.initial[name]) for name in before)
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize("smallest", [1, 3, 100])
def test_bss_is_the_sum_of_the_smallest_squared_singular_values(smallest: int) -> None:
    at = step(small_network(), labelled=normal(6, 1, 4, 4))
    features = at.streams["labelled"].features.detach().numpy()
    values = np.linalg.svd(features, compute_uv=False)[-smallest:]
    penalty = Bss(weight=2.0, smallest=smallest).penalty(at, None)
    assert float(penalty.detach()) == pytest.approx(2.0 * (values**2).sum(), rel=1e-10)
