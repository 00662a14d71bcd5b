"""What an agent puts on the command line and into the config, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from aetl.cli import main
from aetl.config import ConfigError
from aetl.tracking.agent import agent_arguments, beside_the_sweeps


@pytest.mark.parametrize(
    "given, kept",
    [
        ("--optimizer.lr=0.1", "optimizer.lr=0.1"),
        ("optimizer.lr=1e-05", "optimizer.lr=1e-05"),
        ("--dataset@source=mnist", "dataset@source=mnist"),
        ("--autoencoder=vae", "autoencoder=vae"),
        ("--tags=['a', 'b']", "tags=['a', 'b']"),
        ("--checkpoint=None", "checkpoint=null"),
        ("++optimizer.lr=0.1", "++optimizer.lr=0.1"),
        ("--cfg=job", "--cfg=job"),
        ("--debug", "--debug"),
        ("~callback.progress", "~callback.progress"),
        ("+callback.mine={_target_:a.B,at:3}", "+callback.mine={_target_:a.B,at:3}"),
    ],
)
def test_an_agents_arguments_are_overrides(given: str, kept: str) -> None:
    assert agent_arguments([given]) == [kept]


def test_of_a_resumed_runs_config_the_sweeps_own_values_are_kept() -> None:
    """The agent passes all of it: nodes as text, ``_wandb``, where files lay."""
    given = [
        "finetune.max_steps=40", "--seed=3", "--optimizer.lr=0.1", "--autoencoder=vae",
        "--optimizer={'_target_': 'torch.optim.Adam'}", "--aetl={'seed': 3}", "--chosen={}",
        "--output_dir=/elsewhere/outputs", "--checkpoint=None", "--_wandb={'t': {'1': [1]}}",
    ]  # fmt: skip
    assert agent_arguments(given) == [
        "finetune.max_steps=40", "seed=3", "optimizer.lr=0.1", "autoencoder=vae", "checkpoint=null",
    ]  # fmt: skip


def test_a_nested_parameter_is_refused_in_a_line() -> None:
    with pytest.raises(ConfigError, match=r"name them with a dot, as in optimizer\.KEY"):
        agent_arguments(["--optimizer={'lr': 0.1}"])


def test_an_agents_run_is_one_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "s")
    assert main(["-m", "seed=0,1"]) == 2
    assert "leave it out" in capsys.readouterr().err


CONFIG = {
    "seed": 0,
    "optimizer": {"lr": 0.1, "betas": [0.9, 0.999]},
    "autoencoder": {"_target_": "a.B", "depth": 2},
    "tags": [],
}


def test_each_value_is_logged_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.yaml"
    of_sweep = {"optimizer.lr": {"value": 0.1}, "autoencoder": {"value": "vae"},
                "seed": {"value": 0}, "wandb_version": 1}  # fmt: skip
    path.write_text(yaml.safe_dump(of_sweep))
    assert beside_the_sweeps(CONFIG) == CONFIG  # no agent
    monkeypatch.setenv("WANDB_SWEEP_ID", "s")
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(path))
    assert beside_the_sweeps(CONFIG) == {
        "optimizer": {"betas": [0.9, 0.999]},
        "chosen": {"autoencoder": {"_target_": "a.B", "depth": 2}},
        "tags": [],
    }
    assert CONFIG["optimizer"] == {"lr": 0.1, "betas": [0.9, 0.999]}
