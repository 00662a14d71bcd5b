"""Arms whose head is fitted in closed form, each redone by hand with scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from aetl.files import read_json
from aetl.stage.pretrain import build_autoencoder
from aetl.store.store import Entry
from tests.tiny import CONV, MLP, World, receipt


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"), *CONV, "backbone.norm=batch")


FIXED = ("head.scale=standard", "head.strength=1.0")


def by_hand(world: World, features: torch.nn.Module | None, l2: float) -> np.ndarray:
    """Probabilities for the test set of a logistic regression on the labelled targets."""
    target = world.domains.target
    labelled = target.pool.subset(target.split.labelled)

    def of(x: torch.Tensor) -> np.ndarray:
        with torch.no_grad():
            seen = x.flatten(1) if features is None else features.features(x).flatten(1)
        return np.asarray(seen.double().numpy())

    scaler = StandardScaler().fit(of(labelled.inputs()))
    model = LogisticRegression(C=1 / l2, max_iter=2000)
    model.fit(scaler.transform(of(labelled.inputs())), labelled.y.numpy())
    assert list(model.classes_) == list(range(10))
    return np.asarray(model.predict_proba(scaler.transform(of(target.test.inputs()))))


def probabilities(entry: Entry) -> np.ndarray:
    return np.asarray(np.load(entry.path / "predictions.npz")["probability"])


@pytest.mark.parametrize("l2", [1.0, 0.01])
def test_linear_probe_is_logistic_regression_on_the_pretrained_latent(
    world: World, l2: float
) -> None:
    world = world.but("transfer=feature/linear_probe", *FIXED, f"head.strength={l2}")
    encoder = build_autoencoder(world.cfg, (1, 8, 8))
    encoder.load_state_dict(dict(world.pretrain().state))
    expected = by_hand(world, encoder.eval(), l2)
    np.testing.assert_allclose(probabilities(world.transfer()), expected, atol=1e-5)


def test_random_features_is_the_same_on_the_network_as_it_was_initialised(world: World) -> None:
    world = world.but("transfer=control/random_features", *FIXED)
    expected = by_hand(world, build_autoencoder(world.cfg, (1, 8, 8)).eval(), 1.0)
    np.testing.assert_allclose(probabilities(world.transfer()), expected, atol=1e-5)


def test_raw_features_is_logistic_regression_on_pixels(world: World) -> None:
    world = world.but("transfer=control/raw_features", *FIXED)
    expected = by_hand(world, None, 1.0)
    np.testing.assert_allclose(probabilities(world.transfer()), expected, atol=1e-5)


def test_the_three_of_them_differ(world: World) -> None:
    arms = ("feature/linear_probe", "control/random_features", "control/raw_features")
    found = [probabilities(world.but(f"transfer={arm}", *FIXED).transfer()) for arm in arms]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(found[one] - found[other]).max() > 0.1


def test_a_probe_of_a_layer_sees_that_layer_pooled_or_not(world: World) -> None:
    probe = ("transfer=feature/linear_probe", *FIXED, "representation.layer=encoder.0")
    encoder = build_autoencoder(world.cfg, (1, 8, 8))
    encoder.load_state_dict(dict(world.pretrain().state))
    encoder.eval()

    class Layer(torch.nn.Module):
        def __init__(self, pool: bool) -> None:
            super().__init__()
            self.pool = pool

        def features(self, x: torch.Tensor) -> torch.Tensor:
            maps = encoder.encoder[0](x)
            return maps.mean((2, 3)) if self.pool else maps

    for pool in (True, False):
        arm = world.but(*probe, f"representation.pool={pool}")
        expected = by_hand(arm, Layer(pool), 1.0)
        np.testing.assert_allclose(probabilities(arm.transfer()), expected, atol=1e-4)


def test_a_probe_trains_no_parameter(world: World) -> None:
    said = receipt(world.but("transfer=feature/linear_probe").transfer())
    assert said["changed"] == said["trainable"] == []
    assert said["parameters_trained"] == 0


def test_a_probe_of_a_regression_is_ridge(world: World) -> None:
    world = world.but("transfer=control/raw_features", "task=regression", *FIXED)
    target = world.domains.target
    labelled = target.pool.subset(target.split.labelled)
    x, test = (e.inputs().flatten(1).double().numpy() for e in (labelled, target.test))
    scaler = StandardScaler().fit(x)
    ridge = Ridge(alpha=1.0).fit(scaler.transform(x), labelled.y.double().numpy())
    saved = np.load(world.transfer().path / "predictions.npz")
    np.testing.assert_allclose(saved["prediction"], ridge.predict(scaler.transform(test)))
    assert np.array_equal(saved["y"], target.test.y.numpy())


def test_few_labels_of_some_classes_give_probabilities_of_all(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("few")
    world = World(folder, *MLP, "target.budget=4", "transfer=feature/linear_probe")
    labels = world.domains.target.pool.y[world.domains.target.split.labelled]
    found = probabilities(world.transfer())
    assert found.shape[1] == 10
    absent = sorted(set(range(10)) - set(labels.tolist()))
    assert len(absent) == 6
    assert found[:, absent].max() == 0.0


def test_what_a_head_became_is_noted_and_chosen_within_the_budget(world: World) -> None:
    entry = world.but("transfer=control/raw_features", "head=auto").transfer()
    told = read_json(entry.path / "head.json")["head"]
    assert told["head"] in ("logistic", "svm", "knn", "nearest_mean")
    assert told["labels"] == 40
    assert told["folds"] == 5
    assert 0.0 < told["score"] <= 1.0


def test_a_strategy_beside_the_head_does_not_take_its_place(tmp_path: Path) -> None:
    """``align`` is that of the strategy with the head: weights that are all 1 change nothing."""
    world = World(tmp_path, *MLP, "target.budget=0", "transfer/control@twin=source_only", *FIXED)
    alone = world.but("transfer=feature/coral_closed")
    both = world.but(
        "transfer=[feature/coral_closed,instance/select_best]", "transfer.instance.fraction=1.0"
    )
    found = [probabilities(arm.transfer()) for arm in (alone, both)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
