"""Heads trained by gradient on frozen features, against scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from torch.nn.functional import cross_entropy

from aetl.stage.pretrain import build_autoencoder
from aetl.transfer.feature.mlp_head import Hidden, MlpHead
from aetl.transfer.feature.sgd_probe import SgdProbe
from tests.tiny import MLP, World, weights
from tests.transfer.build import CLASSES, normal, small_network, step


def test_probe_trained_to_the_end_is_penalised_logistic_regression(tmp_path: Path) -> None:
    """Through the real trainer, in double precision and full batches."""
    world = World(
        tmp_path,
        *MLP,
        "transfer=feature/sgd_probe",
        "transfer.feature.l2=0.01",
        "trainer.precision=64-true",
        "finetune.batch_size=40",
        "finetune.max_steps=300",
        "finetune.min_steps=300",
        "scheduler=cosine",
        "finetune.lr=0.01",
    )
    found = weights(world.transfer())
    encoder = build_autoencoder(world.cfg, (1, 8, 8)).double().eval()
    encoder.load_state_dict(dict(world.pretrain().state))
    target = world.domains.target
    labelled = target.pool.subset(target.split.labelled)
    with torch.no_grad():
        features = encoder.features(labelled.inputs().double()).numpy()
    model = LogisticRegression(C=1 / (0.01 * 40), max_iter=10000, tol=1e-10)
    model.fit(features, labelled.y.numpy())
    np.testing.assert_allclose(found["head.weight"], model.coef_, atol=1e-4)
    assert np.abs(model.coef_).max() > 0.5


@pytest.mark.usefixtures("float64")
def test_mlp_head_is_that_of_scikit_learn_with_its_loss() -> None:
    network, x = small_network(), normal(9, 1, 4, 4)
    features = network.features(x).detach()
    strategy = MlpHead(hidden=6, scale=1.0, l2=0.3)
    strategy.adapt(network)
    assert isinstance(network.head, Hidden)
    y = np.arange(9) % CLASSES
    reference = MLPClassifier((6,), alpha=0.3 * 9, max_iter=1).partial_fit(
        features.numpy(), y, classes=np.arange(CLASSES)
    )
    matrices = (network.head.hidden.weight, network.head.weight)
    reference.coefs_ = [matrix.detach().T.numpy() for matrix in matrices]
    reference.intercepts_ = [
        b.detach().numpy() for b in (network.head.hidden.bias, network.head.bias)
    ]
    output = network(x)
    probability = reference.predict_proba(features.numpy())
    torch.testing.assert_close(output.softmax(1), torch.from_numpy(probability))
    # alpha / 2 |W|^2 / n is scikit-learn's penalty of the mean loss.
    squares = sum(float((matrix**2).sum()) for matrix in reference.coefs_)
    penalty = float(strategy.penalty(step(network, labelled=x), None).detach())
    assert penalty == pytest.approx(reference.alpha / 2 * squares / 9, rel=1e-12)
    assert float(cross_entropy(output, torch.from_numpy(y)).detach()) > 0


@pytest.mark.usefixtures("float64")
def test_probe_penalises_the_matrix_and_not_the_bias() -> None:
    network = small_network()
    expected = 0.25 * float((network.head.weight.detach() ** 2).sum())
    with torch.no_grad():
        network.head.bias += 100.0
    penalty = SgdProbe(scale=1.0, l2=0.5).penalty(step(network, labelled=normal(4, 1, 4, 4)), None)
    assert float(penalty.detach()) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "strategy", [SgdProbe(scale=3.0, l2=0.0), MlpHead(hidden=5, scale=3.0, l2=0.0)]
)
def test_the_head_alone_trains_at_its_own_rate(strategy: SgdProbe | MlpHead) -> None:
    network = small_network()
    strategy.adapt(network)
    (group,) = strategy.groups(network)
    assert {id(p) for p in group.parameters} == {id(p) for p in network.head.parameters()}
    assert group.at(0.0) == 3.0
