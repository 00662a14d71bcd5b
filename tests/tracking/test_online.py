"""Online runs, by the real client to a stand-in server on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.tracking.client import TINY, run
from tests.tracking.server import OnlineRun, Server

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class World:
    server: Server
    folder: Path
    records: list[dict[str, Any]]

    def runs(self) -> list[OnlineRun]:
        return [self.server.runs[_id(record)] for record in self.records]


def _id(record: dict[str, Any]) -> str:
    return str(json.loads((record["folder"] / "wandb.json").read_text())["id"])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A multirun of two jobs, the second of which finds its pretraining in the store."""
    server, folder = Server(), tmp_path_factory.mktemp("online")
    swept = ("finetune.lr=1e-3,3e-3", "tags=[mine]", "selector=target_validation")
    one_by_one = ("hydra.sweep.dir=outputs/sweep", "hydra.launcher.jobs=1")
    done = run(server, folder, "aetl", "-m", *TINY, *swept, *one_by_one)
    assert done.returncode == 0, done.stderr
    assert server.unknown == []
    jobs = [folder / "outputs" / "sweep" / str(number) for number in (0, 1)]
    records = [json.loads((job / "run.json").read_text()) | {"folder": job} for job in jobs]
    yield World(server, folder, records)
    server.stop()


def test_what_a_run_is_and_comes_to_arrives(world: World) -> None:
    for seen, record in zip(world.runs(), world.records, strict=True):
        assert seen.state == "finished"
        assert seen.fields["groupName"] == seen.config["aetl"]["sweep"] == "sweep"
        assert seen.config["aetl"]["pretraining"] == record["parents"]["pretrain"]
        assert seen.fields["jobType"] == "parameter/finetune"
        tags = {record["source"], record["target"], "mine", "sweep"}
        assert {tag[:64] for tag in tags} == set(seen.fields["tags"])
        for kind, part in (("scores", "test"), ("twin", "twin"), ("gain", "gain")):
            for name, value in record[kind].items():
                assert seen.summary[f"evaluate/{part}/{name}"] == value
        assert seen.summary["evaluate/reconstruction/source"] == record["reconstruction"]["source"]
        for name, value in record["transferability"].items():
            if isinstance(value, float):
                assert seen.summary[f"transferability/{name}"] == value
        assert seen.summary["retention/reconstruction/before"] > 0.0
    assert [seen.fields["displayName"] for seen in world.runs()] == ["lr=0.001", "lr=0.003"]
    assert [seen.config["finetune"]["lr"] for seen in world.runs()] == [1e-3, 3e-3]
    assert [seen.config["aetl"]["settings"] for seen in world.runs()] == [
        record["settings"] for record in world.records
    ]


def test_the_history_is_that_of_the_folder(world: World) -> None:
    for seen, record in zip(world.runs(), world.records, strict=True):
        got = {
            (name, row[f"{name.split('/')[0]}/step"]): value
            for row in seen.history
            for name, value in row.items()
            if name.split("/")[0] in ("pretrain", "transfer", "twin") and name.count("/") == 2
        }
        lines = (record["folder"] / "metrics.csv").read_text().splitlines()[1:]
        rows = [line.split(",") for line in lines]
        assert got == {
            (f"{stage}/{split}/{name}", int(step)): pytest.approx(float(value), rel=1e-12)
            for stage, split, step, _, name, value in rows
        }
        assert ("transfer/validation/accuracy", 40) in got


def test_the_encoder_is_uploaded_once_and_its_use_is_known(world: World) -> None:
    first, second = world.runs()
    encoder = f"pretrain-{world.records[0]['parents']['pretrain']}"
    networks = [f"transfer-{record['parents']['transfer']}" for record in world.records]
    models = [
        [name for name in seen.outputs if not name.startswith("run-")] for seen in (first, second)
    ]
    assert models == [[encoder, networks[0]], [networks[1]]]
    assert (first.inputs, second.inputs) == ([encoder], [encoder])
    by_name = {a.name: a for a in world.server.artifacts.values()}
    assert by_name[encoder].type == "model"
    assert by_name[encoder].state == "COMMITTED"
    assert {"latest", "seed0"} <= by_name[encoder].aliases
    assert json.loads(by_name[networks[1]].metadata)["transfer"] == "parameter/finetune"
    weights = world.server.uploads[f"{by_name[encoder].id}/autoencoder.pt"]
    kept = world.records[0]["folder"] / "checkpoints" / "autoencoder.pt"
    assert weights == kept.read_bytes()
    assert [n for n in world.server.received if n.endswith("autoencoder.pt")] == [
        f"{by_name[encoder].id}/autoencoder.pt"
    ]


def test_pictures_and_a_table_of_predictions_are_there(world: World) -> None:
    (seen, _), (record, _) = world.runs(), world.records
    for name in ("reconstructions", "latent_map", "confusion_matrix", "learning_curves"):
        assert seen.summary[f"figures/{name}"]["_type"] == "image-file"
        assert f"{seen.id}/{seen.summary[f'figures/{name}']['path']}" in world.server.uploads
    path = seen.summary["predictions"]["path"]
    table = json.loads(world.server.uploads[f"{seen.id}/{path}"])
    assert table["columns"] == ["image", "truth", "prediction", "twin", "confidence"]
    assert len(table["data"]) == 32
    import numpy as np

    with np.load(record["folder"] / "predictions.npz") as saved:
        assert [row[1] for row in table["data"]] == [str(y) for y in saved["y"][:32]]
        assert [row[4] for row in table["data"]] == pytest.approx(
            saved["probability"].max(axis=1)[:32].tolist()
        )


def test_runs_compare_alike_from_the_server_and_from_their_folders(world: World) -> None:
    answers = [
        run(world.server, world.folder, "aetl", "compare", path, "--json")
        for path in ("outputs", "wandb:lab/aetl")
    ]
    assert [done.returncode for done in answers] == [0, 0], answers[1].stderr
    here, there = (json.loads(done.stdout) for done in answers)
    assert len(here) == 2  # the settings differ in a rate
    assert there == here
    assert "finetune.lr=0.003" in json.dumps(there)


@pytest.mark.parametrize(
    "path, line",
    [
        ("wandb:lab", "expected wandb:ENTITY/PROJECT"),
        ("wandb:lab/nothing", "wandb:lab/nothing: "),
    ],
)
def test_a_project_that_is_none_is_said_in_a_line(world: World, path: str, line: str) -> None:
    done = run(world.server, world.folder, "aetl", "compare", path)
    assert done.returncode == 2
    assert line in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_compare_saves_a_workspace_by_arm_budget_and_seed(world: World) -> None:
    done = run(world.server, world.folder, "aetl", "compare", "outputs/sweep", "--wandb")
    assert done.returncode == 0, done.stderr
    assert "/lab/aetl?nw=" in done.stdout
    (view,) = world.server.views
    assert view["displayName"] == "aetl: accuracy"
    sections = json.loads(view["spec"])["section"]["panelBankConfig"]["sections"]
    shown = {one["name"]: [panel["config"] for panel in one["panels"]] for one in sections}
    for title, key in (("arm", "transfer"), ("budget", "budget"), ("seed", "seed")):
        score, gain, curve = shown[f"By {title}"]
        assert score["metrics"] == ["evaluate/test/accuracy"]
        assert gain["metrics"] == ["evaluate/gain/accuracy"]
        assert {part["groupBy"] for part in (score, gain, curve)} == {f"aetl.value.{key}"}
    for seen in world.runs():  # what the panels ask for is there
        keys = {name for line in seen.history for name in line} | seen.summary.keys()
        asked = {name for panels in shown.values() for one in panels for name in one["metrics"]}
        assert asked - keys <= {"pretrain/validation/loss"}
        assert {"transfer", "budget", "seed"} <= seen.config["aetl"].keys()


def test_the_verdicts_hold_gains_and_what_their_intervals_are_made_of(world: World) -> None:
    (verdicts,) = (run for run in world.server.runs.values() if "verdicts_of" in run.config)
    rows = [key.partition("/")[2] for key in verdicts.summary if key.startswith("verdict/")]
    assert len(rows) == 2
    for row in rows:
        assert f"gain_mean/{row}" in verdicts.summary
        assert f"oracle/{row}" in verdicts.summary
        assert f"score_logme/{row}" in verdicts.summary
