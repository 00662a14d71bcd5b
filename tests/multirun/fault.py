"""A Lightning callback that brings a training down, once, in the way that its seed is due."""

from __future__ import annotations

import importlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl


class Fault(pl.Callback):
    """At step ``at`` of the stage ``stage``; ``kinds`` says for which seeds, and how."""

    def __init__(self, *, kinds: dict[str, str], flags: str, stage: str, at: int) -> None:
        self.kinds, self.flags, self.stage, self.at = kinds, Path(flags), stage, at

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        kind = self.kinds.get(f"s{module.seed}")
        flag = self.flags / f"{kind}-{module.seed}"
        if kind is None or module.stage != self.stage or trainer.global_step != self.at:
            return
        if flag.exists():
            return
        flag.touch()
        if kind == "raise":
            raise RuntimeError("a fault")
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
        if kind == "pause":
            time.sleep(30)
            return
        if kind == "preempt":
            os.kill(os.getpid(), signal.SIGUSR2)
        if kind == "deaf":
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        time.sleep(60)  # the handler of SIGINT runs in here


class Slow(pl.Callback):
    """Takes its time over each epoch of the fine-tuning."""

    def __init__(self, *, seconds: float) -> None:
        self.seconds = seconds

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        time.sleep(self.seconds if module.stage == "transfer" else 0)


class Pageless(pl.Callback):
    """In a job's process: its page is not drawn, which takes longer than the job."""

    def __init__(self) -> None:
        # By its name, since what this file imports is looked through for the digest of its code.
        pipeline: Any = importlib.import_module("aetl.pipeline")
        pipeline._report = lambda record: {}
