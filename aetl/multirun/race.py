"""``hydra/sweeper=race``: a multirun that gives further seeds to the arms that are not decided.

The grid is that of the command line without the seeds, which the looks bring. All arms run the
seeds of the first look; after each look, those that are decided stop (``aetl.comparison.race``).
What was decided when follows from the runs alone, so a race that was cut off goes on where it was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import Gt, Interval, Len
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from aetl.comparison.gain import Gain, by_seed, gain_of, read_values, whole_seeds
from aetl.comparison.race import Arm, Plan, judge
from aetl.comparison.run import Run, read_run
from aetl.comparison.sources import changed
from aetl.comparison.statistics import MIN_SEEDS
from aetl.config import ConfigError, check_target
from aetl.files import write_json, write_text
from aetl.multirun.manifest import ENDED, JobEntry, names_of
from aetl.ranges import Count
from aetl.secret import masked_hydra

NAME = "race.json"
_NOTED = ("source", "target", "transfer", "budget", "metric")


@dataclass
class Entrant:
    """An arm with all that makes it besides its seed and fold: its overrides."""

    overrides: tuple[str, ...]
    name: str
    """What differs between the arms, as a person would say it."""
    folds: tuple[tuple[str, ...], ...] = ((),)
    """The overrides of each fold, all of which a seed runs."""
    runs: list[Run] = field(default_factory=list)

    def jobs(self, seed: int) -> list[list[str]]:
        return [[*self.overrides, *fold, f"seed={seed}"] for fold in self.folds]

    @property
    def seeds(self) -> int:
        return len(by_seed(self.runs))

    @property
    def is_baseline(self) -> bool:
        """Whether it is the twin of the others: it has nothing to win and keeps them company."""
        return bool(self.runs) and self.runs[0].transfer == f"control/{self.runs[0].baseline}"

    @property
    def family(self) -> tuple[Any, ...]:
        run = self.runs[0]
        return run.source, run.target, run.budget, run.metric


class RaceSweeper(Sweeper):
    """Runs a grid look by look; needs one of aetl's own launchers, whose manifest it goes by."""

    def __init__(
        self, *, looks: Annotated[list[Count], Len(1)], rho: Annotated[float, Gt(0)],
        futility: Annotated[float, Interval(ge=0, lt=0.5)], params: Mapping[str, Any] | None,
    ) -> None:  # fmt: skip
        self.looks, self.rho, self.futility = looks, rho, futility
        self.params = dict(params or {})

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Refuse what is no plan before anything is made."""
        node = OmegaConf.to_container(config.hydra.sweeper, resolve=True)
        assert isinstance(node, dict)
        check_target("hydra.sweeper", {str(key): value for key, value in node.items()})
        looks = self.looks
        if not looks or min(looks) < MIN_SEEDS or sorted(set(looks)) != list(looks):
            raise ConfigError(
                f"hydra.sweeper.looks={looks}: expected rising numbers of seeds from {MIN_SEEDS} on"
            )
        self.plan = Plan(tuple(looks), float(self.rho), float(self.futility))
        self.config = config
        self.groups = config.hydra.runtime.choices
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        if not hasattr(launcher, "run_again"):
            raise ConfigError("hydra/sweeper=race: runs with aetl's own launchers, e.g. process")
        self.run: Any = launcher
        self.loader = hydra_context.config_loader  # the launcher's

    def sweep(self, arguments: list[str]) -> None:
        entrants, first_seed = self._grid(arguments)
        manifest = self.run.manifest
        manifest.study = "race"  # resume and retry do the command again
        write_text(manifest.folder / "multirun.yaml", masked_hydra(OmegaConf.to_yaml(self.config)))
        arms: dict[str, Arm] = {}
        going = entrants
        for look, seeds in enumerate(self.plan.looks):
            before = self.plan.looks[look - 1] if look else 0
            wanted = range(first_seed + before, first_seed + seeds)
            self._run([(one, seed) for seed in wanted for one in going])
            self._read(going, range(first_seed, first_seed + seeds))
            entrants = [one for one in entrants if one.runs]  # what is refused is no arm
            arms = self._judged(entrants, arms, going, look)
            going = _going(entrants, arms)
            self._note(entrants, arms, look)
            if not going:
                break
        print("\n".join(_told(entrants, arms, self.plan)))
        self.run.finish()

    def _grid(self, arguments: Sequence[str]) -> tuple[list[Entrant], int]:
        # Not at the top: hydra loads its plugins' modules anew when it looks for plugins.
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

        given = [f"{key}={value}" for key, value in self.params.items() if key != "seed"]
        parsed = OverridesParser.create(config_loader=self.loader).parse_overrides(
            [*given, *arguments]
        )
        seeds = [one for one in parsed if one.get_key_element() == "seed"]
        if any(one.is_sweep_override() for one in seeds):
            raise ConfigError(
                "seed: a race brings its own seeds (hydra.sweeper.looks); leave it out"
            )
        first = seeds[-1].value() if seeds else 0
        if not isinstance(first, int):
            raise ConfigError(f"seed={first}: expected a whole number")
        others = [one for one in parsed if one.get_key_element() != "seed"]
        (grid,) = BasicSweeper.split_arguments(others, None)
        folds: dict[tuple[str, ...], list[tuple[str, ...]]] = defaultdict(list)
        for one in grid:
            folds[tuple(o for o in one if not _is_fold(o))].append(tuple(filter(_is_fold, one)))
        names = names_of([list(arm) for arm in folds], self.groups)
        arms = zip(folds.items(), names, strict=True)
        return [Entrant(arm, name, tuple(of_arm)) for (arm, of_arm), name in arms], first

    def _run(self, wanted: Sequence[tuple[Entrant, int]]) -> None:
        """Those of the jobs that are not done yet: new ones, and what was cut off."""
        known = self._known()
        new, again = [], []
        for overrides in (job for entrant, seed in wanted for job in entrant.jobs(seed)):
            job = known.get(frozenset(overrides))
            if job is None:
                new.append(overrides)
            elif job.state in self.run.again or job.state not in (*ENDED, "failed"):
                again.append(job)
        if again:
            self.run.run_again(again)
        if new:
            self.run.launch(new, len(self.run.manifest.jobs))

    def _known(self) -> dict[frozenset[str], JobEntry]:
        return {frozenset(job.overrides): job for job in self.run.manifest.jobs}

    def _read(self, entrants: Sequence[Entrant], seeds: range) -> None:
        known = self._known()
        for one in entrants:
            jobs = [known.get(frozenset(job)) for seed in seeds for job in one.jobs(seed)]
            done = [job for job in jobs if job is not None and job.state == "done"]
            one.runs = whole_seeds(read_run(self.run.manifest.job_folder(job)) for job in done)
            if mixed := changed(one.runs):
                raise ConfigError(
                    f"{self.run.manifest.folder}: the code ({', '.join(mixed)}) changed between "
                    f"the seeds of {one.name}, which has no gain over both; start the race anew "
                    "(what is as before is taken from the store)"
                )

    def _judged(
        self, entrants: Sequence[Entrant], arms: Mapping[str, Arm], going: Sequence[Entrant],
        look: int,
    ) -> dict[str, Arm]:  # fmt: skip
        families: dict[tuple[Any, ...], list[Entrant]] = defaultdict(list)
        for one in entrants:
            if not one.is_baseline:
                families[one.family].append(one)
        found: dict[str, Arm] = {}
        for family in families.values():
            before = {one.name: arms.get(one.name, Arm()) for one in family}
            gains = {one.name: gain for one in family if one in going and (gain := _gain(one))}
            found |= judge(before, gains, look, self.plan)
        return found

    def _note(self, entrants: Sequence[Entrant], arms: Mapping[str, Arm], look: int) -> None:
        values = {
            "version": 1,
            "looks": list(self.plan.looks),
            "rho": self.plan.rho,
            "futility": self.plan.futility,
            "level": self.plan.level,
            "looks_done": look + 1,
            "arms": [_noted(one, arms.get(one.name)) for one in entrants],
        }
        write_json(self.run.manifest.folder / NAME, values)


def _is_fold(override: str) -> bool:
    return override.partition("=")[0] in ("target.fold", "source.fold")


def _gain(entrant: Entrant) -> Gain | None:
    metric = entrant.runs[0].metric
    values = read_values(entrant.runs, metric)
    return gain_of(entrant.runs, metric, values, None, of_itself=entrant.is_baseline)


def _going(entrants: Sequence[Entrant], arms: Mapping[str, Arm]) -> list[Entrant]:
    """The undecided arms, and the twins of their families."""
    open_ = [one for one in entrants if one.name in arms and arms[one.name].outcome is None]
    families = {one.family for one in open_}
    return [one for one in entrants if one in open_ or (one.is_baseline and one.family in families)]


def _noted(one: Entrant, arm: Arm | None) -> dict[str, Any]:
    run, gain = one.runs[0], _gain(one)
    return {
        "overrides": list(one.overrides),
        **{
            name: getattr(run, name)
            for name in ("source", "target", "transfer", "budget", "metric")
        },
        "seeds": one.seeds,
        "gain": gain.mean if gain else None,
        "outcome": arm.outcome if arm else "baseline",
        "look": None if arm is None or arm.look is None else arm.look + 1,
        "p_values": list(arm.p_values) if arm else [],
        "equivalence_p_values": list(arm.equivalence) if arm else [],
    }


def _told(entrants: Sequence[Entrant], arms: Mapping[str, Arm], plan: Plan) -> list[str]:
    """When each arm was decided, and what that spared."""
    width = max((len(one.name) for one in entrants), default=0)
    lines = [f"race: looks at {', '.join(map(str, plan.looks))} seeds"]
    for one in entrants:
        arm = arms.get(one.name)
        said = "the twin" if arm is None else _outcome_text(arm, plan)
        lines.append(f"  {one.name:<{width}}  {one.seeds:>3} seeds  {said}")
    runs = sum(len(one.runs) for one in entrants)
    most = sum(len(one.folds) for one in entrants) * plan.looks[-1]
    return [*lines, f"{runs} runs in place of {most} ({runs / max(1, most):.0%})"]


def _outcome_text(arm: Arm, plan: Plan) -> str:
    p = f"p = {arm.p_values[-1]:.2g}" if arm.p_values else ""
    if arm.outcome is None or arm.look is None:
        return f"undecided at the last look, {p}"
    word = {"futile": "undecided: further seeds would hardly decide"}.get(arm.outcome, arm.outcome)
    return f"{word} at look {arm.look + 1} ({plan.looks[arm.look]} seeds), {p}"
