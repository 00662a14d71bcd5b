"""What every strategy of ``conf/transfer`` keeps to, through the real trainer on real digits.

A new strategy is here by existing.
"""

from __future__ import annotations

import dataclasses
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor

from aetl.config import conf_dir, resolved
from aetl.stage.arm import build_network, starts_pretrained, strategies_of, uses_of
from aetl.stage.domains import Domain
from aetl.stage.fitted import FittedArm, form_of
from aetl.stage.receipt import tensors
from aetl.store.store import Entry
from tests.conformance.declared import DECLARED
from tests.tiny import CONV, MLP, World, differing, receipt, same_bits, weights

STRATEGIES = sorted(
    str(path.relative_to(conf_dir() / "transfer").with_suffix(""))
    for path in (conf_dir() / "transfer").glob("*/*.yaml")
)
TWO_LAYERS = ("backbone.hidden=[16,12]", *MLP[1:])
BACKBONES = {"mlp": (*TWO_LAYERS, "backbone.norm=batch"), "conv": (*CONV, "backbone.norm=batch")}
NEEDS = {
    "instance/tradaboost_r2": ("task=regression", "metric=r2"),
    "instance/elbo_weights": ("autoencoder=vae",),
    "feature/frozen": ("task=anomaly", "task.normal=[0,1,2,3]"),
    "feature/as_is": ("task=anomaly", "task.normal=[0,1,2,3]"),
    "feature/dec": ("task=clustering",),
    "feature/idec": ("task=clustering",),
}
"""What a strategy is for, where that is not the default."""
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def worlds_of(factory: pytest.TempPathFactory) -> Any:
    """A function from a backbone and a strategy to their world; all share what they can."""

    @cache
    def world(backbone: str) -> World:
        return World(factory.mktemp(backbone), *BACKBONES[backbone])

    @cache
    def arm(backbone: str, transfer: str) -> World:
        return world(backbone).but(f"transfer={transfer}", *NEEDS.get(transfer, ()))

    return arm


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return worlds_of(tmp_path_factory)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same once more, with a store of its own."""
    return worlds_of(tmp_path_factory)


CORE = {"control/scratch", "control/raw_features", "feature/linear_probe", "feature/mmd",
        "parameter/finetune", "parameter/lora", "instance/density_ratio"}  # fmt: skip
"""By default; of the others receipt and predictions on one backbone in ``make test-matrix``."""


def _arms(everyday: set[str]) -> pytest.MarkDecorator:
    marked = [
        pytest.param(name, marks=() if name in everyday else (pytest.mark.slow,))
        for name in STRATEGIES
    ]
    return pytest.mark.parametrize("transfer", marked)


every_arm = _arms(CORE)
every_backbone = pytest.mark.parametrize(
    "backbone", ["mlp", pytest.param("conv", marks=pytest.mark.slow)]
)


def start_of(world: World) -> dict[str, Tensor]:
    """The network's tensors before training: the seed's, under the pretrained ones."""
    strategies = strategies_of(resolved(world.cfg)["transfer"])
    target = world.domains.target
    task = instantiate(world.cfg.task)
    labelled = target.with_targets(task).pool.subset(target.split.labelled)
    network = build_network(world.cfg, world.domains, task, labelled)
    state = {name: tensor.clone() for name, tensor in tensors(network).items()}
    if starts_pretrained(strategies):
        state |= {f"autoencoder.{name}": t for name, t in world.pretrain().state.items()}
    return state


@every_backbone
@every_arm
def test_the_receipt_says_exactly_what_changed(worlds: Any, transfer: str, backbone: str) -> None:
    world = worlds(backbone, transfer)
    entry: Entry = world.transfer()
    said, end, start = receipt(entry), weights(entry), start_of(world)
    assert set(said["changed"]) == differing(start, end)
    known = set(said["trainable"]) | set(said["frozen"])
    buffers = {name for name in end if name.endswith(STATISTICS)} | {"location", "scale"}
    assert start.keys() - buffers <= known <= end.keys() - buffers
    assert not set(said["trainable"]) & set(said["frozen"])
    assert not set(said["changed"]) & set(said["frozen"])
    # What trains does change, or the rate was nothing.
    assert set(said["trainable"]) <= set(said["changed"])
    assert said["parameters_trained"] == sum(end[name].numel() for name in said["trainable"])
    if backbone == "mlp" and transfer in DECLARED:  # what a new one declares is not known here
        pattern = DECLARED[transfer]
        assert all(pattern and re.match(pattern, name) for name in said["changed"])


@every_backbone
@every_arm
def test_what_is_kept_of_an_arm_predicts_as_the_arm_did(
    worlds: Any, transfer: str, backbone: str
) -> None:
    """To the last bit, from the files alone: nothing of the training is in memory any more."""
    world = worlds(backbone, transfer)
    entry, task = world.transfer(), instantiate(world.cfg.task)
    strategies = strategies_of(resolved(world.cfg)["transfer"])
    arm = FittedArm.load(entry.path, world.cfg, strategies, form_of(world.domains, task))
    found, saved = arm.predict(world.domains.target.test), np.load(entry.path / "predictions.npz")
    assert np.array_equal(found.value, saved["prediction"])
    if found.probability is not None:
        assert np.array_equal(found.probability.astype(np.float32), saved["probability"])


@every_backbone
@every_arm
def test_everything_that_is_there_comes_from_pretraining(
    worlds: Any, transfer: str, backbone: str
) -> None:
    world = worlds(backbone, transfer)
    said = receipt(world.transfer())
    pretrained = starts_pretrained(strategies_of(resolved(world.cfg)["transfer"]))
    expected = {f"autoencoder.{name}" for name in world.pretrain().state} if pretrained else set()
    assert set(said["matched"]) == expected
    assert said["missing"] == said["skipped"] == []


@every_arm
def test_frozen_layers_keep_their_batch_statistics(worlds: Any, transfer: str) -> None:
    """A batch normalisation's statistics move only where its own weights train."""
    said = receipt(worlds("mlp", transfer).transfer())
    trained = {name.rpartition(".")[0] for name in said["trainable"]}
    moved = {n.rpartition(".")[0] for n in said["changed"] if n.endswith(STATISTICS)}
    assert moved <= trained


@every_arm
def test_predictions_are_those_of_the_target_test_set(worlds: Any, transfer: str) -> None:
    world = worlds("mlp", transfer)
    test = world.domains.target.with_targets(instantiate(world.cfg.task)).test
    saved = np.load(world.transfer().path / "predictions.npz")
    assert np.array_equal(saved["y"], test.y.numpy())
    assert saved["prediction"].shape == (len(test),)
    if any(override.startswith("task=") for override in world.overrides):
        return
    assert saved["probability"].shape == (len(test), 10)
    np.testing.assert_allclose(saved["probability"].sum(1), 1.0, rtol=1e-5)
    assert np.array_equal(saved["probability"].argmax(1), saved["prediction"])


@every_arm
def test_the_same_seed_gives_the_same_arm_bit_for_bit(
    worlds: Any, others: Any, transfer: str
) -> None:
    one, two = (found("mlp", transfer).transfer() for found in (worlds, others))
    assert one.digest == two.digest
    assert one.path != two.path
    assert differing(weights(one), weights(two)) == set()
    first, second = (np.load(entry.path / "predictions.npz") for entry in (one, two))
    assert all(np.array_equal(first[name], second[name]) for name in answers(first))


def answers(saved: Any) -> set[str]:
    return {"prediction", "probability"} & set(saved)


def scrambled(domain: Domain, kept: np.ndarray) -> Domain:
    """The domain with a wrong label everywhere but in the rows ``kept`` of the pool."""
    keep = torch.zeros(len(domain.pool), dtype=torch.bool)
    keep[torch.from_numpy(kept)] = True
    wrong = (domain.pool.y + 1) % len(domain.pool.classes)
    pool = dataclasses.replace(domain.pool, y=torch.where(keep, domain.pool.y, wrong))
    test = dataclasses.replace(domain.test, y=(domain.test.y + 1) % len(domain.test.classes))
    return dataclasses.replace(domain, pool=pool, test=test)


@every_arm
def test_labels_that_are_not_declared_change_nothing(worlds: Any, transfer: str) -> None:
    """Wrong labels outside of the budget, in the test set, and of undeclared sources."""
    world = worlds("mlp", transfer)
    uses = uses_of(strategies_of(resolved(world.cfg)["transfer"]))
    source, target = world.domains.source, world.domains.target
    declared = target.split.labelled if "target_labels" in uses else target.split.labelled[:0]
    rows = source.split.train if "source_labels" in uses else source.split.train[:0]
    domains = dataclasses.replace(
        world.domains, source=scrambled(source, rows), target=scrambled(target, declared)
    )
    pretrained = None
    if starts_pretrained(strategies_of(resolved(world.cfg)["transfer"])):
        pretrained = world.pretrain()
    one = world.transfer(pretrained=pretrained)
    two = world.transfer(pretrained=pretrained, domains=domains)
    assert one.path != two.path
    assert differing(weights(one), weights(two)) == set()
    first, second = (np.load(entry.path / "predictions.npz") for entry in (one, two))
    assert all(np.array_equal(first[name], second[name]) for name in answers(first))
    assert not np.array_equal(first["y"], second["y"])


def test_every_arm_of_a_seed_starts_with_the_same_head(tmp_path: Path) -> None:
    """With a rate of zero the end is the start."""
    world = World(tmp_path, *CONV, "finetune.lr=0.0")
    arms = ("control/scratch", "parameter/finetune", "instance/density_ratio")
    ends = {arm: weights(world.but(f"transfer={arm}").transfer()) for arm in arms}
    for arm in arms[1:]:
        for name in ("head.weight", "head.bias"):
            assert same_bits(ends[arm][name], ends[arms[0]][name])
        assert not same_bits(*(ends[a]["autoencoder.encoder.0.0.weight"] for a in (arm, arms[0])))
    other = weights(world.but("transfer=control/scratch", "seed=1").transfer())
    assert not same_bits(other["head.weight"], ends[arms[0]]["head.weight"])


def test_scratch_starts_where_pretraining_started(tmp_path: Path) -> None:
    """So that the gain is that of the pretraining, not of another draw."""
    still = World(tmp_path, *CONV, "finetune.lr=0.0", "pretrain.lr=0.0", "backbone.norm=none")
    pretrained = still.pretrain().state
    scratch = weights(still.but("transfer=control/scratch").transfer())
    for name, tensor in pretrained.items():
        assert same_bits(scratch[f"autoencoder.{name}"], tensor)
