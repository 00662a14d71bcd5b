"""Every instance strategy on a covariate shift that plain training fails on, through the stage.

p(y | x) is the same in both domains, p(x) is not. The class is 1 between two bounds, and a line can
have one of them only: the source shows the lower, the target the upper. New strategies are here by
existing.
"""

from __future__ import annotations

import numpy as np
import pytest

from aetl.config import conf_dir
from tests.tiny import World

NAMES = sorted(path.stem for path in (conf_dir() / "transfer" / "instance").glob("*.yaml"))
OTHERWISE = {
    "bbse": "reweighs classes: here their proportions given x stay, and p(x | y) moves",
    "generated": "adds to the labelled targets and uses no source",
    "latent_augmentation": "adds to the labelled targets and uses no source",
    "pseudo_labels": "trusts the network where it is sure, and here it is sure and wrong",
    "self_training": "trusts the head where it is sure, and here it is sure and wrong",
    "tradaboost_r2": "is for regression",
}
"""Strategies that do not weigh the source by where the target lies."""
VAE = ("autoencoder=vae", "loss=[gaussian,kl]", "pretrain.max_steps=400", "pretrain.epochs=200",
       "pretrain.lr=0.02", "transfer.instance.temperature=1.0",
       "transfer.instance.lr=0.02")  # fmt: skip
NEEDS = {"elbo_weights": VAE, "latent_density": ("transfer.instance.temperature=1.0",)}
LOW, HIGH, SOURCE, TARGET = -1.0, 1.2, -0.5, 1.5


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two data sets of vectors, the second coordinate without meaning, and few labelled targets."""
    folder = tmp_path_factory.mktemp("shifted")
    overrides = ["source.size=null", "target.size=null", "target.shift.rotation=0.0"]
    for seed, (name, mean) in enumerate((("source", SOURCE), ("target", TARGET))):
        rng = np.random.default_rng(seed)
        x = rng.normal((mean, 0.0), 1.0, (2000, 2))
        y = (x[:, 0] > LOW) & (x[:, 0] < HIGH)
        np.savez(folder / f"{name}.npz", x=x.astype(np.float32), y=y.astype(np.int64))
        overrides += [f"dataset@{name}=npz", f"{name}.path={folder / f'{name}.npz'}"]
    # An affine encoder with as many latents as inputs loses nothing and straightens nothing.
    return World(
        folder, *overrides, "target.budget=20", "backbone.hidden=[]", "bottleneck.latent_dim=2"
    )


def accuracy(world: World, node: dict[str, object] | None = None) -> float:
    saved = np.load(world.transfer(node).path / "predictions.npz")
    return float((saved["prediction"] == saved["y"]).mean())


HEAD = {
    "_target_": "aetl.head.logistic.Logistic", "scale": "standard", "balanced": False, "folds": 5,
    "strength": 1.0,
}  # fmt: skip
PROBE = {"_target_": "aetl.transfer.feature.linear_probe.LinearProbe", "head": HEAD}


def with_oracle(target: float) -> dict[str, object]:
    name = "tests.transfer.strategies.Oracle"
    return {"instance": {"_target_": name, "source": SOURCE, "target": target}, "feature": PROBE}


# The ratios of all of them are tested beside this file; here is what a head makes of them.
# (The quadratic programme of kernel mean matching takes seconds.)
EVERYDAY = [name for name in NAMES if name not in {*OTHERWISE, "kmm"}][::6]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in EVERYDAY else pytest.mark.slow)
        for name in NAMES
        if name not in OTHERWISE
    ],
)
def test_half_the_gap_to_the_oracle_weights_is_recovered(shifted: World, name: str) -> None:
    plain = accuracy(shifted, with_oracle(SOURCE))  # all weights are 1
    oracle = accuracy(shifted, with_oracle(TARGET))
    assert plain < 0.55
    assert oracle > 0.9
    head = "" if name == "tradaboost" else ",feature/linear_probe"
    arm = shifted.but(f"transfer=[instance/{name}{head}]", *NEEDS.get(name, ()))
    assert accuracy(arm) - plain >= 0.5 * (oracle - plain)


def test_what_is_left_out_is_there() -> None:
    assert set(OTHERWISE) <= set(NAMES)
