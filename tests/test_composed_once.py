"""What is composed from what is remembered is what hydra composes from the files themselves."""

from __future__ import annotations

import copy
import pickle
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from aetl import composed_once as module
from aetl.composed_once import composed_once, composing_once, remember, remembered
from aetl.config import compose, conf_dir

CHOICES = [
    [],
    ["autoencoder=vae", "loss=[mse,l1_code]", "transfer=[instance/kmm,parameter/finetune]"],
    ["dataset@source=mnist", "dataset@target=usps", "backbone=conv", "seed=3"],
    ["experiment=transfer_matrix"],
    ["logger=none", "+callback.mine._target_=builtins.object", "~scheduler"],
    ["seed=4", "+optimizer={weight_decay: 0.1}", "++finetune.lr=3e-3", "~backbone.norm"],
    ["finetune.lr=${optimizer.lr}", "autoencoder=vae", "bottleneck.latent_dim=3", "tags=[a,b]"],
    ["hydra.job.env_copy=[HOME]", "hydra.job.config.override_dirname.kv_sep=:", "seed=9"],
]


def by_hydra(overrides: list[str]) -> str:
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3", job_name="aetl"):
        cfg = hydra.compose("config", overrides, return_hydra_config=True)
        return text_of(cfg)


def text_of(cfg: DictConfig) -> str:
    """All of it, with what may be written to (by the flags of each node)."""
    flags = [
        (key, node._get_flag("struct"), node._get_flag("readonly"), node._is_optional())
        for key, node in nodes(cfg)
    ]
    return f"{OmegaConf.to_yaml(cfg)}{flags}"


def nodes(cfg: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    yield path, cfg
    if isinstance(cfg, DictConfig) and not (cfg._is_none() or cfg._is_interpolation()):
        for key in cfg:
            yield from nodes(cfg._get_node(key), f"{path}.{key}")


@pytest.mark.parametrize("overrides", CHOICES, ids=str)
def test_the_config_is_hydras_the_first_time_and_later(overrides: list[str]) -> None:
    expected = by_hydra(overrides)
    assert text_of(compose(overrides)) == expected
    assert text_of(compose(overrides)) == expected


@pytest.mark.parametrize(
    "override, error",
    [
        ("seed=1,2", "Ambiguous value"),
        ("sead=1", "Could not override 'sead'"),
        ("+seed=1", "Could not append to config"),
        ("~sead", "Could not delete from config"),
        ("sead@here=1", "config group 'sead' does not"),
        ("seed=[1", "mismatched input|no viable alternative|missing"),
        ("optimizer.lr.a=1", "Could not override|Error merging"),
    ],
)
def test_it_refuses_what_hydra_refuses(override: str, error: str) -> None:
    """Also where the same choices were composed before, and in the same words."""
    said = []
    for composing in (by_hydra, compose, compose):
        with pytest.raises(hydra.errors.HydraException, match=error) as caught:
            composing([override])
        said.append(str(caught.value))
    assert len(set(said)) == 1


def test_every_node_knows_its_parent() -> None:
    """Merging many files leaves that to the end."""
    waiting: list[Any] = [compose(["autoencoder=vae", "loss=[mse,l1_code]", "seed=5"])]
    seen = 0
    for node in waiting:
        content = node.__dict__.get("_content")
        children = content.values() if isinstance(content, dict) else content
        for child in children if isinstance(content, dict | list) else ():
            assert child._get_parent() is node
            waiting.append(child)
            seen += 1
    assert seen > 200


def test_a_value_does_not_stay() -> None:
    assert compose(["seed=7", "+tags=[x]"]).seed == 7
    assert compose([]).seed == 0
    assert text_of(compose([])) == by_hydra([])


def test_each_config_has_its_own_token() -> None:
    assert compose([]).hydra.run.dir != compose([]).hydra.run.dir


@pytest.mark.parametrize("mode", [RunMode.RUN, RunMode.MULTIRUN])
def test_sweeps_are_composed_as_by_hydra(mode: RunMode) -> None:
    overrides = ["autoencoder=vae,rae_l2", "seed=range(3)", "optimizer.lr=1e-2", "backbone=conv"]
    overrides = overrides[2:] if mode is RunMode.RUN else overrides
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3", job_name="aetl"):
        loader = GlobalHydra.instance().config_loader()
        expected = text_of(loader.load_configuration("config", overrides, mode))
        ours = composed_once(loader)
        assert composed_once(ours) is ours
        for again in (ours, pickle.loads(pickle.dumps(ours))):
            assert text_of(again.load_configuration("config", overrides, mode)) == expected


def test_another_search_path_has_its_own_files(tmp_path: Path) -> None:
    for name, rate in (("one", 0.25), ("two", 0.5)):
        file = tmp_path / name / "optimizer" / "mine.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(f"_target_: torch.optim.SGD\nlr: {rate}\n")
    found = [compose(["optimizer=mine"], [str(tmp_path / name)]) for name in ("one", "two", "one")]
    assert [cfg.optimizer.lr for cfg in found] == [0.25, 0.5, 0.25]
    with pytest.raises(hydra.errors.MissingConfigException):
        compose(["optimizer=mine"])


def test_another_process_reads_no_file_that_was_read_before() -> None:
    overrides = ["autoencoder=vae", "seed=5"]
    expected = text_of(compose(overrides))
    kept = copy.deepcopy(remembered())
    with pytest.MonkeyPatch.context() as patch:
        for memory in ("_PARSED", "_COMPOSED"):
            patch.setattr(module, memory, {})
        remember(kept)
        patch.setattr("builtins.open", None)
        again = text_of(compose(overrides))
        module._COMPOSED.clear()
        composed = text_of(compose(overrides))
        module._PARSED.clear()
        module._COMPOSED.clear()
        with pytest.raises(TypeError, match="not callable"):
            compose(overrides)
    assert again == composed == expected


def test_it_takes_less_time() -> None:
    times: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(5):
        for ours in times:
            start = time.process_time()
            compose([]) if ours else by_hydra([])
            times[ours].append(time.process_time() - start)
    ours, theirs = (sorted(times[key])[2] for key in (True, False))
    assert ours < 0.2 * theirs


def test_a_glob_reaches_into_the_groups_of_a_group() -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        loader = composed_once(GlobalHydra.instance().config_loader())
        for text, group, folder in (
            ("transfer=glob(control/*)", "transfer", "control"),
            ("metric=glob(*)", "metric", "."),
        ):
            parser = OverridesParser.create(config_loader=loader)
            (override,) = parser.parse_overrides([text])
            files = (conf_dir() / group / folder).glob("[!_]*.yaml")
            names = {f.relative_to(conf_dir() / group).with_suffix("").as_posix() for f in files}
            assert set(override.sweep_string_iterator()) == names


@pytest.mark.parametrize(
    "arguments",
    [
        ["seed=3", "hydra.job.chdir=true", "+hydra.job.env_set.A=b"],
        ["hydra.mode=MULTIRUN", "seed=1,2", "hydra.sweep.dir=here"],
        ["-m", "autoencoder=vae,rae_l2", "hydra/launcher=basic", "hydra.launcher=null"],
    ],
    ids=" ".join,
)
def test_the_command_line_is_composed_as_by_hydra(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a task sees, in either mode."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["aetl", *arguments])
    ours = hydra._internal.hydra.Hydra
    seen: list[tuple[Any, str]] = []

    def compose_config(self: Any, *args: Any, **options: Any) -> Any:
        cfg = original(self, *args, **options)
        if options.get("with_log_configuration"):
            seen.append((cfg.hydra.mode, text_of(cfg)))
            raise KeyboardInterrupt
        return cfg

    original = ours.compose_config
    monkeypatch.setattr(ours, "compose_config", compose_config)
    start = hydra.main(config_path=str(conf_dir()), config_name="config", version_base="1.3")
    for surroundings in (nullcontext, composing_once, composing_once):
        with pytest.raises(KeyboardInterrupt), surroundings():
            start(lambda cfg: None)()
    assert seen[0] == seen[1] == seen[2]
