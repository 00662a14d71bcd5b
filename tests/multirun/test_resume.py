"""`aetl sweep status|resume|retry`: what is done stays done, the rest is finished."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig

import aetl
from aetl.cli import main
from aetl.launch import _task
from aetl.multirun.job import load_config
from aetl.multirun.manifest import Manifest, SweepRefused, locked
from tests.multirun.conftest import Sweep
from tests.multirun.test_launch import log


def status(folder: Path, capfd: pytest.CaptureFixture[str]) -> dict:
    capfd.readouterr()
    assert main(["sweep", "status", str(folder), "--json"]) == 0
    return json.loads(capfd.readouterr().out)


def ran(folder: Path) -> list[int]:
    """How often each job's task was called."""
    jobs = Manifest.load(folder).jobs
    files = [folder / job.folder / "ran" for job in jobs]
    return [len(file.read_text().splitlines()) if file.exists() else 0 for file in files]


def cut_off(folder: Path, job: int, ran: bool) -> None:
    """Leave a sweep as a launcher leaves it that is killed while a job runs."""
    manifest = Manifest.load(folder)
    manifest.jobs[job].state = "running"
    manifest.save()
    if not ran:
        (folder / str(job) / "ran").unlink()


def test_resume_finishes_all_that_is_not_done_and_nothing_else(
    sweep: Sweep, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sweep"
    assert sweep("tags=[good],[raise],[kill],[interrupt],[good]", "seed=3") == 1
    assert ran(folder) == [1, 1, 1, 1, 1]
    assert status(folder, capfd)["counts"] == {
        "waiting": 0, "running": 0, "done": 2, "pruned": 0, "refused": 0, "failed": 2,
        "interrupted": 1,
    }  # fmt: skip
    assert main(["sweep", "resume", str(folder)]) == 0
    assert ran(folder) == [1, 2, 2, 2, 1]
    jobs = status(folder, capfd)["jobs"]
    assert [job["state"] for job in jobs] == ["done"] * 5
    assert [job["tries"] for job in jobs] == [1, 2, 2, 2, 1]
    assert [job["error"] for job in jobs] == [None] * 5
    assert log(folder, 1).count("--- try 2 ---") == 1
    assert main(["sweep", "resume", str(folder)]) == 0
    assert ran(folder) == [1, 2, 2, 2, 1]
    assert "nothing to do: 5 done" in capfd.readouterr().out


def test_retry_takes_the_failed_jobs_alone(
    sweep: Sweep, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sweep"
    assert sweep("tags=[good],[raise],[always],[interrupt]") == 1
    assert main(["sweep", "retry", str(folder)]) == 1
    assert "1 job did not finish" in capfd.readouterr().err.splitlines()[-1]
    assert ran(folder) == [1, 2, 2, 1]
    states = [job["state"] for job in status(folder, capfd)["jobs"]]
    assert states == ["done", "done", "failed", "interrupted"]


def test_what_ran_when_its_launcher_was_killed_is_cut_off_and_resumed(
    sweep: Sweep, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sweep"
    assert sweep("seed=0,1,2") == 0
    cut_off(folder, 1, ran=False)
    found = status(folder, capfd)
    assert [job["state"] for job in found["jobs"]] == ["done", "interrupted", "done"]
    assert found["live"] is False
    assert main(["sweep", "resume", str(folder)]) == 0
    assert ran(folder) == [1, 1, 1]


def test_a_job_that_ended_in_the_moment_of_the_kill_is_not_run_again(
    sweep: Sweep, tmp_path: Path, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("AETL_RECORD_OF_STUB", "1")
    folder = tmp_path / "sweep"
    assert sweep("seed=0,1") == 0
    cut_off(folder, 1, ran=True)
    assert main(["sweep", "resume", str(folder)]) == 0
    assert ran(folder) == [1, 1]
    assert Manifest.load(folder).jobs[1].score == 0.25


def test_an_earlier_tries_record_is_set_aside(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AETL_RECORD_OF_STUB", "1")
    folder = tmp_path / "sweep"
    assert sweep("seed=0") == 0
    (folder / "0" / "run.json").write_text('{"status": "failed", "pid": 1}')
    cut_off(folder, 0, ran=True)
    assert main(["sweep", "resume", str(folder)]) == 0
    assert json.loads((folder / "0" / "run.try1.json").read_text())["status"] == "failed"
    assert json.loads((folder / "0" / "run.json").read_text())["status"] == "done"


def test_a_sweep_can_be_moved_and_resumed_from_anywhere(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sweep("tags=[raise],[good]") == 1
    moved = (tmp_path / "sweep").rename(tmp_path / "moved")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["sweep", "resume", "../moved"]) == 0
    assert ran(moved) == [2, 1]
    assert not (tmp_path / "sweep").exists()


def test_a_sweep_whose_working_folder_is_gone_says_so_and_goes_on_elsewhere(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert sweep("tags=[raise],[good]") == 1
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").rmdir()
    capfd.readouterr()
    assert main(["sweep", "resume", "sweep"]) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert f"was started in {tmp_path / 'here'}, which is gone" in line
    assert "--cwd DIR" in line
    assert main(["sweep", "resume", "sweep", "--cwd", "nowhere"]) == 2
    assert "--cwd nowhere: no such folder" in capfd.readouterr().err
    assert main(["sweep", "resume", "sweep", "--cwd", "."]) == 0
    assert ran(tmp_path / "sweep") == [2, 1]
    assert Manifest.load(tmp_path / "sweep").cwd == str(tmp_path)


def test_a_working_folder_that_goes_away_while_jobs_start_is_a_line_of_each(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    real = Manifest.save

    def save(manifest: Manifest) -> None:
        manifest.cwd = str(tmp_path / "gone")
        real(manifest)

    monkeypatch.setattr(Manifest, "save", save)
    assert sweep("tags=[good],[sleep]") == 1
    jobs = status(tmp_path / "sweep", capfd)["jobs"]
    assert [job["state"] for job in jobs] == ["failed"] * 2
    assert all("gone: No such file or directory" in job["error"] for job in jobs)
    assert "relative paths of the jobs start there" in log(tmp_path / "sweep", 1)


def test_a_command_in_a_folder_that_is_gone_ends_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    for command in (["-m", "logger=none", "seed=0,1"], ["logger=none"], ["compare", "."],
                    ["sweep", "status", "."]):  # fmt: skip
        assert main(command) == 2
        said = capfd.readouterr().err
        assert said == "aetl: the current folder is gone: cd to another one\n"
    monkeypatch.chdir(tmp_path)


def test_a_job_stopped_before_it_has_a_record_keeps_what_it_needs_to_start(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sweep("seed=0") == 0

    def stop(job: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("aetl.pipeline.run", stop)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    config = load_config(tmp_path / "sweep" / "0")
    HydraConfig.instance().set_config(config)
    with pytest.raises(KeyboardInterrupt):
        _task(config)
    assert (tmp_path / "sweep" / "0" / "config.yaml").exists()


def test_of_two_resumes_at_once_the_second_is_refused(
    sweep: Sweep, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sweep"
    assert sweep("tags=[raise]") == 1
    with locked(folder):
        found = status(folder, capfd)
        assert found["live"] is True
        assert main(["sweep", "resume", str(folder)]) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line == f"aetl: {folder}: another process works on this sweep"
    assert ran(folder) == [1]


def test_a_folder_that_is_no_sweep_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for text, line in [(None, "not a sweep's folder"), ("", "before its jobs were checked"),
                       ("{", "cannot be read as JSON")]:  # fmt: skip
        if text is not None:
            (tmp_path / "manifest.json").write_text(text)
        for command in ("status", "resume", "retry"):
            assert main(["sweep", command, str(tmp_path)]) == 2
            (error,) = capfd.readouterr().err.strip().splitlines()
            assert line in error
    with pytest.raises(SweepRefused):
        Manifest.load(tmp_path / "manifest.json")


def test_status_shows_every_job(
    sweep: Sweep, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sweep("tags=[good],[raise]", "seed=1") == 1
    capfd.readouterr()
    assert main(["sweep", "status", str(tmp_path / "sweep")]) == 0
    table = capfd.readouterr().out
    assert "tags=[good]" in table
    assert "ValueError: no luck" in table
    assert "1 done, 1 failed" in table


def test_looking_at_a_sweep_loads_neither_torch_nor_hydra(tmp_path: Path) -> None:
    Manifest(tmp_path, [], "/", [], "m:f", None, 0, "now").save()
    code = (
        "import sys; from aetl.cli import main; main(['sweep', 'status', '.', '--json']);"
        "print([name for name in ('torch', 'hydra', 'numpy', 'rich') if name in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(aetl.__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip().splitlines()[-1] == "[]"
