"""Domain separation: each of its losses by NumPy, and who gets which gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch import nn

from aetl.task.classification import Classification
from aetl.transfer.base import Step
from aetl.transfer.feature.dann import reversal
from aetl.transfer.feature.domain_separation import DomainSeparation, Private, overlap
from aetl.transfer.network import Network, Representation
from aetl.types import UserError
from tests.transfer.build import CLASSES, normal, small_network, step, view

pytestmark = pytest.mark.usefixtures("float64")


def built(**given: float) -> tuple[DomainSeparation, Step, Private]:
    weights = {"reconstruction": 0.0, "difference": 0.0, "similarity": 0.0} | given
    strategy = DomainSeparation(**weights, gamma=10.0, hidden=5)
    network = small_network()
    module = strategy.module(network, Classification(), view(network)).eval()
    assert isinstance(module, Private)
    with torch.no_grad():  # away from the start, at which all encoders agree
        for i, parameter in enumerate(module.parameters()):
            parameter += 0.1 * normal(*parameter.shape, seed=i)
    inputs = {"source": normal(6, 1, 4, 4), "target": normal(5, 1, 4, 4, seed=1)}
    return strategy, step(network, 0.3, **inputs), module


def codes(at: Step, module: Private) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each domain the inputs, the shared and the private codes."""
    found = []
    for name, encoder in (("source", module.source), ("target", module.target)):
        x, shared = at.streams[name].x, at.streams[name].features
        found.append(tuple(t.detach().numpy() for t in (x, shared, encoder.features(x))))
    return found  # type: ignore[return-value]


def test_reconstruction_is_the_scale_invariant_error_of_shared_and_private_together() -> None:
    strategy, at, module = built(reconstruction=2.0)
    total = 0.0
    for x, shared, private in codes(at, module):
        decoded = module.source.decode(torch.from_numpy((shared + private) / 2)).detach().numpy()
        for one, other in zip(x, decoded, strict=True):
            d = (one - other).ravel()
            total += ((d**2).sum() / 16 - d.sum() ** 2 / 16**2) / len(x)
    assert float(strategy.penalty(at, module).detach()) == pytest.approx(2.0 * total, rel=1e-12)


def test_difference_is_the_mean_square_of_the_codes_correlations() -> None:
    strategy, at, module = built(difference=3.0)
    total = 0.0
    for _, shared, private in codes(at, module):
        sides = []
        for code in (shared, private):
            centred = code - code.mean(0)
            sides.append(centred / np.linalg.norm(centred, axis=1, keepdims=True))
        total += np.linalg.norm(sides[0].T @ sides[1], "fro") ** 2 / 16
    assert float(strategy.penalty(at, module).detach()) == pytest.approx(3.0 * total, rel=1e-10)


def test_orthogonal_codes_do_not_overlap() -> None:
    rows = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    other = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    assert float(overlap(rows, other)) == pytest.approx(0.0, abs=1e-15)
    assert float(overlap(rows, rows)) == pytest.approx(16.0 / 4)


def test_similarity_is_the_domain_loss_with_its_gradient_reversed_for_the_shared_encoder() -> None:
    strategy, at, module = built(similarity=1.5)
    sides = [at.streams[name].features for name in ("source", "target")]
    logits = torch.cat([module.judge(side) for side in sides]).squeeze(1)
    probability = torch.sigmoid(logits).detach().numpy()
    expected = 1.5 * log_loss(
        [1] * 6 + [0] * 5, probability, sample_weight=[1 / 12] * 6 + [0.1] * 5
    )
    penalty = strategy.penalty(at, module)
    assert float(penalty.detach()) == pytest.approx(expected, rel=1e-12)
    softplus = nn.functional.softplus
    plain = 0.75 * (softplus(-logits[:6]).mean() + softplus(logits[6:]).mean())
    weight = at.network.autoencoder.bottleneck.project[1].weight
    (found,) = torch.autograd.grad(penalty, weight, retain_graph=True)
    (unreversed,) = torch.autograd.grad(plain, weight)
    torch.testing.assert_close(found, -reversal(0.3, 10.0) * unreversed)


def test_it_starts_by_reconstructing_as_it_was_pretrained() -> None:
    strategy = DomainSeparation(
        reconstruction=1.0, difference=0.0, similarity=0.0, gamma=10.0, hidden=5
    )
    network, x = small_network(), normal(4, 1, 4, 4)
    module = strategy.module(network, Classification(), view(network)).eval()
    d = (network.autoencoder(x).reconstruction - x).flatten(1)
    expected = 2 * (d.square().mean(1) - d.mean(1).square()).mean()
    penalty = strategy.penalty(step(network, source=x, target=x), module)
    torch.testing.assert_close(penalty, expected)


def test_private_parts_want_gradients_where_they_get_some() -> None:
    strategy, at, module = built(reconstruction=1.0, difference=1.0, similarity=1.0)
    wanted = {n: p for n, p in module.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(strategy.penalty(at, module), list(wanted.values()))
    assert all(gradient.abs().max() > 0 for gradient in found)
    assert {name.split(".")[1] for name in wanted if name.startswith("target")} == {
        "encoder",
        "bottleneck",
    }


def test_a_representation_that_cannot_be_decoded_is_refused() -> None:
    strategy, _, _ = built()
    base = small_network().autoencoder
    network = Network(base, Representation(layer="encoder.1", pool=False), CLASSES, 0.0, 1.0)
    with pytest.raises(
        UserError, match="representation.layer=encoder.1: domain_separation decodes"
    ):
        strategy.module(network, Classification(), view(network))
