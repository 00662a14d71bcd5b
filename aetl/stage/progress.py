"""A line that lives where somebody watches, nothing where nobody does."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar

from aetl.ranges import Natural
from aetl.terminal import watched

_PAUSE = 0.2
"""Seconds between two looks: the loss has to come from where the model is."""


class Progress(ProgressBar):
    """``pretrain 340/600  loss 0.0312  812 steps/s  eta 3 s``, on stderr, gone at the end.

    It is drawn every ``refresh_rate`` steps, and five times a second at most.
    """

    def __init__(self, *, refresh_rate: Natural) -> None:
        super().__init__()
        self.refresh_rate = refresh_rate
        self._shown = self._began = 0.0
        self._first = 0

    def enable(self) -> None:
        """It is drawn by rank 0 alone, so there is nothing to switch."""

    def disable(self) -> None:
        """The trainer asks this of every other rank."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._began, self._first = time.monotonic(), _step(pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        now = time.monotonic()
        due = self.refresh_rate and batch_idx % self.refresh_rate == 0
        if due and now - self._shown >= _PAUSE and watched() and trainer.is_global_zero:
            self._shown = now
            loss = _loss(outputs)
            _draw(line_of(pl_module, _step(pl_module), self._first, now - self._began, loss))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._shown and trainer.is_global_zero:
            _draw("")

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        if self._shown:
            _draw("")


def line_of(module: Any, step: int, first: int, seconds: float, loss: float | None) -> str:
    """The line of a stage that has done ``step`` steps, the first ``first`` of them before."""
    parts = [f"{module.stage} {step}/{module.total_steps}"]
    if loss is not None:
        parts.append(f"loss {loss:.4g}")
    speed = (step - first) / seconds if seconds > 0 else 0.0
    if speed > 0:
        parts += [f"{speed:.3g} steps/s", f"eta {_duration((module.total_steps - step) / speed)}"]
    return "  ".join(parts)


def _loss(outputs: Any) -> float | None:
    """The last step's; a round of the trainer's loop may hold several."""
    return float(outputs["loss"].flatten()[-1]) if outputs and "loss" in outputs else None


def _step(module: Any) -> int:
    return round(float(module.progress) * int(module.total_steps))


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _draw(line: str) -> None:
    """In place of the line before."""
    sys.stderr.write(f"\r\x1b[K{line}")
    sys.stderr.flush()
