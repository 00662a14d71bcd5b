"""Encoders and their layers in the order of their transferability scores."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from aetl import ranks
from aetl.config import ConfigError, nearest
from aetl.stage.checkpoint import read_weights
from aetl.stage.domains import load_domains
from aetl.stage.pretrain import pretrained_autoencoder
from aetl.stage.transferability import encoder_layers, layer_scores, scores_of
from aetl.types import UserError

log = logging.getLogger(__name__)

NAMES = ("source", "target", "budget", "autoencoder", "loss")


@dataclass(frozen=True)
class Encoder:
    """A stored encoder: the config that it was made with, on the target asked for; its weights."""

    cfg: DictConfig
    names: Mapping[str, Any]
    file: Path
    digest: str


@dataclass(frozen=True)
class Ranked:
    """A layer of an encoder with the means of its scores over the seeds."""

    names: tuple[Any, ...]
    """Source, target, budget, autoencoder, loss and layer."""
    seeds: int
    scores: dict[str, float]
    mean_rank: float
    """The mean over the scores of its place, 1 for the best."""

    def as_dict(self) -> dict[str, Any]:
        named = dict(zip((*NAMES, "layer"), self.names, strict=True))
        return named | {"seeds": self.seeds, "scores": self.scores, "mean_rank": self.mean_rank}


def rank_encoders(
    encoders: Sequence[Encoder], only: Sequence[str] | None = None, by: str | None = None
) -> list[Ranked]:
    """All layers of all encoders, the best first; encoders that differ in the seed are one."""
    groups: dict[tuple[Any, ...], list[dict[str, float]]] = defaultdict(list)
    better: dict[str, bool] = {}
    names = _told_apart(encoders)
    unfit: list[Exception] = []
    for encoder, told in zip(encoders, names, strict=True):
        try:
            found, higher = _scored(encoder, only)
        except (UserError, ConfigError) as error:
            log.warning("left out %s on %s: %s", told[3], told[0], error)
            unfit.append(error)
            continue
        better |= higher
        for layer, scores in found.items():
            groups[(*told, layer)].append(scores)
    if unfit and not groups:
        raise unfit[0]
    rows = {key: _means(scores) for key, scores in groups.items()}
    if not better or not any(rows.values()):
        raise ConfigError("rank: no score is defined here: it takes labels of at least two classes")
    if by is not None and by not in better:
        raise ConfigError(f"--by {by}: not among the scores; {nearest(by, better)}")
    places = _mean_places(rows, better)
    ranked = [Ranked(key, len(groups[key]), scores, places[key]) for key, scores in rows.items()]

    def order(row: Ranked) -> float:
        if by is None:
            return row.mean_rank
        return (-row.scores[by] if better[by] else row.scores[by]) if by in row.scores else 1e99

    return sorted(ranked, key=order)


def _scored(
    encoder: Encoder, only: Sequence[str] | None
) -> tuple[dict[str, dict[str, float]], dict[str, bool]]:
    """The scores of the encoder's layers, and for each score whether higher is better."""
    cfg = encoder.cfg
    ranks.use_threads(cfg.threads)
    store, task = instantiate(cfg.store), instantiate(cfg.task)
    domains = load_domains(cfg, store, store.dir).in_columns_of_source
    pool = domains.source.pool
    state = read_weights(encoder.file)
    autoencoder = pretrained_autoencoder(cfg, pool.shape, state, len(pool.classes), pool.entries)
    known = encoder_layers(autoencoder)
    layers = [layer for layer in known if not only or layer in only]
    if not layers:
        raise ConfigError(f"--layer {', '.join(only or ())}: {nearest((only or [''])[0], known)}")
    scores = scores_of(cfg, task.kind)
    found = layer_scores(autoencoder, layers, cfg.representation.pool, domains, task, scores)
    return found, {name: score.higher_is_better for name, score in scores.items()}


def _told_apart(encoders: Sequence[Encoder]) -> list[tuple[Any, ...]]:
    """Source, target, budget, autoencoder, loss; a digest where these and the seed agree."""
    names = [tuple(encoder.names[key] for key in NAMES) for encoder in encoders]
    seeded = [(*name, e.cfg.seed) for name, e in zip(names, encoders, strict=True)]
    return [
        (*name[:3], f"{name[3]} ({e.digest[:6]})", name[4]) if seeded.count(key) > 1 else name
        for name, key, e in zip(names, seeded, encoders, strict=True)
    ]


def _means(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Over the seeds that have the score."""
    found: dict[str, list[float]] = defaultdict(list)
    for one in scores:
        for name, value in one.items():
            found[name].append(value)
    return {name: sum(values) / len(values) for name, values in found.items()}


def _mean_places(
    rows: Mapping[tuple[Any, ...], Mapping[str, float]], better: Mapping[str, bool]
) -> dict[tuple[Any, ...], float]:
    """The mean over scores of each row's place (half places for equal values)."""
    places: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for name, higher in better.items():
        known = {key: scores[name] for key, scores in rows.items() if name in scores}
        for key, value in known.items():
            ahead = sum((v > value) if higher else (v < value) for v in known.values())
            equal = sum(v == value for v in known.values())
            places[key].append(1 + ahead + (equal - 1) / 2)
    return {key: sum(p) / len(p) if (p := places[key]) else float(len(rows)) for key in rows}
