"""Ranks that torchrun or srun has started: who they are, one run of all, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import aetl
from aetl.files import read_json
from aetl.launched import Launched, NotAsLaunched, devices_of, launched_by
from tests.test_process_group import CONTINUES, RUN, is_alive
from tests.tiny import MLP, SMALL

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none", "RANK": "5", "WORLD_SIZE": "6", "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "2", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500",
}  # fmt: skip
SRUN = {
    "SLURM_STEP_NUM_TASKS": "6", "SLURM_STEP_NUM_NODES": "3", "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1", "SLURM_NODEID": "2", "SLURM_STEP_NODELIST": "gpu[07-09]",
    "SLURM_JOB_ID": "123456",
}  # fmt: skip


def test_who_a_process_is_by_torchrun() -> None:
    assert launched_by(TORCHRUN) == Launched("torchrun", 5, 6, 1, 2, 2, "10.0.0.1", 29500)


def test_who_a_process_is_by_srun() -> None:
    """The first node of the step keeps the store, at Lightning's port for the job's number."""
    assert launched_by(SRUN) == Launched("srun", 5, 6, 1, 2, 2, "gpu07", 15000 + 3456)
    named = launched_by(SRUN | {"MASTER_ADDR": "10.0.0.7", "MASTER_PORT": "1234"})
    assert named is not None
    assert (named.address, named.port) == ("10.0.0.7", 1234)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"},  # a batch script or salloc, without srun
        SRUN | {"SLURM_STEP_NUM_TASKS": "1"},
        TORCHRUN | {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"},
    ],
)
def test_a_process_that_is_alone_was_not_launched(environment: Mapping[str, str]) -> None:
    assert launched_by(environment) is None


def test_tasks_that_nodes_cannot_share_evenly_are_refused() -> None:
    with pytest.raises(NotAsLaunched, match="5 tasks on 3 nodes"):
        launched_by(SRUN | {"SLURM_STEP_NUM_TASKS": "5"})


def test_the_config_may_not_say_other_numbers() -> None:
    me = launched_by(TORCHRUN)
    assert me is not None
    me.refuse_other_sizes(2, 3)
    me.refuse_other_sizes(None, 1)  # auto
    with pytest.raises(NotAsLaunched, match="2 processes on each of 3 nodes"):
        me.refuse_other_sizes(2, 1)
    with pytest.raises(NotAsLaunched, match="trainer.devices=6"):
        replace(me, by="srun").refuse_other_sizes(6, 1)


def test_how_many_processes_the_config_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    asked = [(2, "cpu"), ([0, 2], "gpu"), ("auto", "auto"), (-1, "gpu"), ("auto", "cpu")]
    found = [devices_of({"devices": n, "accelerator": where}) for n, where in asked]
    assert found == [2, 2, 4, 4, 1]


def said(errors: str) -> list[str]:
    """The lines on stderr but for the first sign of life."""
    return [line for line in errors.splitlines() if line != "aetl: starting"]


class Nodes:
    """A run whose two ranks were started apart, as srun does it on two nodes."""

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        self.folder = folder
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        shared = {
            "PYTHONPATH": str(Path(aetl.__file__).parents[1]), "SLURM_STEP_NUM_TASKS": "2",
            "SLURM_NTASKS": "2", "SLURM_JOB_NAME": "train", "SLURM_STEP_NUM_NODES": "2",
            "SLURM_LOCALID": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        }  # fmt: skip
        self.ranks = [
            subprocess.Popen(
                [sys.executable, "-m", "aetl.cli", *arguments, f"output_dir={folder}"],
                env=os.environ | shared | {"SLURM_PROCID": str(rank), "SLURM_NODEID": str(rank)},
                text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            )
            for rank in range(2)
        ]  # fmt: skip

    def wait_for_ranks(self) -> None:
        end = time.monotonic() + 240
        while len(list(self.folder.glob("store/*/rank?.pid"))) < 2:
            assert time.monotonic() < end, "waited in vain"
            assert all(one.poll() is None for one in self.ranks), "one ended"
            time.sleep(0.1)

    def end(self) -> list[tuple[int, list[str]]]:
        """Each rank's exit code and lines on stderr."""
        found = []
        for one in self.ranks:
            _, errors = one.communicate(timeout=120)
            found.append((one.returncode, said(errors)))
        return found

    @property
    def record(self) -> dict[str, Any]:
        (record,) = (read_json(file) for file in self.folder.glob("2*/*/run.json"))
        return dict(record)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Any]:
    made: list[Nodes] = []

    def start(*arguments: str) -> Nodes:
        made.append(Nodes(tmp_path, list(arguments)))
        return made[-1]

    yield start
    for one in made:
        for process in one.ranks:
            if is_alive(process.pid):
                process.kill()
            process.wait()


SHORT = [*SMALL, *MLP, "trainer=ddp", "trainer.accelerator=cpu"]


@pytest.mark.slow
def test_a_run_of_two_nodes_is_one_run_with_the_scores_of_two_processes(
    nodes: Any, tmp_path: Path
) -> None:
    run = nodes(*SHORT, "trainer.devices=1", "trainer.num_nodes=2")
    assert [code for code, _ in run.end()] == [0, 0]
    record = run.record
    subprocess.run(
        [sys.executable, "-m", "aetl.cli", *SHORT, f"output_dir={tmp_path / 'own'}"],
        env=os.environ | {"PYTHONPATH": str(Path(aetl.__file__).parents[1])},
        check=True, capture_output=True,
    )  # fmt: skip
    (own,) = (read_json(file) for file in (tmp_path / "own").glob("2*/*/run.json"))
    assert record["status"] == own["status"] == "done"
    assert (record["scores"], record["twin"]) == (own["scores"], own["twin"])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_of_another_node_that_dies_or_stops_ends_the_run_with_a_line(
    rank: int, number: int, nodes: Any
) -> None:
    run = nodes(*RUN, "trainer.devices=auto", "ranks.grace=12")
    run.wait_for_ranks()
    start = time.monotonic()
    os.kill(run.ranks[rank].pid, number)
    other = run.ranks[1 - rank]
    _, errors = other.communicate(timeout=60)
    code, lines = other.returncode, said(errors)
    assert time.monotonic() - start < 60
    assert code == 1
    assert len(lines) == 1
    assert lines[0].endswith(CONTINUES)
    assert f"rank {rank} " in lines[0]
    if rank:
        assert run.record["status"] == "failed"
        assert "rank1.log" in lines[0]


@pytest.mark.slow
def test_a_signal_to_one_node_ends_all_and_a_mistake_is_told_once(nodes: Any) -> None:
    run = nodes(*RUN, "trainer.devices=auto", "ranks.grace=12")
    run.wait_for_ranks()
    os.kill(run.ranks[1].pid, signal.SIGTERM)
    assert run.end() == [(143, [f"aetl: ended by SIGTERM; {CONTINUES}"]), (143, [])]


@pytest.mark.slow
def test_sizes_and_sweeps_that_do_not_fit_are_refused(nodes: Any) -> None:
    (first, second) = nodes(*SHORT, "trainer.devices=2").end()
    assert first[0] == 2
    assert "srun has started 1 processes on each of 2 nodes" in first[1][0]
    assert second[0] == 2
    assert "rank 0 has ended before it began" in second[1][0]
    (first, second) = nodes(*SHORT, "-m", "trainer.devices=auto", "seed=0,1").end()
    assert first == (2, ["aetl: -m: srun starts the processes of one run; sweep without it"])
    assert second[0] == 2
