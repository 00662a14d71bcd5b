"""The launcher of multiruns: every job for itself, nothing lost, nothing half begun."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from aetl.cli import main
from aetl.multirun.backend import start_server
from aetl.multirun.manifest import Manifest, SweepRefused, locked
from aetl.types import UserError
from tests.multirun.conftest import Sweep


def states(folder: Path) -> list[str]:
    return [job.state for job in Manifest.load(folder).jobs]


def log(folder: Path, job: int) -> str:
    return (folder / str(job) / "job.log").read_text()


def test_a_job_that_dies_takes_only_itself_down(
    sweep: Sweep, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = sweep("tags=[good],[raise],[kill],[segfault],[leave],[interrupt],[talk]")
    folder = tmp_path / "sweep"
    jobs = Manifest.load(folder).jobs
    assert code == 1
    assert [job.state for job in jobs] == [
        "done", "failed", "failed", "failed", "failed", "interrupted", "done",
    ]  # fmt: skip
    assert [job.error for job in jobs] == [
        None,
        "ValueError: no luck",
        "killed by SIGKILL (out of memory?)",
        "killed by SIGSEGV",
        "ended with exit code 3 and said nothing",
        "stopped by SIGINT",
        None,
    ]
    assert [job.exit_code for job in jobs] == [0, 1, -9, -11, 3, 130, 0]
    assert [job.signal for job in jobs] == [None, None, "SIGKILL", "SIGSEGV", None, None, None]
    assert all(job.tries == 1 and job.seconds > 0 and job.started and job.ended for job in jobs)
    assert 'raise ValueError("no luck' in log(folder, 1)
    assert "Segmentation fault" in log(folder, 3), "faulthandler tells where"
    errors = capfd.readouterr().err
    assert "5 of 7 jobs did not finish" in errors
    assert "sweep/1/job.log" in errors
    assert errors.strip().splitlines()[-1].startswith("aetl: ")
    assert "aetl sweep retry" in errors.strip().splitlines()[-1]


def test_a_job_whose_parts_do_not_go_together_is_left_out(
    sweep: Sweep, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sweep("tags=[good],[misfit],[good]", "hydra.launcher.retries=1") == 0
    jobs = Manifest.load(tmp_path / "sweep").jobs
    assert [job.state for job in jobs] == ["done", "refused", "done"]
    assert (jobs[1].error, jobs[1].exit_code, jobs[1].tries) == ("backbone=conv takes images", 0, 1)
    out, err = capfd.readouterr()
    assert "2 of 3 jobs done, 1 refused since their parts do not go together: " in out
    assert "did not finish" not in err
    assert main(["sweep", "retry", str(tmp_path / "sweep")]) == 0
    assert Manifest.load(tmp_path / "sweep").jobs[1].tries == 1


def test_all_that_a_job_prints_is_in_its_log(
    sweep: Sweep, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sweep("tags=[talk]") == 0
    said = log(tmp_path / "sweep", 0)
    assert [f"said by {who}" in said for who in ("Python", "C", "a child")] == [True] * 3
    out, err = capfd.readouterr()
    assert "said by" not in out + err


def test_a_job_leaves_nothing_in_the_temporary_folder(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    assert sweep("tags=[litter],[good]") == 0
    left = [path.name for path in (tmp_path / "tmp").iterdir()]
    assert [name for name in left if not name.startswith("pymp-")] == []


def test_a_line_for_each_finished_job_where_nobody_watches(
    sweep: Sweep, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AETL_RECORD_OF_STUB", "1")
    assert sweep("target.budget=20", "seed=1,2", "hydra.launcher.jobs=1") == 0
    out, err = capfd.readouterr()
    first, second, *_ = err.strip().splitlines()
    assert first.startswith("[1/2] ok  seed=1  accuracy 0.25  ")
    assert second.startswith("[2/2] ok  seed=2  accuracy 0.5  ")
    assert f"2 of 2 jobs done: {tmp_path / 'sweep'}" in out


def test_a_failed_job_is_tried_again_as_often_as_asked(sweep: Sweep, tmp_path: Path) -> None:
    assert sweep("tags=[raise],[always]", "hydra.launcher.retries=2") == 1
    recovered, hopeless = Manifest.load(tmp_path / "sweep").jobs
    assert (recovered.state, recovered.tries, recovered.error) == ("done", 2, None)
    assert (hopeless.state, hopeless.tries) == ("failed", 3)
    assert log(tmp_path / "sweep", 1).count("ValueError: no luck") == 3


REFUSED = [
    (["seed=0,fast,2"], "job 1 (seed=fast): seed='fast': expected integer"),
    (["autoencoder=vae,vea"], "autoencoder=vea: no such option; did you mean 'vae'?"),
    (["autoencoder=undercomplete", "loss=mse,elbo"], "needs mean, logvar"),
    (["hydra.sweep.subdir=same", "seed=0,1"], "hydra.sweep.subdir=same: shared by jobs 0 and 1"),
    (["autoencoder=glob(z*)"], "the sweep has no jobs"),
    (["hydra.launcher.jobs=0", "seed=0,1"], "hydra.launcher.jobs=0: expected integer from 1"),
    (
        ["hydra.launcher.retries=-1", "seed=0,1"],
        "hydra.launcher.retries=-1: expected integer from 0",
    ),
]


@pytest.mark.parametrize("overrides, line", REFUSED, ids=[" ".join(o) for o, _ in REFUSED])
def test_one_bad_job_refuses_the_sweep_before_any_work(
    overrides: list[str], line: str, sweep: Sweep, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sweep(*overrides, folder=tmp_path / "new" / "sweep") == 2
    errors = capfd.readouterr().err.strip().splitlines()
    assert len(errors) == 1, errors
    assert line in errors[0]
    assert not (tmp_path / "new").exists()


def test_two_sweeps_never_share_a_folder(
    sweep: Sweep, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sweep("seed=0,1") == 0
    before = {path: path.read_bytes() for path in (tmp_path / "sweep").rglob("*") if path.is_file()}
    assert sweep("seed=2,3") == 2
    assert "holds another sweep" in capfd.readouterr().err
    assert before == {p: p.read_bytes() for p in (tmp_path / "sweep").rglob("*") if p.is_file()}


def test_a_folder_with_other_things_in_it_is_left_alone(sweep: Sweep, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    assert sweep("seed=0,1", folder=tmp_path) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_hydras_files_are_those_that_its_own_launcher_writes(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aetl.launch._task", lambda cfg: 0.0)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    overrides = ("seed=3,4", "transfer=control/scratch", "hydra.job.chdir=false")
    assert sweep(*overrides, folder=ours) == 0
    assert sweep(*overrides, "hydra/launcher=basic", folder=theirs) == 0
    for job in ("0", "1"):
        for name in ("config.yaml", "overrides.yaml"):
            file = Path(job, ".hydra", name)
            assert (ours / file).read_text() == (theirs / file).read_text()
        node, reference = (
            yaml.safe_load((side / job / ".hydra" / "hydra.yaml").read_text())["hydra"]
            for side in (ours, theirs)
        )
        assert node["runtime"]["output_dir"] == str(ours / job)
        for other in (node, reference):
            del other["launcher"], other["sweep"], other["overrides"]["hydra"]
            del other["runtime"]["output_dir"], other["runtime"]["choices"]["hydra/launcher"]
        reference["job"]["id"] = str(reference["job"]["id"])
        assert node == reference


def test_the_saved_config_is_resolved_and_equal_to_the_composed(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aetl.config import compose, resolved

    overrides = ["optimizer.lr=1e-05", "tags=['1e3',on,'0123']", "autoencoder=vae"]
    monkeypatch.setattr("aetl.multirun.plugin.TASK", "builtins:len")
    assert sweep(*overrides) == 0
    saved = Manifest.load(tmp_path / "sweep").folder / "0" / "config.yaml"
    from omegaconf import OmegaConf

    plain = resolved(compose(["logger=none", *overrides]))
    loaded = OmegaConf.to_container(OmegaConf.load(saved))
    assert loaded == plain
    assert json.dumps(loaded, sort_keys=True) == json.dumps(plain, sort_keys=True)


def test_as_many_jobs_at_a_time_as_asked(sweep: Sweep, tmp_path: Path) -> None:
    assert sweep("tags=[sleep]", "seed=range(6)", "hydra.launcher.jobs=3") == 0
    spans = [json.loads((tmp_path / "sweep" / str(job) / "slept").read_text()) for job in range(6)]
    at_once = [sum(begin <= start < end for begin, end in spans) for start, _ in spans]
    assert max(at_once) == 3


def test_a_job_sees_its_own_share_of_threads_and_gpus(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aetl.multirun.run._gpus", lambda context: ("4", "7"))
    arguments = ("tags=[surroundings]", "threads=1,2", "hydra.launcher.jobs=2")
    assert sweep(*arguments) == 0
    one, two = (
        json.loads((tmp_path / "sweep" / job / "surroundings.json").read_text()) for job in "01"
    )
    assert (one["threads"], one["omp"]) == (1, "1")
    assert two["omp"] == "2"
    assert two["threads"] <= 2
    assert {one["gpus"], two["gpus"]} == {"4", "7"}
    assert one["argv"][:2] == ["aetl", "-m"]
    assert one["cwd"] == os.getcwd()


def test_a_job_for_the_cpu_keeps_its_sight_of_the_gpus(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aetl.multirun.run._gpus", lambda context: ("4", "7"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert sweep("tags=[surroundings]", "trainer=cpu") == 0
    found = json.loads((tmp_path / "sweep" / "0" / "surroundings.json").read_text())
    assert found["gpus"] is None


def interrupt_when(ready: Any, times: int) -> threading.Thread:
    """Send Ctrl-C to this process as soon as ``ready()``."""

    def send() -> None:
        end = time.monotonic() + 240
        while not ready():
            assert time.monotonic() < end
            time.sleep(0.05)
        for _ in range(times):
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def test_ctrl_c_stops_the_sweep_and_says_how_to_resume(
    sweep: Sweep, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sweep"
    thread = interrupt_when((folder / "1" / "ran").exists, times=1)
    start = time.monotonic()
    code = sweep("tags=[good],[hang]", "seed=0,1", "hydra.launcher.jobs=2")
    thread.join()
    assert code == 130
    assert time.monotonic() - start < 60, "nobody waited for the job that hangs"
    assert f"aetl sweep resume {folder}" in capfd.readouterr().err.splitlines()[-1]
    manifest = Manifest.load(folder)
    by_tag = {(job.name, job.state) for job in manifest.jobs}
    assert ("tags=[good] seed=0", "done") in by_tag
    assert ("tags=[hang] seed=0", "interrupted") in by_tag
    assert "running" not in states(folder)
    assert manifest.ended


def test_nobody_else_works_on_a_sweep_meanwhile(sweep: Sweep, tmp_path: Path) -> None:
    refused: list[bool] = []
    folder = tmp_path / "sweep"

    def intrude() -> bool:
        if not (folder / "0" / "ran").exists():
            return False
        try:
            with locked(folder, timeout=0):
                refused.append(False)
        except SweepRefused:
            refused.append(True)
        return True

    thread = interrupt_when(intrude, times=0)
    assert sweep("tags=[sleep]") == 0
    thread.join()
    assert refused == [True]
    with locked(folder, timeout=0):
        pass


@pytest.mark.slow
def test_each_job_has_a_process_of_its_own(sweep: Sweep, tmp_path: Path) -> None:
    assert sweep("seed=range(4)") == 0
    pids = {(tmp_path / "sweep" / str(job) / "ran").read_text() for job in range(4)}
    assert len(pids) == 4
    assert f"{os.getpid()}\n" not in pids


def test_hydras_grid_and_globs_and_lists_become_jobs(sweep: Sweep, tmp_path: Path) -> None:
    assert (
        sweep("autoencoder=glob(undercompl*)", "seed=range(2)", "finetune.lr=choice(1.0,2.0)") == 0
    )
    jobs = Manifest.load(tmp_path / "sweep").jobs
    assert [job.name for job in jobs] == [
        "seed=0 lr=1.0",
        "seed=0 lr=2.0",
        "seed=1 lr=1.0",
        "seed=1 lr=2.0",
    ]
    assert all("autoencoder=undercomplete" in job.overrides for job in jobs)


def test_a_server_without_room_for_its_sockets_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError("AF_UNIX path too long")

    monkeypatch.setattr("multiprocessing.forkserver.ensure_running", refuse)
    with pytest.raises(UserError, match=r"^TMPDIR=/.*: too long a path for the sockets"):
        start_server(1)


@pytest.mark.slow
def test_a_temporary_folder_that_is_too_deep_for_sockets_is_one_line(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "aetl.cli", "-m", "seed=0,1", f"output_dir={tmp_path}"],
        env=os.environ | {"TMPDIR": str(deep)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"aetl: TMPDIR={deep}: too long a path for the sockets" in done.stderr
