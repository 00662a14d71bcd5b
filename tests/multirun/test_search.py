"""`aetl -m sweep=...`: a search from the command line, with stub jobs and with real ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from aetl.cli import main
from aetl.multirun.manifest import Manifest
from tests.multirun.conftest import Sweep
from tests.multirun.test_recovery import fault, start, wait_for
from tests.multirun.test_resume import status
from tests.tiny import SMALL

optuna = pytest.importorskip("optuna")

SEARCH = ("sweep=optuna_finetune", "hydra.sweeper.space=null", "hydra.sweeper.pruner=none")
"""A preset of ours; the space comes from the command line."""
TINY = (*SMALL, *SEARCH, "callback.resume_point.every_n_steps=2")


def trials(folder: Path) -> list[Any]:
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{folder}/study.db")
    return list(study.trials)


@pytest.fixture
def search(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """A search over the stub job's seed and behaviour."""
    monkeypatch.setattr("aetl.multirun.plugin.TASK", "tests.multirun.stub:objective")

    def run(*overrides: str, **values: Any) -> int:
        return sweep(*SEARCH, "hydra.sweeper.n_trials=null", *overrides, **values)

    return run


@pytest.mark.slow
def test_a_failing_trial_fails_and_the_search_goes_on(
    search: Sweep, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ("hydra.sweeper.sampler=grid", "seed=1,2", "tags=[good],[raise],[kill]")
    assert search(*arguments, "hydra.launcher.jobs=2") == 1
    folder = tmp_path / "sweep"
    jobs = Manifest.load(folder).jobs
    found = {trial.user_attrs["job"]: trial for trial in trials(folder)}
    assert len(found) == len(jobs) == 6
    for job in jobs:
        trial = found[job.number]
        good = "tags=[good]" in job.overrides
        assert job.state == ("done" if good else "failed")
        assert trial.state.name == ("COMPLETE" if good else "FAIL")
        assert trial.user_attrs["folder"] == job.folder
        assert (folder / trial.user_attrs["folder"] / "config.yaml").is_file()
        assert trial.user_attrs.get("error") == job.error
        assert trial.value == (trial.params["seed"] / 4 if good else None)
    out, errors = capfd.readouterr()
    assert "best: trial 3  selection 0.5" in out
    assert f"aetl rerun {folder}/3" in out
    assert "4 of 6 jobs did not finish" in errors
    assert "aetl sweep retry" in errors.strip().splitlines()[-1]

    assert main(["sweep", "resume", str(folder)]) == 1, "the failed ones stay failed"
    assert [job.tries for job in Manifest.load(folder).jobs] == [1] * 6
    assert main(["sweep", "retry", str(folder)]) == 0
    assert [job.state for job in Manifest.load(folder).jobs] == ["done"] * 6
    assert [trial.state.name for trial in trials(folder)].count("COMPLETE") == 6
    assert status(folder, capfd)["counts"]["done"] == 6


def test_a_finished_search_is_extended(search: Sweep, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    assert search("hydra.sweeper.n_trials=2", "seed=range(0,100)") == 0
    assert main(["sweep", "resume", str(folder), "--trials", "4"]) == 0
    assert [job.tries for job in Manifest.load(folder).jobs] == [1] * 4
    assert [trial.state.name for trial in trials(folder)] == ["COMPLETE"] * 4


def test_a_preset_says_what_is_searched_and_for_what(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aetl.multirun.plugin.TASK", "tests.multirun.stub:objective")
    assert sweep("sweep=optuna_autoencoder", "hydra.sweeper.n_trials=2") == 0
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path}/sweep/study.db")
    assert study.metric_names == ["pretrain/validation/loss"]
    assert study.direction.name == "MINIMIZE"
    assert study.trials[0].params.keys() == {
        "pretrain.lr", "bottleneck.latent_dim", "backbone.hidden",
    }  # fmt: skip


REFUSED = [
    (["sede=1,2"], "sede"),
    (["seed=1,2", "selector=last"], "selector=last holds no labels out"),
    (["seed=1,2", "target.budget=1"], "a budget of 1 has no label to hold out"),
    (["seed=1,2", "hydra.sweeper.sampler=tpx"], "hydra.sweeper.sampler='tpx': expected"),
    (["seed=1,2", "hydra.sweeper.n_trials=many"], "hydra.sweeper.n_trials='many': expected"),
    ([], "hydra.sweeper.space: empty"),
    (["seed=1,2", "hydra/launcher=basic"], "runs with aetl's own launchers"),
]


@pytest.mark.parametrize("overrides, line", REFUSED, ids=[" ".join(o) for o, _ in REFUSED])
def test_a_search_that_cannot_be_is_one_line_and_leaves_nothing(
    overrides: list[str], line: str, search: Sweep, tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    given = ["hydra.sweeper.sampler=grid", *overrides]
    assert search(*given, folder=tmp_path / "new" / "sweep") == 2
    errors = capfd.readouterr().err.strip().splitlines()
    assert len(errors) == 1, errors
    assert line in errors[0]
    assert not (tmp_path / "new").exists()


def test_without_optuna_it_says_what_to_install(
    search: Sweep, tmp_path: Path, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert search("seed=1,2", folder=tmp_path / "new") == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert "pip install 'aetl[optuna]'" in line
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_search_that_is_killed_goes_on_and_tries_nothing_twice(tmp_path: Path) -> None:
    folder, flags = tmp_path / "sweep", tmp_path / "flags"
    faults = fault(flags, "transfer", s2="hang")
    space = ("seed=0,1,2,3", "hydra.sweeper.sampler=grid", "hydra.sweeper.n_trials=null")
    command = ("-m", *TINY, *space, "hydra.launcher.jobs=1")
    process = start(*command, faults, f"hydra.sweep.dir={folder}", f"output_dir={tmp_path}/a")
    wait_for((flags / "hang-2").exists)
    process.kill()
    process.communicate()
    assert [trial.state.name for trial in trials(folder)] == ["COMPLETE", "COMPLETE", "RUNNING"]

    assert main(["sweep", "resume", str(folder)]) == 0
    jobs = Manifest.load(folder).jobs
    assert [(job.state, job.tries) for job in jobs] == [
        ("done", 1), ("done", 1), ("done", 2), ("done", 1),
    ]  # fmt: skip
    assert "from step 2" in (folder / "2" / "run.log").read_text(), "it went on, not anew"

    calm = tmp_path / "calm"
    assert main([*command, f"hydra.sweep.dir={calm}", f"output_dir={tmp_path}/b"]) == 0
    ours, theirs = trials(folder), trials(calm)
    assert [(t.params, t.values) for t in ours] == [(t.params, t.values) for t in theirs]
    assert [trial.params["seed"] for trial in ours] == [0, 1, 2, 3]


@pytest.mark.slow
def test_a_hopeless_training_is_pruned_and_the_objective_is_no_test_score(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    slow = "+callback.slow={_target_:tests.multirun.fault.Slow,seconds:0.3}"
    assert main([
        "-m", *TINY, slow, "hydra.sweeper.pruner=median", "hydra.sweeper.startup=1",
        "finetune.max_steps=240", "target.budget=100", "pretrain.max_steps=60",
        "hydra.sweeper.sampler=grid", "hydra.sweeper.n_trials=null",
        "finetune.lr=0.01,1e-8", "hydra.launcher.jobs=1", f"hydra.sweep.dir={folder}",
    ]) == 0  # fmt: skip
    good, bad = trials(folder)
    assert (good.state.name, bad.state.name) == ("COMPLETE", "PRUNED")
    assert 0 < len(bad.intermediate_values) < len(good.intermediate_values)
    assert [job.state for job in Manifest.load(folder).jobs] == ["done", "pruned"]
    record = json.loads((folder / "0" / "run.json").read_text())
    assert good.value == record["selection"]["score"] == max(good.intermediate_values.values())
    assert record["selection"]["labels"] == 20
    assert good.user_attrs["test accuracy"] == record["scores"]["accuracy"]
    assert json.loads((folder / "1" / "run.json").read_text())["status"] == "pruned"
    rows = (folder / "0" / "metrics.csv").read_text()
    assert "transfer,validation" in rows
