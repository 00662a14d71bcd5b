"""``hydra/sweeper=optuna``: a multirun whose jobs a search chooses, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from aetl.config import ConfigError, check_target, higher_is_better
from aetl.files import write_text
from aetl.multirun.objective import directions_of, refuse_objectives
from aetl.multirun.space import from_overrides, space_of
from aetl.multirun.study import PrunerName, SamplerName, Settings, optuna_library
from aetl.ranges import Count, Natural, Seed
from aetl.secret import masked_hydra


class OptunaSweeper(Sweeper):
    """Asks a study for trials while there is room for their jobs, and tells it how they ended.

    The space is that of the config (``hydra.sweeper.space``) and of the command line, which wins.
    """

    def __init__(
        self, *, objective: list[str], space: Mapping[str, Any] | None,
        n_trials: Count | None,
        sampler: SamplerName, pruner: PrunerName, seed: Seed, startup: Natural, warmup: Natural,
        storage: str | None, study_name: str | None,
    ) -> None:  # fmt: skip
        self.objective, self.space, self.study_name = objective, dict(space or {}), study_name
        self.settings = partial(
            Settings, n_trials=n_trials, sampler=sampler, pruner=pruner, seed=seed,
            startup=startup, warmup=warmup, storage=storage,
        )  # fmt: skip

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Refuse what cannot be searched before anything is made."""
        node = OmegaConf.to_container(config.hydra.sweeper, resolve=True)
        assert isinstance(node, dict)
        check_target("hydra.sweeper", {str(key): value for key, value in node.items()})
        optuna_library()
        self.config = config
        selector = OmegaConf.select(config, "selector._target_")
        swept = any(str(key).startswith("selector") for key in self.space)
        self.directions = directions_of(self.objective, higher_is_better(config.metric))
        refuse_objectives(self.directions, None if swept else selector)
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        if not hasattr(launcher, "search"):
            raise ConfigError("hydra/sweeper=optuna: runs with aetl's own launchers, e.g. process")
        self.run: Any = launcher
        self.loader = hydra_context.config_loader  # the launcher's

    def sweep(self, arguments: list[str]) -> None:
        parser = OverridesParser.create(config_loader=self.loader)
        parsed = parser.parse_overrides(arguments)
        space = space_of(self.space) | from_overrides(parsed)
        if not space:
            raise ConfigError("hydra.sweeper.space: empty; choose a space with sweep=...")
        if swept := sorted(k for k in space if k == "metric" or k.startswith("metric.")):
            raise ConfigError(f"{swept[0]}: all trials of a search go by one score; choose one")
        fixed = [
            text
            for text, override in zip(arguments, parsed, strict=True)
            if not override.is_sweep_override()
        ]
        folder = self.run.manifest.folder
        write_text(folder / "multirun.yaml", masked_hydra(OmegaConf.to_yaml(self.config)))
        settings = self.settings(objective=self.directions, name=self.study_name or folder.name)
        self.run.search(settings, space, fixed)
