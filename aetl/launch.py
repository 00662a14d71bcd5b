"""Starting runs: by hydra, from a saved config, or as one rank of a run."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetl import trust
from aetl.config import ConfigError, conf_dir, load_saved, register_resolvers
from aetl.launched import Launched, launched, redirect_to_log
from aetl.mistakes import split_options, typed
from aetl.printable import one_line

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from aetl.tracking.record import Job


def run_hydra(arguments: list[str]) -> int:
    """``aetl [overrides]`` and ``aetl -m [overrides]``."""
    me = launched()
    if me is None:
        return _run_hydra(arguments)
    if me.rank:
        return _follow(me)
    with me.beginning():
        if {"-m", "--multirun"} & set(arguments):
            raise ConfigError(f"-m: {me.by} starts the processes of one run; sweep without it")
        return _run_hydra(arguments)


def _run_hydra(arguments: list[str]) -> int:
    import hydra

    from aetl.composed_once import composing_once

    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to our own handler, whole
    arguments, named = _trusted(arguments)
    options, overrides = split_options(arguments)
    arguments = [*options, *typed(overrides)]  # hydra wants its options first
    trust.believe(named, _config_dirs(arguments))
    trust.search_here()
    register_resolvers()
    multirun = "-m" in arguments or "--multirun" in arguments
    if multirun:
        from aetl.multirun.plugin import register

        register()
    sys.argv = ["aetl", *arguments]
    failed: list[BaseException] = []

    def task(cfg: DictConfig) -> float | list[float] | None:
        try:
            return _task(cfg)
        except BaseException as error:
            if multirun:
                raise  # a launcher of hydra's own keeps each job's error
            failed.append(error)  # hydra would print lines of its own around it
            return None

    start = hydra.main(config_path=str(conf_dir()), config_name="config", version_base="1.3")
    try:
        with composing_once():
            start(task)()
    finally:
        if multirun:
            _conclude_sweeps()
    if failed:
        raise failed[0]
    return 0


def _follow(me: Launched) -> int:
    """Another rank than the first of those that a launcher started: its run, from its folder."""
    from aetl.pipeline import run
    from aetl.process_group import STDERR
    from aetl.ranks import CHILD_OF

    folder = me.followed()
    me.enter()
    os.environ |= {CHILD_OF: str(folder), STDERR: str(redirect_to_log(folder, me.rank))}
    trust.believe([trust.ALL])  # what its first rank does already
    register_resolvers()
    run(saved_job(folder, folder))
    return 0


def _first(node: Mapping[str, Any]) -> str:
    return next(str(name) for name, value in node.items() if value)


def _conclude_sweeps() -> None:
    """The comparison of each sweep that ended and the path of its page; no trace of a refused one.

    Hydra leaves a multirun's log level with it; what the comparison warns of is to be seen.
    """
    import logging

    from aetl.multirun.plugin import ProcessLauncher

    logging.getLogger().setLevel(logging.WARNING)
    ProcessLauncher.give_back()
    for folder in ProcessLauncher.ended:
        conclude(folder)


def conclude(folder: Path) -> None:
    """The comparison of a sweep, its page with the pictures of some runs, and its verdicts for
    W&B; nothing where no job has a result."""
    from aetl.comparison.rows import rows
    from aetl.comparison.run import find_runs
    from aetl.report.formats import compare, verdict_lines
    from aetl.report.sweep_page import draw_runs, write_sweep_page
    from aetl.tracking.verdicts import log_verdicts

    if runs := find_runs([folder]).done:
        compare([folder])
        table = rows(runs)
        draw_runs(table)
        page = write_sweep_page([folder])
        log_verdicts(folder, [run.folder for run in runs], verdict_lines(table), page)
        print(page)


def _task(cfg: DictConfig) -> float | list[float]:
    """What hydra calls for a run: its score, or of a search the values of its objectives."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from aetl.multirun.intermediate import Reporter
    from aetl.multirun.manifest import mask_files
    from aetl.multirun.objective import objectives_of
    from aetl.pipeline import run
    from aetl.tracking.record import Job

    hydra_node = HydraConfig.get()
    folder = Path(hydra_node.runtime.output_dir)
    choices = dict(hydra_node.runtime.choices)
    alone = hydra_node.mode is None or hydra_node.mode.name == "RUN"
    objective = None if alone else OmegaConf.select(hydra_node.sweeper, "objective")
    watch = Reporter(folder, _first(cfg.metric)) if objective else None
    job = Job(
        cfg, folder, choices, list(hydra_node.overrides.task), sys.argv, watch=watch, page=alone
    )
    if alone:  # nothing starts from them
        mask_files(folder / ".hydra")
    try:
        record = run(job)
    finally:
        # Refused before any work: leave nothing behind, but for a sweep what it resumes from.
        if alone and not (folder / "run.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
    if alone:
        print(summary_of(record, folder))
    if objective:
        return objectives_of(folder, objective)
    return float(record["scores"][record["metric"]])


def summary_of(record: dict[str, Any], folder: Path) -> str:
    """A run's result in three lines."""
    metric = record["metric"]
    score, twin, gain = (record[k][metric] for k in ("scores", "twin", "gain"))
    baseline = record["baseline"].rpartition("/")[2]
    named = (
        f"{record['source']} -> {record['target']}, {record['autoencoder']}, {record['transfer']}, "
        f"budget {record['budget']}, seed {record['seed']}"
    )
    return (
        f"{one_line(named)}\n"
        f"{metric} {score:.4f}   {baseline} twin {twin:.4f}   gain {gain:+.4f}\n"
        f"{folder}/report.html"
    )


def composed_job(cfg: DictConfig, folder: Path, overrides: list[str] | None = None) -> Job:
    """A job from a composed config that still has hydra's node."""
    from omegaconf import OmegaConf

    from aetl.tracking.record import Job

    choices = OmegaConf.to_container(cfg.hydra.runtime.choices)
    assert isinstance(choices, dict)
    plain = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    named = {str(key): value for key, value in choices.items()}
    return Job(plain, folder, named, overrides or [], sys.argv)


def saved_job(saved: Path, folder: Path) -> Job:
    """The job that a run's folder describes, to be done in ``folder``."""
    from aetl.tracking.record import Job, read_record

    record = read_record(saved)
    if trust.trusts_all():
        trust.search(record.get("paths", []))
    cfg = load_saved(saved / "config.yaml")
    return Job(cfg, folder, record["choices"], record["overrides"], sys.argv)


def _trusted(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The command line without ``--trust NAME``, which hydra does not know, and those names."""
    rest: list[str] = []
    named: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--trust":
            named.append(next(words, ""))
        elif word.startswith("--trust="):
            named.append(word.partition("=")[2])
        else:
            rest.append(word)
    return rest, named


def _config_dirs(arguments: list[str]) -> list[str]:
    found = []
    for i, argument in enumerate(arguments):
        if argument in ("--config-dir", "-cd") and i + 1 < len(arguments):
            found.append(arguments[i + 1])
        elif argument.startswith("--config-dir="):
            found.append(argument.partition("=")[2])
    return found
