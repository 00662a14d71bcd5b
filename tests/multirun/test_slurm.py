"""A multirun over a real Slurm: requeued jobs go on where they were, in their own folders."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aetl.cli import main
from aetl.multirun.manifest import Manifest
from tests.multirun.slurm import cluster, missing
from tests.multirun.test_recovery import TINY, fault, records, results, start, wait_for

pytest.importorskip("submitit")

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.timeout(900),
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with (
        cluster(tmp_path_factory.mktemp("slurm")) as config,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("SLURM_CONF", str(config))
        yield config


def scontrol(*arguments: str) -> None:
    subprocess.run(["scontrol", *arguments], capture_output=True, check=False)


def requeue(folder: Path, flag: Path) -> None:
    """What an administrator does to a job while it trains, and its new start without the wait."""
    wait_for(flag.exists, seconds=400)
    number = str(json.loads((folder / "submitted.json").read_text())["id"])
    scontrol("requeue", number)
    first = json.loads((folder / "process.json").read_text())["pid"]

    def again() -> bool:
        scontrol("update", f"JobId={number}", "StartTime=now")
        return bool(json.loads((folder / "process.json").read_text())["pid"] != first)

    wait_for(again, seconds=400)


def test_six_jobs_of_which_one_is_requeued_and_one_runs_out_of_time(
    slurm: Path, tmp_path: Path
) -> None:
    folder, flags = tmp_path / "sweep", tmp_path / "flags"
    faults = fault(flags, "transfer", s0="hang", s1="preempt")
    sweep = ["-m", *TINY, "seed=range(6)"]
    meddler = threading.Thread(target=requeue, args=(folder / "0", flags / "hang-0"), daemon=True)
    hurry = threading.Thread(target=start_soon, args=(folder / "1",), daemon=True)
    meddler.start()
    hurry.start()
    assert main([*sweep, faults, "hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=1",
                 f"hydra.sweep.dir={folder}", f"output_dir={tmp_path}/a"]) == 0  # fmt: skip
    meddler.join()
    jobs = Manifest.load(folder).jobs
    assert [(job.state, job.tries) for job in jobs] == [("done", 1)] * 6
    for number in "01":
        assert "from step 2" in (folder / number / "run.log").read_text(), "it went on, not anew"
        assert len(list((folder / number).glob("run.try*.json"))) == 1
    assert not list(folder.glob("[2-5]/run.try*.json"))
    assert json.loads((folder / "1" / "run.try1.json").read_text())["status"] == "interrupted"
    calm = tmp_path / "calm"
    assert main([*sweep, f"hydra.sweep.dir={calm}", f"output_dir={tmp_path}/b"]) == 0
    assert results(folder) == results(calm)
    assert {record["hardware"]["host"] for record in records(folder)}


def test_jobs_outlive_their_launcher_and_resume_finds_them_in_the_queue(
    slurm: Path, tmp_path: Path
) -> None:
    folder, flags = tmp_path / "sweep", tmp_path / "flags"
    faults = fault(flags, "transfer", s0="pause")
    process = start("-m", *TINY, faults, "seed=0,1,2", "hydra/launcher=submitit_slurm",
                    "hydra.launcher.cpus_per_task=2", f"hydra.sweep.dir={folder}",
                    f"output_dir={tmp_path}/out")  # fmt: skip
    wait_for((flags / "pause-0").exists, seconds=400)
    wait_for((folder / "2" / "submitted.json").exists, seconds=60)
    process.kill()
    process.communicate()
    before = [(folder / job / "submitted.json").read_text() for job in "012"]
    assert main(["sweep", "resume", str(folder)]) == 0
    assert [job.state for job in Manifest.load(folder).jobs] == ["done"] * 3
    assert [(folder / job / "submitted.json").read_text() for job in "012"] == before
    assert not list(folder.glob("*/run.try*.json")), "each ran once"


def start_soon(folder: Path) -> None:
    """Slurm lets a requeued job wait for two minutes; we do not."""
    wait_for((folder / "run.json").exists, seconds=400)
    number = str(json.loads((folder / "submitted.json").read_text())["id"])

    def again() -> bool:
        scontrol("update", f"JobId={number}", "StartTime=now")
        return (folder / "outcome.json").exists()

    wait_for(again, seconds=400)
