"""The functions that ``import aetl`` offers: what the commands do, for scripts and notebooks.

A mistake raises what the command line would print: ``UserError`` or ``ConfigError``, in a line.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from aetl.comparison.best import Best
from aetl.comparison.best import best as best_of
from aetl.comparison.rows import CSV_KEYS, Row, rows
from aetl.comparison.run import Found, Run, find_runs, read_run
from aetl.config import ConfigError, compose, resolved
from aetl.config import check as check_config
from aetl.mistakes import explain, typed
from aetl.place import nearest_folder
from aetl.report.notebook import frame_of
from aetl.trust import believe, search_here

if TYPE_CHECKING:
    import pandas as pd

    from aetl.model.model import Model

Paths = str | os.PathLike[str]
Dirs = Paths | Sequence[Paths] | None
"""Folders with options of config groups and classes of one's own, as --config-dir."""
RUN_COLUMNS = ("source", "target", "autoencoder", "loss", "transfer", "budget", "selector", "seed")
ONE_STEP = ("pretrain.max_steps=1", "finetune.max_steps=1", "logger=none")


class Runs(Sequence[Run]):
    """Runs that were found in folders; those without a result are in ``unfinished``."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self._done = found.done

    @property
    def unfinished(self) -> list[Run]:
        return self._found.unfinished

    def __len__(self) -> int:
        return len(self._done)

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> list[Run]: ...
    def __getitem__(self, index: int | slice) -> Run | list[Run]:
        return self._done[index]

    def compare(self, metric: str | None = None) -> Comparison:
        """These runs as ``aetl compare`` shows them: one row an arm, over its seeds."""
        return _compared(self._found, metric)

    def best(self, metric: str | None = None) -> list[Best]:
        """For each target and budget the arm to take, by held-out labels: see ``aetl best``."""
        return best_of(self._done, metric)

    def to_pandas(self) -> pd.DataFrame:
        """One row a run: its names, scores (``score_M``), gains (``gain_M``) and folder."""
        return _pandas().DataFrame(self._table())

    def _table(self) -> list[dict[str, Any]]:
        return [
            {name: getattr(run, name) for name in RUN_COLUMNS}
            | {f"score_{name}": value for name, value in run.scores.items()}
            | {f"gain_{name}": value for name, value in run.gains.items()}
            | {"folder": str(run.folder)}
            for run in self._done
        ]

    def __repr__(self) -> str:
        left_out = self._found.left_out()
        return f"Runs({len(self)} done{', ' + left_out if left_out else ''})"

    def _repr_html_(self) -> str:
        return frame_of(self._table(), repr(self))


class Comparison(Sequence[Row]):
    """The rows of ``aetl compare``: arms over their seeds, with interval and verdict."""

    def __init__(self, found: Sequence[Row]) -> None:
        self._rows = list(found)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        return self._rows[index]

    def to_pandas(self) -> pd.DataFrame:
        """The columns of ``aetl compare --csv``."""
        return _pandas().DataFrame(self._table(), columns=list(CSV_KEYS))

    def _table(self) -> list[dict[str, Any]]:
        return [row.values(CSV_KEYS) for row in self._rows]

    def __repr__(self) -> str:
        from aetl.report.table import render_table

        return render_table(self._rows)

    def _repr_html_(self) -> str:
        return frame_of(self._table(), f"{len(self)} rows")


def run(
    overrides: Sequence[str] = (), *, config_dir: Dirs = None, folder: Paths | None = None
) -> Run:
    """Do a run in this process, as ``aetl KEY=VALUE ...`` does: ``aetl.run(["seed=1"])``.

    Its files lie in ``folder``, by default a new one below ``output_dir``.
    """
    with _told(config_dir):
        from aetl import ranks
        from aetl.launch import composed_job
        from aetl.pipeline import run as do

        cfg = compose(typed(overrides), _dirs(config_dir))
        place = Path(folder if folder is not None else cfg.hydra.run.dir)
        job = composed_job(cfg, place, list(overrides))
        job = dataclasses.replace(job, command=["aetl", *overrides])
        try:
            with ranks.threads(cfg.threads):
                do(job)
        finally:
            if not (place / "run.json").exists():  # refused before any work: nothing is left
                shutil.rmtree(place, ignore_errors=True)
        return read_run(place)


def sweep(
    overrides: Sequence[str] = (), *, config_dir: Dirs = None, folder: Paths | None = None
) -> Runs:
    """Do every combination, as ``aetl -m KEY=A,B ...`` does, in processes of its own.

    What it prints appears as it comes. Interrupted, or cut off, it goes on by the same call with
    the same ``folder``. Jobs that fail are told in a warning; their records say why.
    """
    with _told(config_dir):
        place = Path(folder if folder is not None else _sweep_folder(overrides, config_dir))
        if (place / "manifest.json").exists():
            command = ["sweep", "resume", str(place)]
        else:
            dirs = [f"--config-dir={path}" for path in _dirs(config_dir)]
            command = ["-m", *dirs, *overrides, f"hydra.sweep.dir={place}"]
        code, line = _streamed([sys.executable, "-m", "aetl.cli", *command])
        if code == 2 or (code and not place.exists()):
            raise ConfigError(line.removeprefix("aetl: "))
        if code:
            warnings.warn(line.removeprefix("aetl: "), stacklevel=2)
        return runs(place)


def check(overrides: Sequence[str] = (), *, config_dir: Dirs = None) -> None:
    """Compose, build everything, and take one step of each stage, in a temporary folder."""
    with _told(config_dir):  # as it is typed, before less of it is done elsewhere
        cfg = compose(typed(overrides), _dirs(config_dir))
        check_config(resolved(cfg), dict(cfg.hydra.runtime.choices))
        nearest_folder(Path(cfg.hydra.run.dir), "output_dir")
        nearest_folder(Path(cfg.store.dir), "store.dir")
    with tempfile.TemporaryDirectory(prefix="aetl-check-") as temporary:
        own = [f"output_dir={temporary}", f"store.dir={temporary}/store"]
        from aetl.head.chosen import briefly  # not needed to compose

        # What a model is like after one step says nothing.
        with briefly(), _silent("aetl.stage.evaluate"):
            run([*overrides, *ONE_STEP, *own], config_dir=config_dir, folder=f"{temporary}/run")


@contextlib.contextmanager
def _silent(name: str) -> Iterator[None]:
    """Without the warnings of one module."""
    import logging

    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def runs(*paths: Paths) -> Runs:
    """The runs in these folders and below."""
    return Runs(_found(paths))


def compare(*paths: Paths, metric: str | None = None) -> Comparison:
    """Arms x budgets of the runs in these folders, as ``aetl compare`` shows them."""
    return _compared(_found(paths), metric)


def best(*paths: Paths, metric: str | None = None) -> list[Best]:
    """For each target and budget the arm to take, by labels held out, never by test scores."""
    return best_of(_found(paths).done, metric)


def load(run: Run | Paths, device: str = "cpu") -> Model:
    """The fitted model of a run: ``aetl.load(run).predict("folder/of/images")``."""
    from aetl.model.model import Model

    return Model.load(run.folder if isinstance(run, Run) else Path(run), device)


def _found(paths: Sequence[Paths]) -> Found:
    try:
        return find_runs(map(Path, paths))
    except FileNotFoundError as error:
        raise ConfigError(str(error)) from None


def _compared(found: Found, metric: str | None) -> Comparison:
    try:
        return Comparison(rows(found.done, metric))
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _dirs(config_dir: Dirs) -> list[str]:
    given = [config_dir] if isinstance(config_dir, str | os.PathLike) else config_dir or []
    return [os.fspath(path) for path in given]


@contextlib.contextmanager
def _told(config_dir: Dirs) -> Iterator[None]:
    """With the user's own classes on the path; what hydra finds wrong becomes one line."""
    believe([], _dirs(config_dir))
    search_here()
    try:
        yield
    except Exception as error:
        line = explain(error)
        if line is None or isinstance(error, ConfigError):
            raise
        raise ConfigError(line) from error


def _sweep_folder(overrides: Sequence[str], config_dir: Dirs) -> str:
    """Where hydra would put it; asked for beforehand, so that it is known afterwards."""
    from omegaconf import OmegaConf

    own = ("output_dir=", "hydra.sweep.dir=", "experiment=")
    few = [override for override in overrides if override.startswith(own)]
    cfg = compose(few, _dirs(config_dir))
    return str(OmegaConf.select(cfg, "hydra.sweep.dir"))


def _streamed(command: list[str]) -> tuple[int, str]:
    """The exit code and the last line of a command whose output is passed on as it comes."""
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )
    assert child.stdout is not None
    last = ""
    try:
        for line in child.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
        return child.wait(), last
    except BaseException:
        # A terminal interrupts the child too; a notebook interrupts only its own kernel.
        child.send_signal(signal.SIGINT)
        child.wait()
        raise


def _pandas() -> Any:
    from aetl.model.answers import pandas

    return pandas()
