"""Doing a run or a whole sweep again from its saved configs, every stage computed anew."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aetl.config import ConfigError
from aetl.launch import saved_job, summary_of
from aetl.trust import load_config


def rerun(saved: Path, check: bool) -> int:
    """Do a run again; with ``check`` compare the scores. Returns the exit code."""
    from aetl.pipeline import run
    from aetl.tracking.record import read_record

    before = read_record(saved)
    job = saved_job(saved, saved)
    _warn({saved: before})
    job.cfg.output_dir = str(_outputs(saved, Path(job.cfg.output_dir)))
    folder = _new_folder(saved, Path(job.cfg.output_dir))
    if (saved / ".hydra").is_dir():
        shutil.copytree(saved / ".hydra", folder / ".hydra")
    record = run(dataclasses.replace(job, folder=folder, fresh=True))
    print(summary_of(record, folder))
    if not check:
        return 0
    if before.get("status") != "done":
        print(
            f"aetl: the run is {before.get('status')}, it has no scores to compare", file=sys.stderr
        )
        return 2
    return _said(list(_different_scores("", before, record)))


def rerun_sweep(saved: Path, check: bool, at_once: int | None) -> int:
    """The jobs of a sweep in a new sweep's folder, over a store of its own there."""
    from aetl.multirun.again import refuse_altered, refuse_strange, run_jobs
    from aetl.multirun.manifest import Claim, Manifest, SweepRefused, locked, now

    if at_once is not None and at_once < 1:
        raise ConfigError(f"--jobs={at_once}: expected a whole number from 1 on")
    old = Manifest.load(saved)
    missing = [job for job in old.jobs if not (old.job_folder(job) / "config.yaml").exists()]
    if missing or not old.jobs:
        where = old.job_folder(missing[0]) if missing else saved
        raise SweepRefused(f"{where}: has no config.yaml to start from")
    refuse_strange(old, old.jobs)
    refuse_altered(old, old.jobs)
    _warn(dict(_records(old)))
    output_dir = load_config(old.job_folder(old.jobs[0]) / "config.yaml").output_dir
    outputs = _outputs(saved, Path(old.cwd) / output_dir)
    new = dataclasses.replace(
        old, folder=Claim(_new_folder(saved, outputs)).folder,
        command=list(sys.argv), started=now(), ended=None,
        jobs_at_once=at_once or old.jobs_at_once, jobs=[_anew(job) for job in old.jobs],
    )  # fmt: skip
    for job in new.jobs:
        _copy_config(saved / job.folder, new.job_folder(job), new.folder / "store")
    new.save()
    with locked(new.folder):
        run_jobs(new, new.jobs)
    return _said(list(_different_jobs(old, new))) if check else 0


def _outputs(saved: Path, recorded: Path) -> Path:
    """Where a run lies, it is done again; one that comes from elsewhere among this user's own."""
    from aetl.config import compose

    if saved.resolve().is_relative_to(recorded.resolve()):
        return recorded
    return Path(str(compose([]).output_dir))


def _new_folder(saved: Path, output_dir: Path) -> Path:
    parent = output_dir.absolute() / "rerun"
    parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{saved.resolve().name}-", dir=parent))


def _anew(job: Any) -> Any:
    """The job as it was before its first try."""
    from aetl.multirun.manifest import JobEntry

    kept = {f: getattr(job, f) for f in ("number", "name", "folder", "overrides", "threads")}
    return JobEntry(**kept, ranks=job.ranks, on_gpu=job.on_gpu, shares=job.shares)


def _copy_config(saved: Path, folder: Path, store: Path) -> None:
    from omegaconf import OmegaConf

    from aetl.files import write_text

    config = load_config(saved / "config.yaml")
    config.store.dir = str(store)
    folder.mkdir(parents=True)
    write_text(folder / "config.yaml", OmegaConf.to_yaml(config))
    shutil.copytree(saved / ".hydra", folder / ".hydra")


def _records(manifest: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
    from aetl.tracking.record import read_record
    from aetl.types import UserError

    for job in manifest.jobs:
        try:
            folder = manifest.job_folder(job)
            yield folder, read_record(folder)
        except UserError:
            continue  # it never came so far; it has a config and is done again all the same


def _different_jobs(old: Any, new: Any) -> Iterator[str]:
    after = dict(_records(new))
    for folder, record in _records(old):
        job = folder.relative_to(old.folder)
        if record.get("status") == "done":
            yield from _different_scores(f"{job}: ", record, after.get(new.folder / job, {}))


def _different_scores(
    name: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[str]:
    """Every score, also of the twin, that is not equal to the last bit."""
    for part in ("scores", "twin"):
        for metric, value in before.get(part, {}).items():
            now = after.get(part, {}).get(metric)
            if now != value:
                yield f"{name}{part}.{metric}: {value!r} before, {now!r} now"


def _said(lines: Sequence[str]) -> int:
    """0 where nothing differs."""
    print("\n".join(lines) or "identical scores")
    return 1 if lines else 0


def _warn(records: Mapping[Path, Mapping[str, Any]]) -> None:
    """Say every difference once, however many runs have it."""
    lines: dict[str, None] = {}
    domains: dict[str, Path] = {}
    for folder, record in records.items():
        lines |= dict.fromkeys(differences_of_environment(record))
        named = [record.get(name) for name in ("fingerprints", "source", "target")]
        if named[0]:
            domains.setdefault(json.dumps(named), folder)
    for folder in domains.values():
        lines |= dict.fromkeys(differences_of_data(folder, records[folder]))
    for line in lines:
        print(f"differs: {line}", file=sys.stderr)


def differences_of_environment(before: Mapping[str, Any]) -> list[str]:
    """What is not as it was when a run was made: code, versions, hardware."""
    import pytorch_lightning  # noqa: F401  (so that its version is known)

    from aetl.tracking.record import environment

    now = environment()
    lines = []
    for part in ("git", "versions", "hardware"):
        old, new = before.get(part) or {}, now[part] or {}
        keys = [k for k in {**old, **new} if old.get(k) != new.get(k) and k in old and k in new]
        lines += [f"{part}.{key}: {old[key]} before, {new[key]} now" for key in keys]
    return lines


def differences_of_data(folder: Path, before: Mapping[str, Any]) -> list[str]:
    """The domains whose examples are not those that the run saw, or cannot be read."""
    from aetl.stage.domains import load_domains
    from aetl.store.store import Store

    cfg = load_config(folder / "config.yaml")
    with tempfile.TemporaryDirectory(prefix="aetl-rerun-") as temporary:
        domains = load_domains(cfg, Store(dir=temporary, reuse=True), temporary)
    now = {"source": domains.source.fingerprint, "target": domains.target.fingerprint}
    return [
        f"data of the {name} ({before[name]}): its examples are not those that the run saw"
        for name, value in before["fingerprints"].items()
        if now[name] != value
    ]
