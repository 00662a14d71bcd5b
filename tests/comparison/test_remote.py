"""Runs of a W&B project, read as if they were folders."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aetl.comparison import remote
from aetl.comparison.run import find_runs
from aetl.config import ConfigError

RECORD = {
    "version": 1, "started": "2026-01-01T00:00:00+00:00", "source": "a", "target": "b",
    "autoencoder": "vae", "loss": "elbo", "transfer": "parameter/finetune", "selector": "last",
    "budget": 10, "seed": 3, "settings": "s", "metric": "accuracy",
    "higher_is_better": {"accuracy": True},
}  # fmt: skip
SUMMARY = {
    "evaluate/test/accuracy": 0.75, "evaluate/twin/accuracy": 0.5, "evaluate/gain/accuracy": 0.25,
    "evaluate/reconstruction/source": 0.125, "seconds/total": 2.0, "transfer/train/loss": 1.0,
}  # fmt: skip


def online(name: str, state: str, summary: dict[str, Any] | None = None, **config: Any) -> Any:
    return SimpleNamespace(
        id=name, state=state, url="", config=config, summary_metrics=summary or {}
    )


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    runs: list[Any] = []
    monkeypatch.setattr(remote, "_runs", lambda entity, project: runs)
    return runs


def test_a_run_comes_back_as_the_record_that_it_was(project: list[Any]) -> None:
    of_sweep = {"finetune": {"epochs": 2}, "finetune.lr": 0.1, "autoencoder": "vae",
                "chosen": {"autoencoder": {"depth": 2}}}  # fmt: skip
    project.append(online("one", "finished", SUMMARY, aetl=RECORD, **of_sweep))
    (run,) = find_runs([remote.local(Path("wandb:lab/aetl"))]).done
    assert (run.seed, run.transfer, run.settings) == (3, "parameter/finetune", "s")
    assert (run.scores, run.twin) == ({"accuracy": 0.75}, {"accuracy": 0.5})
    assert run.gain("accuracy") == 0.25
    assert run.record["reconstruction"] == {"source": 0.125}
    assert run.config() == {
        "finetune.epochs": 2, "finetune.lr": 0.1, "autoencoder.depth": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    "state, summary, status",
    [
        ("failed", {}, "failed"),
        ("crashed", SUMMARY, "interrupted"),
        ("killed", {}, "interrupted"),
        ("running", {}, "running"),
        ("finished", {}, "interrupted"),  # without scores it has not come to its end
    ],
)
def test_a_run_without_a_result_is_told_apart(
    state: str, summary: dict[str, Any], status: str, project: list[Any]
) -> None:
    project.append(online("one", state, summary, aetl=RECORD))
    (run,) = find_runs([remote.local(Path("wandb:lab/aetl"))]).unfinished
    assert run.status == status


def test_what_was_fetched_before_and_what_is_not_ours_is_left_out(
    project: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    project.append(online("gone", "finished", SUMMARY, aetl=RECORD))
    remote.local(Path("wandb:lab/aetl"))
    project[:] = [
        online("ours", "finished", SUMMARY, aetl=RECORD),
        online("theirs", "finished", lr=0.1),
    ]
    folder = remote.local(Path("wandb:lab/aetl"))
    assert [path.name for path in folder.iterdir()] == ["ours"]
    assert "left out 1 that are not aetl's" in caplog.text
    project[:] = project[1:]
    with pytest.raises(ConfigError, match="wandb:lab/aetl: there are no runs of aetl"):
        remote.local(Path("wandb:lab/aetl"))
    assert folder.exists()  # what was there before stays


def test_any_other_path_is_itself() -> None:
    assert remote.local(Path("outputs")) == Path("outputs")
