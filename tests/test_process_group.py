"""Whatever happens to one process of a run: all end, one line says why, nobody is left alive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl

import aetl
from aetl import ranks
from aetl.files import read_json
from aetl.types import DoesNotFit
from tests.fault.harness import do
from tests.tiny import MLP, SMALL

GRACE = 4.0
RUN = [
    *SMALL, *MLP, "trainer=ddp", "trainer.accelerator=cpu", "pretrain.max_steps=9999",
    "pretrain.min_steps=9999", "callback.progress=null",
    f"ranks.grace={GRACE}", "+callback.linger._target_=tests.test_process_group.Linger",
]  # fmt: skip


class Linger(pl.Callback):
    """Says where each rank is; rank ``AETL_TEST_RANK`` fails as ``AETL_TEST_FAULT`` says."""

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == 3:
            (Path(trainer.default_root_dir) / f"rank{ranks.rank()}.pid").write_text(
                str(os.getpid())
            )
        time.sleep(0.02)
        if trainer.global_step == 6 and os.environ.get("AETL_TEST_RANK") == str(ranks.rank()):
            fault(os.environ["AETL_TEST_FAULT"])


def fault(name: str) -> None:
    if name == "refuse":
        raise DoesNotFit("a part does not fit")
    if name == "raise":
        raise RuntimeError("a fault")
    if name == "exit":
        os._exit(3)
    if name == "hang":  # deaf to everything: neither a signal's handler nor a broken call
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        time.sleep(600)


class Started:
    """A run of two processes, both in the middle of pretraining."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        root = str(Path(aetl.__file__).parents[1])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "aetl.cli", *RUN, f"output_dir={folder}"],
            env=os.environ | {"PYTHONPATH": root} | environment, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self.pids: list[int] = []

    def wait_for_ranks(self) -> None:
        end = time.monotonic() + 120
        while len(found := sorted(self.folder.glob("store/*/rank?.pid"))) < 2:
            assert time.monotonic() < end, "waited in vain"
            assert self.process.poll() is None, "it ended"
            time.sleep(0.1)
        time.sleep(0.2)
        self.pids = [int(file.read_text()) for file in found]

    def end(self) -> tuple[int, list[str], dict[str, Any], float]:
        """The exit code, the lines on stderr, the record, and how long that took."""
        start = time.monotonic()
        _, errors = self.process.communicate(timeout=60)
        (record,) = (read_json(file) for file in self.folder.glob("2*/*/run.json"))
        seconds = time.monotonic() - start
        while any(map(is_alive, self.pids)) and time.monotonic() - start < 60:
            time.sleep(0.1)
        assert not any(map(is_alive, self.pids)), "a rank is left"
        lines = [line for line in errors.strip().splitlines() if line != "aetl: starting"]
        return self.process.returncode, lines, record, seconds


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Any]:
    made: list[Started] = []

    def start(**environment: str) -> Started:
        made.append(Started(tmp_path, **environment))
        return made[-1]

    yield start
    for one in made:
        for pid in {*one.pids, one.process.pid}:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


CONTINUES = "the same command continues from its last checkpoint"
SIGNALS = [
    # to which rank, what it is sent, the exit code, what is said, the state
    (0, signal.SIGINT, 130, f"aetl: interrupted; {CONTINUES}", "interrupted"),
    (1, signal.SIGINT, 130, f"aetl: interrupted; {CONTINUES}", "interrupted"),
    (0, signal.SIGTERM, 143, f"aetl: ended by SIGTERM; {CONTINUES}", "interrupted"),
    (1, signal.SIGTERM, 143, f"aetl: ended by SIGTERM; {CONTINUES}", "interrupted"),
    (1, signal.SIGKILL, 1,
     f"aetl: rank 1 was killed by SIGKILL (out of memory?); {CONTINUES}", "failed"),
    (0, signal.SIGSTOP, 1, f"aetl: rank 0 was stopped for 4 s; {CONTINUES}", "failed"),
    (1, signal.SIGSTOP, 1, f"aetl: rank 1 was stopped for 4 s; {CONTINUES}", "failed"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("rank, number, code, line, status", SIGNALS)
def test_a_signal_to_one_rank_ends_all(
    rank: int, number: int, code: int, line: str, status: str, started: Any
) -> None:
    run = started()
    run.wait_for_ranks()
    os.kill(run.pids[rank], number)
    found, lines, record, seconds = run.end()
    assert lines == [line]
    assert (found, record["status"]) == (code, status)
    assert seconds < 5 * GRACE


@pytest.mark.slow
def test_without_rank_0_the_others_end_and_one_of_them_says_so(started: Any) -> None:
    run = started()
    run.wait_for_ranks()
    os.kill(run.pids[0], signal.SIGKILL)
    code, lines, _, _ = run.end()
    line = f"aetl: rank 0 ended without a word (killed? out of memory?); {CONTINUES}"
    assert (code, lines) == (-signal.SIGKILL, [line])


@pytest.mark.slow
def test_ctrl_c_at_a_terminal_reaches_all_ranks_at_once_and_is_told_once(started: Any) -> None:
    run = started()
    run.wait_for_ranks()
    os.killpg(run.process.pid, signal.SIGINT)
    code, lines, record, _ = run.end()
    assert (code, lines) == (130, [f"aetl: interrupted; {CONTINUES}"])
    assert record["status"] == "interrupted"


@pytest.mark.slow
def test_a_run_that_is_stopped_as_a_whole_goes_on(started: Any) -> None:
    run = started()
    run.wait_for_ranks()
    os.killpg(run.process.pid, signal.SIGSTOP)
    time.sleep(2 * GRACE)
    os.killpg(run.process.pid, signal.SIGCONT)
    time.sleep(2 * GRACE)
    assert run.process.poll() is None
    assert all(map(is_alive, run.pids))
    os.kill(run.pids[0], signal.SIGTERM)
    assert run.end()[0] == 143


FAULTS = [
    (0, "refuse", 2, "aetl: a part does not fit", "refused", "DoesNotFit: a part does not fit"),
    (1, "refuse", 2, "aetl: a part does not fit", "refused", "DoesNotFit: a part does not fit"),
    (0, "raise", 1, "aetl: RuntimeError: a fault (--debug shows where)", "failed",
     "RuntimeError: a fault"),
    (1, "raise", 1, "aetl: RuntimeError: a fault (see {log})", "failed", "RuntimeError: a fault"),
    (1, "exit", 1, f"aetl: rank 1 ended with exit code 3 (see {{log}}); {CONTINUES}", "failed",
     "RankFailed: rank 1 ended with exit code 3 (see {log})"),
]  # fmt: skip


@pytest.mark.parametrize(
    "rank, name, code, line, status, error",
    # One of them always: the child's mistake, which left the parent waiting for ever.
    [pytest.param(*f, marks=[pytest.mark.slow] if f[:2] != (1, "refuse") else []) for f in FAULTS],
)
def test_an_error_of_one_rank_ends_all_and_is_told_as_if_it_were_the_only_one(
    rank: int, name: str, code: int, line: str, status: str, error: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("AETL_TEST_RANK", str(rank))
    monkeypatch.setenv("AETL_TEST_FAULT", name)
    end = do(RUN, tmp_path / "run")
    (log,) = (tmp_path / "run").glob("2*/*/rank1.log")
    assert end.said.splitlines() == [line.format(log=log)]
    record = read_json(log.with_name("run.json"))
    found = (end.code, record["status"], record["error"])
    assert found == (code, status, error.format(log=log))


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_hears_nothing_is_ended_all_the_same(rank: int, started: Any) -> None:
    run = started(AETL_TEST_RANK=str(rank), AETL_TEST_FAULT="hang")
    run.wait_for_ranks()
    time.sleep(2)
    os.kill(run.pids[1 - rank], signal.SIGTERM)
    code, lines, record, seconds = run.end()
    assert (code, lines) == (143, [f"aetl: ended by SIGTERM; {CONTINUES}"])
    assert record["status"] == "interrupted"
    assert seconds < 5 * GRACE
