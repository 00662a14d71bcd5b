"""Whole runs from the command line: resume, several processes, W&B, start-up."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from aetl.cli import main

TINY = ["pretrain.max_steps=5", "finetune.max_steps=5", "logger=none", "trainer=cpu"]


def records(output: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(output.glob("2*/**/run.json"))]


def aetl(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "aetl.cli", *arguments]


def test_a_second_run_takes_every_stage_from_the_store(tmp_path: Path) -> None:
    for _ in range(2):
        assert main([*TINY, f"output_dir={tmp_path}"]) == 0
    first, second = sorted(records(tmp_path), key=lambda r: r["started"])
    if any(first["reused"].values()):
        first, second = second, first
    assert not any(first["reused"].values())
    assert all(second["reused"].values())
    assert first["scores"] == second["scores"]


def test_scratch_is_its_own_twin(tmp_path: Path) -> None:
    assert main([*TINY, "transfer=control/scratch", f"output_dir={tmp_path}"]) == 0
    (record,) = records(tmp_path)
    assert set(record["gain"].values()) == {0.0}
    assert record["parents"]["transfer"] == record["parents"]["twin"]
    assert "pretrain" not in record["parents"]


@pytest.mark.slow
def test_in_a_pipe_a_run_says_how_far_it_is(tmp_path: Path) -> None:
    process = subprocess.Popen(
        aetl(*TINY, f"output_dir={tmp_path}"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    stages = [line.split("  ")[0] for line in process.stderr.read().splitlines()[:7]]
    trained = ("pretrain", "transfer parameter/finetune", "transfer control/scratch")
    assert stages == ["aetl: starting", *(f"{one} {step}/5" for one in trained for step in (0, 5))]
    assert len(process.stdout.read().splitlines()) == 3
    assert process.wait() == 0


@pytest.mark.slow
def test_a_killed_run_continues_to_the_same_bits(tmp_path: Path) -> None:
    arguments = ["logger=none", "trainer=cpu", "autoencoder=denoising", "backbone.dropout=0.1",
                 "pretrain.min_steps=2000", "finetune.max_steps=5",
                 "callback.resume_point.every_n_steps=37"]  # fmt: skip
    command = aetl(*arguments, f"output_dir={tmp_path}/killed")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list((tmp_path / "killed").glob("store/pretrain-*/last.ckpt")):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list((tmp_path / "killed").glob("store/pretrain-*/entry.json"))
    for folder in ("killed", "whole"):
        subprocess.run(aetl(*arguments, f"output_dir={tmp_path}/{folder}"), check=True)
    logs = "".join(p.read_text() for p in (tmp_path / "killed").glob("2*/*/run.log"))
    assert "continuing pretrain-" in logs
    killed, whole = (
        next((tmp_path / folder).glob("store/pretrain-*/")) for folder in ("killed", "whole")
    )
    assert (killed / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    ours, theirs = (torch.load(path / "autoencoder.pt") for path in (killed, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    done = [r for r in records(tmp_path / "killed") if r["status"] == "done"]
    assert done[0]["scores"] == records(tmp_path / "whole")[0]["scores"]


@pytest.mark.slow
def test_two_processes_score_as_one_with_the_joint_batch(tmp_path: Path) -> None:
    common = ["logger.wandb.mode=offline", "autoencoder=vae", "pretrain.max_steps=60",
              "finetune.max_steps=60", "trainer.accelerator=cpu",
              "trainer.precision=64-true"]  # fmt: skip
    environment = os.environ | {"WANDB_MODE": "offline"}
    for name in ("default", "ddp"):
        arguments = [*common, f"trainer={name}", f"output_dir={tmp_path}/{name}"]
        subprocess.run(aetl(*arguments), check=True, env=environment)
    (one,), (two,) = records(tmp_path / "default"), records(tmp_path / "ddp")
    for name, score in one["scores"].items():
        assert two["scores"][name] == pytest.approx(score, rel=1e-4)
    assert len(list((tmp_path / "ddp" / "wandb").glob("offline-run-*"))) == 1


@pytest.mark.slow
def test_a_multirun_on_two_processes_gives_each_rank_the_jobs_own_values(tmp_path: Path) -> None:
    arguments = ["-m", "logger=none", "pretrain.max_steps=20", "finetune.max_steps=20",
                 "trainer.accelerator=cpu", "trainer.precision=64-true",
                 "optimizer.lr=1e-3,1e-2"]  # fmt: skip
    for name in ("default", "ddp"):
        subprocess.run(
            aetl(*arguments, f"trainer={name}", f"output_dir={tmp_path}/{name}"), check=True
        )
    one, two = ({_lr(r): r["scores"] for r in records(tmp_path / n)} for n in ("default", "ddp"))
    assert one.keys() == two.keys() == {"0.001", "0.01"}
    assert one["0.001"] != one["0.01"]
    for lr, scores in one.items():
        assert two[lr]["nll"] == pytest.approx(scores["nll"], rel=1e-4)


def _lr(record: dict[str, Any]) -> str:
    return next(o.partition("=")[2] for o in record["overrides"] if o.startswith("optimizer.lr="))


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls", "autoencoder"],
        ["compare", "--help"],
        *(
            pytest.param(a, marks=pytest.mark.slow)
            for a in (["--help"], ["ls"], ["rank", "--help"])
        ),
    ],
)
def test_commands_without_tensors_start_in_half_a_second(arguments: list[str]) -> None:
    def cpu(command: list[str]) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    bare = min(cpu([sys.executable, "-c", "pass"]) for _ in range(3))
    assert min(cpu(aetl(*arguments)) for _ in range(3)) - bare < 0.5
