"""An Optuna study beside a sweep's manifest: trials are asked for, run as jobs, and told.

``study.db`` holds the trials, the manifest the jobs; a job names its trial and a trial its job's
folder. Whatever moment the search is killed in, ``resume`` brings the two together again: a trial
whose job was cut off goes on in its folder, one that never got a job is closed as failed.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from aetl.config import ConfigError
from aetl.multirun.intermediate import read_values, stop
from aetl.multirun.manifest import JobEntry, Manifest
from aetl.multirun.objective import Direction, objectives_of
from aetl.multirun.space import Space, Value, override_of, points, shown_override

if TYPE_CHECKING:
    import optuna

SamplerName = Literal["tpe", "random", "grid", "nsga2"]
PrunerName = Literal["none", "median", "hyperband"]

Prepare = Callable[[str, Sequence[str], int], JobEntry]
"""Makes a checked job from a name, overrides and a number; ``ConfigError`` for a bad one."""


@dataclass(frozen=True)
class Settings:
    """How to search."""

    objective: Mapping[str, Direction]
    n_trials: int | None  # null: all of the grid
    sampler: SamplerName
    pruner: PrunerName
    seed: int
    startup: int  # trials before the sampler or the pruner draws conclusions
    warmup: int  # epochs in which nothing is pruned
    storage: str | None  # null: study.db in the sweep's folder
    name: str


def optuna_library() -> Any:
    """The module, or one line that says how to get it."""
    try:
        import optuna
    except ModuleNotFoundError:
        raise ConfigError(
            "hydra/sweeper=optuna: not installed; pip install 'aetl[optuna]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


class Search:
    """Makes the jobs of a study, and tells it how they ended."""

    def __init__(
        self, settings: Settings, space: Space, fixed: Sequence[str], manifest: Manifest,
        prepare: Prepare,
    ) -> None:  # fmt: skip
        self.settings, self.space, self.fixed = settings, space, list(fixed)
        self.manifest, self._prepare = manifest, prepare
        self._optuna = optuna_library()
        self._grid = points(space) if settings.sampler == "grid" else []
        if settings.n_trials is None and not self._grid:
            raise ConfigError("hydra.sweeper.n_trials=null: only a grid ends by itself")
        self.study = self._load()

    def _load(self) -> optuna.Study:
        settings = self.settings
        url = settings.storage or f"sqlite:///{self.manifest.folder.absolute() / 'study.db'}"
        patience = {"connect_args": {"timeout": 60}} if url.startswith("sqlite:") else {}
        try:
            with _quiet():
                storage = self._optuna.storages.RDBStorage(url, engine_kwargs=patience)
                study: optuna.Study = self._optuna.create_study(
                    storage=storage, study_name=settings.name, load_if_exists=True,
                    directions=list(settings.objective.values()), pruner=self._pruner(),
                )  # fmt: skip
        except Exception as error:  # of a database's driver
            line = str(error).strip().splitlines()[0]
            raise ConfigError(f"hydra.sweeper.storage={url}: {line}") from None
        if [d.name.lower() for d in study.directions] != list(settings.objective.values()):
            raise ConfigError(f"hydra.sweeper.objective: the study {settings.name} has another one")
        with _quiet():
            study.set_metric_names(list(settings.objective))
        return study

    def _pruner(self) -> Any:
        settings, pruners = self.settings, self._optuna.pruners
        if settings.pruner != "none" and len(settings.objective) > 1:
            raise ConfigError(
                f"hydra.sweeper.pruner={settings.pruner}: several objectives are not pruned; "
                "choose none"
            )
        if settings.pruner != "none" and list(settings.objective) != ["selection"]:
            raise ConfigError(
                f"hydra.sweeper.pruner={settings.pruner}: prunes by the score that the objective "
                "'selection' is made of; choose none"
            )
        if settings.pruner == "median":
            return pruners.MedianPruner(
                n_startup_trials=settings.startup, n_warmup_steps=settings.warmup + 1
            )
        if settings.pruner == "hyperband":
            return pruners.HyperbandPruner(min_resource=max(1, settings.warmup))
        return pruners.NopPruner()

    def _sampler(self, number: int) -> Any:
        """A sampler that depends on nothing but the seed, the trials so far and their number: so a
        search that was cut off goes on as if it had not been."""
        seed = random.Random(f"{self.settings.seed} {number}").getrandbits(32)
        samplers = self._optuna.samplers
        if self.settings.sampler == "tpe":
            return samplers.TPESampler(
                seed=seed, n_startup_trials=self.settings.startup, constant_liar=True
            )
        if self.settings.sampler == "nsga2":
            return samplers.NSGAIISampler(seed=seed, population_size=max(2, self.settings.startup))
        return samplers.RandomSampler(seed=seed)

    @property
    def expected(self) -> int:
        """How many trials are still to run."""
        return max(0, self._total() - self._closed())

    def _total(self) -> int:
        total = self.settings.n_trials
        return len(self._grid) if total is None else total

    def _closed(self) -> int:
        """Trials that have ended: done, pruned or failed, but not those that never had a job."""
        return sum(t.state.is_finished() for t in self._trials())

    def _trials(self) -> list[optuna.trial.FrozenTrial]:
        """One for each job, the last where a failed one was tried again."""
        by_job: dict[Any, optuna.trial.FrozenTrial] = {}
        for trial in self.study.get_trials(deepcopy=False):
            if trial.state.name != "WAITING" and "lost" not in trial.user_attrs:
                by_job[trial.user_attrs.get("job", f"trial {trial.number}")] = trial
        return list(by_job.values())

    def next(self) -> JobEntry | None:
        while len(self._trials()) < self._total():
            trial = self._ask()
            if trial is None:
                return None
            job = self._job(trial)
            if job is not None:
                return job
        return None

    def _ask(self) -> optuna.Trial | None:
        known = self.study.get_trials(deepcopy=False)
        number = len(known)
        if self.settings.sampler == "grid" and not any(t.state.name == "WAITING" for t in known):
            tried = [trial.params for trial in self._trials()]
            point = next((p for p in self._grid if p not in tried), None)
            if point is None:
                return None
            self.study.enqueue_trial(dict(point))
        with _quiet():
            self.study.sampler = self._sampler(number)
            distributions = {key: d.distribution() for key, d in self.space.items()}
            try:
                return self.study.ask(distributions)
            except ValueError as error:  # the space is not what it was
                raise ConfigError(f"hydra.sweeper.space: {str(error).splitlines()[0]}") from None

    def _job(self, trial: optuna.Trial) -> JobEntry | None:
        params: dict[str, Value] = trial.params
        overrides = [*self.fixed, *(override_of(k, v) for k, v in params.items())]
        name = " ".join(shown_override(k, v) for k, v in params.items())
        number = len(self.manifest.jobs)
        try:
            job = self._prepare(name, overrides, number)
        except ConfigError as error:
            self.tell(trial.number, "failed", None, {"error": str(error)})
            if number == 0:
                raise  # the space is wrong, or the config
            return None
        trial.set_user_attr("job", number)
        trial.set_user_attr("folder", job.folder)
        job.trial = trial.number
        self.manifest.jobs.append(job)
        self.manifest.note(job)
        return job

    def look(self, running: Sequence[JobEntry]) -> None:
        """Take in what the jobs have reported, and stop those that are not worth going on."""
        if self.settings.pruner == "none":
            return
        for job in running:
            assert job.trial is not None
            folder = self.manifest.job_folder(job)
            if self._report(job.trial, read_values(folder)):
                stop(folder)

    def _report(self, number: int, values: Mapping[int, float]) -> bool:
        """Whether the trial should be pruned."""
        should, known = False, self._frozen(number).intermediate_values
        if self._frozen(number).state.is_finished():
            return False  # a failed one that is tried again runs to its end
        # Counted by epochs: steps of different batch sizes would not compare.
        for epoch, step in enumerate(sorted(values), start=1):
            if epoch in known:
                continue
            trial_id = self._frozen(number)._trial_id
            self.study._storage.set_trial_intermediate_value(trial_id, epoch, values[step])
            should = should or self.study.pruner.prune(self.study, self._frozen(number))
        return should

    def ended(self, job: JobEntry) -> None:
        if job.state in ("waiting", "running", "interrupted"):
            return  # it goes on when the search does
        values = job.values
        if job.state == "done" and values is None:
            job.state, job.error = "failed", "the objective's values are missing"
        assert job.trial is not None
        tests = {} if job.score is None else {f"test {job.metric}": job.score}  # not looked at
        errors = {} if job.error is None else {"error": job.error}
        self.tell(job.trial, job.state, values, tests | errors)

    def tell(
        self, number: int, state: str, values: list[float] | None, notes: Mapping[str, Any]
    ) -> None:
        """Close a trial. One that has failed before and is done now becomes a new, complete one."""
        states = self._optuna.trial.TrialState
        frozen = self._frozen(number)
        if frozen.state.is_finished():
            if state == "done" and frozen.state != states.COMPLETE:
                self._replace(frozen, values, notes)
            return
        for key, value in notes.items():
            self._note(number, key, value)
        kind = {"done": states.COMPLETE, "pruned": states.PRUNED}.get(state, states.FAIL)
        with _quiet():
            self.study.tell(number, values if state == "done" else None, state=kind)

    def _replace(
        self, failed: optuna.trial.FrozenTrial, values: Any, notes: Mapping[str, Any]
    ) -> None:
        attributes = {k: v for k, v in failed.user_attrs.items() if k != "error"} | dict(notes)
        self.study.add_trial(
            self._optuna.trial.create_trial(
                values=values, params=failed.params, distributions=failed.distributions,
                user_attrs=attributes,
            )
        )  # fmt: skip

    def _frozen(self, number: int) -> optuna.trial.FrozenTrial:
        return self.study.get_trials(deepcopy=False)[number]

    def _note(self, number: int, key: str, value: Any) -> None:
        self.study._storage.set_trial_user_attr(self._frozen(number)._trial_id, key, value)

    def reconcile(self) -> None:
        """After a kill: bring the manifest and the study together."""
        by_trial = {job.trial: job for job in self.manifest.jobs}
        for trial in self.study.get_trials(deepcopy=False):
            if trial.state.is_finished():
                continue
            job = by_trial.get(trial.number)
            if job is None and trial.state.name == "RUNNING" and self.settings.storage is None:
                notes = {"lost": "cut off before it had a job"}
                self.tell(trial.number, "failed", None, notes)
            elif job is not None:
                if job.state == "done":
                    job.values = objectives_of(
                        self.manifest.job_folder(job), self.settings.objective
                    )
                self.ended(job)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's remarks on what is experimental in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
