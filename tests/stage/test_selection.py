"""Selectors and the oracle through the real training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.utils import instantiate
from sklearn.metrics import accuracy_score

from aetl.config import conf_dir, resolved
from aetl.stage.arm import build_network, predict
from aetl.stage.evaluate import metrics_of, oracle, scores
from aetl.stage.selection import STATES, is_candidate
from aetl.store.store import Entry
from aetl.task.classification import Classification
from aetl.types import UserError
from tests.tiny import MLP, World, weights

SELECTORS = sorted(path.stem for path in (conf_dir() / "selector").glob("*.yaml"))
LONG = (*MLP, "optimizer=sgd", "optimizer.lr=0.15", "finetune.max_steps=120", "pretrain.lr=0.001")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"), *LONG)


def candidates(entry: Entry) -> dict[str, Any]:
    with np.load(entry.path / "candidates.npz") as saved:
        return dict(saved)


EVERYDAY = {"last", "source_validation", "target_validation"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n not in EVERYDAY)) for n in SELECTORS],
)
def test_the_state_that_a_selector_chose_is_the_one_that_is_evaluated(
    world: World, name: str
) -> None:
    own = world.but(f"selector={name}")
    entry = own.transfer()
    seen = candidates(entry)
    task = instantiate(own.cfg.task)
    target = own.domains.target
    network = build_network(own.cfg, own.domains, task, target.pool)
    network.load_state_dict(weights(entry))
    test = target.test.subset(seen["row"])
    assert np.array_equal(predict(network, task, test).value, seen["prediction"][seen["chosen"]])
    assert len(seen["step"]) == 6
    assert seen["step"][-1] == 120
    if name == "last":
        assert seen["chosen"] == 5


def test_the_oracle_is_the_best_candidate_by_the_tests_labels(world: World) -> None:
    entry = world.transfer()
    metrics = metrics_of(world.cfg)
    own = scores(metrics, entry)
    found = oracle(metrics, entry, own)
    y = world.domains.target.test.y.numpy()
    reached = [accuracy_score(y, value) for value in candidates(entry)["prediction"]]
    assert own["accuracy"] == pytest.approx(reached[-1])
    assert found["accuracy"] == pytest.approx(max(reached))
    assert max(reached) > reached[-1], "a training that gets worse again"
    assert found["nll"] <= own["nll"]


def test_of_a_large_test_set_the_oracle_adds_its_lead_on_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Classification, "candidates_on", 50)
    world = World(tmp_path, *LONG)
    entry = world.transfer()
    seen, metrics = candidates(entry), metrics_of(world.cfg)
    assert len(seen["row"]) == 50
    own = scores(metrics, entry)
    y = world.domains.target.test.y.numpy()[seen["row"]]
    lead = max((value == y).mean() for value in seen["prediction"])
    lead -= (seen["prediction"][-1] == y).mean()
    assert oracle(metrics, entry, own)["accuracy"] == pytest.approx(own["accuracy"] + lead)


@pytest.mark.parametrize(
    "selector",
    [*(pytest.param(n, marks=pytest.mark.slow) for n in ("last", "source_validation")),
     "target_validation"],
)  # fmt: skip
def test_a_closed_form_has_no_candidates(world: World, selector: str) -> None:
    probe = world.but("transfer=feature/linear_probe", f"selector={selector}")
    entry = probe.transfer()
    assert not (entry.path / "candidates.npz").exists()
    assert oracle(metrics_of(probe.cfg), entry, {}) == {}


@pytest.mark.parametrize("num_epochs", [1, 3, 10, 15, 20, 97])
def test_about_ten_states_are_candidates_and_the_last_one_always(num_epochs: int) -> None:
    found = [epoch for epoch in range(num_epochs) if is_candidate(epoch, num_epochs)]
    assert len(found) == min(STATES, num_epochs)
    assert found[-1] == num_epochs - 1
    assert max(np.diff(found), default=0) <= -(-num_epochs // STATES)


@pytest.mark.parametrize(
    "overrides, said",
    [
        (("selector=target_validation", "target.budget=1"), "budget of 1 has no label to hold out"),
        (("selector=dev", "source.validation_fraction=0.0"), "set source.validation_fraction"),
        (("selector=entropy", "task=regression", "metric=r2"), "is for classification"),
    ],
)
def test_a_selector_without_what_it_needs_is_refused_in_a_line(
    tmp_path: Path, overrides: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UserError, match=said) as caught:
        World(tmp_path, *MLP, *overrides).transfer()
    assert "\n" not in str(caught.value)


def test_source_labels_of_other_classes_cannot_select(world: World) -> None:
    from dataclasses import replace

    own = world.but("selector=reverse_validation")
    pool = replace(own.domains.source.pool, classes=("a", "b"))
    domains = replace(own.domains, source=replace(own.domains.source, pool=pool))
    with pytest.raises(UserError, match=r"source's classes \(2\) are not the target's \(10\)"):
        own.transfer(domains=domains)


def test_the_choice_depends_on_the_metric_only_where_it_judges(world: World) -> None:
    for name, judges in (("last", False), ("entropy", False), ("source_validation", True)):
        own = world.but(f"selector={name}")
        other = own.but("metric=accuracy")
        assert resolved(own.cfg)["metric"] != resolved(other.cfg)["metric"]
        assert (own.transfer().digest != other.transfer().digest) is judges
