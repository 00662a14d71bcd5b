"""``aetl store``: what it holds; ``prune``: what is long unused goes; ``verify``: is it whole."""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from aetl.arguments import Parser
from aetl.config import ConfigError
from aetl.place import nearest_folder
from aetl.store.digests import fault
from aetl.store.held import REMOVED, Held, held, prune, prune_locks
from aetl.terminal import console

_DAY = 86400.0


def main(arguments: Sequence[str]) -> int:
    """Look at the store of pretrained encoders, prepared data and twins, or clear it up."""
    options = _parser().parse_args(list(arguments))
    folder = _folder(getattr(options, "dir", None))
    if options.command == "verify":
        return _verify(folder)
    if options.command == "prune":
        if not 0 <= options.older_than < float("inf"):
            raise ConfigError(f"--older-than={options.older_than}: expected days, from 0 on")
        return _prune(folder, options.older_than, options.stage, options.dry_run)
    return _print(folder, held(folder) if folder.is_dir() else [], options.json)


def _parser() -> argparse.ArgumentParser:
    both = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    both.add_argument("--dir", type=Path, help="the store's folder (outputs/store)")
    parser = Parser("aetl store", description=main.__doc__, parents=[both])
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    text = "remove what no run used for some time; runs keep what they have"
    pruning = commands.add_parser("prune", help=text, description=text, parents=[both])
    pruning.add_argument(
        "--older-than", type=float, default=30.0, metavar="DAYS",
        help="days since the last use (30); 0 is everything, and not while runs go on",
    )  # fmt: skip
    pruning.add_argument(
        "--stage", help="only this stage's entries (pretrain, transfer, data, ...)"
    )
    pruning.add_argument("--dry-run", action="store_true", help="only say what would go")
    text = "read every entry and compare it with the digests that were taken when it was written"
    commands.add_parser("verify", help=text, description=text, parents=[both])
    return parser


def _verify(folder: Path) -> int:
    """Read every byte of every entry; 1 where one is not what was written."""
    entries = [entry for entry in held(folder) if entry.done] if folder.is_dir() else []
    damaged = 0
    for entry in entries:
        wrong = fault(entry.path, again=True)
        if wrong is not None and entry.path.exists():  # a run or a prune may have taken it away
            damaged += 1
            print(f"{entry.path}/{wrong}")
    aside = sorted(folder.glob("*-*.damaged-*")) if folder.is_dir() else []
    for path in aside:
        print(f"{path}: was set aside; aetl store prune removes it")
    print(f"{_count(len(entries))}, {damaged} damaged: {folder}")
    if damaged:
        print("a run that needs one of them sets it aside and computes it anew")
    return 1 if damaged else 0


def _folder(asked: Path | None) -> Path:
    """The folder that is asked for, or where a run would put its stages."""
    if asked is None:
        from aetl.config import compose

        folder = Path(str(compose([]).store.dir))
        nearest_folder(folder, "store.dir")
        return folder
    if not asked.is_dir():
        raise ConfigError(f"--dir={asked}: no such folder")
    return asked


def _prune(folder: Path, days: float, stage: str | None, dry_run: bool) -> int:
    if not dry_run:
        for cut_off in [*folder.glob(f"{REMOVED}*"), *folder.glob("*-*.damaged-*")]:
            shutil.rmtree(cut_off, ignore_errors=True)
    entries = held(folder) if folder.is_dir() else []
    stages = sorted({entry.stage for entry in entries})
    if stage is not None and entries and stage not in stages:
        raise ConfigError(f"--stage={stage}: none of {', '.join(stages)}")
    before = time.time() - days * _DAY
    old = [e for e in entries if e.used <= before and stage in (None, e.stage)]
    gone = old if dry_run else prune(old)
    if not dry_run and folder.is_dir():
        prune_locks(folder)
    said = f"{_count(len(gone))} of {len(entries)}, {_bytes(sum(entry.size for entry in gone))}"
    print(f"{'would remove' if dry_run else 'removed'} {said}: {folder}")
    if len(gone) < len(old):
        print(f"{_count(len(old) - len(gone))} in use: left alone")
    return 0


def _print(folder: Path, entries: Sequence[Held], as_json: bool) -> int:
    if as_json:
        lines = [asdict(entry) | {"path": str(entry.path)} for entry in entries]
        print(json.dumps(lines, indent=1))
        return 0
    if not entries:
        print(f"nothing is stored: {folder}")
        return 0
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("stage")
    for name in ("entries", "begun", "size", "last used"):
        table.add_column(name, justify="right")
    by_stage: dict[str, list[Held]] = defaultdict(list)
    for entry in entries:
        by_stage[entry.stage].append(entry)
    for stage, found in sorted(by_stage.items()):
        table.add_row(stage, *_sums(found))
    table.add_row("all", *_sums(entries), style="bold")
    out = console()
    out.print(table)
    out.print(str(folder), style="dim", soft_wrap=True, markup=False)
    return 0


def _sums(entries: Sequence[Held]) -> tuple[str, str, str, str]:
    done = sum(entry.done for entry in entries)
    days = (time.time() - max(entry.used for entry in entries)) / _DAY
    ago = "today" if days < 1 else f"{int(days)} day{'s' if days >= 2 else ''} ago"
    size = _bytes(sum(entry.size for entry in entries))
    return str(done), str(len(entries) - done or ""), size, ago


def _count(n: int) -> str:
    return "1 entry" if n == 1 else f"{n} entries"


def _bytes(n: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000 or unit == "GB":
            break
        n /= 1000
    return f"{n:.0f} {unit}" if n >= 100 or unit == "B" else f"{n:.3g} {unit}"
