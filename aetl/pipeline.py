"""The whole program: data, pretraining, transfer, its scratch twin, evaluation, report."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import OmegaConf

from aetl import ranks
from aetl.config import check, resolved
from aetl.ending import continues
from aetl.label import names_of, settings_digest
from aetl.model.spec import Spec
from aetl.process_group import process_group
from aetl.secret import masked
from aetl.stage.arm import starts_pretrained, strategies_of
from aetl.stage.domains import load_domains, pretraining_domain
from aetl.stage.evaluate import evaluate, metrics_of
from aetl.stage.fits import refuse_misfit
from aetl.stage.labels import labels_seen
from aetl.stage.pretrain import pretrain, pretraining_digest
from aetl.stage.reconstructions import bring_pictures, taken
from aetl.stage.transfer import transfer
from aetl.tracking.base import TABLED, About
from aetl.tracking.record import Job, Record
from aetl.tracking.sweep import sweep_of
from aetl.tracking.track import Track

log = logging.getLogger(__name__)


def run(job: Job) -> dict[str, Any]:
    """Do a run and return its record; the files in its folder say the same."""
    cfg, plain, folder = job.cfg, resolved(job.cfg), job.folder
    check(plain, job.choices)
    OmegaConf.set_readonly(cfg, True)
    ranks.use_threads(cfg.threads)
    patience = instantiate(cfg.ranks)
    with Record(job) as record, process_group(cfg.trainer, patience, folder, record.last) as group:
        store = instantiate(cfg.store, reuse=cfg.store.reuse and not job.fresh)
        continues(store.reuse)
        domains = load_domains(cfg, store, folder)
        for line in domains.warnings if record.writes else ():
            log.warning("%s", line)
        learnt = pretraining_domain(domains.in_columns_of_source, cfg.pretrain.domains)
        refuse_misfit(cfg, domains, learnt)
        digest = pretraining_digest(cfg, learnt)
        record.update(
            **names_of(plain, job.choices),
            seed=cfg.seed,
            settings=settings_digest(plain),
            fingerprints={
                "source": domains.source.fingerprint,
                "target": domains.target.fingerprint,
            },
            dropped=domains.dropped,
            data=domains.data,
        )
        about = _about(job, record, plain, digest)
        with Track(_trackers(cfg, record), about, job.watch) as track, group.telling():
            nodes = {"transfer": plain["transfer"], "twin": {"control": plain["twin"]}}
            warm = {name: starts_pretrained(strategies_of(node)) for name, node in nodes.items()}
            pretrained = None
            if any(warm.values()):
                record.update(pretraining_labels=labels_seen(cfg, learnt))
                listen = track.listener("pretrain")
                pretrained = pretrain(cfg, learnt, store, folder, digest, listen)
                record.stage_done("pretrain", pretrained.entry)
                track.stage_done("pretrain", pretrained.entry)
                if record.writes and taken(cfg):
                    track.pictures("pretrain", bring_pictures(pretrained.entry, folder))
                for line in pretrained.warnings if record.writes else ():
                    log.warning("%s", line)
            arms = {}
            for stage, node in nodes.items():
                start = pretrained if warm[stage] else None
                listen = track.listener(stage)
                arms[stage] = transfer(cfg, node, domains, start, store, folder, listen)
                record.stage_done(stage, arms[stage])
                track.stage_done(stage, arms[stage])
            if record.writes:
                record.update(**evaluate(cfg, domains, pretrained, arms, folder))
                Spec.of(cfg, domains).save(folder)
                brought = pretrained.warnings if pretrained else ()
                record.update(warnings=[*domains.warnings, *brought, *record.values["warnings"]])
                track.result(record.values, lambda: _report(record), domains.target.test)
                if job.page:
                    track.figures()
    return record.values


def _report(record: Record) -> dict[str, Path]:
    """Draw the figures and write ``report.html``; the figures by name."""
    from aetl.report.page import write_run_page  # matplotlib is imported when it is needed

    # "done" is written when the page is there, too.
    write_run_page(record.folder, record.values | {"status": "done"})
    return {path.stem: path for path in sorted((record.folder / "figures").glob("*.png"))}


def _trackers(cfg: Any, record: Record) -> list[Any]:
    """The trackers of the config, on the rank that writes."""
    nodes = [node for node in (cfg.logger or {}).values() if node]
    return [instantiate(node) for node in nodes] if record.writes else []


def _about(job: Job, record: Record, plain: dict[str, Any], group: str) -> About:
    names = record.values
    better = {name: metric.higher_is_better for name, metric in metrics_of(job.cfg).items()}
    sweep, experiment = sweep_of(job.folder), job.choices.get("experiment")
    own = (
        f"{names['source']} → {names['target']} {names['autoencoder']} {names['transfer']} "
        f"{names['budget']} s{names['seed']}"
    )
    of = {"sweep": sweep and sweep.sweep, "experiment": experiment, "pretraining": group}
    tags = (names["source"], names["target"], of["sweep"], experiment, *plain["tags"])
    return About(
        name=(sweep and sweep.job) or own,
        group=of["sweep"] or experiment or group,
        job_type=names["transfer"],
        tags=tuple(dict.fromkeys(str(tag) for tag in tags if tag)),
        config=masked(plain),
        record={name: names[name] for name in TABLED}
        | {"metric": next(iter(better)), "higher_is_better": better}
        | of,
        folder=job.folder,
        output_dir=Path(job.cfg.output_dir),
    )
