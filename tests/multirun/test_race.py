"""``hydra/sweeper=race`` with jobs that take no time: who stops when, and how it goes on."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from aetl.cli import main
from aetl.comparison.rows import rows
from aetl.comparison.run import find_runs
from aetl.multirun.manifest import Manifest
from tests.multirun.race_stub import LIFTS, TASK

GRID = f"transfer={','.join(LIFTS)}"


@pytest.fixture
def race(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("aetl.multirun.plugin.TASK", TASK)
    folder = tmp_path / "race"

    def run(*overrides: str) -> int:
        return main(
            ["-m", "logger=none", f"hydra.sweep.dir={folder}", "hydra/sweeper=race", GRID,
             "hydra.sweeper.looks=[3,5,6]", *overrides]
        )  # fmt: skip

    return run


def seeds(folder: Path) -> dict[str, int]:
    jobs = Manifest.load(folder).jobs
    assert all((folder / job.folder / "ran").read_text().count("\n") == 1 for job in jobs)
    return dict(Counter(o.removeprefix("transfer=") for job in jobs for o in job.overrides
                        if o.startswith("transfer=")))  # fmt: skip


def outcomes(folder: Path) -> dict[str, tuple[str | None, int | None]]:
    noted = json.loads((folder / "race.json").read_text())
    return {arm["transfer"]: (arm["outcome"], arm["look"]) for arm in noted["arms"]}


def test_decided_arms_stop_and_the_undecided_get_further_seeds(
    race: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "race"
    assert race("hydra.sweeper.futility=0") == 0
    found = outcomes(folder)
    assert found["feature/linear_probe"][0] == "positive"
    assert found["control/raw_features"][0] == "negative"
    assert found["control/scratch"] == ("baseline", None)
    assert found["parameter/finetune"] == (None, None)
    looks = {"feature/linear_probe": found["feature/linear_probe"][1],
             "control/raw_features": found["control/raw_features"][1]}  # fmt: skip
    assert seeds(folder) == {
        **{arm: (3, 5, 6)[(look or 9) - 1] for arm, look in looks.items()},
        "parameter/finetune": 6, "control/scratch": 6,
    }  # fmt: skip
    assert min(look or 9 for look in looks.values()) < 3, "some stop early"
    out = capfd.readouterr().out
    assert "race: looks at 3, 5, 6 seeds" in out
    assert "positive at look" in out
    assert "in place of 24" in out
    assert "in a race" in " ".join(out.split()), "the comparison says what its rows come from"


@pytest.mark.slow
def test_the_folds_of_an_arm_race_as_one(race: Any, tmp_path: Path) -> None:
    folder = tmp_path / "race"
    more = ["target.folds=2", "target.fold=0,1", "hydra.sweeper.looks=[3]"]
    assert race(*more) == 0
    noted = json.loads((folder / "race.json").read_text())["arms"]
    assert [(arm["transfer"], arm["seeds"]) for arm in noted] == [(arm, 3) for arm in LIFTS]
    assert len(Manifest.load(folder).jobs) == 4 * 2 * 3
    (row,) = (r for r in rows(find_runs([folder]).done) if r.transfer == "feature/linear_probe")
    assert (row.n, row.test_examples, row.interval_over) == (3, 400, "seeds and examples")
    positive = next(arm for arm in noted if arm["transfer"] == "feature/linear_probe")
    assert positive["p_values"] == [row.gain.p_value if row.gain else None]


@pytest.mark.slow
def test_a_race_that_was_cut_off_goes_on_to_the_same_end(
    race: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "race"
    monkeypatch.setenv("AETL_STUB_STOPS_AT", "parameter/finetune 3")
    race("hydra.sweeper.futility=0")
    monkeypatch.delenv("AETL_STUB_STOPS_AT")
    before = [job.state for job in Manifest.load(folder).jobs]
    assert "interrupted" in before
    (folder / "race.json").unlink()
    assert main(["sweep", "resume", str(folder)]) == 0
    after = Manifest.load(folder).jobs
    assert {job.state for job in after} == {"done"}
    tries = [job.tries for job in after[: len(before)]]
    assert tries == [2 if state == "interrupted" else 1 for state in before]
    assert outcomes(folder)["parameter/finetune"] == (None, None)
    assert sum("parameter/finetune" in " ".join(job.overrides) for job in after) == 6


@pytest.mark.parametrize(
    "override, line",
    [
        ("hydra.sweeper.looks=[2,5]", "hydra.sweeper.looks=[2, 5]: expected rising numbers"),
        ("hydra.sweeper.looks=[5,3]", "hydra.sweeper.looks=[5, 3]: expected rising numbers"),
        ("hydra.sweeper.looks=[]", "hydra.sweeper.looks"),
        ("hydra.sweeper.rho=0", "hydra.sweeper.rho=0: expected"),
        ("hydra.sweeper.futility=0.7", "hydra.sweeper.futility=0.7: expected"),
        ("seed=0,1,2", "seed: a race brings its own seeds"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_and_leaves_nothing(
    race: Any, tmp_path: Path, override: str, line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert race(override) == 2
    assert line in capfd.readouterr().err
    assert not (tmp_path / "race").exists()
