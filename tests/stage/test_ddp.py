"""Two processes train what one would: the same joint batches, the same noise, the same steps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

import aetl
from aetl.files import read_json, read_tensors
from aetl.tracking.history import read_history
from tests.tiny import CRASH, MLP, SMALL, differing

pytestmark = pytest.mark.slow

SETTINGS = [
    *SMALL, *MLP, "trainer=ddp", "trainer.accelerator=cpu", "pretrain.max_steps=20",
    "finetune.max_steps=10",
    "callback.progress={_target_: aetl.stage.progress.Progress, refresh_rate: 10}",
]  # fmt: skip


def run(folder: Path, devices: int, *overrides: str, crash: int | None = None) -> int:
    """A run of the command line; its exit code."""
    environment = os.environ | {"PYTHONPATH": str(Path(aetl.__file__).parents[1])}
    if crash is not None:
        environment["AETL_TEST_CRASH_AT"] = str(crash)
    command = [sys.executable, "-m", "aetl.cli", *SETTINGS, f"trainer.devices={devices}"]
    done = subprocess.run(
        [*command, f"output_dir={folder}", *overrides],
        env=environment, timeout=200, capture_output=True, text=True, check=False,
    )  # fmt: skip
    print(done.stderr)
    return done.returncode


def results(folder: Path) -> tuple[dict[str, Tensor], dict[str, float]]:
    """All weights of the stages by name, and all scores."""
    state: dict[str, Tensor] = {}
    for file in sorted([*folder.glob("store/*/*.pt"), *folder.glob("store/*/network.*")]):
        entry = read_json(file.parent / "entry.json")
        node = entry["key"].get("transfer", {})
        arm = "".join(sorted(node))
        tensors = file.suffix == ".safetensors"
        weights = read_tensors(file) if tensors else torch.load(file, weights_only=True)
        state |= {f"{entry['stage']} {arm} {name}": tensor for name, tensor in weights.items()}
    (record,) = (read_json(file) for file in folder.glob("2*/*/run.json"))
    scores = {f"{part} {k}": v for part in ("scores", "twin") for k, v in record[part].items()}
    return state, scores


@pytest.mark.parametrize(
    "overrides, tolerance",
    [
        # 144 = 11 * 13 + 1: the second rank has nothing of an epoch's last batch.
        pytest.param(
            ("autoencoder=vae", "pretrain.batch_size=13", "trainer.precision=64-true"),
            1e-9,
            id="vae in double precision",
        ),
        pytest.param(
            ("autoencoder=factor_vae", "pretrain.batch_size=13", "trainer.precision=64-true"),
            1e-9,
            id="a discriminator in double precision",
        ),
        pytest.param(
            (
                "autoencoder=denoising",
                "transfer=instance/density_ratio",
                "selector=target_validation",
                "trainer.precision=64-true",
            ),
            1e-9,
            id="weighted streams in double precision",
        ),
        pytest.param(("scheduler=cosine",), 1e-4, id="single precision"),
    ],
)
def test_two_processes_equal_one_with_the_joint_batch(
    overrides: tuple[str, ...], tolerance: float, tmp_path: Path
) -> None:
    small = ("bottleneck.latent_dim=4", *overrides)
    assert run(tmp_path / "one", 1, *small) == 0
    assert run(tmp_path / "two", 2, *small) == 0
    (one, scores), (two, others) = results(tmp_path / "one"), results(tmp_path / "two")
    assert one.keys() == two.keys()
    assert len(one) > 20
    for name, tensor in one.items():
        # Adam divides by the root of the squared gradient: noise of a gradient of zero is a step.
        torch.testing.assert_close(
            two[name], tensor, rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}"
        )
    assert scores == pytest.approx(others, rel=1e-4)


def test_two_processes_that_were_cut_off_continue_bit_for_bit(tmp_path: Path) -> None:
    """Both write one checkpoint, and it can be read."""
    every = "callback.resume_point.every_n_steps=2"
    overrides = ("autoencoder=denoising", "bottleneck.latent_dim=4", CRASH, every)
    assert run(tmp_path / "plain", 2, *overrides) == 0
    assert run(tmp_path / "cut", 2, *overrides, crash=7) != 0
    (file,) = tmp_path.glob("cut/store/pretrain-*/last.ckpt")
    assert torch.load(file, weights_only=True)["global_step"] == 6
    assert {f.name for f in file.parent.iterdir()} == {"last.ckpt", "last.ckpt.digest"}
    for folder in (tmp_path / "cut").glob("2*"):
        for job in folder.iterdir():
            assert read_json(job / "run.json")["status"] == "failed"
            job.rename(tmp_path / f"failed-{job.name}")
    assert run(tmp_path / "cut", 2, *overrides) == 0
    (plain, scores), (resumed, others) = results(tmp_path / "plain"), results(tmp_path / "cut")
    assert differing(plain, resumed) == set()
    assert scores == others
    rows, again = (
        read_history(next((tmp_path / name).glob("store/pretrain-*/metrics.csv")))
        for name in ("plain", "cut")
    )
    assert [row[:-1] for row in again] == [row[:-1] for row in rows]
    assert [row.value for row in again] == pytest.approx([row.value for row in rows], rel=1e-6)
