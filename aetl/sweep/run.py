"""Run the jobs of a sweep and say at the end what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from aetl.sweep.manifest import JobEntry, Manifest, counts, now, shown
from aetl.sweep.pool import Pool
from aetl.sweep.prepare import visible_gpus
from aetl.sweep.progress import print_failures, progress_of


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
    """Ctrl-C; what is done is kept."""

    exit_code = 130

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    def __str__(self) -> str:
        return f"interrupted; aetl sweep resume {shown(self.folder)}"


def run_sweep(manifest: Manifest, jobs: Sequence[JobEntry], context: BaseContext) -> dict[int, Any]:
    """Run ``jobs`` of a sweep whose lock is held; what the tasks returned, by number.

    Raises ``SweepInterrupted`` after Ctrl-C. Failed jobs are in the manifest, not raised.
    """
    manifest.ended = None
    manifest.save()
    progress = progress_of(jobs)
    pool = Pool(manifest, context, _gpus(jobs, context), progress)
    try:
        pool.run(jobs)
    finally:
        progress.close()
        manifest.ended = now()
        manifest.save()
    if pool.interrupted and any(job.state != "done" for job in manifest.jobs):
        raise SweepInterrupted(manifest.folder)
    print_failures(manifest)
    folder = shown(manifest.folder)
    done = counts(manifest.jobs)["done"]
    print(f"{done} of {len(manifest.jobs)} jobs done: {folder}")
    return pool.values


def _gpus(jobs: Sequence[JobEntry], context: BaseContext) -> tuple[str, ...]:
    """Asked in a process of its own, since the launcher does not load torch."""
    if not any(job.on_gpu for job in jobs):
        return ()
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(visible_gpus).result()
