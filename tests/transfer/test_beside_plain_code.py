"""Controls and arms on real data beside plain code: the same labels and head, no aetl in between.

MNIST to USPS, both 16 x 16. ``AETL_DATA_DIR`` says where they are.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from aetl.config import resolved
from aetl.stage.arm import build_network, parts_of, strategies_of
from aetl.stage.pretrain import pretrained_autoencoder
from aetl.stage.transferring import streams_of
from aetl.store.store import Entry
from aetl.task.base import Task
from tests.tiny import World

WITHIN = 0.005
PLAIN_HEAD = ("head=logistic", "head.scale=none", "head.strength=1.0")
PAIR = (
    "dataset@source=mnist", "dataset@target=usps", "source.size=5000", "target.size=null",
    "source.shift.resize=16", "target.shift.rotation=0.0", *PLAIN_HEAD,
    "pretrain.max_steps=null", "pretrain.min_steps=300", "pretrain.epochs=1",
    "pretrain.batch_size=128", "finetune.max_steps=300", "finetune.min_steps=300",
    "finetune.batch_size=32",
)  # fmt: skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path(os.environ.get("AETL_DATA_DIR", "-"), "USPS").exists(),
        reason="MNIST and USPS are not below AETL_DATA_DIR",
    ),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("plain")
    return World(folder, *PAIR, f"data_dir={os.environ['AETL_DATA_DIR']}")


def score(entry: Entry) -> float:
    saved = np.load(entry.path / "predictions.npz")
    return float((saved["prediction"] == saved["y"]).mean())


def logistic(world: World, see: nn.Module) -> float:
    """The test accuracy of scikit-learn's regression of C = 1 on what ``see`` gives."""
    target = world.domains.target
    labelled = target.pool.subset(target.split.labelled)
    with torch.no_grad():
        features, test = (see(part.inputs()).numpy() for part in (labelled, target.test))
    model = LogisticRegression(C=1.0, max_iter=2000).fit(features, labelled.y.numpy())
    return float(model.score(test, target.test.y.numpy()))


@pytest.mark.parametrize("budget", [50, 100, 500])
def test_raw_pixels_score_as_in_scikit_learn(world: World, budget: int) -> None:
    world = World(world.folder, *world.overrides, f"target.budget={budget}")
    ours = score(world.but("transfer=control/raw_features").transfer())
    plain = logistic(world, nn.Flatten())
    print(f"\nMNIST to USPS, {budget} labels, raw pixels: {ours:.4f}, plain {plain:.4f}")
    assert abs(ours - plain) < WITHIN


def test_a_probe_scores_as_in_scikit_learn(world: World) -> None:
    arm = world.but("transfer=feature/linear_probe")
    shape = world.domains.target.pool.shape
    encoder = pretrained_autoencoder(world.cfg, shape, world.pretrain().state)
    ours, plain = score(arm.transfer()), logistic(world, Latent(encoder))
    print(f"\nMNIST to USPS, 40 labels, probe: {ours:.4f}, plain {plain:.4f}")
    assert abs(ours - plain) < WITHIN


class Latent(nn.Module):
    """The latents of an autoencoder."""

    def __init__(self, autoencoder: nn.Module) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.autoencoder.features(x)
        return features


@pytest.mark.parametrize("name", ["control/scratch", "parameter/finetune"])
def test_a_trained_arm_scores_as_a_loop_by_hand(world: World, name: str) -> None:
    """From the same start, over the same batches."""
    arm = world.but(f"transfer={name}", "target.budget=100")
    arm = World(arm.folder, *arm.overrides)
    task: Task = instantiate(arm.cfg.task)
    target = arm.domains.target
    labelled = target.with_targets(task).pool.subset(target.split.labelled)
    strategies = strategies_of(resolved(arm.cfg)["transfer"])
    parts = parts_of(arm.domains, labelled, task, strategies)
    network = build_network(arm.cfg, arm.domains, task, parts["target_labels"])
    if name == "parameter/finetune":
        network.autoencoder.load_state_dict(dict(arm.pretrain().state))
    by_hand(network, streams_of(arm.cfg, parts, {}, network))
    with torch.no_grad():
        found = network.eval()(target.test.inputs()).argmax(1)
    plain = float((found == target.test.y).float().mean())
    ours = score(arm.transfer())
    print(f"\nMNIST to USPS, 100 labels, {name}: {ours:.4f}, plain {plain:.4f}")
    assert abs(ours - plain) < WITHIN


def by_hand(network: nn.Module, streams: object, steps: int = 300) -> None:
    """Adam at 1e-3 on the cross-entropy, nothing else."""
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    network.train()
    done = 0
    for epoch in range(steps):
        streams.epoch = epoch
        for batches in streams:
            (batch,) = batches.values()
            loss = nn.functional.cross_entropy(network(batch.x), batch.y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
            if done == steps:
                return
