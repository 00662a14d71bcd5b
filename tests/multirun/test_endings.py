"""A signal that ends a run or a sweep: exit code, one line that says how to go on, nobody left."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aetl.cli import main
from aetl.comparison.run import ALIVE, read_run
from aetl.files import read_json, sealed, write_json
from aetl.multirun import prepare
from aetl.multirun.manifest import Manifest
from tests.multirun.test_recovery import TINY, fault, start, wait_for

MARK = "AETL_TEST_MARK"
CONTINUES = "the same command continues from its last checkpoint"


def of_the_test(mark: str) -> list[int]:
    """All living processes that have the test's mark in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if f"{MARK}={mark}".encode() in environment.split(b"\0") and state != "Z":
            found.append(int(folder.name))
    return found


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    yield str(tmp_path)
    for pid in of_the_test(str(tmp_path)):
        os.kill(pid, signal.SIGKILL)


def workers_check(mark: str) -> Callable[[], bool]:
    return lambda: len(of_the_test(mark)) >= 4  # launcher, tracker, fork server, a worker


@pytest.mark.slow
@pytest.mark.parametrize("number, code, word", [
    (signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "ended by SIGTERM"),
    (signal.SIGHUP, 129, "ended by SIGHUP"),
])  # fmt: skip
@pytest.mark.parametrize("when", ["checking", "running"])
def test_a_signal_to_the_launcher_alone_ends_its_processes(
    when: str, number: int, code: int, word: str, mark: str, tmp_path: Path
) -> None:
    folder, flags = tmp_path / "sweep", tmp_path / "flags"
    many = "seed=range(400)" if when == "checking" else "seed=0,1,2"
    launcher = start("-m", *TINY, fault(flags, "transfer", s1="hang"), many,
                     f"hydra.sweep.dir={folder}", "hydra.launcher.jobs=1",
                     f"output_dir={tmp_path}/out", **{MARK: mark})  # fmt: skip
    wait_for(workers_check(mark) if when == "checking" else (flags / "hang-1").exists)
    launcher.send_signal(number)
    _, errors = launcher.communicate(timeout=60)
    last = errors.strip().splitlines()[-1]
    assert launcher.returncode == code, errors
    if when == "checking":
        assert last == f"aetl: {word} while the jobs were checked; none was started"
        assert not folder.exists()
    else:
        assert last == f"aetl: {word}; 1 of 3 jobs done; aetl sweep resume {folder}"
        assert [j.state for j in Manifest.load(folder).jobs] == ["done", "interrupted", "waiting"]
    wait_for(lambda: not of_the_test(mark), seconds=20)


@pytest.mark.slow
def test_a_launcher_that_is_killed_while_it_checks_leaves_nobody(mark: str, tmp_path: Path) -> None:
    launcher = start("-m", *TINY, "seed=range(400)", f"hydra.sweep.dir={tmp_path}/sweep",
                     f"output_dir={tmp_path}/out", **{MARK: mark})  # fmt: skip
    wait_for(workers_check(mark))
    launcher.kill()
    launcher.communicate()
    wait_for(lambda: not of_the_test(mark), seconds=20)


ENDS = [
    (signal.SIGINT, 130, "interrupted", "interrupted"),
    (signal.SIGTERM, 143, "ended by SIGTERM", "interrupted"),
    (signal.SIGHUP, 129, "ended by SIGHUP", "interrupted"),
    (signal.SIGKILL, -9, None, "killed"),
]


# By default runs are killed in tests/fault, and go on to the same bits.
@pytest.mark.slow
@pytest.mark.parametrize("number, code, word, status", ENDS)
def test_a_run_that_a_signal_ends_says_how_to_go_on_and_what_it_was(
    number: int, code: int, word: str | None, status: str, tmp_path: Path
) -> None:
    flags = tmp_path / "flags"
    run = start(*TINY, fault(flags, "pretrain", s0="pause"), f"output_dir={tmp_path}/out")
    wait_for((flags / "pause-0").exists)
    (record,) = tmp_path.glob("out/2*/*/run.json")
    assert read_run(record.parent).status == "running"
    run.send_signal(number)
    _, errors = run.communicate(timeout=60)
    first, *rest = errors.strip().splitlines()
    assert first == "aetl: starting"
    assert rest == ([f"aetl: {word}; {CONTINUES}"] if word else [])
    assert run.returncode == code
    assert read_run(record.parent).status == status


@pytest.mark.usefixtures("pages")
def test_done_is_written_after_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is killed while it draws has not said that it is done."""
    from aetl.report import page

    seen: list[tuple[str, bool]] = []
    write = page.write_text

    def watched(path: Path, text: str) -> None:
        write(path, text)
        seen.append((read_json(path.parent / "run.json")["status"], "done" in text))

    monkeypatch.setattr(page, "write_text", watched)
    assert main([*TINY, f"output_dir={tmp_path}/out", f"hydra.run.dir={tmp_path}/run"]) == 0
    assert seen == [("running", True)]
    assert read_json(tmp_path / "run" / "run.json")["status"] == "done"


def test_a_run_of_an_older_version_without_a_lock_is_believed(tmp_path: Path) -> None:
    assert main([*TINY, f"output_dir={tmp_path}/out", f"hydra.run.dir={tmp_path}/run"]) == 0
    record = tmp_path / "run" / "run.json"
    write_json(record, sealed(read_json(record) | {"status": "running"}))
    (record.parent / ALIVE).touch()
    assert read_run(record.parent).status == "killed"
    (record.parent / ALIVE).unlink()
    assert read_run(record.parent).status == "running"


def test_a_signal_is_heard_once_all_workers_are_known(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """One that was just being started would be left behind, and complain on the terminal."""
    seen = []

    class Pool:
        def __init__(self, *_: object, **__: object) -> None: ...
        def __enter__(self) -> Pool:
            return self

        def __exit__(self, *_: object) -> None:
            seen.append("ended")

        def map(self, *_: object) -> Iterator[object]:
            os.kill(os.getpid(), signal.SIGINT)
            seen.append("started")
            return iter(())

        def shutdown(self, **_: object) -> None: ...

    monkeypatch.setattr(prepare, "ProcessPoolExecutor", Pool)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # pytest-xdist ignores it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare(None, ["job"], [["seed=0"]], 0, None)  # type: ignore[arg-type]
    assert seen == ["started", "ended"]
