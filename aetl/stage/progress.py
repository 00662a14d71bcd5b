"""A progress bar where somebody watches, nothing where nobody does."""

from __future__ import annotations

import sys

from pytorch_lightning.callbacks import TQDMProgressBar


class Progress(TQDMProgressBar):
    """Lightning's bar, silent when the output is not a terminal (a log file, a multirun's job)."""

    def __init__(self, *, refresh_rate: int) -> None:
        super().__init__(refresh_rate=refresh_rate if sys.stderr.isatty() else 0, leave=False)
