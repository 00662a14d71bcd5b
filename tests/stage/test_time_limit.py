"""A stage that runs out of its time keeps what it has reached, and says so."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from aetl.config import ConfigError, check, compose, resolved
from aetl.stage.fit import Training
from aetl.stage.time_limit import FILE, out_of_time
from tests.tiny import MLP, World, history

STEPS = ("pretrain.max_steps=400", "pretrain.min_steps=400", "finetune.max_steps=400",
         "finetune.min_steps=400", "trainer.max_time=00:00:00:01")  # fmt: skip


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    train_on = Training._train_on

    def later(self: Training, batch: Any) -> Any:
        time.sleep(0.05)
        return train_on(self, batch)

    monkeypatch.setattr(Training, "_train_on", later)


def test_a_stage_ends_with_its_time(slow: None, tmp_path: Path) -> None:
    entry = World(tmp_path, *MLP, *STEPS).pretrain().entry
    assert entry is not None
    steps = history(entry)[-1].step
    assert 1 <= steps < 60
    assert out_of_time({"pretrain": entry, "transfer": None}) == [
        f"pretrain: trainer.max_time was over at step {steps} of 400, with its schedule not at its "
        "end; another machine comes to another step"
    ]


def test_a_stage_that_is_in_time_says_nothing(tmp_path: Path) -> None:
    entry = World(tmp_path, *MLP, "trainer.max_time=01:00:00:00").pretrain().entry
    assert entry is not None
    assert not (entry.path / FILE).exists()


def test_an_arm_and_its_twin_at_different_steps_are_told(tmp_path: Path) -> None:
    def entry(name: str, steps: int | None) -> Any:
        folder = tmp_path / name
        folder.mkdir()
        if steps is not None:
            (folder / FILE).write_text(f'{{"steps": {steps}, "planned": 9}}')
        return type("Entry", (), {"path": folder})

    alike = out_of_time({"transfer": entry("a", 5), "twin": entry("b", 5)})
    assert len(alike) == 2
    for twin in (entry("c", 6), entry("d", None)):
        lines = out_of_time({"transfer": entry(f"x{twin.path.name}", 5), "twin": twin})
        assert "their gain is one at equal time" in lines[-1]


@pytest.mark.parametrize("value", ["10", "1h", "00:10", '"1:00:00"', "5.0"])
def test_a_time_in_another_form_is_refused_before_any_work(value: str) -> None:
    cfg = compose(["logger=none", f"trainer.max_time={value}"])
    with pytest.raises(ConfigError, match=r"trainer.max_time=.*days:hours:minutes:seconds"):
        check(resolved(cfg), dict(cfg.hydra.runtime.choices))
