"""The ask and tell of a search, without processes: what is tried, told, pruned and gone on with."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from aetl.config import ConfigError
from aetl.multirun.conclusion import conclude, importances
from aetl.multirun.intermediate import Reporter, read_values
from aetl.multirun.manifest import JobEntry, Manifest
from aetl.multirun.objective import directions_of, objectives_of, refuse_objectives
from aetl.multirun.space import Choice, Range, from_overrides, override_of, points, space_of
from aetl.multirun.study import Search, Settings
from aetl.types import Pruned
from tests.multirun.test_pool import entry

optuna = pytest.importorskip("optuna")


@pytest.fixture(autouse=True)
def hasty_disk() -> Iterator[None]:
    """Without waiting for the disk at each of some thousand commits."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def hurry(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA journal_mode=MEMORY")

    event.listen(Engine, "connect", hurry)
    yield
    event.remove(Engine, "connect", hurry)


SPACE = {
    "lr": {"low": 1e-4, "high": 1e-0, "log": True},
    "dim": {"low": 1, "high": 16},
    "idle": ["a", "b"],
}


def quadratic(params: dict[str, Any]) -> float:
    """Its minimum, 0, is at lr=0.01 and dim=8; ``idle`` does nothing."""
    return (math.log10(params["lr"]) + 2) ** 2 + ((params["dim"] - 8) / 8) ** 2


def search(folder: Path, space: dict[str, Any] = SPACE, **values: Any) -> Search:
    """A search over jobs that exist on paper only; going on where the folder holds one."""
    given = {
        "objective": {"loss": "minimize"}, "n_trials": 10, "sampler": "random", "pruner": "none",
        "seed": 0, "startup": 10, "warmup": 0, "storage": None, "name": "study",
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    if (folder / "manifest.json").exists():
        manifest = Manifest.load(folder)
    else:
        manifest = Manifest(folder, [], "", [], "", 1, 0, "")

    def prepare(name: str, overrides: Sequence[str], number: int) -> JobEntry:
        (folder / str(number)).mkdir(exist_ok=True)
        return entry(number, name=name, overrides=list(overrides))

    return Search(Settings(**(given | values)), space_of(space), ["fixed=1"], manifest, prepare)


def params_of(job: JobEntry) -> dict[str, Any]:
    pairs = dict(o.split("=") for o in job.overrides)
    return {"lr": float(pairs["lr"]), "dim": int(pairs["dim"]), "idle": pairs["idle"]}


def run(found: Search, times: int | None = None, loss: Callable[..., float] = quadratic) -> None:
    done = 0
    while (times is None or done < times) and (job := found.next()):
        job.state, job.values = "done", [loss(params_of(job))]
        found.ended(job)
        found.manifest.save()
        done += 1


def tried(found: Search) -> list[dict[str, Any]]:
    return [trial.params for trial in found.study.trials]


@pytest.mark.slow
def test_tpe_comes_near_the_optimum_of_a_quadratic_and_nearer_than_chance(tmp_path: Path) -> None:
    best = {}
    for sampler in ("tpe", "random"):
        found = search(tmp_path / sampler, sampler=sampler, n_trials=36)
        run(found)
        assert len(found.study.trials) == 36
        losses = [trial.value for trial in found.study.trials]
        best[sampler] = sum(losses[18:]) / 18
        if sampler == "tpe":
            assert found.study.best_value < 0.05
    assert best["tpe"] < best["random"] / 2


@pytest.mark.slow
def test_a_search_that_was_cut_off_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    for sampler in ("tpe", "random", "nsga2"):
        settings = {"sampler": sampler, "n_trials": 10, "startup": 4}
        calm, cut = tmp_path / f"{sampler}-calm", tmp_path / f"{sampler}-cut"
        whole = search(calm, **settings)
        run(whole)
        run(search(cut, **settings), times=5)
        again = search(cut, **settings)
        again.reconcile()
        assert again.expected == 5
        run(again)
        assert tried(again) == tried(whole)
        assert len(again.manifest.jobs) == len(again.study.trials) == 10


def test_a_grid_is_walked_once_and_ends(tmp_path: Path) -> None:
    space = {"lr": [0.1, 0.01], "dim": {"low": 2, "high": 6, "step": 2}, "idle": ["a"]}
    first = search(tmp_path, space, sampler="grid", n_trials=None)
    assert first.expected == 6
    run(first, times=4)
    found = search(tmp_path, space, sampler="grid", n_trials=None)
    run(found)
    whole = [{"lr": lr, "dim": dim, "idle": "a"} for lr in (0.1, 0.01) for dim in (2, 4, 6)]
    assert tried(found) == whole
    assert found.next() is None


def test_two_objectives_give_the_front_that_brute_force_gives(tmp_path: Path) -> None:
    found = search(
        tmp_path, sampler="nsga2", n_trials=18, startup=6,
        objective={"loss": "minimize", "size": "maximize"},
    )  # fmt: skip
    while job := found.next():
        params = params_of(job)
        job.state, job.values = "done", [quadratic(params), float(params["dim"])]
        found.ended(job)
    values = [tuple(trial.values) for trial in found.study.trials]
    front = {
        (a, b) for a, b in values
        if not any(c <= a and d >= b and (c, d) != (a, b) for c, d in values)
    }  # fmt: skip
    assert {tuple(trial.values) for trial in found.study.best_trials} == front
    assert len(values) == 18
    conclude(found.study, found.manifest)
    best = json.loads((tmp_path / "study.json").read_text())["best"]
    assert {(b["values"]["loss"], b["values"]["size"]) for b in best} == front


def test_a_failed_job_is_a_failed_trial_and_counts(tmp_path: Path) -> None:
    found = search(tmp_path, n_trials=3)
    run(found, times=1)
    job = found.next()
    assert job is not None
    job.state, job.error = "failed", "ValueError: no luck"
    found.ended(job)
    run(found)
    states = [trial.state.name for trial in found.study.trials]
    assert states == ["COMPLETE", "FAIL", "COMPLETE"]
    assert found.study.trials[1].user_attrs["error"] == "ValueError: no luck"
    assert found.expected == 0

    job.state, job.error, job.values = "done", None, [0.5]  # retried
    found.ended(job)
    states = [trial.state.name for trial in found.study.trials]
    assert states == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    replaced = found.study.trials[3]
    assert (replaced.value, replaced.params) == (0.5, found.study.trials[1].params)
    assert (replaced.user_attrs["job"], "error" in replaced.user_attrs) == (1, False)
    assert found.next() is None


def test_what_is_cut_off_goes_on_and_what_never_had_a_job_is_closed(tmp_path: Path) -> None:
    found = search(tmp_path, n_trials=4)
    run(found, times=1)
    job = found.next()
    assert job is not None
    job.state = "interrupted"
    found.ended(job)
    found.manifest.save()
    found._ask()  # and killed before the job was made

    again = search(tmp_path, n_trials=4)
    again.reconcile()
    states = [trial.state.name for trial in again.study.trials]
    assert states == ["COMPLETE", "RUNNING", "FAIL"]
    cut_off = again.manifest.jobs[1]
    cut_off.state, cut_off.values = "done", [1.0]
    again.ended(cut_off)
    run(again)
    states = [trial.state.name for trial in again.study.trials]
    assert states == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert len(again.manifest.jobs) == 4


def test_a_job_that_ended_in_the_moment_of_the_kill_is_told(tmp_path: Path) -> None:
    found = search(tmp_path, objective={"seconds/total": "minimize"}, n_trials=2)
    job = found.next()
    assert job is not None
    job.state = "done"
    found.manifest.save()
    (tmp_path / job.folder / "run.json").write_text('{"seconds": {"total": 7.5}}')
    again = search(tmp_path, objective={"seconds/total": "minimize"}, n_trials=2)
    again.reconcile()
    assert [(t.state.name, t.value) for t in again.study.trials] == [("COMPLETE", 7.5)]


def test_a_trial_worse_than_the_median_is_told_to_stop_and_pruned(tmp_path: Path) -> None:
    found = search(
        tmp_path, objective={"selection": "maximize"}, pruner="median", startup=3, warmup=1
    )
    for score in (0.7, 0.8, 0.9):
        job = found.next()
        assert job is not None
        reporter = Reporter(found.manifest.job_folder(job), "accuracy")
        for step in (10, 20, 30):
            reporter([("transfer", "validation", step, 0, "accuracy", score * step / 30)])
            reporter([("twin", "validation", step, 0, "accuracy", 0.0)])
        found.look([job])
        job.state, job.values = "done", [score]
        found.ended(job)
    job = found.next()
    assert job is not None
    reporter = Reporter(found.manifest.job_folder(job), "accuracy")
    reporter.report(10, 0.01)
    found.look([job])
    reporter.report(20, 0.55)  # the first epoch was in the warm-up; median here: 0.533
    found.look([job])
    reporter.report(30, 0.79)  # median: 0.8
    found.look([job])
    with pytest.raises(Pruned, match="at step 40"):
        reporter.report(40, 0.99)
    job.state = "pruned"
    found.ended(job)
    trial = found.study.trials[3]
    assert trial.state.name == "PRUNED"
    assert trial.intermediate_values == {1: 0.01, 2: 0.55, 3: 0.79}
    assert read_values(found.manifest.job_folder(job)) == {10: 0.01, 20: 0.55, 30: 0.79, 40: 0.99}


def test_a_failed_trial_that_is_tried_again_is_not_pruned(tmp_path: Path) -> None:
    found = search(tmp_path, objective={"selection": "maximize"}, pruner="median", startup=0)
    for score in (0.9, 0.1):
        job = found.next()
        assert job is not None
        job.state = "failed"
        found.ended(job)
        Reporter(found.manifest.job_folder(job), "accuracy").report(10, score)
        found.look([job])
        Reporter(found.manifest.job_folder(job), "accuracy").report(20, score)
    assert [trial.state.name for trial in found.study.trials] == ["FAIL", "FAIL"]


def test_another_program_reads_the_study_and_finds_the_runs(tmp_path: Path) -> None:
    found = search(tmp_path, n_trials=3)
    run(found)
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path}/study.db")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3
    assert study.metric_names == ["loss"]
    for number, trial in enumerate(study.trials):
        assert (tmp_path / trial.user_attrs["folder"]).is_dir()
        assert found.manifest.jobs[number].trial == number


@pytest.mark.slow
def test_what_does_nothing_has_no_importance(tmp_path: Path) -> None:
    found = search(tmp_path, n_trials=40)
    run(found, loss=lambda params: (math.log10(params["lr"]) + 2) ** 2)
    conclude(found.study, found.manifest)
    saved = json.loads((tmp_path / "importance.json").read_text())
    assert saved == importances(found.study)
    for kind in ("fanova", "ped_anova"):
        shares = saved["loss"][kind]
        assert shares.keys() == SPACE.keys()
        assert sum(shares.values()) == pytest.approx(1)
        assert shares["lr"] > 0.8, kind


def test_few_trials_say_nothing_of_importance(tmp_path: Path) -> None:
    found = search(tmp_path, n_trials=3)
    run(found)
    assert importances(found.study) == {"loss": {}}


def test_the_command_line_says_the_same_space_as_the_yaml() -> None:
    said = OverridesParser.create().parse_overrides(
        ["seed=1", "finetune.lr=tag(log,interval(1e-4,1e-1))", "dim=range(4,17,4)",
         "x=interval(0,1)", "transfer=control/scratch,[instance/kmm,parameter/lora]", "batch=8,16"]
    )  # fmt: skip
    assert from_overrides(said) == {
        "finetune.lr": Range(1e-4, 1e-1, log=True),
        "dim": Range(4, 16, step=4),
        "x": Range(0.0, 1.0),
        "transfer": Choice(("control/scratch", "[instance/kmm,parameter/lora]")),
        "batch": Choice((8, 16)),
    }


def test_points_of_a_grid_include_both_ends() -> None:
    space = space_of({"a": {"low": 1, "high": 3}, "b": {"low": 0.0, "high": 0.3, "step": 0.1}})
    assert [p["b"] for p in points(space)[:4]] == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert [p["a"] for p in points(space)[::4]] == [1, 2, 3]


@pytest.mark.parametrize(
    "value, text", [(None, "k=null"), (True, "k=true"), (1e-05, "k=1e-05"), ("[a,b]", "k=[a,b]")]
)
def test_a_value_is_typed_as_hydra_reads_it(value: Any, text: str) -> None:
    assert override_of("k", value) == text
    (parsed,) = OverridesParser.create().parse_overrides([text])
    assert parsed.value() == (["a", "b"] if value == "[a,b]" else value)


@pytest.mark.parametrize(
    "node, line",
    [
        ({"k": 3}, "space.k=3: expected a list of choices, or low and high"),
        ({"k": []}, "space.k: has no choices"),
        ({"k": [["a"]]}, "write a list in quotes"),
        ({"k": {"low": 1}}, "space.k.high: missing"),
        ({"k": {"low": 1, "hihg": 2}}, "space.k.hihg: unknown key; did you mean 'high'?"),
        ({"k": {"low": 3, "high": 2}}, "high=2 is less than low=3"),
        ({"k": {"low": 0, "high": 2, "log": True}}, "log=true needs low > 0"),
        ({"k": {"low": "a", "high": 2}}, "space.k.low='a': expected a number"),
        ({"k": {"low": 0, "high": 2, "step": 0}}, "space.k.step=0: expected more than 0"),
    ],
)
def test_a_space_that_cannot_be_is_refused(node: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match="hydra.sweeper.space") as caught:
        space_of(node)
    assert line in str(caught.value)


def test_a_space_that_has_changed_is_refused(tmp_path: Path) -> None:
    run(search(tmp_path, n_trials=2))
    other = search(tmp_path, {**SPACE, "idle": ["a", "c"]}, n_trials=3)
    with pytest.raises(ConfigError, match="hydra.sweeper.space: CategoricalDistribution"):
        other.next()


@pytest.mark.parametrize(
    "values, line",
    [
        ({"sampler": "grid"}, "space.lr: a grid needs a step"),
        ({"n_trials": None}, "n_trials=null: only a grid ends by itself"),
        ({"pruner": "median"}, "prunes by the score that the objective 'selection'"),
        (
            {"pruner": "median", "objective": {"selection": "maximize", "x": "minimize"}},
            "several objectives are not pruned",
        ),
        ({"storage": "nonsense"}, "hydra.sweeper.storage=nonsense"),
    ],
)
def test_a_search_that_cannot_be_is_refused(
    values: dict[str, Any], line: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        search(tmp_path, **values)
    assert line in str(caught.value)


@pytest.mark.parametrize(
    "objective, selector, line",
    [
        ({"evaluate/test/accuracy": "maximize"}, "x", "must not look at test scores"),
        ({"scores/accuracy": "maximize"}, "x", "must not look at test scores"),
        ({"selection": "maximize"}, "aetl.selector.last.Last", "selector=last holds no labels out"),
        ({"loss": "minimize"}, "x", "objective=loss: no such objective"),
        ({}, "x", "objective: empty"),
    ],
)
def test_an_objective_that_is_none_is_refused(
    objective: dict[str, str], selector: str, line: str
) -> None:
    with pytest.raises(ConfigError, match=line):
        refuse_objectives(objective, selector)


def test_a_minus_says_that_less_is_better() -> None:
    said = directions_of(["selection", "-pretrain/validation/loss", "-receipt/n"], {"r2": True})
    assert said == {
        "selection": "maximize", "pretrain/validation/loss": "minimize", "receipt/n": "minimize",
    }  # fmt: skip


def test_a_score_has_its_metrics_direction() -> None:
    lower, higher = {"nll": False, "accuracy": True}, {"accuracy": True, "nll": False}
    for text in ("selection", "-selection"):
        assert directions_of([text], lower) == {"selection": "minimize"}
    assert directions_of(["selection"], higher) == {"selection": "maximize"}
    both = ["-transfer/validation/nll", "transfer/validation/accuracy"]
    assert list(directions_of(both, lower).values()) == ["minimize", "maximize"]


@pytest.mark.parametrize(
    "objective, line",
    [
        ("transfer/validation/nll", "lower is better; write -transfer/validation/nll"),
        ("-transfer/validation/accuracy", "higher is better; write transfer/validation/accuracy"),
        ("-selection", "higher is better; write selection"),
        ("pretrain/validation/loss", "lower is better; write -pretrain/validation/loss"),
        ("seconds/pretrain", "lower is better; write -seconds/pretrain"),
    ],
)
def test_a_search_for_the_worst_is_refused(objective: str, line: str) -> None:
    with pytest.raises(ConfigError, match=f"objective={objective}: {line}$"):
        directions_of([objective], {"accuracy": True, "nll": False})


def test_objectives_are_read_from_a_runs_files(tmp_path: Path) -> None:
    record = {
        "seconds": {"pretrain": 2.5}, "receipt": {"parameters_trained": 330},
        "selection": {"metric": "mae", "score": 0.25, "higher_is_better": False, "labels": 8},
    }  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps(record))
    (tmp_path / "metrics.csv").write_text(
        "stage,split,step,epoch,name,value\npretrain,validation,5,0,loss,9.0\n"
        "pretrain,validation,10,1,loss,4.0\npretrain,train,10,1,loss,3.0\n"
    )
    objective = ["selection", "-pretrain/validation/loss", "-seconds/pretrain",
                 "receipt/parameters_trained"]  # fmt: skip
    assert objectives_of(tmp_path, objective) == [0.25, 4.0, 2.5, 330.0]
    with pytest.raises(ConfigError, match="is None for this run"):
        objectives_of(tmp_path, ["transfer/validation/loss"])
