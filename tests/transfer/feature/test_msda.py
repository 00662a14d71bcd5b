"""Denoising features as represented features: what they are made of, and for whom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from aetl.head.nearest_mean import NearestMean
from aetl.transfer.feature.msda import Msda
from aetl.transfer.feature.sda import Sda
from tests.tiny import MLP, World
from tests.transfer.build import normal, small_network, view

HEAD = NearestMean(scale="none", balanced=False, folds=5)


def by_hand(both: np.ndarray, x: np.ndarray, layers: int, noise: float, ridge: float) -> np.ndarray:
    """Algorithm 1 of the paper with loops: ``W = E[P] E[Q]^-1``, ``h = tanh(W [h; 1])``."""
    states = [x]
    for _ in range(layers):
        extended = np.hstack([both, np.ones((len(both), 1))])
        d = extended.shape[1]
        q = np.append(np.full(d - 1, 1 - noise), 1.0)
        moments = extended.T @ extended
        second = np.empty((d, d))
        for i in range(d):
            for j in range(d):
                second[i, j] = moments[i, j] * (q[i] if i == j else q[i] * q[j])
        weights = np.linalg.solve((second + ridge * np.eye(d)).T, (moments[:-1] * q).T).T
        both = np.tanh(extended @ weights.T)
        states.append(np.tanh(np.hstack([states[-1], np.ones((len(x), 1))]) @ weights.T))
    return np.hstack(states)


@pytest.mark.usefixtures("float64")
def test_both_domains_inputs_make_the_features_of_both() -> None:
    source, target = normal(20, 1, 4, 4), normal(15, 1, 4, 4, seed=1) * 2 + 1
    network = small_network()
    given = view(network, source_labels=source, target_inputs=target)
    strategy = Msda(head=HEAD, layers=2, noise=0.4, ridge=0.1)
    alignment = strategy.align(given)
    both = torch.cat([source, target]).flatten(1).numpy()
    for function, x in ((alignment.source, source), (alignment.target, target)):
        raw = strategy.represent(network, x).numpy()
        expected = by_hand(both, raw, 2, 0.4, 0.1)
        np.testing.assert_allclose(function(raw), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.usefixtures("float64")
def test_sda_takes_the_input_and_every_layer_to_the_latent() -> None:
    network, x = small_network("conv"), normal(6, 1, 4, 4)
    found = Sda(head=HEAD).represent(network, x)
    states = [x]
    for layer in ("encoder.0", "encoder.1", "latent"):
        states.append(network.autoencoder.features(x, layer))
    torch.testing.assert_close(found, torch.cat([state.flatten(1) for state in states], 1))


def test_sda_is_logistic_regression_on_the_sources_labels(tmp_path: Path) -> None:
    world = World(
        tmp_path, *MLP, "transfer=feature/sda", "head.scale=standard", "head.strength=1.0"
    )
    pretrained = world.pretrain().state
    source, test = world.domains.source, world.domains.target.test
    train = source.pool.subset(source.split.train)

    def layers(x: torch.Tensor) -> np.ndarray:
        flat = x.flatten(1)
        hidden = torch.nn.functional.elu(
            flat @ pretrained["encoder.1.0.weight"].T + pretrained["encoder.1.0.bias"]
        )
        name = "bottleneck.project.1"
        latent = hidden @ pretrained[f"{name}.weight"].T + pretrained[f"{name}.bias"]
        return np.asarray(torch.cat([flat, hidden, latent], 1).double().numpy())

    scaler = StandardScaler().fit(layers(train.inputs()))
    model = LogisticRegression(max_iter=2000).fit(scaler.transform(layers(train.inputs())), train.y)
    expected = model.predict_proba(scaler.transform(layers(test.inputs())))
    found = np.load(world.transfer().path / "predictions.npz")["probability"]
    np.testing.assert_allclose(found, expected, atol=1e-4)
