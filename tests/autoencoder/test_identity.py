"""No autoencoder at all, and the twins that are as deep as a closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from aetl.autoencoder.identity import Identity
from aetl.config import ConfigError, check, resolved
from aetl.types import UserError
from tests.tiny import World, receipt, tiny_config

UNSUPERVISED = ("target.budget=0", "autoencoder=identity")


def test_features_are_the_input_and_reconstruct_it() -> None:
    x = torch.rand(3, 1, 4, 4)
    made = Identity((1, 4, 4))
    assert torch.equal(made.features(x), x.flatten(1))
    assert torch.equal(made(x).reconstruction, x)
    with pytest.raises(UserError, match=r"representation.layer=encoder: no such layer \(latent\)"):
        made.features(x, "encoder")


def test_a_probe_of_no_autoencoder_is_that_of_raw_features(tmp_path: Path) -> None:
    world = World(tmp_path, "autoencoder=identity")
    found = [
        np.load(world.but(f"transfer={arm}").transfer().path / "predictions.npz")["probability"]
        for arm in ("feature/linear_probe", "control/raw_features")
    ]
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


@pytest.mark.parametrize("arm", ["parameter/finetune", "[feature/mmd,instance/kmm]"])
def test_under_any_arm_the_head_alone_trains(tmp_path: Path, arm: str) -> None:
    world = World(tmp_path, "autoencoder=identity", f"transfer={arm}")
    said = receipt(world.transfer())
    assert said["matched"] == said["missing"] == []
    assert set(said["changed"]) == {"head.weight", "head.bias"}


def test_to_fine_tune_no_autoencoder_is_to_train_from_scratch(tmp_path: Path) -> None:
    world = World(tmp_path, "autoencoder=identity")
    found = [
        np.load(world.but(f"transfer={arm}").transfer().path / "predictions.npz")["probability"]
        for arm in ("parameter/finetune", "control/scratch")
    ]
    assert np.array_equal(found[0], found[1])


@pytest.mark.parametrize(
    "arm, twin",
    [
        ("feature/coral_closed", "source_probe"),
        ("feature/msda", "source_raw_features"),
        ("feature/mmd", "source_only"),
    ],
)
def test_without_target_labels_the_twin_as_deep_as_the_arm_is_named(
    tmp_path: Path, arm: str, twin: str
) -> None:
    cfg = tiny_config(tmp_path, *UNSUPERVISED, f"transfer={arm}")
    with pytest.raises(ConfigError, match=f"set transfer/control@twin={twin}$"):
        check(resolved(cfg), {})
    check(resolved(tiny_config(tmp_path, *UNSUPERVISED, f"transfer={arm}",
                               f"transfer/control@twin={twin}")), {})  # fmt: skip


def test_the_twins_of_closed_forms_learn_from_the_sources_labels_with_any_head(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, *UNSUPERVISED, "head=knn", "head.neighbours=1", "head.scale=none")
    source, test = world.domains.source, world.domains.target.test
    train = source.pool.subset(source.split.train)
    distance = torch.cdist(test.inputs().flatten(1).double(), train.inputs().flatten(1).double())
    expected = train.y[distance.argmin(1)].numpy()
    for arm in ("control/source_probe", "control/source_raw_features"):
        saved = np.load(world.but(f"transfer={arm}").transfer().path / "predictions.npz")
        assert np.array_equal(saved["prediction"], expected)
