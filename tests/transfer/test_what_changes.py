"""Which layers change when, to the bit; what each strategy changes is in the conformance tests."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from aetl.stage.transferring import Transferring
from aetl.types import UserError
from tests.tiny import MLP, World, receipt


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    shape = ("backbone.hidden=[16,12]", "backbone.norm=batch", *MLP[1:])
    return World(tmp_path_factory.mktemp("changes"), *shape, "finetune.max_steps=20")


def test_a_layer_that_never_wakes_keeps_every_bit(world: World) -> None:
    asleep = world.but(
        "transfer=parameter/gradual_unfreezing",
        "transfer.parameter.unfrozen_by=1.5",  # layers wake at 0.5, 1.0 and 1.5 of the steps
    )
    changed = set(receipt(asleep.transfer())["changed"])
    assert any(name.startswith("autoencoder.bottleneck") for name in changed)
    assert not any(name.startswith("autoencoder.encoder.1.") for name in changed)


class Diary(pl.Callback):
    """Keeps the network, and which parameters have moments in the optimiser, after every step."""

    pages: ClassVar[list[tuple[dict[str, Tensor], set[str]]]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if isinstance(module, Transferring):
            known = {id(p) for p, state in trainer.optimizers[0].state.items() if state}
            named = {n for n, p in module.network.named_parameters() if id(p) in known}
            state = {n: t.clone() for n, t in module.network.state_dict().items()}
            Diary.pages.append((state, named))


def test_a_layer_sleeps_to_the_bit_until_its_step_and_then_warms_up(world: World) -> None:
    """Of 20 steps the bottleneck wakes after 4, encoder.2 after 8, encoder.1 after 12."""
    Diary.pages.clear()
    arm = world.but(
        "transfer=parameter/gradual_unfreezing",
        "transfer.parameter.unfrozen_by=0.6",
        "optimizer=sgd",
        "optimizer.lr=0.01",
        "+callback.diary._target_=tests.transfer.test_what_changes.Diary",
    )
    start = {
        f"autoencoder.{n}": t
        for n, t in world.but("optimizer=sgd", "optimizer.lr=0.01").pretrain().state.items()
    }
    arm.transfer()
    assert len(Diary.pages) == 20
    for layer, wakes in (("bottleneck.", 4), ("encoder.2.", 8), ("encoder.1.", 12)):
        names = [n for n in start if n.startswith(f"autoencoder.{layer}")]
        for step, (state, moments) in enumerate(Diary.pages):
            moved = {n for n in names if not torch.equal(state[n], start[n])}
            assert bool(moved) == (step >= wakes), (layer, step)
            assert bool(moments & set(names)) == (step >= wakes), (layer, step)


def test_unsupervised_adaptation_is_the_same_for_every_budget(world: World) -> None:
    arm = world.but("transfer=feature/mmd")
    other = arm.but("target.budget=10")
    other = World(world.folder, *other.overrides)
    assert len(other.domains.target.split.labelled) == 10
    assert arm.transfer().digest == other.transfer().digest


def test_what_trains_has_no_place_beside_a_head_in_closed_form(world: World) -> None:
    with pytest.raises(UserError, match="nothing to train for parameter"):
        world.but("transfer=[feature/knn,parameter/lora]").transfer()
