"""The numbers of a training, step by step: kept in checkpoints, passed on to the trackers."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from aetl import ranks
from aetl.files import atomic


class Row(NamedTuple):
    """One value: ``stage/split/name`` at a step."""

    stage: str
    split: str
    step: int
    epoch: int
    name: str
    value: float


Listener = Callable[[list[Row]], None]


class History(pl.Callback):
    """Means over an epoch's batches, for training and for validation.

    The running sums are part of the checkpoint, so that a resumed training has the same history.
    Where it is ``heard``, by callbacks that are not ours, the values are the trainer's metrics too,
    as ``stage/split/name``.
    """

    heard = False

    def __init__(self, stage: str, listener: Listener) -> None:
        self.stage = stage
        self.rows: list[Row] = []
        self._listener = listener
        self._sums: dict[str, dict[str, tuple[Tensor, int]]] = {"train": {}, "validation": {}}

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        self._add("train", outputs)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, index: int,
        loader: int = 0,
    ) -> None:  # fmt: skip
        self._add("validation", outputs)

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._flush("validation", trainer)
        step = trainer.global_step
        new = self.note(getattr(module, "observed", dict)(), step, trainer.current_epoch)
        self._tell(trainer, new)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._flush("train", trainer)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._flush("train", trainer)

    def note(self, values: Mapping[str, float], step: int, epoch: int) -> list[Row]:
        """Add numbers that every rank has computed from the same examples."""
        new = [Row(self.stage, "validation", step, epoch, k, v) for k, v in values.items()]
        self._keep(new)
        return new

    def state_dict(self) -> dict[str, Any]:
        # A checkpoint is rank 0's and is loaded by all: its sums are the means over the ranks.
        sums = {
            split: {
                name: (torch.tensor(over_ranks(total), dtype=total.dtype), count)
                for name, (total, count) in values.items()
            }
            for split, values in self._sums.items()
        }
        return {"rows": [tuple(row) for row in self.rows], "sums": sums}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = [Row(*row) for row in state["rows"]]
        self._sums = state["sums"]
        self._listener(self.rows)

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._tell(trainer, self.rows)  # of a training that goes on

    def add(
        self, split: str, trainer: pl.Trainer, name: str, value: float, step: int, epoch: int
    ) -> None:
        """A value that is no mean over batches, the same on every rank."""
        row = Row(self.stage, split, step, epoch, name, value)
        self._keep([row])
        self._tell(trainer, [row])

    def forget(self, split: str, trainer: pl.Trainer, name: str) -> None:
        """For callbacks: a value that is not of this epoch."""
        trainer.callback_metrics.pop(f"{self.stage}/{split}/{name}", None)

    def _add(self, split: str, values: Any) -> None:
        """Take in the values of a batch, or of several, one after the other."""
        sums = self._sums[split]
        for name, value in values.items():
            new = value.detach().reshape(-1).cpu()
            total, count = sums.get(name, (torch.zeros_like(new[0]), 0))
            # numpy's sum from left to right: the same bits however many batches come at once.
            running = np.add.accumulate(torch.cat([total[None], new]).numpy())
            sums[name] = (torch.tensor(running[-1]), count + len(new))

    def _flush(self, split: str, trainer: pl.Trainer) -> None:
        """Turn the sums into rows; every rank takes part in the mean over ranks."""
        step, epoch = trainer.global_step, trainer.current_epoch
        new = [
            Row(self.stage, split, step, epoch, name, over_ranks(total / count))
            for name, (total, count) in self._sums[split].items()
        ]
        self._sums[split] = {}
        self._keep(new)
        self._tell(trainer, new)

    def _keep(self, rows: list[Row]) -> None:
        self.rows += rows
        self._listener(rows)

    def _tell(self, trainer: pl.Trainer, rows: list[Row]) -> None:
        """What ``self.log`` does, which is refused at the start and at the end of a training."""
        if not self.heard:
            return
        values = {
            f"{row.stage}/{row.split}/{row.name}": torch.tensor(
                row.value, device=trainer.strategy.root_device
            )
            for row in rows
        }
        trainer.callback_metrics.update(values)
        trainer.logged_metrics.update(values)


def over_ranks(value: Tensor) -> float:
    """The mean over the ranks."""
    if ranks.world() > 1:
        everyone: list[float] = [0.0] * ranks.world()
        torch.distributed.all_gather_object(everyone, float(value))
        return sum(everyone) / len(everyone)
    return float(value)


def write_history(path: Path, rows: Iterable[Row]) -> None:
    """A CSV file with the columns of ``Row``."""
    with atomic(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Row._fields)
        writer.writerows(rows)


def read_history(path: Path) -> list[Row]:
    with open(path, newline="") as file:
        return [
            Row(
                r["stage"],
                r["split"],
                int(r["step"]),
                int(r["epoch"]),
                r["name"],
                float(r["value"]),
            )
            for r in csv.DictReader(file)
        ]
