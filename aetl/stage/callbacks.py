"""Lightning's callbacks of others: where they take part, what they hear, what none of them can do.

They find the history's values in ``trainer.callback_metrics``, and a logger that takes what they
log into the history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning import callbacks as lightning
from pytorch_lightning.loggers.logger import Logger
from torch.nn.modules.batchnorm import _BatchNorm

from aetl.label import takes_part
from aetl.tracking.history import History
from aetl.types import UserError

IMPOSSIBLE: dict[type[pl.Callback], str] = {
    lightning.GradientAccumulationScheduler: "set trainer.accumulate_grad_batches=...",
    lightning.BatchSizeFinder: "set pretrain.batch_size=... and finetune.batch_size=...",
    lightning.BackboneFinetuning: "choose transfer=parameter/gradual_unfreezing",
    lightning.LearningRateFinder: "search for it: optimizer.lr=1e-4,1e-3,1e-2, or sweep=...",
}
"""What changes the training behind the back of a stage that counts its steps beforehand, and what
to do instead."""


def callbacks_of(cfg: DictConfig, stage: str) -> list[pl.Callback]:
    """The config's callbacks that are for this stage."""
    return [instantiate(node) for node in cfg.callback.values() if node and takes_part(node, stage)]


def foreign(callbacks: Iterable[pl.Callback]) -> list[pl.Callback]:
    """Those that are not ours; ``UserError`` for one that cannot work."""
    found = [c for c in callbacks if not type(c).__module__.startswith("aetl.")]
    for callback in found:
        for kind, instead in IMPOSSIBLE.items():
            if isinstance(callback, kind):
                raise UserError(f"callback: {kind.__name__} has no say over a stage; {instead}")
    return found


def in_order(callbacks: Sequence[pl.Callback]) -> list[pl.Callback]:
    """Without our own line of progress where another is shown."""
    bars = [c for c in callbacks if isinstance(c, lightning.ProgressBar)]
    others = [bar for bar in bars if not type(bar).__module__.startswith("aetl.")]
    return [c for c in callbacks if not others or c not in bars or c in others]


class Monitors:
    """The values that callbacks wait for, which are to be among those that are logged.

    A value may rightly come later than at the first epoch's end, and callbacks that end the
    training where it is missing are told not to: the refusal is here.
    """

    def __init__(self, callbacks: Sequence[pl.Callback]) -> None:
        self._waiting: list[tuple[str, str]] = []
        self.given = any(getattr(callback, "monitor", None) for callback in callbacks)
        for callback in callbacks:
            monitor = getattr(callback, "monitor", None)
            if isinstance(monitor, str) and getattr(callback, "strict", True):
                self._waiting.append((type(callback).__name__, monitor))
            if isinstance(callback, lightning.EarlyStopping):
                callback.strict = False

    def refuse_unknown(self, module: Any) -> None:
        """At an epoch's end; what the module awaits may still come."""
        logged: Mapping[str, Any] = module.trainer.callback_metrics
        self._waiting = [
            (name, monitor) for name, monitor in self._waiting if monitor not in logged
        ]
        if not self._waiting:
            return
        awaited = module.awaited()
        for name, monitor in self._waiting:
            if not any(monitor.startswith(start) for start in awaited):
                there = ", ".join(sorted(logged)) or "nothing"
                raise UserError(
                    f"callback: {name} monitors {monitor}, which is not logged; there are {there}"
                )


class Told(Logger):
    """What callbacks log becomes part of the history, as values of the training at its step."""

    def __init__(self, history: History, folder: str) -> None:
        super().__init__()
        self.history, self._folder = history, folder
        self.trainer: pl.Trainer | None = None

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return self._folder

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """The config is known."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        assert self.trainer is not None
        at, epoch = self.trainer.global_step, self.trainer.current_epoch
        for name, value in metrics.items():
            if name not in ("epoch", "step"):
                self.history.add("train", self.trainer, name, float(value), at, epoch)


def renew_schedulers(trainer: pl.Trainer, module: pl.LightningModule) -> None:
    """In a training that goes on within an epoch: Lightning's averaging waits for the next one."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, lightning.StochasticWeightAveraging):
            callback.on_train_epoch_start(trainer, module)


def is_averaged(callbacks: Iterable[pl.Callback]) -> bool:
    """Whether the weights are the average of several states."""
    return any(
        isinstance(c, lightning.StochasticWeightAveraging) and c.n_averaged is not None
        for c in callbacks
    )


@torch.no_grad()
def renew_norms(module: Any, batches: Iterable[Any]) -> None:
    """Batch normalisation's moments of the weights as they are: those over all of ``batches``.

    An average of weights has none of its own (arXiv:1803.05407, section 3.2). Every other buffer
    stays as it is.
    """
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training]
    norms = [m for m in norms if m.track_running_stats]
    if not norms:
        return
    own = {id(buffer) for norm in norms for buffer in norm.buffers()}
    kept = [(b, b.clone()) for b in module.buffers() if id(b) not in own]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
    for index, batch in enumerate(batches):
        module.look_at(batch, index)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for buffer, value in kept:
        buffer.copy_(value)
