"""``aetl rm``: a run or a sweep goes; what others use stays."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path

from aetl.arguments import Parser
from aetl.comparison.run import RECORD, Run, find_runs
from aetl.config import ConfigError
from aetl.multirun.manifest import is_live
from aetl.printable import one_line

MANIFEST = "manifest.json"


def main(arguments: list[str]) -> int:
    """Remove a run or a sweep; it asks first. The store is left to ``aetl store prune``."""
    parser = Parser("aetl rm", description=main.__doc__)
    parser.add_argument("folder", type=Path, nargs="+", metavar="RUN|SWEEP")
    parser.add_argument("--yes", "-y", action="store_true", help="without asking")
    options = parser.parse_args(arguments)
    for folder in options.folder:
        _refuse(folder)
    for folder in options.folder:
        if options.yes or _agreed(folder):
            _remove(folder)
            print(one_line(f"removed {folder}"))
    return 0


def _refuse(folder: Path) -> None:
    """Whatever is no run's or sweep's own folder, at work, or needed by another run."""
    if folder.is_symlink():
        raise ConfigError(f"{folder}: is a link; remove what it leads to, or the link itself")
    if not (folder / RECORD).is_file() and not (folder / MANIFEST).is_file():
        raise ConfigError(f"{folder}: neither a run's folder nor a sweep's")
    sweep = next((p for p in folder.absolute().parents if (p / MANIFEST).is_file()), None)
    if sweep is not None:
        raise ConfigError(f"{folder}: is a job of the sweep {sweep}, which goes as a whole")
    if is_live(folder) or any(map(_at_work, find_runs([folder]).runs)):
        raise ConfigError(f"{folder}: is at work; stop it first")
    own = os.path.realpath(folder)
    for run in find_runs([_outputs(folder)]).runs:
        start = str(run.config().get("checkpoint") or "")
        inside = os.path.commonpath([own, os.path.realpath(start)]) == own if start else False
        if inside and os.path.commonpath([own, os.path.realpath(run.folder)]) != own:
            raise ConfigError(f"{folder}: {run.folder} starts from its weights (checkpoint=...)")


def _outputs(folder: Path) -> Path:
    """The folder of all runs: days, and runs or sweeps in them."""
    return folder.absolute().parent.parent if _is_day(folder.absolute().parent) else folder


def _is_day(folder: Path) -> bool:
    return folder.name[:1].isdigit() and folder.name.count("-") == 2


def _at_work(run: Run) -> bool:
    """Whether the process of a record that says so is there, as far as this machine knows."""
    pid, host = run.record.get("pid"), (run.record.get("hardware") or {}).get("host")
    if run.status != "running" or not isinstance(pid, int):
        return False
    if host not in (None, socket.gethostname()):
        return True  # on another machine, of which nothing is known
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _agreed(folder: Path) -> bool:
    found = find_runs([folder])
    number = len(found.runs)
    what = "1 run" if number == 1 else f"{number} runs"
    if not sys.stdin.isatty():
        raise ConfigError(f"{folder}: nobody is there to be asked; --yes removes {what}")
    print(one_line(f"remove {folder} ({what})? [y/N] "), end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _remove(folder: Path) -> None:
    """Renamed first: cut off half way, it is no run's folder any more."""
    away = folder.with_name(f".removed-{folder.name}")
    shutil.rmtree(away, ignore_errors=True)
    folder.rename(away)
    shutil.rmtree(away)
