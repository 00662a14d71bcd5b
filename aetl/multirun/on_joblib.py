"""Jobs by joblib's workers, each in an interpreter of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Interval

from aetl.config import ConfigError
from aetl.multirun.apart import Apart, forget, wait_apart, write_work
from aetl.multirun.job import Work
from aetl.trust import python


class Joblib:
    """As many loky workers as jobs run at a time.

    A worker is used again and again, and takes all others down when it is killed. So it does no job
    itself: it starts a process and waits for it.
    """

    local = True

    def __init__(self, *, folder: str, n_jobs: Annotated[int, Interval(ge=1, le=10_000)]) -> None:
        try:
            from joblib import effective_n_jobs
            from joblib.externals.loky import get_reusable_executor
        except ModuleNotFoundError:
            raise ConfigError(
                "hydra/launcher=joblib: not installed; pip install 'aetl[joblib]'"
            ) from None
        self._executor: Any = get_reusable_executor(max_workers=effective_n_jobs(n_jobs))

    def start(self, what: Work, name: str) -> InWorker:
        forget(what.folder)
        return InWorker(what.folder, self._executor.submit(_wait_for, write_work(what)))

    wait = staticmethod(wait_apart)


def _wait_for(saved: str) -> None:
    command, more = python("aetl.multirun.apart")
    subprocess.run([*command, saved], env=os.environ | more, check=False)


class InWorker(Apart):
    """A job whose process a worker waits for."""

    def __init__(self, folder: Path, future: Any) -> None:
        super().__init__(folder)
        self.future = future

    def alive(self) -> bool:
        return not self.future.done()
