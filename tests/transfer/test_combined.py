"""Strategies of all families in one config: each does its own part, as it does alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aetl.config import resolved
from aetl.label import names_of
from tests.tiny import MLP, WATCH, Watch, World, receipt

COMBINED = "transfer=[instance/kmm,feature/coral,parameter/lora]"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    found = World(tmp_path_factory.mktemp("combined"), *MLP, WATCH)
    found.pretrain()
    return found


def first_values(world: World, transfer: str) -> tuple[dict[str, Any], dict[str, float]]:
    """The receipt, and the loss's parts at the first step (before anything has trained)."""
    Watch.steps.clear()
    arm = world.but(transfer)
    return receipt(arm.transfer()), Watch.steps[0]["values"]


def test_weights_alignment_and_low_rank_updates_combine(world: World) -> None:
    said, values = first_values(world, COMBINED)
    weighed, alone = first_values(world, "transfer=instance/kmm")
    _, aligned = first_values(world, "transfer=feature/coral")
    updated, _ = first_values(world, "transfer=parameter/lora")
    assert set(values) == {"loss", "labelled", "source", "feature"}
    # LoRA starts as the network is, so that what the others see at first is what they see alone.
    for name in ("labelled", "source"):
        assert values[name] == pytest.approx(alone[name], rel=1e-5)
    assert values["feature"] == pytest.approx(aligned["feature"], rel=1e-4)
    assert values["loss"] == pytest.approx(sum(values.values()) - values["loss"], rel=1e-5)
    assert said["effective_sample_size"] == weighed["effective_sample_size"]
    assert said["trainable"] == updated["trainable"]
    assert set(said["changed"]) == set(said["trainable"])
    assert any("lora_a" in name for name in said["changed"])


def test_a_fourth_weighs_the_labels(world: World) -> None:
    four = "transfer=[instance/kmm,instance/bbse,feature/coral,parameter/lora]"
    said, values = first_values(world, four)
    three = receipt(world.but(COMBINED).transfer())
    assert said["effective_sample_size"] != three["effective_sample_size"]
    assert set(values) == {"loss", "labelled", "source", "feature"}
    plain = resolved(world.but(four).cfg)
    expected = "instance/kmm+instance/bbse+feature/coral+parameter/lora"
    assert sorted(names_of(plain, {})["transfer"].split("+")) == sorted(expected.split("+"))


def test_made_up_examples_join_alignment_and_low_rank_updates(tmp_path: Path) -> None:
    world = World(tmp_path, *MLP, "transfer=[instance/generated,feature/coral,parameter/lora]")
    said = receipt(world.transfer())
    assert said["examples_added"] == 1000
    assert set(said["changed"]) == set(said["trainable"])
