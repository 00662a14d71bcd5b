"""A server that is not there, or goes away: nothing is lost, and the run says how to upload it."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.tracking.client import TINY, aetl_run, environment, wandb_run
from tests.tracking.server import Server, wait_until


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.mark.slow
def test_a_run_whose_server_goes_away_ends_in_time_and_is_uploaded_later(
    server: Server, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        ["aetl", *TINY, "logger.wandb.patience=3"],
        cwd=tmp_path, env=environment(server, tmp_path), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert wait_until(lambda: server.runs, 120)
    server.stop()
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 0
    (file,) = tmp_path.glob("outputs/2*/*/run.json")
    record = json.loads(file.read_text())
    assert record["status"] == "done"
    (line,) = [line for line in errors.splitlines() if "wandb sync --include-online" in line]
    folder = line.rpartition(" ")[2]
    later = Server()
    wandb_run(later, tmp_path, "sync", "--include-online", folder)
    (seen,) = later.runs.values()
    assert seen.id in server.runs
    assert seen.state == "finished"
    assert seen.summary["evaluate/test/accuracy"] == record["scores"]["accuracy"]
    later.stop()


@pytest.mark.slow
def test_a_run_that_never_finds_its_server_is_logged_offline(
    server: Server, tmp_path: Path
) -> None:
    server.stop()
    start = time.monotonic()
    record = aetl_run(server, tmp_path, "logger.wandb.patience=3")
    assert record["status"] == "done"
    assert "this run is logged offline" in record["stderr"]
    assert time.monotonic() - start < 120
    (folder,) = (tmp_path / "outputs" / "wandb").glob("offline-run-*")
    assert str(folder) == json.loads((record["folder"] / "wandb.json").read_text())["files"]
