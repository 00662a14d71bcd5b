"""How a job tells its search how it is going, and how it is told to stop: two files in its folder.

Files, so that it is the same on every launcher: a job on another machine shares no pipe with the
search, but the folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

VALUES, STOP = "intermediate.jsonl", "prune"


class Reporter:
    """Writes the held-out score of every epoch; raises ``Pruned`` when the search has given up.

    It listens to the rows of a run's trainings.
    """

    def __init__(self, folder: Path, metric: str) -> None:
        self.folder, self.metric = folder, metric

    def __call__(self, rows: Iterable[Sequence[object]]) -> None:
        for stage, split, step, _, name, value in rows:
            if (stage, split, name) == ("transfer", "validation", self.metric):
                self.report(step, value)

    def report(self, step: object, value: object) -> None:
        with open(self.folder / VALUES, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "value": value}) + "\n")
        if (self.folder / STOP).exists():
            from aetl.types import Pruned  # loads torch, and the launcher reads this file too

            raise Pruned(f"at step {step}: {self.metric} {value}")


def read_values(folder: Path) -> dict[int, float]:
    """What a job has reported so far, by step; a line that is being written is left for later."""
    try:
        lines = (folder / VALUES).read_text(encoding="utf-8").split("\n")[:-1]
    except OSError:
        return {}
    values = [json.loads(line) for line in lines]
    return {int(value["step"]): float(value["value"]) for value in values}


def stop(folder: Path) -> None:
    """Tell a job that it is not worth going on."""
    (folder / STOP).touch()


def forget(folder: Path) -> None:
    """Before a new try: an order to stop was for the last one."""
    (folder / STOP).unlink(missing_ok=True)
