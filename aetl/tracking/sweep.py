"""Which sweep a run's folder belongs to, and what it is called there."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aetl.files import read_json

_ABOVE = 3
"""A job's folder lies directly below its sweep's, or a few levels deeper."""


@dataclass(frozen=True)
class OfSweep:
    """``job`` says what differs between the jobs; None where the manifest does not know it yet."""

    sweep: str
    job: str | None


def sweep_of(folder: Path) -> OfSweep | None:
    """The sweep whose job runs in a folder; None for a run of its own."""
    folder = folder.absolute()
    for above in list(folder.parents)[:_ABOVE]:
        manifest = above / "manifest.json"
        if not manifest.is_file():
            continue
        names: dict[str, str] = {}
        with suppress(OSError, ValueError, KeyError, TypeError):
            names = {job["folder"]: job["name"] for job in read_json(manifest)["jobs"]}
        return OfSweep(above.name, names.get(str(folder.relative_to(above))))
    return None
