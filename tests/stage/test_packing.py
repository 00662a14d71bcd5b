"""Steps taken in packs give the bits of steps taken one by one, and resume in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from aetl.stage.fit import Training
from aetl.stage.packing import MOST, Pace, Packs, counts_batches
from aetl.store.store import Entry
from aetl.tracking.history import Row
from tests.tiny import MLP, WATCH, PowerCut, Watch, World, differing, history, weights

STEPS = ("pretrain.max_steps=12", "finetune.max_steps=24")
Result = tuple[dict[str, torch.Tensor], list[Row]]


@pytest.fixture(autouse=True)
def unwatched() -> Iterator[None]:
    yield
    Watch.steps.clear()


def result(world: World, stage: str) -> Result:
    entry: Entry | None = world.pretrain().entry if stage == "pretrain" else world.transfer()
    assert entry is not None
    return weights(entry, *(["autoencoder.pt"] if stage == "pretrain" else [])), history(entry)


def packs_of(size: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Fix the size of packs; how many steps each took."""
    taken: list[int] = []

    def took(self: Pace, steps: int, seconds: float) -> None:
        taken.append(steps)
        self.size = self._next = size

    monkeypatch.setattr(Pace, "took", took)
    return taken


CASES = {
    "plain": ("pretrain", "pretrain.max_steps=12"),
    "accumulation": ("pretrain", "trainer.accumulate_grad_batches=2"),
    "clipping": ("pretrain", "trainer.gradient_clip_val=0.1"),
    "schedule": ("pretrain", "scheduler=cosine"),
    "adversary": ("pretrain", "autoencoder=factor_vae"),
    "noise": ("pretrain", "autoencoder=denoising"),
    "mixed precision": ("pretrain", "trainer.precision=bf16-mixed"),
    "double precision": ("pretrain", "trainer.precision=64-true"),
    "unfreezing": ("transfer", "transfer=parameter/gradual_unfreezing"),
    "two streams": ("transfer", "transfer=feature/dann"),
    "selection": ("transfer", "selector=target_validation"),
    "batch norm": ("transfer", "backbone.norm=batch"),
}


def cases(*everyday: str) -> pytest.MarkDecorator:
    """All of them, slow but for these."""
    return pytest.mark.parametrize(
        "stage, override",
        [
            pytest.param(*case, id=name, marks=() if name in everyday else pytest.mark.slow)
            for name, case in CASES.items()
        ],
    )


@cases("accumulation", "noise", "mixed precision", "two streams")
def test_packed_steps_equal_single_ones(
    stage: str, override: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    single = result(World(tmp_path / "single", *MLP, *STEPS, override, WATCH), stage)
    taken = packs_of(3, monkeypatch)
    packed = result(World(tmp_path / "packed", *MLP, *STEPS, override), stage)
    assert max(taken) == 3
    assert differing(single[0], packed[0]) == set()
    assert single[1] == packed[1]


@cases("schedule", "adversary", "two streams")
def test_a_training_cut_off_within_a_pack_is_resumed_to_the_same_bits(
    stage: str, override: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = "callback.resume_point.every_n_steps=4"
    packs_of(3, monkeypatch)
    plain = result(World(tmp_path / "plain", *MLP, *STEPS, override, every), stage)
    world = World(tmp_path / "cut", *MLP, *STEPS, override, every)
    if stage == "transfer":
        world.pretrain()
    train_on = Training._train_on

    def cut(self: Training, batch: Any) -> Any:
        if self.global_step == 6:
            raise PowerCut("at step 6")
        return train_on(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_train_on", cut)
        with pytest.raises(PowerCut):
            result(world, stage)
    (saved,) = (world.folder / "store").glob(f"{stage}-*/last.ckpt")
    assert torch.load(saved, weights_only=False)["global_step"] in (4, 5)  # 5: an epoch's end
    packs_of(2, monkeypatch)  # of another size than before
    resumed = result(world, stage)
    assert differing(plain[0], resumed[0]) == set()
    assert plain[1] == resumed[1]


def test_a_step_that_diverges_within_a_pack_is_the_one_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packs_of(8, monkeypatch)
    values = Training._values

    def infinite(self: Training, batch: Any, index: int) -> dict[str, torch.Tensor]:
        found = values(self, batch, index)
        return {k: v * float("inf") for k, v in found.items()} if self.global_step == 3 else found

    monkeypatch.setattr(Training, "_values", infinite)
    with pytest.raises(FloatingPointError, match="loss, reconstruction is not finite at step 3 "):
        World(tmp_path, *MLP, *STEPS).pretrain()
    (file,) = tmp_path.rglob("diverged.pt")
    assert torch.load(file, weights_only=False)["step"] == 3


class Loader:
    """Numbers, as batches."""

    def __init__(self, number: int, skip: int = 0) -> None:
        self.number, self.skip = number, skip

    def __len__(self) -> int:
        return self.number

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.skip, self.number))


@pytest.mark.parametrize(
    "size, accumulate, every, start, skip, expected",
    [
        (3, 1, 100, 0, 0, [[0, 1, 2], [3, 4, 5], [6]]),
        (3, 1, 2, 0, 0, [[0, 1], [2, 3], [4, 5], [6]]),
        (3, 1, 5, 3, 3, [[3, 4], [5, 6]]),
        (2, 2, 100, 0, 0, [[0, 1, 2, 3], [4, 5, 6]]),
        (1, 3, 100, 0, 0, [[0, 1, 2], [3, 4, 5], [6]]),
        (9, 1, 100, 96, 0, [[0, 1, 2, 3], [4], []]),  # a checkpoint at 100, the end at 101
    ],
)
def test_a_pack_ends_where_something_is_due(
    size: int, accumulate: int, every: int, start: int, skip: int, expected: list[list[int]]
) -> None:
    pace = Pace()
    pace.size = size
    packs = Packs(Loader(7, skip), pace, start=start, accumulate=accumulate, every=every, last=101)
    assert [pack.batches for pack in packs] == expected


def test_a_pack_holds_as_many_steps_as_take_a_tenth_of_a_second() -> None:
    pace = Pace()
    pace.took(1, 0.01)
    assert pace.size == 8  # not 10 at once
    pace.took(8, 0.08)
    assert pace.size == 10
    pace.took(10, 1e-6)
    assert pace.size == 80
    pace.took(80, 1e-6)
    assert pace.size == MOST
    pace.took(100, 1000.0)
    assert pace.size == 1


class Batchwise(pl.Callback):
    def on_train_batch_end(self, *_: Any) -> None: ...


class Epochwise(pl.Callback):
    def on_train_epoch_end(self, *_: Any) -> None: ...


@pytest.mark.parametrize(
    "callback, settings, expected",
    [
        (Batchwise(), {}, True),
        (Epochwise(), {}, False),
        (Epochwise(), {"limit_train_batches": 0.5}, True),
        (Epochwise(), {"precision": "32-true", "limit_train_batches": None}, False),
    ],
)
def test_who_looks_at_single_batches_gets_them(
    callback: pl.Callback, settings: dict[str, Any], expected: bool
) -> None:
    assert counts_batches([callback], settings) is expected
