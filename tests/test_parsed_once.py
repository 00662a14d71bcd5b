"""What is composed from remembered files is what hydra composes from the files themselves."""

from __future__ import annotations

import time
from pathlib import Path

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from aetl.config import compose, conf_dir
from aetl.parsed_once import parse_once

CHOICES = [
    [],
    ["autoencoder=vae", "loss=[mse,l1_code]", "transfer=[instance/kmm,parameter/finetune]"],
    ["dataset@source=mnist", "dataset@target=usps", "backbone=conv", "seed=3"],
    ["experiment=transfer_matrix"],
    ["logger=none", "+callback.mine._target_=builtins.object", "~scheduler"],
]


def by_hydra(overrides: list[str]) -> str:
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3", job_name="aetl"):
        cfg = hydra.compose("config", overrides, return_hydra_config=True)
        return OmegaConf.to_yaml(cfg)


@pytest.mark.parametrize("overrides", CHOICES, ids=str)
def test_the_config_is_hydras_the_first_time_and_later(overrides: list[str]) -> None:
    expected = by_hydra(overrides)
    assert OmegaConf.to_yaml(compose(overrides)) == expected
    assert OmegaConf.to_yaml(compose(overrides)) == expected


def test_another_search_path_has_its_own_files(tmp_path: Path) -> None:
    for name, rate in (("one", 0.25), ("two", 0.5)):
        file = tmp_path / name / "optimizer" / "mine.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(f"_target_: torch.optim.SGD\nlr: {rate}\n")
    found = [compose(["optimizer=mine"], [str(tmp_path / name)]) for name in ("one", "two", "one")]
    assert [cfg.optimizer.lr for cfg in found] == [0.25, 0.5, 0.25]
    with pytest.raises(hydra.errors.MissingConfigException):
        compose(["optimizer=mine"])


def test_it_takes_less_time() -> None:
    times: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(7):
        for ours in times:
            start = time.process_time()
            compose([]) if ours else by_hydra([])
            times[ours].append(time.process_time() - start)
    ours, theirs = (sorted(times[key])[3] for key in (True, False))
    assert ours < 0.95 * theirs


def test_a_glob_reaches_into_the_groups_of_a_group() -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        parse_once(loader)
        for text, group, folder in (
            ("transfer=glob(control/*)", "transfer", "control"),
            ("metric=glob(*)", "metric", "."),
        ):
            parser = OverridesParser.create(config_loader=loader)
            (override,) = parser.parse_overrides([text])
            files = (conf_dir() / group / folder).glob("[!_]*.yaml")
            names = {f.relative_to(conf_dir() / group).with_suffix("").as_posix() for f in files}
            assert set(override.sweep_string_iterator()) == names
