"""Every mistake of a user's is one line and exit code 2, and leaves nothing behind."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from aetl.cli import main

TINY = ["pretrain.max_steps=2", "finetune.max_steps=2", "logger=none", "callback.progress=null"]

STOP = (
    "+callback.stop={{_target_: pytorch_lightning.callbacks.EarlyStopping, "
    "monitor: transfer/validation/{}}}"
)
REFUSED = [
    (["autoencoder=vea"], "autoencoder=vea: no such option; did you mean 'vae'?"),
    (["autoencodr=vae"], "autoencodr: unknown key; did you mean autoencoder=vae?"),
    (["optimizer.lr=fast"], "optimizer.lr='fast': expected"),
    (["+autoencoder.latnt=3"], "latnt: unknown key; did you mean 'bottleneck.latent_dim'?"),
    (["optimizer.lrr=1"], "optimizer.lrr: unknown key; did you mean 'lr'?"),
    (["+optimizer.lrr=1"], "optimizer.lrr: unknown key; did you mean 'lr'?"),
    (["+sede=1"], "sede: unknown key; did you mean 'seed'?"),
    (["seed=1.5"], "seed=1.5: expected integer"),
    (["backbone.activation=rleu"], "did you mean 'relu'?"),
    (["pretrain.epochs=many"], "pretrain.epochs='many': expected integer"),
    (["autoencoder=undercomplete", "loss=elbo"], "needs mean, logvar, which autoencoder="),
    (["metric=r2"], "metric=r2: is for regression, and the task is classification"),
    (["target.budget=100000"], "budget=100000"),
    (["metric=[nll,accuracy]", STOP.format("nll, mode: max")],
     "callback.stop: mode=max, and of transfer/validation/nll lower is better; set mode: min"),
    ([STOP.format("accuracy")], "of transfer/validation/accuracy higher is better; set mode: max"),
    ([STOP.replace("EarlyStopping", "ModelCheckpoint").format("loss, mode: max")],
     "of transfer/validation/loss lower is better"),
    (["-m", "sweep=optuna_finetune", "metric=accuracy,nll"],
     "metric: all trials of a search go by one score; choose one"),
    (["-m", "sweep=optuna_finetune", "metric=nll",
      "hydra.sweeper.objective=[transfer/validation/nll]"],
     "lower is better; write -transfer/validation/nll"),
    (["-m", "seed=0,1", "selector=target_validation", "target.budget=1"],
     "selector=target_validation: a budget of 1 has no label to hold out; raise target.budget"),
    (["checkpoint=/no/such/run"], "checkpoint=/no/such/run: there is no such file"),
    (["dataset@source=mnist", "source.download=false", "data_dir=/no/such"], "/no/such"),
    (["representation.layer=encoder.9"], "representation.layer=encoder.9: no such layer"),
    (["transfer=[feature/linear_probe,control/raw_features]"], "both fit the head"),
    (["trainer=cpu", "trainer.accelerator=quantum"], "trainer: "),
    (["autoencoder._target_=no.such.Class"], "cannot be imported"),
]  # fmt: skip


@pytest.mark.parametrize(("overrides", "line"), REFUSED, ids=[" ".join(o) for o, _ in REFUSED])
def test_a_mistake_is_one_line_and_exit_code_2(
    overrides: list[str], line: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = main([*TINY, f"output_dir={tmp_path}/out", *overrides])
    errors = capfd.readouterr().err.strip().splitlines()
    assert code == 2
    assert len(errors) == 1, errors
    assert line in errors[0]


@pytest.mark.parametrize(
    "overrides", [["autoencoder=vea"], ["optimizer.lr=fast"], ["+autoencoder.latnt=3"]]
)
def test_a_refused_config_leaves_no_file(overrides: list[str], tmp_path: Path) -> None:
    assert main([*TINY, f"output_dir={tmp_path}/out", *overrides]) == 2
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_file_that_is_no_checkpoint_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(b"not a checkpoint")
    assert main([*TINY, f"output_dir={tmp_path}/out", f"checkpoint={file}"]) == 2
    assert "not a checkpoint" in capfd.readouterr().err


def test_a_pipe_is_no_checkpoint(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "w.pt")
    assert main([*TINY, f"output_dir={tmp_path}/out", f"checkpoint={tmp_path}/w.pt"]) == 2
    assert f"{tmp_path}/w.pt: is a pipe or a device, and no file" in capfd.readouterr().err


def test_a_checkpoint_in_which_nothing_matches_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "weights.pt"
    torch.save({"somebody.elses": torch.zeros(3)}, file)
    assert main([*TINY, f"output_dir={tmp_path}/out", f"checkpoint={file}"]) == 2
    assert "none of the encoder's" in capfd.readouterr().err


@pytest.fixture
def small_disk() -> Iterator[None]:
    """Files may grow to 200 kB: writing more fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    tmp_path: Path, small_disk: None, capfd: pytest.CaptureFixture[str]
) -> None:
    code = main([*TINY, f"output_dir={tmp_path}/out", "backbone.hidden=[512,256]"])
    errors = capfd.readouterr().err.strip().splitlines()
    assert code == 2
    assert "nothing half-written was kept" in errors[-1]
    left = [path.name for path in (tmp_path / "out" / "store").rglob("*.pt*")]
    assert left == []


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["comapre", "x"]) == 2
    assert "did you mean 'compare'?" in capsys.readouterr().err
