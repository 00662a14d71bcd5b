"""Stages that ran out of their time (``trainer.max_time``), and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer

from aetl import ranks
from aetl.files import read_json, write_json
from aetl.store.store import Entry

FILE = "out_of_time.json"


def note_out_of_time(trainer: pl.Trainer, total_steps: int, folder: Path) -> None:
    """Leave a file with the stage's result where its timer ended it."""
    remaining = [
        left
        for callback in trainer.callbacks  # type: ignore[attr-defined]
        if isinstance(callback, Timer) and (left := callback.time_remaining()) is not None
    ]
    done = trainer.global_step
    if done < total_steps and any(left <= 0 for left in remaining) and ranks.rank() == 0:
        write_json(folder / FILE, {"steps": done, "planned": total_steps})


def out_of_time(entries: Mapping[str, Entry | None]) -> list[str]:
    """A line for each of the stages that ran out of its time, stored or just now.

    An arm and its twin have the same time, and need not have come equally far in it.
    """
    found = {
        stage: read_json(entry.path / FILE)
        for stage, entry in entries.items()
        if entry is not None and (entry.path / FILE).exists()
    }
    lines = [
        f"{stage}: trainer.max_time was over at step {cut['steps']} of {cut['planned']}, with its "
        "schedule not at its end; another machine comes to another step"
        for stage, cut in found.items()
    ]
    arms = [found[stage]["steps"] if stage in found else None for stage in ("transfer", "twin")]
    if arms[0] != arms[1]:
        lines.append(
            "transfer and twin were cut off at different steps: their gain is one at equal time, "
            "not at equal steps"
        )
    return lines
