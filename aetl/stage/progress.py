"""A progress bar where somebody watches, nothing where nobody does."""

from __future__ import annotations

from pytorch_lightning.callbacks import TQDMProgressBar

from aetl.ranges import Natural
from aetl.terminal import watched


class Progress(TQDMProgressBar):
    """Lightning's bar, silent in a log file and in a multirun's job; notebooks have it."""

    def __init__(self, *, refresh_rate: Natural) -> None:
        super().__init__(refresh_rate=refresh_rate if watched() else 0, leave=False)
