"""Launchers whose jobs run in processes that another program starts: joblib, submitit, Ray."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from aetl.cli import main
from aetl.multirun.manifest import Manifest
from tests.multirun.conftest import Sweep
from tests.multirun.test_launch import interrupt_when, log
from tests.multirun.test_recovery import TINY, fault, records, results
from tests.multirun.test_resume import ran

NEEDS = {"joblib": "joblib", "submitit_local": "submitit", "ray": "ray"}
LAUNCHERS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(module) is None, reason=f"{module} is not installed"
        ),
    )
    for name, module in NEEDS.items()
]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_job_that_dies_takes_only_itself_down_and_resume_finishes_it(
    launcher: str, sweep: Sweep, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sweep"
    behaviours = "tags=[good],[raise],[kill],[talk]"
    assert sweep(f"hydra/launcher={launcher}", behaviours, "hydra.launcher.jobs=2") == 1
    jobs = Manifest.load(folder).jobs
    assert [job.state for job in jobs] == ["done", "failed", "failed", "done"]
    assert [job.error for job in jobs[1:3]] == [
        "ValueError: no luck", "gone without a word (killed, or out of memory?)",
    ]  # fmt: skip
    assert 'raise ValueError("no luck' in log(folder, 1)
    assert [f"said by {who}" in log(folder, 3) for who in ("Python", "C", "a child")] == [True] * 3
    out, errors = capfd.readouterr()
    assert "2 of 4 jobs did not finish" in errors
    assert "said by" not in out + errors
    assert main(["sweep", "resume", str(folder)]) == 0
    assert ran(folder) == [1, 2, 2, 1]
    assert [job.state for job in Manifest.load(folder).jobs] == ["done"] * 4


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_ctrl_c_stops_the_jobs_and_resume_goes_on(
    launcher: str, sweep: Sweep, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sweep"
    thread = interrupt_when((folder / "0" / "ran").exists, times=1)
    assert sweep(f"hydra/launcher={launcher}", "tags=[hang]", "hydra.launcher.jobs=1") == 130
    thread.join()
    (job,) = Manifest.load(folder).jobs
    assert (job.state, job.error) == ("interrupted", "stopped by SIGINT")
    assert "aetl sweep resume" in capfd.readouterr().err.splitlines()[-1]
    assert main(["sweep", "resume", str(folder)]) == 0


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_results_are_those_of_the_process_launcher(launcher: str, tmp_path: Path) -> None:
    arguments = ["-m", *TINY, "seed=0,1", "transfer=control/scratch,parameter/finetune"]
    there, here = tmp_path / launcher, tmp_path / "process"
    # Variables of a launcher above: as a rank of somebody else's run each job would wait for ever.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_NTASKS", "4")
        patch.setenv("WORLD_SIZE", "4")
        assert main([*arguments, f"hydra/launcher={launcher}", f"hydra.sweep.dir={there}",
                     f"output_dir={tmp_path}/a"]) == 0  # fmt: skip
    assert main([*arguments, f"hydra.sweep.dir={here}", f"output_dir={tmp_path}/b"]) == 0
    assert results(there) == results(here)
    for job in Manifest.load(there).jobs:
        files = [{p.name for p in (side / job.folder).iterdir()} for side in (there, here)]
        assert files[0] - files[1] <= {
            "outcome.json", "process.json", "submitted.json", "work.json",
        }  # fmt: skip
        assert files[1] <= files[0]
    assert len({record["pid"] for record in records(there)}) == 4, "a process for each job"


def test_submitit_requeues_a_job_whose_time_is_up(tmp_path: Path) -> None:
    """The signal that Slurm sends, to the process that submitit started."""
    pytest.importorskip("submitit")
    folder, flags = tmp_path / "sweep", tmp_path / "flags"
    faults = fault(flags, "transfer", s0="preempt")
    assert main(["-m", *TINY, faults, "hydra/launcher=submitit_local", "seed=0,1",
                 f"hydra.sweep.dir={folder}", f"output_dir={tmp_path}/out"]) == 0  # fmt: skip
    assert "from step 2" in (folder / "0" / "run.log").read_text(), "it went on, not anew"
    first = json.loads((folder / "0" / "run.try1.json").read_text())
    assert first["status"] == "interrupted"
    assert [job.tries for job in Manifest.load(folder).jobs] == [1, 1]
