"""Run the jobs of a sweep and say at the end what came of it."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from aetl.config import locate
from aetl.multirun.backend import Backend, Processes
from aetl.multirun.live_page import LivePage
from aetl.multirun.manifest import ENDED, JobEntry, Manifest, counts, now, shown
from aetl.multirun.pool import Pool, Supply
from aetl.multirun.prepare import visible_gpus
from aetl.multirun.progress import print_failures, progress_of


class SweepFailed(Exception):
    """All jobs had their turn, and some did not finish."""

    exit_code = 1

    def __init__(self, number: int, folder: Path) -> None:
        super().__init__(number, folder)
        self.number, self.folder = number, folder

    def __str__(self) -> str:
        jobs = "1 job" if self.number == 1 else f"{self.number} jobs"
        return f"{jobs} did not finish; aetl sweep retry {shown(self.folder)}"


class SweepInterrupted(Exception):
    """A signal ended the sweep (Ctrl-C is SIGINT); what is done is kept."""

    def __init__(self, manifest: Manifest, number: signal.Signals) -> None:
        super().__init__(manifest, number)
        self.manifest, self.exit_code = manifest, 128 + number
        self.word = "interrupted" if number is signal.SIGINT else f"ended by {number.name}"

    def __str__(self) -> str:
        jobs = self.manifest.jobs
        if not jobs:
            return f"{self.word} while the jobs were checked; none was started"
        done = f"{counts(jobs)['done']} of {len(jobs)} jobs done"
        return f"{self.word}; {done}; aetl sweep resume {shown(self.manifest.folder)}"


def run_sweep(
    manifest: Manifest, jobs: Sequence[JobEntry], context: BaseContext, backend: Backend,
    supply: Supply | None = None,
) -> dict[int, Any]:  # fmt: skip
    """Run ``jobs`` of a sweep whose lock is held, and those that ``supply`` makes meanwhile; what
    the tasks returned, by number.

    Raises ``SweepInterrupted`` after a signal. Failed jobs are in the manifest, not raised.
    """
    manifest.ended = None
    manifest.save()
    asked = supply is not None or any(job.on_gpu for job in jobs)
    gpus = _gpus(context) if asked and backend.local else ()
    progress = progress_of(len(jobs) if supply is None else supply.expected)
    page = LivePage(manifest, context)
    pool = Pool(manifest, backend, gpus, progress, page.look)
    try:
        pool.run(jobs, supply)
    finally:
        progress.close()
        page.close()
        manifest.ended = now()
        manifest.save()
    if pool.interrupted is not None and (
        supply is not None or any(job.state not in ENDED for job in manifest.jobs)
    ):
        raise SweepInterrupted(manifest, pool.interrupted)
    print_failures(manifest)
    folder = shown(manifest.folder)
    numbers = counts(manifest.jobs)
    words = {"pruned": "pruned", "refused": "refused since their parts do not go together"}
    others = "".join(f", {numbers[s]} {word}" for s, word in words.items() if numbers[s])  # type: ignore[index]
    print(f"{numbers['done']} of {len(manifest.jobs)} jobs done{others}: {folder}")
    return pool.values


def backend_of(manifest: Manifest, context: BaseContext) -> Backend:
    """Where the jobs run: in processes of ``context``, or where the sweep's launcher says."""
    if manifest.backend is None:
        return Processes(context)
    settings = {key: value for key, value in manifest.backend.items() if key != "_target_"}
    built: Backend = locate("hydra.launcher", manifest.backend["_target_"])(
        folder=str(manifest.folder), **settings
    )
    return built


def _gpus(context: BaseContext) -> tuple[str, ...]:
    """Asked in a process of its own, since the launcher does not load torch."""
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(visible_gpus).result()
