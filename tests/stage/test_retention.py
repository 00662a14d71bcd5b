"""What is left of the source after a transfer, against the saved weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from aetl.config import conf_dir, resolved
from aetl.stage.evaluate import evaluate
from aetl.stage.fit import run_fit
from aetl.stage.pretrain import build_autoencoder, trained_objective
from aetl.stage.transferring import Transferring
from tests.tiny import MLP, World, receipt, weights


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"), *MLP, "finetune.max_steps=60", "score=none")


def record(world: World) -> dict[str, Any]:
    pretrained = world.pretrain()
    arm = world.transfer()
    twin = world.transfer({"control": resolved(world.cfg)["twin"]})
    folder = world.folder / "run"
    folder.mkdir(exist_ok=True)
    return evaluate(world.cfg, world.domains, pretrained, {"transfer": arm, "twin": twin}, folder)


def test_the_sources_error_is_that_of_the_saved_weights_before_and_after(world: World) -> None:
    """Keep-reconstructing trains the decoder too."""
    own = world.but("transfer=parameter/keep_reconstructing")
    kept = record(own)["retention"]
    source = own.domains.source
    x = source.pool.subset(source.split.validation).inputs()
    after = {
        name.removeprefix("autoencoder."): tensor
        for name, tensor in weights(own.transfer()).items()
        if name.startswith("autoencoder.")
    }
    for when, state in (("before", dict(own.pretrain().state)), ("after", after)):
        model = build_autoencoder(own.cfg, (1, 8, 8)).eval()
        model.load_state_dict(state)
        with torch.no_grad():
            error = float((model(x).reconstruction - x).square().mean())
        assert kept["reconstruction"][when] == pytest.approx(error, rel=1e-6)
    assert kept["reconstruction"]["after"] != kept["reconstruction"]["before"]


def test_reconstruction_goes_on_with_the_scale_that_pretraining_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = ("loss=gaussian", "loss.reconstruction.learned=true")
    own = World(tmp_path, *MLP, *learned, "transfer=parameter/keep_reconstructing")
    starts = []

    def fit(module: Transferring, *rest: Any, **options: Any) -> Any:
        starts.append(float(module.objective.state_dict()["terms.reconstruction.log_sigma"]))
        return run_fit(module, *rest, **options)

    monkeypatch.setattr("aetl.stage.gradient.run_fit", fit)
    pretrained = own.pretrain()
    own.transfer()
    scale = float(
        trained_objective(own.cfg, pretrained).state_dict()["terms.reconstruction.log_sigma"]
    )
    assert scale != pytest.approx(np.log(0.3), abs=1e-3), "it moved in pretraining"
    assert starts == [scale]


def test_the_sources_score_is_a_probes_on_held_out_source_examples(world: World) -> None:
    kept = record(world)["retention"]["score"]
    source = world.domains.source
    x, test = (source.pool.subset(part) for part in (source.split.train, source.split.validation))
    model = build_autoencoder(world.cfg, (1, 8, 8)).eval()
    model.load_state_dict(dict(world.pretrain().state))
    with torch.no_grad():
        z, z_test = (model.features(part.inputs()).double().numpy() for part in (x, test))
    scaler = StandardScaler().fit(z)
    probe = LogisticRegression(C=1.0, max_iter=2000).fit(scaler.transform(z), x.y.numpy())
    expected = np.mean(probe.predict(scaler.transform(z_test)) == test.y.numpy())
    assert kept["before"] == pytest.approx(expected, abs=1e-9)
    assert 0.0 <= kept["after"] <= 1.0


def test_a_frozen_encoder_keeps_all_and_scratch_has_nothing_to_keep(world: World) -> None:
    frozen = world.but("transfer=feature/linear_probe")
    assert record(frozen)["retention"] == {"changed": False}
    scratch = world.but("transfer=control/scratch")
    assert record(scratch)["retention"] == {}


def test_cost_and_labels_are_noted(world: World) -> None:
    found = record(world)
    arm = world.transfer()
    assert found["cost"]["parameters_trained"] == receipt(arm)["parameters_trained"] > 0
    assert found["cost"]["seconds"] == arm.seconds
    assert found["labels"] == 40


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", sorted(path.stem for path in (conf_dir() / "transfer" / "parameter").glob("*.yaml"))
)
def test_whatever_a_strategy_inserts_its_retention_is_found(tmp_path: Path, name: str) -> None:
    world = World(tmp_path, *MLP, "backbone.norm=batch", f"transfer=parameter/{name}")
    found = record(world)
    changed = any(n.startswith("autoencoder.") for n in found["receipt"]["changed"])
    assert ("reconstruction" in found["retention"]) is changed
