"""The numbers of a training: means over an epoch, kept over a resume, exact in the file."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from aetl.tracking.history import History, Row, read_history, write_history


def at(step: int, epoch: int) -> Any:
    return SimpleNamespace(global_step=step, current_epoch=epoch)


def feed(history: History, values: list[float], name: str = "loss") -> None:
    for value in values:
        outputs = {name: torch.tensor(value, dtype=torch.float64)}
        history.on_train_batch_end(at(0, 0), None, outputs, None, 0)  # type: ignore[arg-type]


def test_an_epoch_is_the_mean_of_its_batches_and_starts_afresh() -> None:
    heard: list[list[Row]] = []
    history = History("pretrain", heard.append)
    feed(history, [1.0, 2.0, 6.0])
    history.on_train_epoch_end(at(3, 0), None)  # type: ignore[arg-type]
    feed(history, [10.0])
    history.on_train_epoch_end(at(4, 1), None)  # type: ignore[arg-type]
    expected = [
        Row("pretrain", "train", 3, 0, "loss", 3.0),
        Row("pretrain", "train", 4, 1, "loss", 10.0),
    ]
    assert history.rows == expected
    assert [row for rows in heard for row in rows] == expected


def test_training_and_validation_are_kept_apart() -> None:
    history = History("pretrain", lambda rows: None)
    feed(history, [1.0])
    outputs = {"loss": torch.tensor(5.0)}
    history.on_validation_batch_end(at(1, 0), None, outputs, None, 0)  # type: ignore[arg-type]
    history.on_validation_epoch_end(at(1, 0), None)  # type: ignore[arg-type]
    history.on_train_epoch_end(at(1, 0), None)  # type: ignore[arg-type]
    assert [(row.split, row.value) for row in history.rows] == [("validation", 5.0), ("train", 1.0)]


def test_a_value_that_is_no_mean_is_a_row_of_its_step() -> None:
    heard: list[Row] = []
    history = History("transfer", heard.extend)
    history.add("validation", at(9, 2), "accuracy", 0.25, step=7, epoch=1)
    assert history.rows == heard == [Row("transfer", "validation", 7, 1, "accuracy", 0.25)]


def test_a_history_in_the_middle_of_an_epoch_survives_its_checkpoint(tmp_path: Path) -> None:
    whole = History("pretrain", lambda rows: None)
    feed(whole, [1.0])
    whole.on_train_epoch_end(at(1, 0), None)  # type: ignore[arg-type]
    feed(whole, [0.1, 0.2])
    torch.save(whole.state_dict(), tmp_path / "state")
    heard: list[Row] = []
    resumed = History("pretrain", heard.extend)
    resumed.load_state_dict(torch.load(tmp_path / "state", weights_only=False))
    assert heard == whole.rows  # trackers of the new process get the past, too
    for history in (whole, resumed):
        feed(history, [0.4])
        history.on_train_epoch_end(at(4, 1), None)  # type: ignore[arg-type]
    assert resumed.rows == whole.rows
    assert len(whole.rows) == 2


def test_a_saved_history_is_read_back_to_the_last_bit(tmp_path: Path) -> None:
    rows = [
        Row("pretrain", "train", 10, 1, "loss", 0.1 + 0.2),
        Row("transfer", "validation", 3, 0, "with, comma", 1e-310),
        Row("transfer", "train", 3, 0, "loss", -math.inf),
    ]
    write_history(tmp_path / "metrics.csv", rows)
    assert read_history(tmp_path / "metrics.csv") == rows
    header = (tmp_path / "metrics.csv").read_text().splitlines()[0]
    assert header == "stage,split,step,epoch,name,value"
    write_history(tmp_path / "metrics.csv", [])
    assert read_history(tmp_path / "metrics.csv") == []
