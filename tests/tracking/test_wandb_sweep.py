"""``wandb sweep`` and ``wandb agent`` with the project's own definitions, on loopback."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.tracking.client import TINY, wandb_run
from tests.tracking.server import Server
from tests.tracking.test_sweeps import FOLDER


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_agent_does_a_sweeps_runs_and_resumes_one(server: Server, tmp_path: Path) -> None:
    """A definition of ours, cut down to two tiny runs, the first of which is then resumed."""
    sweep = yaml.safe_load((FOLDER / "parameter_bayes.yaml").read_text())
    sweep["command"][-1:] = [*TINY, "selector.fraction=0.25", "${args}"]  # as --key=value
    sweep["parameters"] = {
        "autoencoder": {"values": ["denoising", "vae"]},
        "finetune.lr": {"values": [0.003]},
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(sweep))
    made = wandb_run(server, tmp_path, "sweep", "small.yaml")
    (name,) = re.findall(r"wandb agent (\S+)", made.stdout + made.stderr)
    (known,) = server.sweeps.values()
    known.resumes = True
    wandb_run(server, tmp_path, "agent", name)
    server.stop()
    assert server.unknown == []
    seen = [server.runs[run] for run in known.started]
    records = [
        json.loads((path.parent / "run.json").read_text())
        | {"id": json.loads(path.read_text())["id"]}
        for path in sorted((tmp_path / "outputs").glob("2*/*/wandb.json"))
    ]
    assert [record["status"] for record in records] == ["done"] * 3
    by_id = {record["id"]: record for record in records}  # of the resumed run the later record
    assert by_id.keys() == set(known.started)
    first, second = seen
    assert (first.state, second.state) == ("finished", "finished")
    assert [run.config["autoencoder"] for run in seen] == ["denoising", "vae"]
    assert [by_id[run.id]["autoencoder"] for run in seen] == ["denoising", "vae"]
    for run in seen:
        assert run.config["finetune.lr"] == 0.003  # where the sweep's search looks for it
        assert "lr" not in run.config["finetune"]  # and not a second time
        assert run.config["chosen"]["autoencoder"]["_target_"].startswith("aetl.autoencoder.")
        assert run.config["aetl"]["transfer"] == "parameter/l2_sp"
        optimised = [row[sweep["metric"]["name"]] for row in run.history
                     if sweep["metric"]["name"] in row]  # fmt: skip
        assert len(optimised) == 2  # two epochs: what Hyperband counts
    of_first = [record for record in records if record["id"] == first.id]
    assert len(of_first) == 2  # the run and its resumption, in folders of their own
    assert of_first[0]["scores"] == of_first[1]["scores"]
    assert of_first[0]["settings"] == of_first[1]["settings"]
