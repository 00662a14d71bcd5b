"""``hydra/launcher=process``: hydra's launcher for multiruns, a fresh process for each job.

Hydra 1.3 accepts plugins from modules named ``hydra_plugins.*`` alone; an alias stands in for one.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Interval
from hydra import version
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from aetl import trust
from aetl.composed_once import composed_once
from aetl.config import ConfigError, check_target
from aetl.ending import signal_of
from aetl.multirun.backend import start_server
from aetl.multirun.conclusion import conclude
from aetl.multirun.job import Surroundings
from aetl.multirun.manifest import (
    ENDED,
    TASK,
    Claim,
    JobEntry,
    Manifest,
    State,
    locked,
    mask_files,
    names_of,
    now,
)
from aetl.multirun.prepare import Plan, prepare
from aetl.multirun.progress import checking
from aetl.multirun.race import RaceSweeper
from aetl.multirun.run import SweepFailed, SweepInterrupted, backend_of, run_sweep
from aetl.multirun.space import Space
from aetl.multirun.study import Search, Settings
from aetl.multirun.sweeper import OptunaSweeper
from aetl.ranges import Natural

ALIAS = "hydra_plugins.aetl_process"
WANDB = ("wandb", "wandb.sdk.launch.inputs.internal")
"""What a W&B run imports at its start; the second alone takes a second."""


def register() -> None:
    """Make the launcher known to hydra under its alias."""
    ProcessLauncher.ended.clear()
    ProcessLauncher.pending = None
    plugins = Plugins.instance()  # looks for plugins on the disk before ours is there
    package, _, name = ALIAS.partition(".")
    try:
        parent = importlib.import_module(package)
    except ModuleNotFoundError:  # no other plugin is installed
        parent = sys.modules[package] = types.ModuleType(package)
        parent.__path__ = []
    module = sys.modules[ALIAS] = types.ModuleType(ALIAS)
    setattr(parent, name, module)
    for plugin in (ProcessLauncher, ClusterLauncher, OptunaSweeper, RaceSweeper):
        plugin.__module__ = ALIAS
        setattr(module, plugin.__name__, plugin)
        plugins.register(plugin)


class ProcessLauncher(Launcher):
    """Checks all jobs, then runs them ``jobs`` at a time (null: as many as the cores allow).

    A job is done by the function that ``TASK`` names and not by the one that hydra passes, since a
    process started later, also by ``aetl sweep resume``, finds it by its name alone.
    """

    ended: ClassVar[list[Path]] = []
    """The folders of the sweeps of this process whose jobs have all had their turn."""
    pending: ClassVar[Claim | None] = None
    """The folder of a sweep that none of its jobs has been accepted for yet."""

    going_on: ClassVar[Manifest | None] = None
    """A search's manifest that is gone on with, its lock held; ``again`` are the states to redo."""
    again: ClassVar[frozenset[State]] = frozenset()

    def __init__(
        self, jobs: Annotated[int, Interval(ge=1, le=10_000)] | None, retries: Natural
    ) -> None:
        self.jobs, self.retries = jobs, retries
        self.backend: dict[str, Any] | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Claim the sweep's folder before the sweeper writes into it; warm up the processes."""
        node = OmegaConf.to_container(config.hydra.launcher, resolve=True)
        assert isinstance(node, dict)
        check_target("hydra.launcher", {str(key): value for key, value in node.items()})
        # It knows the groups inside of groups, for glob(...): the sweeper's, too.
        self.loader = hydra_context.config_loader = composed_once(hydra_context.config_loader)
        self.config = config
        _leave_checking_to_us()
        folder = Path(str(config.hydra.sweep.dir)).absolute()
        if self.going_on is None:
            self._claim(folder)
        else:
            self.manifest = self.going_on
            self.manifest.jobs_at_once, self.manifest.backend = self.jobs, self.backend
        self.context = start_server(_threads(config), WANDB if _uses_wandb(config) else ())

    def _claim(self, folder: Path) -> None:
        """Make the sweep's folder; ``give_back`` removes it if the sweep is refused."""
        ProcessLauncher.pending = Claim(folder)
        self.manifest = Manifest(
            folder=folder,
            command=list(sys.argv),
            cwd=os.getcwd(),
            paths=trust.places(),
            task=TASK,
            jobs_at_once=self.jobs,
            retries=self.retries,
            backend=self.backend,
            started=now(),
        )

    @staticmethod
    def give_back() -> None:
        """Remove the folder of a sweep that was refused, by the sweeper or before its first job."""
        if ProcessLauncher.pending:
            ProcessLauncher.pending.give_back()
            ProcessLauncher.pending = None

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run a batch of the sweep's jobs; a sweeper may come with several."""
        if not job_overrides:
            raise ConfigError("the sweep has no jobs: one of its lists or globs is empty")
        folder = self.manifest.folder
        mask_files(folder)  # multirun.yaml, as hydra's sweeper wrote it
        with nullcontext() if self.going_on else locked(folder):
            backend = backend_of(self.manifest, self.context)
            with checking(len(job_overrides)) as checked, self._interrupted_in_words():
                names = names_of(job_overrides, self.config.hydra.runtime.choices)
                plan, first = self._plan(), initial_job_idx
                jobs = prepare(plan, names, job_overrides, first, self.context, checked)
            ProcessLauncher.pending = None
            self.manifest.jobs += jobs
            values = run_sweep(self.manifest, jobs, self.context, backend)
        if folder not in self.ended:
            self.ended.append(folder)
        failed = SweepFailed(sum(job.state not in ENDED for job in self.manifest.jobs), folder)
        return [_returned(job, self.manifest, values, failed) for job in jobs]

    @contextmanager
    def _interrupted_in_words(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt as error:
            raise SweepInterrupted(self.manifest, signal_of(error)) from None

    def run_again(self, jobs: Sequence[JobEntry]) -> None:
        """Run jobs of the manifest that were not done; how they end stands there."""
        with nullcontext() if self.going_on else locked(self.manifest.folder):
            for job in jobs:
                job.state = "waiting"
            backend = backend_of(self.manifest, self.context)
            run_sweep(self.manifest, jobs, self.context, backend)

    def finish(self) -> None:
        """After the last batch of a sweeper that looks at the manifest: tell of what failed."""
        if self.manifest.folder not in self.ended:
            self.ended.append(self.manifest.folder)
        bad = sum(job.state not in ENDED for job in self.manifest.jobs)
        if bad:
            raise SweepFailed(bad, self.manifest.folder)

    def search(self, settings: Settings, space: Space, fixed: Sequence[str]) -> None:
        """Run the jobs that a study asks for; of one that goes on, first what was cut off."""
        folder, plan = self.manifest.folder, self._plan()

        def prepare_one(name: str, overrides: Sequence[str], number: int) -> JobEntry:
            (job,) = prepare(plan, [name], [overrides], number, self.context)
            return job

        with nullcontext() if self.going_on else locked(folder):
            backend = backend_of(self.manifest, self.context)
            self.manifest.study = settings.name
            search = Search(settings, space, fixed, self.manifest, prepare_one)
            again = []
            if self.going_on:
                search.reconcile()
                again = [job for job in self.manifest.jobs if job.state in self.again]
            if not self.manifest.jobs:
                first = search.next()  # where it is refused, the whole sweep is
                again = [first] if first else []
            ProcessLauncher.pending = None
            try:
                run_sweep(self.manifest, again, self.context, backend, search)
            finally:
                lines = conclude(search.study, self.manifest)
            print("\n".join(lines))
        self.ended.append(folder)
        bad = sum(job.state not in ENDED for job in self.manifest.jobs)
        if bad:
            raise SweepFailed(bad, folder)

    def _plan(self) -> Plan:
        setup_globals()
        here = Surroundings.here()
        return Plan(self.loader, self.config, self.manifest.folder, here, str(version.getbase()))


class ClusterLauncher(ProcessLauncher):
    """The same for jobs that run elsewhere: ``backend`` names the class that knows how."""

    def __init__(
        self,
        jobs: Annotated[int, Interval(ge=1, le=10_000)] | None,
        retries: Natural,
        backend: str,
        **settings: Any,
    ) -> None:
        super().__init__(jobs, retries)
        self.backend = {"_target_": backend, **settings}

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Refuse settings that do not fit, then as for processes."""
        assert self.backend is not None
        check_target("hydra.launcher", self.backend | {"folder": ""})
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)


def _leave_checking_to_us() -> None:
    """Without hydra's own check of each job, one by one: two minutes for a thousand jobs.

    We compose and check all of them at once, before any of them starts.
    """
    # Not at the top: hydra loads its plugins' modules anew when it looks for plugins.
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    def checked_later(self: BasicSweeper, batch: Sequence[Sequence[str]]) -> None: ...

    BasicSweeper.validate_batch_is_legal = checked_later  # type: ignore[method-assign,assignment]


class Returned(JobReturn):
    """A job's end for hydra's sweepers; a failure is raised without a word of hydra's own."""

    @property
    def return_value(self) -> Any:
        if self.status is JobStatus.FAILED:
            raise self._return_value
        return self._return_value

    @return_value.setter
    def return_value(self, value: Any) -> None:
        self._return_value = value


def _returned(
    job: JobEntry, manifest: Manifest, values: dict[int, Any], failed: SweepFailed
) -> JobReturn:
    done = job.state in ENDED
    return Returned(
        overrides=job.overrides,
        working_dir=str(manifest.job_folder(job)),
        task_name="aetl",
        status=JobStatus.COMPLETED if done else JobStatus.FAILED,
        _return_value=values.get(job.number) if done else failed,
    )


def _threads(config: DictConfig) -> int:
    """The threads of most jobs; each sets its own at its start (they may be swept)."""
    threads = OmegaConf.select(config, "threads")
    return threads if isinstance(threads, int) and threads > 0 else 1


def _uses_wandb(config: DictConfig) -> bool:
    logger = OmegaConf.select(config, "logger")
    return isinstance(logger, DictConfig) and "wandb" in logger
