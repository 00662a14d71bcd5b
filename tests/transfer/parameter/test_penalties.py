"""L2-SP, DELTA and BSS against NumPy and against the layers called by hand."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from aetl.task.classification import Classification
from aetl.transfer.parameter.bss import Bss
from aetl.transfer.parameter.delta import Delta
from aetl.transfer.parameter.l2_sp import L2Sp
from tests.transfer.build import CLASSES, examples, normal, small_network, step, view

uniform = partial(Delta, attention=False, examples=50, l2=1.0)
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
    penalty = uniform(alpha=2.0, beta=0.5).penalty(step(network, labelled=x), None)
    assert float(penalty.detach()) == pytest.approx(0.25 * head, rel=1e-12)  # its own start
    fresh = step(start, labelled=x)
    moved = replace(at, network=network, initial=fresh.initial)
    value = uniform(alpha=2.0, beta=0.5).penalty(moved, None)
    assert float(value.detach()) == pytest.approx(total + 0.25 * head, rel=1e-9)


def test_delta_leaves_modes_and_statistics_of_the_start_alone() -> None:
    network = small_network().train()
    at = step(network, labelled=normal(6, 1, 4, 4))
    before = {name: tensor.clone() for name, tensor in at.initial.items()}
    uniform(alpha=1.0, beta=0.0).penalty(at, None)
    assert all(torch.equal(before[name], at.initial[name]) for name in before)
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize("smallest", [1, 3, 100])
def test_bss_is_the_sum_of_the_smallest_squared_singular_values(smallest: int) -> None:
    at = step(small_network(), labelled=normal(6, 1, 4, 4))
    features = at.streams["labelled"].features.detach().numpy()
    values = np.linalg.svd(features, compute_uv=False)[-smallest:]
    penalty = Bss(weight=2.0, smallest=smallest).penalty(at, None)
    assert float(penalty.detach()) == pytest.approx(2.0 * (values**2).sum(), rel=1e-10)


@pytest.mark.parametrize("backbone", ["mlp", "conv"])
def test_attention_is_the_softmax_of_the_probes_loss_without_each_channel(backbone: str) -> None:
    network, x, y = small_network(backbone), normal(30, 1, 4, 4), torch.arange(30) % CLASSES
    given = view(network, target_labels=examples(x, y))
    strategy = Delta(alpha=1.0, beta=0.0, attention=True, examples=1000, l2=0.5)
    module = strategy.module(network, Classification(), given)
    layers = ["encoder.1", "encoder.2", "latent"]
    if backbone == "conv":
        layers = ["encoder.0", "encoder.1", "latent"]
    scaler = StandardScaler().fit(network.features(x).detach().numpy())
    model = LogisticRegression(C=2.0, max_iter=2000)
    model.fit(scaler.transform(network.features(x).detach().numpy()), y.numpy())

    def loss_from(layer: int, maps: torch.Tensor) -> float:
        """The loss of the probe when the layer gives ``maps``, by running what follows it."""
        rest = {"mlp": (1, 2), "conv": (0, 1)}[backbone][layer + 1 :] if layer < 2 else ()
        for block in rest:
            maps = network.autoencoder.encoder[block](maps)
        latent = network.autoencoder.bottleneck(maps, None).latent if layer < 2 else maps
        probability = model.predict_proba(scaler.transform(latent.detach().numpy()))
        return float(log_loss(y.numpy(), probability))

    for i, (name, found) in enumerate(zip(layers, module.buffers(), strict=True)):
        maps = network.autoencoder.features(x, name).detach()
        increases = []
        for channel in range(maps.shape[1]):
            lost = maps.clone()
            lost[:, channel] = 0.0
            increases.append(loss_from(i, lost) - loss_from(i, maps))
        np.testing.assert_allclose(found, softmax(increases), rtol=1e-5)
        assert found.max() > 1.02 / len(found), name  # some channels count more than others


def test_attention_weighs_the_channels_distances() -> None:
    network, start, x = small_network("conv"), small_network("conv"), normal(6, 1, 4, 4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1
    strategy = Delta(alpha=2.0, beta=0.0, attention=True, examples=4, l2=1.0)
    module = strategy.module(start, Classification(), view(start, target_labels=x))
    at = replace(step(network, labelled=x), initial=step(start, labelled=x).initial)
    total = 0.0
    for layer, weight in zip(("encoder.0", "encoder.1", "latent"), module.buffers(), strict=True):
        now, before = (net.autoencoder.features(x, layer).detach() for net in (network, start))
        for channel, w in enumerate(weight):
            total += float(w * (now[:, channel] - before[:, channel]).square().mean())
    penalty = strategy.penalty(at, module)
    assert float(penalty.detach()) == pytest.approx(total, rel=1e-9)


def test_measuring_leaves_the_network_as_it_was() -> None:
    network, x = small_network("conv").train(), normal(8, 1, 4, 4)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    Delta(alpha=2.0, beta=0.0, attention=True, examples=4, l2=1.0).module(
        network, Classification(), view(small_network("conv"), target_labels=x)
    )
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(module.training for module in network.modules())
    assert not any(module._forward_hooks for module in network.modules())
