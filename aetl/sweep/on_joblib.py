"""Jobs by joblib's workers, each in an interpreter of its own."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Interval

from aetl.config import ConfigError
from aetl.sweep.apart import Apart, forget, portable, wait_apart
from aetl.sweep.job import Work


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
        saved = what.folder / "work.pickle"
        saved.write_bytes(pickle.dumps(portable(what)))
        return InWorker(what.folder, self._executor.submit(_wait_for, str(saved)))

    wait = staticmethod(wait_apart)


def _wait_for(saved: str) -> None:
    subprocess.run([sys.executable, "-m", "aetl.sweep.apart", saved], check=False)


class InWorker(Apart):
    """A job whose process a worker waits for."""

    def __init__(self, folder: Path, future: Any) -> None:
        super().__init__(folder)
        self.future = future

    def alive(self) -> bool:
        return not self.future.done()
