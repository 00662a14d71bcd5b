"""Jobs as tasks of a Ray cluster; where none is given, one of this machine is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aetl.config import ConfigError
from aetl.multirun.apart import Apart, forget, run, wait_apart, write_work
from aetl.multirun.job import Work
from aetl.ranges import Natural, NonNegative


class Ray:
    """One task a job, in a worker that does no other (``max_calls=1``).

    A task that dies is not tried again by Ray: the sweep says how often that is done.
    """

    local = False

    def __init__(
        self, *, folder: str, address: str | None, num_cpus: Natural | None, num_gpus: NonNegative
    ) -> None:
        try:
            import ray
        except ModuleNotFoundError:
            raise ConfigError(
                "hydra/launcher=ray: not installed; pip install 'aetl[ray]'"
            ) from None
        self.num_gpus = num_gpus
        if not ray.is_initialized():
            here = {} if address else {"num_cpus": num_cpus, "_node_ip_address": "127.0.0.1"}
            try:
                ray.init(address=address or "local", log_to_driver=False, include_dashboard=False,
                         logging_level="ERROR", **here)  # fmt: skip
            except (ConnectionError, ValueError) as error:
                line = str(error).strip().splitlines()[0]
                raise ConfigError(f"hydra.launcher.address={address}: {line}") from None

    def start(self, what: Work, name: str) -> Task:
        import ray

        forget(what.folder)
        task = ray.remote(max_calls=1, max_retries=0, num_cpus=what.threads,
                          num_gpus=self.num_gpus)(run)  # fmt: skip
        return Task(what.folder, task.remote(write_work(what)))

    wait = staticmethod(wait_apart)


class Task(Apart):
    """A task of Ray's."""

    def __init__(self, folder: Path, reference: Any) -> None:
        super().__init__(folder)
        self.reference = reference

    def alive(self) -> bool:
        import ray

        return not ray.wait([self.reference], timeout=0)[0]

    def tell(self) -> None:
        import ray

        ray.cancel(self.reference, force=False)  # KeyboardInterrupt in the worker

    def kill(self) -> None:
        import ray

        ray.cancel(self.reference, force=True)
