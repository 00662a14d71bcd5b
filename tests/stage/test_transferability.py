"""Scores of real encoders on a target's budget: the right features, labels and layers."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate

from aetl.autoencoder.base import Autoencoder
from aetl.score.base import Evidence
from aetl.score.knn import KNN
from aetl.stage import transferability as module
from aetl.stage.pretrain import pretrained_autoencoder
from aetl.stage.transferability import encoder_layers, layer_scores, transferability
from aetl.task.base import numpy
from aetl.transfer.network import Representation
from tests.tiny import CONV, MLP, World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"), *MLP, "backbone.hidden=[16,8]")


def autoencoder_of(world: World) -> Autoencoder:
    shape = world.domains.source.pool.shape
    return pretrained_autoencoder(world.cfg, shape, world.pretrain().state)


def test_a_run_scores_the_layer_that_it_transfers_on_its_own_budget(world: World) -> None:
    layer = world.but("representation.layer=encoder.1", "score=knn")
    autoencoder = autoencoder_of(layer)
    found = transferability(layer.cfg, layer.domains, autoencoder)
    target = layer.domains.target
    labelled = target.pool.subset(target.split.labelled)
    assert len(labelled) == 40
    z = numpy(Representation(layer="encoder.1", pool=False)(autoencoder, labelled.inputs()))
    expected = KNN(neighbours=5)(Evidence(z, numpy(labelled.y), z, z))
    assert found == {
        "layer": "encoder.1",
        "labels": 40,
        "scores": {"knn": expected},
        "higher_is_better": {"knn": True},
    }


def test_labels_and_inputs_are_limited(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LABELLED", 11)
    monkeypatch.setattr(module, "UNLABELLED", 7)
    seen: list[Evidence] = []

    class Spy(KNN):
        def __call__(self, evidence: Evidence) -> float:
            seen.append(evidence)
            return 0.0

    task = instantiate(world.cfg.task)
    scores = {"spy": Spy(neighbours=1)}
    layer_scores(autoencoder_of(world), ["latent"], False, world.domains, task, scores)
    (evidence,) = seen
    assert [len(x) for x in (evidence.features, evidence.source, evidence.target)] == [11, 7, 7]
    split = world.domains.target.split
    assert np.array_equal(evidence.y, numpy(world.domains.target.pool.y)[split.labelled[:11]])


def test_scores_of_another_kind_of_task_are_left_out(world: World) -> None:
    regression = world.but("task=regression", "metric=r2")
    found = transferability(regression.cfg, regression.domains, autoencoder_of(regression))
    assert set(found["scores"]) == {"logme", "knn"}


@pytest.mark.parametrize("none", ["score=none", "score=[]"])
def test_without_scores_there_is_no_record(none: str, world: World) -> None:
    assert transferability(world.but(none).cfg, world.domains, autoencoder_of(world)) == {}


@pytest.mark.parametrize(
    "overrides, layers",
    [
        ((*MLP, "backbone.hidden=[16,8]"), ["encoder.1", "encoder.2", "latent"]),
        (CONV, ["encoder.0", "encoder.1", "latent"]),
        (("autoencoder=pca", "autoencoder.latent_dim=4"), ["latent"]),
        (("autoencoder=msda",), ["encoder.0", "encoder.1", "encoder.2", "latent"]),
        (("autoencoder=mae", "backbone=vit", "backbone.depth=1"), None),
    ],
)
def test_every_layer_of_an_encoder_can_be_scored(
    tmp_path: Path, overrides: tuple[str, ...], layers: list[str] | None
) -> None:
    world = World(tmp_path, *overrides)
    autoencoder = autoencoder_of(world)
    found = encoder_layers(autoencoder)
    if layers is not None:
        assert found == layers
    assert found[-1] == "latent"
    task = instantiate(world.cfg.task)
    start = time.process_time()
    scores = module.scores_of(world.cfg, "classification")
    values = layer_scores(autoencoder, found, False, world.domains, task, scores)
    assert (time.process_time() - start) / len(found) < 1.0
    assert values.keys() == set(found)
    assert all(v.keys() == {"logme", "h_score", "transrate", "gbc", "knn"} for v in values.values())
