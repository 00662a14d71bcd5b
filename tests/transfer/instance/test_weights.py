"""From a ratio to weights, through the view and through the pipeline; pseudo-labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from aetl.config import ConfigError, check, compose, resolved
from aetl.data.base import Examples
from aetl.rng import Rng
from aetl.transfer.base import View
from aetl.transfer.instance.base import ImportanceWeights
from aetl.transfer.instance.pseudo_labels import PseudoLabels
from aetl.types import UserError
from tests.tiny import MLP, World, receipt
from tests.transfer.build import normal, small_network, step

ALL = [
    "density_ratio",
    "kmm",
    "kliep",
    "ulsif",
    "rulsif",
    "knn_weights",
    "reconstruction_error",
    "select_best",
]


class First(ImportanceWeights):
    """The first standardised coordinate, so that what ``weigh`` does around it shows."""

    def ratio(self, source: np.ndarray, target: np.ndarray, rng: Rng) -> np.ndarray:
        return source[:, 0]


def view(source: torch.Tensor, target: torch.Tensor) -> View:
    parts = {
        name: Examples.of(x, torch.zeros(len(x)), ())
        for name, x in (("source_inputs", source), ("target_inputs", target))
    }
    return View("test", frozenset(parts), parts, lambda e, layer: 10 * e.x, Rng.of("test"))


@pytest.mark.parametrize("space", ["input", "latent"])
def test_weights_are_standardised_clipped_and_have_the_mean_mix(space: Any) -> None:
    source, target = normal(30, 2), normal(20, 2, seed=1)
    both = torch.cat([source, target])[:, 0].double()
    first = ((source[:, 0] - both.mean()) / both.std(correction=0)).clamp(min=0)
    first = (first / first.mean()).clamp(max=3.0)
    expected = 0.5 * first / first.mean()
    found = First(space=space, clip=3.0, mix=0.5).weigh(view(source, target))
    torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=1e-6)
    assert float(found.mean()) == pytest.approx(0.5)


def test_a_source_unlike_the_target_everywhere_is_weighted_evenly() -> None:
    found = First(space="input", clip=3.0, mix=2.0).weigh(view(normal(9, 2) - 50, normal(9, 2)))
    assert found.tolist() == [2.0] * 9


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("instances"), *MLP)


@pytest.mark.parametrize(
    "name, space",
    [
        pytest.param(name, space, marks=() if (number + in_latent) % 2 else pytest.mark.slow)
        for number, name in enumerate(ALL)
        for in_latent, space in enumerate(["input", "latent"])
    ],
)
def test_weights_reach_the_trainer_and_move_no_more_than_fine_tuning(
    world: World, name: str, space: str
) -> None:
    arm = world.but(f"transfer=instance/{name}", f"transfer.instance.space={space}")
    found = receipt(arm.transfer())
    sources = len(world.domains.source.split.train)
    assert 1 <= found["effective_sample_size"] < 0.999 * sources
    assert not any("decoder" in tensor for tensor in found["changed"])


def test_weights_may_be_estimated_on_any_layer(world: World) -> None:
    found = {
        space: receipt(
            world.but("transfer=instance/ulsif", f"transfer.instance.space={space}").transfer()
        )["effective_sample_size"]
        for space in ("input", "latent", "encoder.0", "encoder.1")
    }
    assert found["encoder.0"] == found["input"]  # it only flattens
    assert len(set(found.values())) == 3
    assert found["latent"] == pytest.approx(
        receipt(world.but("transfer=instance/ulsif").transfer())["effective_sample_size"]
    )


def test_an_unknown_space_is_told_with_those_that_are_known(world: World) -> None:
    arm = world.but("transfer=instance/ulsif", "transfer.instance.space=encoder.9")
    with pytest.raises(
        UserError, match=r"space=encoder\.9: no such space \(input, encoder\.0, .*latent\)"
    ):
        arm.transfer()


def test_half_of_the_source_is_selected(world: World) -> None:
    found = receipt(world.but("transfer=instance/select_best").transfer())
    sources = len(world.domains.source.split.train)
    assert found["effective_sample_size"] == pytest.approx(round(sources / 2))


@pytest.mark.usefixtures("float64")
def test_pseudo_labels_are_the_confident_predictions() -> None:
    at = step(small_network(), 0.35, target=3 * normal(9, 1, 4, 4), labelled=normal(2, 1, 4, 4))
    output = at.streams["target"].output.detach()
    probability = output.softmax(1)
    threshold = float(probability.max(1).values.median())
    total = sum(
        float(cross_entropy(row[None], row.argmax()[None]))
        for row, p in zip(output, probability, strict=True)
        if p.max() >= threshold
    )
    strategy = PseudoLabels(weight=2.0, threshold=threshold, start=0.1, end=0.6)
    found = float(strategy.penalty(at, None).detach())
    assert found == pytest.approx(2.0 * 0.5 * total / 9, rel=1e-12)  # half-way up the ramp
    assert [strategy.ramp(p) for p in (0.0, 0.1, 0.6, 1.0)] == [0.0, 0.0, 1.0, 1.0]


def test_pseudo_labels_refuse_regression() -> None:
    cfg = compose(["transfer=instance/pseudo_labels", "task=regression"])
    with pytest.raises(ConfigError, match="pseudo_labels: is for classification, and the task is"):
        check(resolved(cfg), cfg.hydra.runtime.choices)
