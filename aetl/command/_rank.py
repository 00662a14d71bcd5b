"""``aetl _rank FOLDER``: one process of a run of several, started by the run itself."""

from __future__ import annotations

from pathlib import Path

from aetl.launch import saved_job
from aetl.trust import ALL, believe


def main(arguments: list[str]) -> int:
    """One rank of a run, from the folder's saved config."""
    from aetl.pipeline import run

    believe([ALL])  # what its first rank does already
    run(saved_job(Path(arguments[0]), Path(arguments[0])))
    return 0
