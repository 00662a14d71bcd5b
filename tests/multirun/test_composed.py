"""Jobs that differ in values are composed once: each config is what it would be alone."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from aetl.composed_once import composed_once
from aetl.config import ConfigError, conf_dir, register_resolvers
from aetl.files import yaml_of
from aetl.multirun import prepare
from aetl.multirun.composed import Composer

SWEEPS: dict[str, list[str]] = {
    "numbers": ["seed=0 optimizer.lr=0.1", "seed=1 optimizer.lr=2e-5", "seed=2 optimizer.lr=1"],
    "what follows": ["optimizer.lr=0.1", "optimizer.lr=0.2"],
    "a value in place of what follows": [
        "optimizer.lr=0.1 pretrain.lr=1", "optimizer.lr=0.2 pretrain.lr=null",
    ],
    "a folder that others follow": ["output_dir=/tmp/a", "output_dir=/tmp/b"],
    "words": ["data_dir=abc", "data_dir='a_b'", "data_dir=null", "data_dir=true"],
    "choices between": [
        "autoencoder=vae loss=elbo seed=0", "autoencoder=undercomplete loss=mse seed=0",
        "autoencoder=vae loss=elbo seed=1", "autoencoder=undercomplete loss=mse seed=3",
    ],
    "lists": ["backbone.hidden=[3] seed=0", "backbone.hidden=[4,5] seed=1"],
    "new and removed keys": [
        "+loss.second={_target_:aetl.loss.mse.MSE,weight:1.0} seed=0",
        "~callback.progress seed=1", "++seed=5",
    ],
    "another value as value": ["finetune.lr=${pretrain.lr} seed=1", "finetune.lr=0.5 seed=2"],
    "a node of another choice": [
        "transfer=parameter/finetune target.budget=20",
        "transfer=feature/linear_probe target.budget=20",
        "transfer=parameter/finetune target.budget=50",
        "transfer=feature/linear_probe target.budget=all",
    ],
    "another order": ["seed=0 threads=1", "threads=2 seed=1", "threads=3 seed=2"],
}  # fmt: skip


@pytest.fixture(scope="module")
def sweep() -> Iterator[tuple[ConfigLoader, DictConfig]]:
    register_resolvers()
    version.setbase("1.3")
    program = Hydra.create_main_hydra2(
        task_name="aetl", config_search_path=create_config_search_path(str(conf_dir()))
    )
    loader = composed_once(program.config_loader)
    config = loader.load_configuration("config", ["logger=none"], RunMode.MULTIRUN)
    HydraConfig.instance().set_config(config)
    yield loader, config
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None


def of(job: Any) -> list[Any]:
    return copy.deepcopy([job.plain, job.asked, job.hydra, job.folder])


@pytest.mark.parametrize("name", SWEEPS)
def test_each_job_is_what_it_is_alone(
    sweep: tuple[ConfigLoader, DictConfig], tmp_path: Path, name: str
) -> None:
    together = Composer(*sweep, tmp_path)
    for number, overrides in enumerate(map(str.split, SWEEPS[name])):
        job = of(together.compose(number, overrides))
        assert job == of(Composer(*sweep, tmp_path).compose(number, overrides)), overrides
        assert job[2]["job"]["num"] == number
        assert job[3] == tmp_path / str(number)


def test_values_are_put_onto_what_is_composed(
    sweep: tuple[ConfigLoader, DictConfig], tmp_path: Path
) -> None:
    composer = Composer(*sweep, tmp_path)
    first = composer.compose(0, ["seed=0", "optimizer.lr=0.1"])
    assert first.plain["pretrain"]["lr"] == 0.1
    second = composer.compose(1, ["seed=7", "optimizer.lr=0.2"])
    assert second is first
    assert (second.plain["seed"], second.plain["pretrain"]["lr"]) == (7, 0.2)
    assert composer.compose(2, ["seed=7", "autoencoder=vae"]) is not first


def test_a_value_that_is_asked_for_and_missing_is_told(
    sweep: tuple[ConfigLoader, DictConfig], tmp_path: Path
) -> None:
    composer = Composer(*sweep, tmp_path)
    composer.compose(0, ["optimizer.lr=0.1"])
    with pytest.raises(ConfigError, match=r"optimizer\.lr: is missing"):
        composer.compose(1, ["optimizer.lr=???"])


def test_files_are_those_of_the_whole_config(
    sweep: tuple[ConfigLoader, DictConfig], tmp_path: Path
) -> None:
    composer = Composer(*sweep, tmp_path)
    for number, overrides in enumerate(map(str.split, SWEEPS["numbers"] + SWEEPS["words"])):
        job = composer.compose(number, overrides)
        prepare._write(job)
        for file, value in [
            ("config.yaml", job.plain),
            (".hydra/config.yaml", job.asked),
            (".hydra/hydra.yaml", {"hydra": job.hydra}),
            (".hydra/overrides.yaml", list(overrides)),
        ]:
            assert (job.folder / file).read_text() == yaml_of(value), file
