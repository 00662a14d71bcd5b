"""A line that lives where somebody watches; in a pipe or a file lines that stay, few of them."""

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
_REST = 60.0
"""Seconds between two lines that stay."""


class Progress(ProgressBar):
    """``pretrain 340/600  loss 0.0312  812 steps/s  eta 3 s``, on stderr, gone at the end.

    It is looked at every ``refresh_rate`` steps (0: never), and drawn five times a second at most.
    In a pipe or a file it is printed at the beginning, at the end and once a minute.
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
        if self._speaks(trainer) and not watched():
            self._tell(pl_module, self._began)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        if not self._speaks(trainer) or batch_idx % self.refresh_rate:
            return
        now = time.monotonic()
        if now - self._shown >= (_PAUSE if watched() else _REST):
            self._tell(pl_module, now, _loss(outputs))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if watched():
            self._clear()
        elif self._speaks(trainer):
            self._tell(pl_module, time.monotonic())

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._clear()

    def _speaks(self, trainer: pl.Trainer) -> bool:
        return bool(self.refresh_rate and trainer.is_global_zero)

    def _tell(self, module: Any, now: float, loss: float | None = None) -> None:
        self._shown = now
        line = line_of(module, _step(module), self._first, now - self._began, loss)
        if watched():
            _draw(line)
        else:
            print(line, file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self._shown and watched():
            _draw("")


def line_of(module: Any, step: int, first: int, seconds: float, loss: float | None) -> str:
    """The line of a stage that has done ``step`` steps, the first ``first`` of them before."""
    parts = [f"{module.title} {step}/{module.total_steps}"]
    if loss is not None:
        parts.append(f"loss {loss:.4g}")
    speed = (step - first) / seconds if seconds > 0 else 0.0
    if speed > 0:
        parts.append(f"{speed:.3g} steps/s")
        if left := module.total_steps - step:
            parts.append(f"eta {_duration(left / speed)}")
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
