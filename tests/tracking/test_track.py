"""Trackers get what the folder gets, and none of them can lose the run."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from aetl.store.store import Entry
from aetl.tracking.base import About, Results, Status, Tracker
from aetl.tracking.history import Row, read_history, write_history
from aetl.tracking.tensorboard import TensorBoard
from aetl.tracking.track import Track
from aetl.types import UserError


class Notes(Tracker):
    """Writes down its calls; fails in those named in ``fails``."""

    def __init__(self, fails: Mapping[str, Exception] | None = None) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.fails = fails or {}

    def _note(self, name: str, value: Any) -> None:
        self.calls.append((name, value))
        if name in self.fails:
            raise self.fails[name]

    def start(self, about: About) -> None:
        self._note("start", about)

    def log(self, rows: Sequence[Row]) -> None:
        self._note("log", list(rows))

    def stage_done(self, stage: str, entry: Entry) -> None:
        self._note("stage_done", stage)

    def finish(self, results: Results, status: Status) -> None:
        self._note("finish", (dict(results.summary), status))


ROW = Row("transfer", "train", 5, 0, "loss", 1.5)


def about(folder: Path) -> About:
    return About("name", "group", "job", (), {}, {}, folder, folder)


def entry(folder: Path, rows: list[Row]) -> Entry:
    folder.mkdir()
    write_history(folder / "metrics.csv", rows)
    return Entry(folder, "digest", reused=True)


def test_a_stage_from_the_store_is_replayed_under_its_own_name(tmp_path: Path) -> None:
    notes = Notes()
    with Track([notes], about(tmp_path)) as track:
        track.stage_done("twin", entry(tmp_path / "twin", [ROW]))
    assert notes.calls[1] == ("log", [ROW._replace(stage="twin")])
    assert read_history(tmp_path / "metrics.csv") == [ROW._replace(stage="twin")]


def test_a_stage_that_was_listened_to_is_not_logged_twice(tmp_path: Path) -> None:
    notes = Notes()
    with Track([notes], about(tmp_path)) as track:
        track.listener("twin")([ROW])
        track.stage_done("twin", entry(tmp_path / "twin", [ROW]))
        track.stage_done("transfer", entry(tmp_path / "transfer", []))
    logged = [rows for name, rows in notes.calls if name == "log"]
    assert logged == [[ROW._replace(stage="twin")], []]
    assert read_history(tmp_path / "metrics.csv") == [ROW._replace(stage="twin")]


def test_the_results_come_at_the_end_and_say_whether_the_run_succeeded(tmp_path: Path) -> None:
    record: dict[str, Any] = {
        "scores": {"accuracy": 0.8}, "gain": {"accuracy": 0.1}, "twin": {"accuracy": 0.7},
        "seconds": {"pretrain": 2.0},
    }  # fmt: skip
    notes = Notes()
    with Track([notes], about(tmp_path)) as track:
        track.result(record, dict)
    name, (summary, status) = notes.calls[-1]
    assert (name, status) == ("finish", "done")
    assert summary["evaluate/test/accuracy"] == 0.8
    assert summary["evaluate/gain/accuracy"] == 0.1
    assert summary["seconds/pretrain"] == 2.0


@pytest.mark.parametrize(
    "error, status", [(ZeroDivisionError, "failed"), (KeyboardInterrupt, "interrupted")]
)
def test_a_run_that_does_not_come_to_its_end_is_finished_as_what_it_is(
    error: type[BaseException], status: str, tmp_path: Path
) -> None:
    notes = Notes()
    with pytest.raises(error), Track([notes], about(tmp_path)):
        raise error
    assert notes.calls[-1] == ("finish", ({}, status))


def test_a_stage_is_announced_after_its_history_is_written(tmp_path: Path) -> None:
    notes = Notes()
    with Track([notes], about(tmp_path)) as track:
        track.stage_done("pretrain", entry(tmp_path / "stage", [ROW]))
        track.stage_done("pretrain", None)  # weights from elsewhere
    assert [name for name, _ in notes.calls] == ["start", "log", "stage_done", "finish"]


@pytest.mark.parametrize("method", ["start", "log", "finish"])
def test_a_tracker_whose_service_is_down_is_dropped_and_the_others_go_on(
    method: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    down, up = Notes({method: ConnectionError("no route")}), Notes()
    with caplog.at_level(logging.WARNING), Track([down, up], about(tmp_path)) as track:
        track.listener("transfer")([ROW])
        track.listener("transfer")([ROW])
    assert [name for name, _ in up.calls] == ["start", "log", "log", "finish"]
    assert [name for name, _ in down.calls][-1] == method
    assert [name for name, _ in down.calls].count(method) == 1
    assert f"Notes failed to {method} and is dropped: no route" in caplog.text


@pytest.mark.parametrize("error", [UserError("pip install it"), TypeError("our own")])
def test_a_mistake_in_a_tracker_is_an_error(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)), Track([Notes({"start": error})], about(tmp_path)):
        pass


def test_a_tracker_of_an_extra_that_is_missing_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"pip install 'aetl\[tensorboard\]'"):
        TensorBoard().start(about(tmp_path))


class Pictured(Tracker):
    """Takes the pictures."""

    def start(self, about: About) -> None: ...

    def log(self, rows: Sequence[Row]) -> None: ...

    def finish(self, results: Results, status: Status) -> None:
        assert list(results.figures) == ["curves"]


@pytest.mark.parametrize(
    "trackers, asked, times",
    [([], False, 0), ([Notes()], False, 0), ([], True, 1), ([Pictured(), Pictured()], True, 1),
     ([Pictured()], False, 1)],
)  # fmt: skip
def test_pictures_are_drawn_once_and_only_for_whoever_asks(
    trackers: list[Tracker], asked: bool, times: int, tmp_path: Path
) -> None:
    drawn = []

    def draw() -> dict[str, Path]:
        drawn.append(1)
        return {"curves": tmp_path / "curves.png"}

    record = {"scores": {}, "gain": {}, "twin": {}, "seconds": {}}
    with Track(trackers, about(tmp_path)) as track:
        track.result(record, draw)
        if asked:
            track.figures()
    assert len(drawn) == times
