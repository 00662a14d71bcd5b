"""Jobs in processes that another program starts, here or on another machine.

Such a job shares nothing with its launcher but the sweep's folder. So it says in ``outcome.json``
how it ended and in ``process.json`` where it runs. Everything else is as in a process of our own:
its log, its rank variables, its W&B run, its files.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from aetl.files import read_json, write_json
from aetl.multirun.backend import End
from aetl.multirun.job import (
    EXIT_CODES,
    Outcome,
    Surroundings,
    Work,
    cannot_enter,
    environment_of_threads,
    outcome_of,
    own_temporary_files,
    redirect,
    visible,
)
from aetl.trust import paths, search

OUTCOME, PROCESS, WORK, STOP = "outcome.json", "process.json", "work.json", "stop"

RANK_VARIABLES = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "MASTER_ADDR",
                  "MASTER_PORT", "AETL_RANK_OF")  # fmt: skip
# Without it Lightning takes the job for one of its own ranks under Slurm: it would refuse
# trainer.devices=2, which we start ourselves, and requeue the job behind submitit's back.
SLURM_VARIABLES = ("SLURM_NTASKS",)
OURS = ("AETL_", "WANDB_", "HYDRA_", "PYTHONPATH")

SECONDS_TO_APPEAR = 15.0
"""How long a file of a job that has ended may take to be seen on a shared disk."""


class Requeue:
    """What submitit runs; at a time-out or a preemption it runs it again, in the same folder.

    Submitit keeps it as a pickle of its own making; ours holds a path and nothing else.
    """

    def __init__(self, saved: str) -> None:
        self.saved = saved
        self.requeued = False

    def __call__(self) -> None:
        job = read_work(Path(self.saved))
        outcome = do(job)
        if self.requeued:
            raise SystemExit(outcome.value)  # submitit's own code: it says that there is more
        say(job, outcome)

    def checkpoint(self) -> Any:
        """Called by submitit in the handler of the signal that says that time is up."""
        from submitit.helpers import DelayedSubmission

        self.requeued = True
        return DelayedSubmission(Requeue(self.saved))


def run(saved: str) -> None:
    """Do the job of a file in this process, from the first line of its log to its outcome."""
    job = read_work(Path(saved))
    say(job, do(job))


def do(job: Work) -> Outcome:
    for name in (*RANK_VARIABLES, *SLURM_VARIABLES):
        os.environ.pop(name, None)
    redirect(job.folder / "job.log", job.number_of_try)
    os.environ.update(job.surroundings.environment)
    os.environ.update(environment_of_threads(job.threads))
    try:
        os.chdir(job.surroundings.folder)
    except OSError as error:
        return cannot_enter(job, error)
    search(paths())
    sys.argv = list(job.surroundings.argv)
    write_json(job.folder / PROCESS, {"host": socket.gethostname(), "pid": os.getpid()})
    if (job.folder / STOP).exists():  # asked before there was a process to be sent a signal
        return Outcome("interrupted", error="stopped by SIGINT")
    with own_temporary_files():
        outcome = outcome_of(job)
    sys.stdout.flush()
    sys.stderr.flush()
    return outcome


def say(job: Work, outcome: Outcome) -> None:
    write_json(job.folder / OUTCOME, asdict(outcome))


def portable(what: Work) -> Work:
    """Without what belongs to this machine: the place where it runs has an environment of its own,
    which says which GPUs it may use."""
    here = what.surroundings
    ours = {k: v for k, v in here.environment.items() if k.startswith(OURS)} | visible(what.gpus)
    return replace(what, gpus=(), surroundings=Surroundings(ours, here.folder, here.argv))


def write_work(what: Work) -> str:
    """What a job is, for the process that will do it: in its folder, readable by its owner alone,
    since the environment may hold a key of W&B's."""
    what = portable(what)
    file = what.folder / WORK
    file.unlink(missing_ok=True)
    values = asdict(what) | {"folder": str(what.folder)}
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        json.dump(values, out, indent=1)
    return str(file)


def read_work(file: Path) -> Work:
    values = read_json(file)
    there = Surroundings(**values.pop("surroundings"))
    folder, gpus = Path(values.pop("folder")), tuple(values.pop("gpus"))
    return Work(**values, folder=folder, gpus=gpus, surroundings=there)


class Apart:
    """A job in a process of somebody else's; ``alive`` says whether it is there, or may come."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._gone_since: float | None = None

    def alive(self) -> bool:
        raise NotImplementedError

    def ended(self) -> bool:
        """Whether it has said how it ended, or is gone without a word."""
        if (self.folder / OUTCOME).exists():
            return True
        if self.alive():
            self._gone_since = None
            return False
        self._gone_since = self._gone_since or time.monotonic()
        return time.monotonic() - self._gone_since > SECONDS_TO_APPEAR

    def end(self) -> End:
        try:
            outcome = Outcome(**read_json(self.folder / OUTCOME))
        except (OSError, ValueError):
            return End(Outcome("failed", error="gone without a word (killed, or out of memory?)"))
        return End(outcome, EXIT_CODES.get(outcome.state, 0))

    def tell(self) -> None:
        with suppress(OSError):
            (self.folder / STOP).touch()
        self.send(signal.SIGINT)

    def kill(self) -> None:
        self.send(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """A signal to the process, where it is one of this machine's."""
        with suppress(OSError, ValueError, KeyError):
            process = read_json(self.folder / PROCESS)
            if process["host"] == socket.gethostname():
                os.kill(int(process["pid"]), number)


def forget(folder: Path) -> None:
    """Before a new try: what the last one left."""
    for name in (OUTCOME, PROCESS, STOP):
        (folder / name).unlink(missing_ok=True)


def wait_apart(handles: Sequence[Apart]) -> list[Apart]:
    ended = [handle for handle in handles if handle.ended()]
    if not ended:
        time.sleep(0.5)
    return ended


def main() -> None:
    """``python -m aetl.multirun.apart FILE``."""
    run(sys.argv[1])


if __name__ == "__main__":
    main()
