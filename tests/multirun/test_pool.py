"""The order of starts, the room for jobs of several ranks, the words of the display."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from aetl.multirun.apart import Apart, forget, run, write_work
from aetl.multirun.backend import Processes
from aetl.multirun.job import EXIT_CODES, Outcome, Surroundings, Work, work
from aetl.multirun.manifest import JobEntry, Manifest, counts, names_of
from aetl.multirun.pool import Pool, spread
from aetl.multirun.progress import Lines, Live, duration, line_of


def entry(number: int, **values: object) -> JobEntry:
    given = {
        "number": number, "name": f"seed={number}", "folder": str(number), "overrides": [],
        "threads": 1, "ranks": 1, "on_gpu": True, "shares": str(number),
    }  # fmt: skip
    return JobEntry(**(given | values))  # type: ignore[arg-type]


class Started(Pool):
    """A pool of four cores whose jobs are started on paper only."""

    def __init__(self, folder: Path, at_once: int | None, gpus: tuple[str, ...] = ()) -> None:
        manifest = Manifest(folder, [], "", [], "", at_once, 0, "")
        super().__init__(manifest, Processes(None), gpus, Lines(0))  # type: ignore[arg-type]
        self._cores = 4

    def fill(self, jobs: list[JobEntry]) -> list[int]:
        """The numbers of the jobs that run when as many as possible have been started."""
        waiting = list(jobs)
        while job := self._next(waiting):
            waiting.remove(job)
            self._running.append(type("Running", (), {"job": job})())  # type: ignore[arg-type]
        return [running.job.number for running in self._running]


def test_the_first_jobs_of_every_pretraining_start_first() -> None:
    jobs = [entry(i, shares="aaabb"[i]) for i in range(5)]
    assert [job.number for job in spread(jobs)] == [0, 3, 1, 4, 2]


def test_jobs_share_the_cores_by_their_threads_and_ranks(tmp_path: Path) -> None:
    assert Started(tmp_path, None).fill([entry(i) for i in range(6)]) == [0, 1, 2, 3]
    assert Started(tmp_path, None).fill([entry(i, threads=2) for i in range(6)]) == [0, 1]
    assert Started(tmp_path, None).fill([entry(i, ranks=2) for i in range(6)]) == [0, 1]
    assert Started(tmp_path, 3).fill([entry(i, ranks=2) for i in range(6)]) == [0, 1, 2]


def test_a_job_larger_than_the_machine_runs_alone(tmp_path: Path) -> None:
    assert Started(tmp_path, None).fill([entry(i, threads=16) for i in range(3)]) == [0]


def test_a_job_of_several_ranks_does_not_hold_up_the_others(tmp_path: Path) -> None:
    jobs = [entry(0), entry(1, ranks=4), entry(2), entry(3)]
    assert Started(tmp_path, None).fill(jobs) == [0, 2, 3]


def test_gpus_go_to_those_who_have_the_fewest_jobs(tmp_path: Path) -> None:
    pool = Started(tmp_path, None, gpus=("0", "1", "2"))
    taken = [pool._take_gpus(entry(i, ranks=ranks)) for i, ranks in enumerate((1, 2, 2, 1))]
    assert taken == [("0",), ("1", "2"), ("0", "1"), ("2",)]
    assert pool._take_gpus(entry(4, on_gpu=False)) == ()


def test_a_jobs_name_is_what_differs() -> None:
    groups = {"transfer", "dataset@source"}
    jobs = [
        ["logger=none", "seed=0", "target.budget=20", "transfer=control/scratch"],
        ["logger=none", "seed=0", "target.budget=20", "transfer=[instance/kmm,feature/coral]"],
        ["logger=none", "seed=1", "target.budget=20", "transfer=control/scratch"],
    ]
    assert names_of(jobs, groups) == [
        "control/scratch seed=0",
        "[instance/kmm,feature/coral] seed=0",
        "control/scratch seed=1",
    ]
    assert names_of(jobs[:1], groups) == ["control/scratch logger=none seed=0 budget=20"]


def test_a_line_says_how_a_job_ended() -> None:
    done = entry(2, name="parameter/finetune budget=100 seed=2", state="done", seconds=3.21)
    done.metric, done.score = "accuracy", 0.8125
    assert line_of(done) == "ok  parameter/finetune budget=100 seed=2  accuracy 0.8125  3.2 s"
    failed = entry(1, state="failed", error="ValueError: no luck", seconds=75.0)
    assert line_of(failed) == "failed  seed=1  ValueError: no luck  1 min"


@pytest.mark.parametrize(
    "seconds, text", [(3.21, "3.2 s"), (150, "2 min"), (3600, "1 h 0 min"), (8100, "2 h 15 min")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_live_line_counts_failures_and_names_what_runs(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    clock = [100.0]
    monkeypatch.setattr("aetl.multirun.progress.time.monotonic", lambda: clock[0])
    live = Live(6)
    try:
        for number in (0, 1, 2):
            live.started(entry(number))
        assert str(live._line()).startswith("0/6  0 failed  eta ?  seed=0 · seed=1 · seed=2")
        clock[0] += 20
        live.ended(entry(0, state="done"))
        live.ended(entry(1, state="failed", error="ValueError: no luck"))
        live.ended(entry(2, state="waiting", error="ValueError: again"))
        assert str(live._line()).startswith("2/6  1 failed  eta 40 s")
        live.started(entry(3))
        clock[0] += 7
        assert "eta 33 s" in str(live._line())
        clock[0] += 70  # what runs takes longer than the others: the three after it are left
        assert "eta 30 s" in str(live._line())
    finally:
        live.close()
    assert "ValueError: no luck" in capfd.readouterr().err


def test_counts_name_every_state() -> None:
    assert counts([entry(0), entry(1, state="done"), entry(2, state="done")]) == {
        "waiting": 1, "running": 0, "done": 2, "pruned": 0, "refused": 0, "failed": 0,
        "interrupted": 0,
    }  # fmt: skip


def test_a_manifest_survives_the_way_to_the_disk(tmp_path: Path) -> None:
    jobs = [entry(0, state="done", score=0.1, metric="accuracy"), entry(1, overrides=["a=b"])]
    manifest = Manifest(tmp_path, ["aetl", "-m"], "/", ["/x"], "m:f", None, 2, "now", jobs=jobs)
    manifest.save()
    assert Manifest.load(tmp_path) == manifest


def test_a_job_that_is_asked_to_stop_before_it_hears_signals_does_nothing(tmp_path: Path) -> None:
    """As one that was being started when Ctrl-C came: its signal is lost."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    here.send("stop")
    task = "tests.multirun.test_pool:no_task"
    what = Work(task, tmp_path, 1, 1, (), Surroundings({}, str(tmp_path), ["aetl"]))
    process = context.Process(target=work, args=(what, there))
    process.start()
    process.join(60)
    assert process.exitcode == EXIT_CODES["interrupted"]
    assert here.recv() == Outcome("interrupted", error="stopped by SIGINT")


class Coming(Apart):
    """A job of another launcher, whose process is not there yet."""

    def alive(self) -> bool:
        return True


def test_a_job_that_is_asked_to_stop_before_its_process_is_there_does_nothing(
    tmp_path: Path,
) -> None:
    Coming(tmp_path).tell()
    what = Work("tests.multirun.test_pool:no_task", tmp_path, 1, 1, (), Surroundings.here())
    process = multiprocessing.get_context("fork").Process(target=run, args=(write_work(what),))
    process.start()
    process.join(60)
    assert Coming(tmp_path).end().outcome == Outcome("interrupted", error="stopped by SIGINT")
    forget(tmp_path)
    assert not Coming(tmp_path).ended()
    assert [path.name for path in tmp_path.glob("stop")] == []
