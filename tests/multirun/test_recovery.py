"""Real jobs: what a fault takes down is finished by a resume, to the last bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import aetl
from aetl.cli import main
from aetl.multirun.manifest import Manifest
from tests.multirun.test_launch import interrupt_when
from tests.tiny import SMALL

TINY = (*SMALL, "callback.resume_point.every_n_steps=2")
QUICK = ("score=none", "+callback.pageless._target_=tests.multirun.fault.Pageless")
COMPARED = ("scores", "twin", "gain", "reconstruction", "fingerprints", "settings")


def fault(flags: Path, stage: str, **kinds: str) -> str:
    flags.mkdir(exist_ok=True)
    text = "{" + ",".join(f"{seed}:{kind}" for seed, kind in kinds.items()) + "}"
    target = "_target_:tests.multirun.fault.Fault"
    return f"+callback.fault={{{target},kinds:{text},flags:{flags},stage:{stage},at:3}}"


def records(folder: Path) -> list[dict[str, Any]]:
    jobs = Manifest.load(folder).jobs
    return [json.loads((folder / job.folder / "run.json").read_text()) for job in jobs]


def results(folder: Path) -> list[dict[str, Any]]:
    """What must be equal to the last bit."""
    return [{key: record[key] for key in COMPARED} for record in records(folder)]


@pytest.mark.timeout(900)  # 52 jobs, also on a busy machine
@pytest.mark.parametrize(
    "number", [pytest.param(4), pytest.param(24, marks=pytest.mark.slow)], ids=lambda n: f"{n} jobs"
)
def test_resume_after_faults_equals_an_undisturbed_sweep(
    number: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, flags = tmp_path / "faulty", tmp_path / "flags"
    faults = fault(flags, "pretrain", s0="raise", s1="kill", s2="hang")
    sweep = ["-m", *TINY, *QUICK, f"seed=range({number})", "hydra.launcher.jobs=1"]
    thread = interrupt_when((flags / "hang-2").exists, times=1)
    code = main([*sweep, faults, f"hydra.sweep.dir={folder}", f"output_dir={tmp_path}/a"])
    thread.join()
    assert code == 130
    jobs = Manifest.load(folder).jobs
    found = [(job.state, job.error) for job in jobs]
    assert found[:3] == [
        ("failed", "RuntimeError: a fault"),
        ("failed", "killed by SIGKILL (out of memory?)"),
        ("interrupted", "stopped by SIGINT"),
    ]
    assert found[3:] == [("waiting", None)] * (number - 3)
    assert [status_of(folder, job) for job in "02"] == ["failed", "interrupted"]

    assert main(["sweep", "resume", "--jobs", "2", str(folder)]) == 0
    jobs = Manifest.load(folder).jobs
    assert [job.state for job in jobs] == ["done"] * number
    assert [job.tries for job in jobs] == [2, 2, 2] + [1] * (number - 3)
    for job in "012":
        assert "from step 2" in (folder / job / "run.log").read_text(), "it went on, not anew"

    # With the same callback, which is part of the settings, and has done what it was to do.
    calm = tmp_path / "calm"
    assert main([*sweep, faults, f"hydra.sweep.dir={calm}", f"output_dir={tmp_path}/b"]) == 0
    assert results(folder) == results(calm)
    for entry in jobs:
        for name in ("predictions.npz", "metrics.csv"):
            ours, theirs = (side / entry.folder / name for side in (folder, calm))
            assert ours.read_bytes() == theirs.read_bytes(), (entry.folder, name)
    assert compared(folder, capfd) == compared(calm, capfd)


def compared(folder: Path, capfd: pytest.CaptureFixture[str]) -> str:
    capfd.readouterr()
    assert main(["compare", str(folder), "--json"]) == 0
    return capfd.readouterr().out


def status_of(folder: Path, job: str) -> str:
    return str(json.loads((folder / job / "run.json").read_text())["status"])


@pytest.mark.slow
def test_a_job_that_is_stopped_alone_stops_alone_and_what_is_done_is_not_done_again(
    tmp_path: Path,
) -> None:
    folder, flags = tmp_path / "sweep", tmp_path / "flags"
    faults = fault(flags, "transfer", s1="interrupt")
    assert main(["-m", *TINY, faults, "seed=range(3)", f"hydra.sweep.dir={folder}",
                 f"output_dir={tmp_path}/out"]) == 1  # fmt: skip
    assert [status_of(folder, job) for job in "012"] == ["done", "interrupted", "done"]
    before = [(folder / job / "run.json").stat().st_mtime_ns for job in "02"]
    assert main(["sweep", "resume", str(folder)]) == 0
    assert [(folder / job / "run.json").stat().st_mtime_ns for job in "02"] == before
    assert [job.tries for job in Manifest.load(folder).jobs] == [1, 2, 1]


@pytest.mark.slow
def test_jobs_that_share_a_pretraining_do_it_once(tmp_path: Path) -> None:
    arms = "transfer=control/scratch,feature/linear_probe,parameter/finetune"
    folder = tmp_path / "sweep"
    sweep = ["-m", *TINY, *QUICK, arms, "hydra.launcher.jobs=3", f"hydra.sweep.dir={folder}"]
    assert main([*sweep, f"output_dir={tmp_path}/out"]) == 0
    assert len(list((tmp_path / "out" / "store").glob("pretrain-*/entry.json"))) == 1
    _, probe, finetune = records(folder)
    assert probe["parents"]["pretrain"] == finetune["parents"]["pretrain"]
    assert sorted((probe["reused"]["pretrain"], finetune["reused"]["pretrain"])) == [False, True]


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """The command line in a session of its own, as from a terminal."""
    root = str(Path(aetl.__file__).parent.parent)
    return subprocess.Popen(
        [sys.executable, "-m", "aetl.cli", *arguments],
        cwd=root, env=os.environ | environment, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_for(ready: Callable[[], bool], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.slow
def test_two_sweeps_at_once_share_one_pretraining(tmp_path: Path) -> None:
    arms = "transfer=feature/linear_probe,parameter/finetune"
    folders = [tmp_path / name for name in "ab"]
    launched = [
        start("-m", *TINY, arms, f"hydra.sweep.dir={folder}", f"output_dir={tmp_path}/out")
        for folder in folders
    ]
    for process in launched:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert len(list((tmp_path / "out" / "store").glob("pretrain-*/entry.json"))) == 1
    reused = [record["reused"]["pretrain"] for f in folders for record in records(f)]
    assert sorted(reused) == [False, True, True, True]
    assert results(folders[0]) == results(folders[1])


@pytest.mark.slow
def test_of_two_sweeps_at_once_the_one_that_pretrains_is_killed_and_the_other_takes_over(
    tmp_path: Path,
) -> None:
    """Both are started at the same moment; whichever got the pretraining hangs in its middle."""
    flags = tmp_path / "flags"
    faults = fault(flags, "pretrain", s0="hang")
    folders = [tmp_path / name for name in "ab"]
    sweep = ("-m", *TINY, faults, f"output_dir={tmp_path}/out")
    launched = {folder: start(*sweep, f"hydra.sweep.dir={folder}") for folder in folders}
    wait_for((flags / "hang-0").exists, seconds=120)
    log = {folder: folder / "0" / "run.log" for folder in folders}
    said = "waiting for another process"
    wait_for(lambda: any(f.exists() and said in f.read_text() for f in log.values()), seconds=120)
    (waiter,) = (folder for folder in folders if said in log[folder].read_text())
    (holder,) = (folder for folder in folders if folder != waiter)
    launched[holder].kill()
    launched[holder].communicate()
    _, errors = launched[waiter].communicate(timeout=120)
    assert launched[waiter].returncode == 0, errors
    assert "from step 2" in log[waiter].read_text(), "it went on where the other was"
    assert main(["sweep", "resume", str(holder)]) == 0
    assert len(list((tmp_path / "out" / "store").glob("pretrain-*/entry.json"))) == 1
    ((taken,), (found,)) = records(waiter), records(holder)
    assert [record["reused"]["pretrain"] for record in (taken, found)] == [False, True]
    assert results(waiter) == results(holder)


@pytest.mark.slow
def test_a_killed_launcher_takes_its_jobs_along_and_the_sweep_resumes(tmp_path: Path) -> None:
    folder, flags = tmp_path / "sweep", tmp_path / "flags"
    faults = fault(flags, "pretrain", s0="hang")
    process = start("-m", *TINY, faults, "seed=0,1", f"hydra.sweep.dir={folder}",
                    "hydra.launcher.jobs=1", f"output_dir={tmp_path}/out")  # fmt: skip
    wait_for((flags / "hang-0").exists)
    job = json.loads((folder / "0" / "run.json").read_text())["pid"]
    assert is_alive(job)
    process.kill()
    process.communicate()
    wait_for(lambda: not is_alive(job), seconds=10)
    assert [j.state for j in Manifest.load(folder).jobs] == ["running", "waiting"]
    assert main(["sweep", "resume", str(folder)]) == 0
    assert [(j.state, j.tries) for j in Manifest.load(folder).jobs] == [("done", 2), ("done", 1)]
    assert "from step 2" in (folder / "0" / "run.log").read_text()


@pytest.mark.slow
def test_the_holder_of_a_pretraining_is_killed_and_another_job_takes_over(tmp_path: Path) -> None:
    folder, flags = tmp_path / "sweep", tmp_path / "flags"
    faults = fault(flags, "pretrain", s0="kill")
    arms = "transfer=feature/linear_probe,parameter/finetune"
    assert main(["-m", *TINY, faults, arms, f"hydra.sweep.dir={folder}", "hydra.launcher.jobs=2",
                 f"output_dir={tmp_path}/out"]) == 1  # fmt: skip
    jobs = Manifest.load(folder).jobs
    assert sorted(job.state for job in jobs) == ["done", "failed"]
    (survivor,) = (job for job in jobs if job.state == "done")
    assert "from step 2" in (folder / survivor.folder / "run.log").read_text()


@pytest.mark.slow
def test_a_second_ctrl_c_kills(tmp_path: Path) -> None:
    folder, flags = tmp_path / "sweep", tmp_path / "flags"
    faults = fault(flags, "pretrain", s0="deaf")
    process = start("-m", *TINY, faults, f"hydra.sweep.dir={folder}", f"output_dir={tmp_path}/out")
    wait_for((flags / "deaf-0").exists)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Ctrl-C again kills" in errors
    (job,) = Manifest.load(folder).jobs
    assert (job.state, job.signal) == ("interrupted", "SIGKILL")


@pytest.mark.slow
def test_ranks_of_a_multirun_each_train_their_jobs_own_settings(tmp_path: Path) -> None:
    runs = {}
    for name, trainer in (("one", "cpu"), ("two", "ddp")):
        folder = tmp_path / name
        arguments = [f"trainer={trainer}", "trainer.accelerator=cpu", "optimizer.lr=0.01,0.001"]
        assert main(["-m", *TINY, *arguments, f"hydra.sweep.dir={folder}",
                     f"output_dir={tmp_path}/{name}-out"]) == 0  # fmt: skip
        runs[name] = records(folder)
    for one, two in zip(runs["one"], runs["two"], strict=True):
        assert two["scores"]["accuracy"] == pytest.approx(one["scores"]["accuracy"], rel=1e-4)
    first, second = runs["two"]
    assert first["reconstruction"] != second["reconstruction"]
