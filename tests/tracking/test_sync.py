"""Several runs of one process or one folder: offline and synced later, or cut off and resumed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tracking.client import TINY, run, wandb_run
from tests.tracking.server import OnlineRun, Server


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.mark.slow
def test_each_job_of_a_multirun_is_synced_as_its_own_run_that_ended_as_it_did(
    server: Server, tmp_path: Path
) -> None:
    """With hydra's basic launcher all jobs share a process, and the client's run would be shared,
    too; a job that raised would be shown as finished."""
    (tmp_path / "broken.pt").write_bytes(b"no weights")
    jobs = f"checkpoint={tmp_path}/broken.pt,null"
    done = run(server, tmp_path, "aetl", "-m", "hydra/launcher=basic", *TINY, jobs,
               WANDB_MODE="offline")  # fmt: skip
    assert done.returncode != 0
    assert server.runs == {}
    folders = [str(p) for p in (tmp_path / "outputs" / "wandb").glob("offline-run-*")]
    wandb_run(server, tmp_path, "sync", *folders)
    by_state = {seen.state: seen for seen in server.runs.values()}
    assert by_state.keys() == {"failed", "finished"}
    assert by_state["failed"].config["checkpoint"] == f"{tmp_path}/broken.pt"
    (file,) = [
        path
        for path in (tmp_path / "outputs").glob("2*/*/*/run.json")
        if json.loads(path.read_text())["status"] == "done"
    ]
    score = json.loads(file.read_text())["scores"]["accuracy"]
    assert by_state["finished"].summary["evaluate/test/accuracy"] == score
    assert "evaluate/test/accuracy" not in by_state["failed"].summary


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["online", "offline"])
def test_a_job_that_was_killed_goes_on_in_its_run(
    mode: str, server: Server, tmp_path: Path
) -> None:
    fault = [
        "+callback.fault._target_=tests.multirun.fault.Fault", "+callback.fault.kinds={s0:kill}",
        f"+callback.fault.flags={tmp_path}", "+callback.fault.stage=transfer",
        "+callback.fault.at=25", "callback.resume_point.every_n_steps=10",
    ]  # fmt: skip
    sweep = f"hydra.sweep.dir={tmp_path}/sweep"
    done = run(server, tmp_path, "aetl", "-m", *TINY, *fault, "seed=0", sweep, WANDB_MODE=mode)
    assert done.returncode == 1
    place = json.loads((tmp_path / "sweep" / "0" / "wandb.json").read_text())
    again = ["resume", "sweep", "--trust", "tests.multirun.fault.Fault"]
    done = run(server, tmp_path, "aetl", "sweep", *again, WANDB_MODE=mode)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "sweep" / "0" / "wandb.json").read_text())["id"] == place["id"]
    if mode == "offline":
        (cut_off,) = (tmp_path / "outputs" / "wandb").glob("cut-off-run-*")
        assert cut_off.name.endswith(place["id"])
        (folder,) = (tmp_path / "outputs" / "wandb").glob(f"offline-run-*-{place['id']}")
        wandb_run(server, tmp_path, "sync", str(folder))
    (seen,) = (seen for seen in server.runs.values() if "verdicts_of" not in seen.config)
    assert seen.id == place["id"]
    assert seen.state == "finished"
    assert steps(seen) == sorted(set(steps(seen)))  # no part of the past came twice
    assert steps(seen)[-1] == 40
    record = json.loads((tmp_path / "sweep" / "0" / "run.json").read_text())
    assert seen.summary["evaluate/test/accuracy"] == record["scores"]["accuracy"]


def steps(seen: OnlineRun) -> list[int]:
    """The steps of the transfer's training loss in the order in which they were logged."""
    return [row["transfer/step"] for row in seen.history if "transfer/train/loss" in row]
