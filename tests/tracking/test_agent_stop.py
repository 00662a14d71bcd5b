"""How an agent stops a run early (Hyperband): SIGTERM, upon which the run ends as interrupted."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.tracking.client import TINY, environment
from tests.tracking.offline import read
from tests.tracking.server import Server, wait_until


@pytest.mark.slow
def test_a_run_that_its_agent_stops_is_marked_interrupted(tmp_path: Path) -> None:
    server = Server()
    fault = (
        "{_target_:tests.multirun.fault.Fault,kinds:{s0:hang},"
        f"flags:{tmp_path},stage:transfer,at:3}}"
    )
    own = environment(server, tmp_path) | {"WANDB_MODE": "offline", "WANDB_SWEEP_ID": "s"}
    process = subprocess.Popen(
        ["aetl", *TINY, f"+callback.fault={fault}"],
        cwd=tmp_path, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert wait_until((tmp_path / "hang-0").exists, 200)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    server.stop()
    assert process.returncode > 0, errors  # Lightning ends Ctrl-C with SystemExit(1)
    (file,) = tmp_path.glob("outputs/2*/*/run.json")
    assert json.loads(file.read_text())["status"] == "interrupted"
    (folder,) = (tmp_path / "outputs" / "wandb").glob("offline-run-*")
    assert read(folder)["exit"] == 255
