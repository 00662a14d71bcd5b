"""Evaluation: scores, gains and the data of the pictures, against what the stages left."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from aetl.comparison.examples import read_examples
from aetl.config import ConfigError, check, compose, resolved
from aetl.head.nearest_mean import NearestMean
from aetl.report.figures import latent_map
from aetl.rng import Rng
from aetl.stage.evaluate import _unreached, evaluate, ropes_of, unlike
from aetl.stage.pretrain import Pretrained, build_autoencoder, trained_objective
from aetl.task.classification import Classification
from aetl.transfer.control.source_only import SourceOnly
from aetl.transfer.control.source_probe import SourceProbe
from aetl.transfer.control.source_raw_features import SourceRawFeatures
from aetl.transfer.feature.coral_closed import CoralClosed
from aetl.transfer.feature.mmd import Mmd
from aetl.transfer.feature.msda import Msda
from tests.tiny import CONV, MLP, SMALL, World


def done(world: World, folder: Path) -> dict[str, Any]:
    pretrained = world.pretrain()
    twin = world.transfer({"control": resolved(world.cfg)["twin"]})
    arms = {"transfer": world.transfer(pretrained=pretrained), "twin": twin}
    folder.mkdir(exist_ok=True)
    return evaluate(world.cfg, world.domains, pretrained, arms, folder)


def test_a_layer_before_every_weight_is_told(tmp_path: Path) -> None:
    for layer, told in (("encoder.0", True), ("encoder.1", False)):  # the first only flattens
        world = World(
            tmp_path / layer, *MLP, "transfer=feature/linear_probe", "score=none",
            f"representation.layer={layer}",
        )  # fmt: skip
        lines = done(world, tmp_path / layer / "run")["warnings"]
        assert any("no weight of the encoder lies below it" in line for line in lines) == told


@pytest.mark.parametrize("autoencoder", ["pca", "identity", "vq", "mae"])
def test_what_the_default_layer_sees_is_told_of_no_autoencoder(
    autoencoder: str, tmp_path: Path
) -> None:
    backbone = ["backbone=vit"] if autoencoder == "mae" else []
    cfg = World(tmp_path, f"autoencoder={autoencoder}", *backbone).cfg
    assert _unreached(cfg, build_autoencoder(cfg, (1, 8, 8), 10)) == []


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("vae")
    world = World(folder, "autoencoder=vae", *MLP, "finetune.max_steps=60", "corruption=gaussian")
    return world, done(world, folder / "run"), folder / "run"


def test_scores_and_gains_are_those_of_the_saved_predictions(vae: Any) -> None:
    world, result, folder = vae
    saved = np.load(folder / "predictions.npz")
    y = world.domains.target.test.y.numpy()
    assert np.array_equal(saved["y"], y)
    arm, twin = saved["prediction"], saved["twin_prediction"]
    assert not np.array_equal(arm, twin)
    assert result["scores"]["accuracy"] == pytest.approx((arm == y).mean())
    assert result["twin"]["accuracy"] == pytest.approx((twin == y).mean())
    assert result["gain"]["accuracy"] == pytest.approx((arm == y).mean() - (twin == y).mean())
    assert result["scores"]["macro_f1"] == pytest.approx(f1_score(y, arm, average="macro"))
    assert result["metric"] == "accuracy"
    assert result["higher_is_better"] == {"accuracy": True, "macro_f1": True, "nll": False}


def test_each_examples_part_in_the_scores_is_saved_for_arm_and_twin(vae: Any) -> None:
    world, result, folder = vae
    noted = result["examples"]
    found = read_examples(folder, noted)
    saved, test = np.load(folder / "predictions.npz"), world.domains.target.test
    assert noted["count"] == len(test)
    assert np.array_equal(found["identity"], test.identity)
    for which, name in (("arm", "prediction"), ("twin", "twin_prediction")):
        scores = result["scores" if which == "arm" else "twin"]
        assert np.array_equal(found[f"prediction.{which}"], saved[name])
        right = found[f"value.accuracy.{which}"]
        assert right.dtype == np.uint8
        assert np.array_equal(right, saved[name] == saved["y"])
        assert found[f"value.nll.{which}"].mean() == pytest.approx(scores["nll"], rel=1e-5)
        # Pseudo-values estimate the score without its bias, which is small.
        assert found[f"value.macro_f1.{which}"].mean() == pytest.approx(scores["macro_f1"], abs=0.1)
    assert result["rope"] == {"accuracy": 0.01, "macro_f1": 0.01, "nll": None}
    assert result["cost"]["steps"] == result["cost"]["twin_steps"] == 60


def test_the_rope_is_the_configs_where_it_says_one(tmp_path: Path) -> None:
    world = World(tmp_path, "rope={nll: 0.1, macro_f1: null, accuracy: 0.05}")
    assert ropes_of(world.cfg) == {"accuracy": 0.05, "macro_f1": None, "nll": 0.1}


@pytest.mark.parametrize(
    "rope, line",
    [
        ("{accurcy: 0.1}", "rope.accurcy: no metric of this run; did you mean 'accuracy'?"),
        ("{accuracy: -0.1}", "rope={'accuracy': -0.1}: expected"),
    ],
)
def test_a_rope_that_makes_no_sense_is_refused_before_any_work(rope: str, line: str) -> None:
    cfg = compose([*SMALL, f"rope={rope}"])
    with pytest.raises(ConfigError, match=re.escape(line)):
        check(resolved(cfg), {})


def test_reconstruction_error_is_on_the_scale_of_the_data(vae: Any) -> None:
    """Under a Bernoulli likelihood the decoder gives logits: their sigmoid counts."""
    world, result, _ = vae
    model = build_autoencoder(world.cfg, (1, 8, 8)).eval()
    model.load_state_dict(dict(world.pretrain().state))
    source, target = world.domains.source, world.domains.target
    sets = {"source": source.pool.subset(source.split.validation), "target": target.test}
    for name, examples in sets.items():
        x = examples.inputs()
        error = (torch.sigmoid(model(x).reconstruction) - x).square().mean()
        assert result["reconstruction"][name] == pytest.approx(float(error.detach()), rel=1e-5)


def test_pictures_hold_both_domains_in_the_range_of_images(vae: Any) -> None:
    world, _, folder = vae
    shown = np.load(folder / "reconstructions.npz")
    assert shown["domain"].tolist() == [0] * 10 + [1] * 10
    for name in ("x", "corrupted", "reconstruction"):
        assert shown[name].shape == (20, 1, 8, 8)
        assert shown[name].min() >= 0.0
        assert shown[name].max() <= 1.0
    test = world.domains.target.test  # of each class the first
    first = [test.y.tolist().index(label) for label in range(10)]
    np.testing.assert_array_equal(shown["x"][10:], test.inputs()[first].numpy())
    assert not np.array_equal(shown["x"], shown["corrupted"])


def test_the_latent_map_is_of_the_features(vae: Any) -> None:
    world, _, folder = vae
    saved = np.load(folder / "latents.npz")
    model = build_autoencoder(world.cfg, (1, 8, 8)).eval()
    model.load_state_dict(dict(world.pretrain().state))
    target = world.domains.target.test
    of_target = saved["domain"] == 1
    assert of_target.sum() == min(1000, len(target))
    expected = model.features(target.inputs()).detach().numpy()
    np.testing.assert_allclose(saved["z"][of_target], expected[: of_target.sum()], atol=1e-5)
    assert np.array_equal(saved["y"][of_target], target.y[: of_target.sum()].numpy())


def test_a_source_of_other_classes_has_none_of_the_targets_on_the_map(tmp_path: Path) -> None:
    world = World(tmp_path, *MLP)
    source = world.domains.source
    pool = dataclasses.replace(source.pool, classes=tuple("abcdefghij"))
    other = dataclasses.replace(source, pool=pool)
    world.domains = dataclasses.replace(world.domains, source=other)
    done(world, tmp_path / "run")
    saved = np.load(tmp_path / "run" / "latents.npz")
    assert set(saved["y"][saved["domain"] == 0]) == {-1}
    assert set(saved["y"][saved["domain"] == 1]) <= set(range(10))
    drawn = latent_map(saved["z"], saved["y"], saved["domain"], classes=pool.classes)
    assert drawn is not None
    assert {text.get_text() for text in drawn.axes[0].texts} <= set(pool.classes)


def test_vectors_have_a_latent_map_and_are_kept_beside_their_reconstructions(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 6)).astype(np.float32), rng.normal(size=200)
    np.savez(tmp_path / "own.npz", x=x, y=y)
    own = [f"dataset@{d}=npz" for d in ("source", "target")]
    own += [f"{d}.path={tmp_path / 'own.npz'}" for d in ("source", "target")]
    own += ["target.shift.rotation=0.0", "source.size=null", "target.size=null"]
    world = World(tmp_path, *own, *MLP, "task=regression")
    result = done(world, tmp_path / "run")
    assert set(result["scores"]) == {"r2", "mae"}
    assert (tmp_path / "run" / "latents.npz").exists()
    shown = np.load(tmp_path / "run" / "reconstructions.npz")
    assert shown["x"].shape == shown["reconstruction"].shape == (20, 6)
    assert np.abs(shown["x"]).max() > 1.0  # in units of the data, unlike images
    assert "probability" not in np.load(tmp_path / "run" / "predictions.npz")


def test_a_checkpoint_that_fits_in_part_does_not_fail_the_pictures(tmp_path: Path) -> None:
    state = dict(World(tmp_path / "other", *MLP, "bottleneck.latent_dim=5").pretrain().state)
    world = World(tmp_path, *MLP)
    pretrained = Pretrained(state, None)
    arm = world.transfer(pretrained=pretrained)
    arms = {"transfer": arm, "twin": arm}
    (tmp_path / "run").mkdir()
    result = evaluate(world.cfg, world.domains, pretrained, arms, tmp_path / "run")
    assert result["receipt"]["skipped"]
    assert result["gain"] == {"accuracy": 0.0, "macro_f1": 0.0, "nll": 0.0}


def test_an_arm_without_pretraining_has_no_pictures(tmp_path: Path) -> None:
    world = World(tmp_path, *CONV, "transfer=control/raw_features")
    arm = world.transfer()
    (tmp_path / "run").mkdir()
    arms = {"transfer": arm, "twin": arm}
    result = evaluate(world.cfg, world.domains, None, arms, tmp_path / "run")
    assert result["reconstruction"] == {}
    assert {f.name for f in (tmp_path / "run").iterdir()} == {
        "predictions.npz",
        "examples.safetensors",
        "splits.npz",
    }


def test_bits_per_dimension_are_of_the_trained_likelihood(tmp_path: Path) -> None:
    """The learned sigma belongs to the objective, not to the autoencoder: it is kept as well."""
    learned = (
        "loss=[gaussian_learned,kl]",
        "loss.reconstruction.sigma=1.0",
        "pretrain.max_steps=60",
    )
    world = World(tmp_path, "autoencoder=vae", *MLP, *learned)
    pretrained = world.pretrain()
    assert pretrained.entry is not None
    term = trained_objective(world.cfg, pretrained).terms["reconstruction"]
    sigma = math.exp(float(term.log_sigma.detach()))
    assert sigma < 0.97
    result = done(world, tmp_path / "run")["bits_per_dim"]
    source = world.domains.source
    model = build_autoencoder(world.cfg, (1, 8, 8)).eval()
    model.load_state_dict(dict(pretrained.state))
    x = source.pool.subset(source.split.validation).inputs()
    with torch.no_grad():
        output = model(x, Rng.of(9))
    likelihood = torch.distributions.Normal(output.reconstruction, sigma).log_prob(x)
    rate = torch.distributions.kl_divergence(
        torch.distributions.Normal(output.code.mean, (0.5 * output.code.logvar).exp()),
        torch.distributions.Normal(0.0, 1.0),
    )
    nats = rate.sum(1).mean() - likelihood.sum((1, 2, 3)).mean()
    # Another draw of the posterior, and no noise of half a grey value.
    assert result["value"] == pytest.approx(float(nats) / (64 * math.log(2)) + 8, abs=0.05)
    assert (result["bound"], result["data"]) == ("ELBO", "dequantised")


def test_an_objective_that_is_no_bound_has_no_bits_and_every_model_a_size(tmp_path: Path) -> None:
    result = done(World(tmp_path, *MLP), tmp_path / "run")
    assert result["bits_per_dim"] is None
    assert result["latent"] == [4]
    assert result["parameters"] == (64 * 16 + 16) + (16 * 4 + 4) + (4 * 16 + 16) + (16 * 64 + 64)


def test_a_collapsed_posterior_is_warned_of_in_the_record(tmp_path: Path) -> None:
    """A heavy KL leaves nothing of the latent."""
    heavy = ("autoencoder=vae", "loss.kl.weight=1000.0", "pretrain.max_steps=200")
    result = done(World(tmp_path, *heavy, *MLP), tmp_path / "run")
    assert result["monitor"]["active_units"] == 0.0
    assert "posterior collapse: 0 of 4 latents are active" in result["warnings"]
    floor = result["monitor"]["principal_error"]
    assert 0 < floor < result["reconstruction"]["source"] / 1.1
    (line,) = (line for line in result["warnings"] if line.startswith("reconstruction: "))
    assert f"worse than {floor:.3g} of 4 principal components: 0 of 4 latents are active" in line
    assert "more than reconstruction (kl)" in line


def test_components_are_no_worse_than_themselves(tmp_path: Path) -> None:
    result = done(World(tmp_path, "autoencoder=pca", "autoencoder.latent_dim=4"), tmp_path / "run")
    floor = result["monitor"]["principal_error"]
    assert result["reconstruction"]["source"] == pytest.approx(floor, rel=1e-4)
    assert not [line for line in result["warnings"] if line.startswith("reconstruction: ")]


def test_an_objective_with_a_discriminator_is_evaluated_without_it(tmp_path: Path) -> None:
    world = World(tmp_path, "autoencoder=aae", *MLP)
    result = done(world, tmp_path / "run")
    assert result["reconstruction"]["source"] > 0
    assert result["bits_per_dim"] is None


def test_without_target_labels_a_twin_of_other_depth_is_told_with_the_one_that_is_alike() -> None:
    head = NearestMean(scale="none", balanced=False, folds=5)
    task = Classification()
    raw = SourceRawFeatures(head=head)
    probe = SourceProbe(head=head)
    trained = SourceOnly()
    msda = Msda(head=head, layers=1, noise=0.5, ridge=0.1)
    coral = CoralClosed(head=head, ridge=1.0)
    alike = {"source_raw_features": (msda, raw), "source_probe": (coral, probe),
             "source_only": (Mmd(weight=1.0, scales=[1.0]), trained)}  # fmt: skip
    for name, (arm, own) in alike.items():
        assert unlike({"feature": arm}, {"control": own}, task) == []
        for other in (raw, probe, trained):
            if other is not own:
                (line,) = unlike({"feature": arm}, {"control": other}, task)
                assert line.endswith(f"set transfer/control@twin={name}")
