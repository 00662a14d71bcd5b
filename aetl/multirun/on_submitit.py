"""Jobs by submitit: in the queue of a Slurm cluster, or as processes of this machine."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from aetl.config import ConfigError
from aetl.files import read_json, write_json
from aetl.multirun.apart import Apart, Requeue, forget, wait_apart, write_work
from aetl.multirun.job import Work
from aetl.ranges import Count, Natural, Positive

SUBMITTED = "submitted.json"
SECONDS_BETWEEN_LOOKS = 5.0
OVER = frozenset(("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL",
                  "OUT_OF_MEMORY", "TIMEOUT"))  # fmt: skip
"""States of Slurm's from which a job does not come back; a preempted one may."""


class Submitit:
    """Submits each job by itself.

    A job in Slurm's queue outlives the launcher: ``aetl sweep resume`` finds it there again instead
    of submitting it a second time.
    """

    local = False

    def __init__(
        self, *, folder: str, cluster: Literal["slurm", "local"], timeout_min: Count,
        max_num_timeout: Natural, cpus_per_task: Count | None, gpus_per_node: Natural | None,
        mem_gb: Positive | None, partition: str | None, account: str | None, qos: str | None,
        constraint: str | None, setup: list[str] | None, additional_parameters: dict[str, Any],
    ) -> None:  # fmt: skip
        try:
            import submitit
        except ModuleNotFoundError:
            raise ConfigError(
                "hydra/launcher=submitit: not installed; pip install 'aetl[slurm]'"
            ) from None
        if cluster == "slurm" and max_num_timeout < 1:
            raise ConfigError(
                f"hydra.launcher.max_num_timeout={max_num_timeout}: expected 1 or more; "
                "with 0 a job that runs out of time is never requeued"
            )
        self.cluster = cluster
        self._queue = _Queue()
        given = {
            "timeout_min": timeout_min, "cpus_per_task": cpus_per_task,
            "gpus_per_node": gpus_per_node, "mem_gb": mem_gb, "nodes": 1, "tasks_per_node": 1,
            "slurm_partition": partition, "slurm_account": account, "slurm_qos": qos,
            "slurm_constraint": constraint, "slurm_setup": setup,
            "slurm_additional_parameters": dict(additional_parameters),
        }  # fmt: skip
        try:
            self._executor = submitit.AutoExecutor(
                folder=Path(folder) / ".submitit" / "%j", cluster=cluster,
                slurm_max_num_timeout=max_num_timeout, slurm_python=sys.executable,
            )  # fmt: skip
        except RuntimeError as error:  # no sbatch
            raise ConfigError(f"hydra/launcher=submitit_{cluster}: {error}") from None
        self._executor.update_parameters(**{k: v for k, v in given.items() if v is not None})

    def start(self, what: Work, name: str) -> Apart:
        known = self._in_queue(what.folder)
        if known is not None:
            return Submitted(what.folder, known, self._queue)
        forget(what.folder)
        self._executor.update_parameters(name=f"aetl-{name}")
        job = self._executor.submit(Requeue(write_work(what)))
        write_json(what.folder / SUBMITTED, {"cluster": self.cluster, "id": job.job_id})
        if self.cluster == "slurm":
            return Submitted(what.folder, str(job.job_id), self._queue)
        return Local(what.folder, job)

    def _in_queue(self, folder: Path) -> str | None:
        """The job of an earlier launcher that still waits or runs."""
        try:
            known = read_json(folder / SUBMITTED)
        except (OSError, ValueError):
            return None
        if known["cluster"] != "slurm" or self.cluster != "slurm":
            return None
        return str(known["id"]) if self._queue.holds(str(known["id"])) else None

    wait = staticmethod(wait_apart)


class _Queue:
    """Slurm's queue, looked at once for all jobs and not too often."""

    def __init__(self) -> None:
        self._states: Mapping[str, str] = {}
        self._looked = -SECONDS_BETWEEN_LOOKS

    def holds(self, job: str) -> bool:
        if time.monotonic() - self._looked > SECONDS_BETWEEN_LOOKS:
            self._states, self._looked = self._look(), time.monotonic()
        return job in self._states

    def appear(self, job: str) -> None:
        """A job that has been submitted since the last look."""
        self._states = {**self._states, job: "PENDING"}

    def _look(self) -> Mapping[str, str]:
        try:
            done = subprocess.run(
                ["squeue", "--me", "--noheader", "--format=%A %T", "--states=all"],
                capture_output=True, text=True, timeout=60, check=True,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):  # busy: nothing is known to have ended
            return self._states
        states = dict(line.split() for line in done.stdout.splitlines() if line.strip())
        return {job: state for job, state in states.items() if state not in OVER}


class Submitted(Apart):
    """A job in Slurm's queue."""

    def __init__(self, folder: Path, number: str, queue: _Queue) -> None:
        super().__init__(folder)
        self.number, self.queue = number, queue
        queue.appear(number)

    def alive(self) -> bool:
        return self.queue.holds(self.number)

    def tell(self) -> None:
        """Ctrl-C for one that runs; one that waits leaves the queue."""
        self._scancel("--state=PENDING")
        self._scancel("--signal=INT")

    def kill(self) -> None:
        self._scancel()

    def _scancel(self, *options: str) -> None:
        subprocess.run(["scancel", *options, self.number], capture_output=True, check=False)


class Local(Apart):
    """A job in a process of this machine that submitit has started."""

    def __init__(self, folder: Path, job: Any) -> None:
        super().__init__(folder)
        self.job = job

    def alive(self) -> bool:
        return not self.job.done()
