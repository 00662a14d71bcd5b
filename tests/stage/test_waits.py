"""A step asks the device for nothing: no value, no copy (looked for on a CPU; see tests/gpu)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from aetl.stage.fit import Training
from aetl.types import Batch
from tests.conformance.test_autoencoders import GREY, Case, pretraining
from tests.conformance.test_transfers import NEEDS
from tests.tiny import MLP, World
from tests.waits import waits

STRATEGIES = {
    "parameter/finetune": (), "parameter/l2_sp": (), "parameter/gradual_unfreezing": (),
    "feature/dann": (), "feature/coral": (), "feature/cdan": (), "feature/mmd": (),
    "feature/drcn": (), "instance/pseudo_labels": (), "feature/dec": (),
    "parameter/keep_reconstructing": (),
}  # fmt: skip


def test_what_waits_is_found() -> None:
    x = torch.arange(4.0)
    with waits() as found:
        if x[0] > 1:
            x = x + 1
        x[x > 2].sum().item()
        x.cpu()
        x.nonzero()
    assert [line.split()[0] for line in found] == [
        "aten::_local_scalar_dense", "aten::index", "aten::_local_scalar_dense", "cpu",
        "aten::nonzero",
    ]  # fmt: skip


def steps_of(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What waits in any step but the first one, from the batch to the schedule."""
    found: list[str] = []
    train_on = Training._train_on

    def watched(self: Training, batch: Any) -> Any:
        if self.global_step == 0:
            return train_on(self, batch)
        with waits() as here:
            values = train_on(self, batch)
        found.extend(line for line in here if "elsewhere" not in line)
        return values

    monkeypatch.setattr(Training, "_train_on", watched)
    return found


@pytest.mark.parametrize(
    "override",
    ["trainer.gradient_clip_val=1.0", "autoencoder=factor_vae", "trainer.precision=bf16-mixed"],
)
def test_no_step_of_a_pretraining_waits(
    override: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = steps_of(monkeypatch)
    World(tmp_path, *MLP, override).pretrain()
    assert found == []


ALIKE = {"parameter/l2_sp", "feature/coral", "feature/cdan"}
"""As fine-tuning, as mmd and as dann, with another loss."""


@pytest.mark.parametrize(
    "strategy",
    [pytest.param(s, marks=[pytest.mark.slow] * (s in ALIKE)) for s in STRATEGIES],
)
def test_no_step_of_a_transfer_waits(
    strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, *MLP, f"transfer={strategy}", *NEEDS.get(strategy, ()))
    world.pretrain()
    found = steps_of(monkeypatch)
    world.transfer()
    assert found == []


def test_regression_does_not_ask_for_its_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, *MLP, "task=regression", "metric=r2", "head=ridge")
    world.pretrain()
    found = steps_of(monkeypatch)
    world.transfer()
    assert found == []


def test_a_gathered_batch_waits_for_nothing(tmp_path: Path) -> None:
    module, _ = pretraining(Case("undercomplete", "mlp", GREY))
    batches = iter(module.loader)
    with waits() as found:
        batch: Batch = next(batches)
    assert len(batch.x)
    assert found == []
