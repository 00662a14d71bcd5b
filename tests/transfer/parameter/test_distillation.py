"""Distillation against SciPy's divergences, and the decoder that goes along or stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, rel_entr, softmax

from aetl.task.classification import Classification
from aetl.task.regression import Regression
from aetl.transfer.base import Step
from aetl.transfer.network import Network
from aetl.transfer.parameter.decoder_transfer import DecoderTransfer
from aetl.transfer.parameter.distillation import Distillation
from tests.tiny import CONV, World, receipt
from tests.transfer.build import examples, normal, small_network, step, view


def moved(x: torch.Tensor) -> tuple[Network, Network, Step]:
    """A network away from its start, the start, and a step on unlabelled targets."""
    network, start = small_network(), small_network()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1
    at = replace(step(network, target=x), initial=step(start, target=x).initial)
    return network, start, at


@pytest.mark.usefixtures("float64")
def test_features_are_matched_to_those_of_the_start() -> None:
    x = normal(7, 1, 4, 4)
    network, start, at = moved(x)
    strategy = Distillation(features=3.0, outputs=0.0, temperature=1.0, l2=1.0)
    module = strategy.module(start, Classification(), view(start, target_labels=x))
    gap = (network.features(x) - start.features(x)).detach().numpy()
    penalty = strategy.penalty(at, module)
    assert float(penalty.detach()) == pytest.approx(1.5 * (gap**2).mean(), rel=1e-10)
    assert not any(p.requires_grad for p in module.parameters())


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_outputs_are_matched_to_a_probe_of_the_start_by_the_softened_divergence(
    temperature: float,
) -> None:
    x, labelled = normal(7, 1, 4, 4), normal(12, 1, 4, 4, seed=1)
    network, start, at = moved(x)
    strategy = Distillation(features=0.0, outputs=2.0, temperature=temperature, l2=0.5)
    module = strategy.module(start, Classification(), view(start, target_labels=labelled))
    probe = Classification().linear_head(0.5)
    probe.fit(start.features(labelled).detach().numpy(), np.arange(12) % 3, np.ones(12))
    known = probe.predict_proba(start.features(x).detach().numpy())
    soft = softmax(np.log(known) / temperature, 1)
    student = np.exp(log_softmax(network(x).detach().numpy() / temperature, 1))
    expected = 2.0 * temperature**2 * rel_entr(soft, student).sum() / 7
    penalty = strategy.penalty(at, module)
    assert float(penalty.detach()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.usefixtures("float64")
def test_numbers_are_matched_in_units_of_the_target() -> None:
    x, y = normal(9, 1, 4, 4), normal(9)
    _, start, at = moved(x)
    at.network.scale.fill_(2.0)
    given = view(start, target_labels=replace(examples(x), y=y, classes=()))
    strategy = Distillation(features=0.0, outputs=1.0, temperature=5.0, l2=0.5)
    module = strategy.module(start, Regression(), given)
    streams = {"target": at.streams["target"]._replace(output=at.streams["target"].output[:, :1])}
    ridge = Regression().linear_head(0.5)
    features = start.features(x).detach().numpy()
    ridge.fit(features, y.numpy(), np.ones(9))
    gap = (streams["target"].output[:, 0].detach().numpy() - ridge.predict(features)) / 2.0
    penalty = strategy.penalty(replace(at, task=Regression(), streams=streams), module)
    assert float(penalty.detach()) == pytest.approx((gap**2).mean(), rel=1e-9)


@pytest.mark.usefixtures("float64")
def test_decoder_and_encoder_have_their_own_rates() -> None:
    network = small_network()
    strategy = DecoderTransfer(weight=1.0, encoder_scale=0.5, decoder_scale=0.25)
    rates = {id(p): group.scale for group in strategy.groups(network) for p in group.parameters}
    for name, parameter in network.named_parameters():
        expected = 1.0 if name.startswith("head") else 0.25 if ".decoder." in name else 0.5
        assert rates[id(parameter)] == expected, name
    x, more = normal(4, 1, 4, 4), normal(6, 1, 4, 4, seed=1)
    both = torch.cat([x, more])
    error = network.autoencoder(both).reconstruction - both
    penalty = strategy.penalty(step(network, labelled=x, target=more), None)
    torch.testing.assert_close(penalty, error.square().mean())


def test_a_kept_decoder_stays_to_the_bit_and_the_encoder_learns_to_speak_to_it(
    tmp_path: Path,
) -> None:
    kept = World(tmp_path, *CONV, "backbone.norm=batch", "transfer=parameter/decoder_transfer",
                 "transfer.parameter.decoder_scale=0.0")  # fmt: skip
    found = receipt(kept.transfer())
    decoder = {n for n in found["matched"] if n.startswith("autoencoder.decoder")}
    assert not decoder & set(found["changed"])
    assert not decoder & set(found["trainable"])
    assert "autoencoder.encoder.0.0.weight" in found["changed"]
    heavy = receipt(kept.but("transfer.parameter.decoder_scale=1.0").transfer())
    assert {n for n in decoder if not n.endswith("tracked")} <= set(heavy["changed"])
