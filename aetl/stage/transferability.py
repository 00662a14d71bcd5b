"""Transferability scores of an encoder's layers on the target's labelled budget, untrained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from aetl.autoencoder.base import Autoencoder
from aetl.data.base import Examples
from aetl.score.base import Evidence, Score
from aetl.score.factors import FactorScore
from aetl.stage.arm import mapped
from aetl.stage.domains import Domains
from aetl.task.base import Task, numpy
from aetl.transfer.network import Representation
from aetl.types import UserError

LABELLED = 500
"""At most so many labelled examples count, the first of the budget's stratified order."""
MADE = 2000
"""At most so many examples whose factors are known."""
UNLABELLED = 500
"""At most so many inputs of each domain."""


def scores_of(cfg: DictConfig, kind: str) -> dict[str, Score]:
    """The config's scores by name, those that are defined for this kind of task."""
    found = {
        str(name): instantiate(node) for name, node in (cfg.get("score") or {}).items() if node
    }
    return {name: score for name, score in found.items() if kind in score.kinds}


def transferability(cfg: DictConfig, domains: Domains, autoencoder: Autoencoder) -> dict[str, Any]:
    """The scores of the layer that transfer sees, for the record; empty without scores."""
    task: Task = instantiate(cfg.task)
    scores = scores_of(cfg, task.kind)
    layer, pool = cfg.representation.layer, cfg.representation.pool
    found = layer_scores(autoencoder, [layer], pool, domains, task, scores)[layer]
    if not found:
        return {}
    return {
        "layer": layer,
        "labels": min(LABELLED, len(domains.target.split.labelled)),
        "scores": found,
        "higher_is_better": {name: scores[name].higher_is_better for name in found},
    }


@torch.no_grad()
def layer_scores(
    autoencoder: Autoencoder, layers: Sequence[str], pool: bool, domains: Domains, task: Task,
    scores: Mapping[str, Score],
) -> dict[str, dict[str, float]]:  # fmt: skip
    """For each layer the scores that are finite; none with fewer than two different targets."""
    target, source = domains.target.with_targets(task), domains.source
    labelled = target.pool.subset(target.split.labelled[:LABELLED])
    y = numpy(labelled.y)
    if not scores or len(np.unique(y)) < 2:
        return {layer: {} for layer in layers}
    autoencoder.eval()
    parts = [
        labelled.inputs(),
        _some(source.pool, source.split.train),
        _some(target.pool, target.split.train),
    ]
    made = _made(domains) if any(isinstance(s, FactorScore) for s in scores.values()) else None
    found = {}
    for layer in layers:
        representation = Representation(layer=layer, pool=pool)
        own, source_x, target_x = (numpy(representation(autoencoder, x)) for x in parts)
        evidence = Evidence(own, y, source_x, target_x)
        if made is not None:
            evidence = replace(
                evidence, factors=made.factors, factor_names=tuple(made.reading["factors"]),
                made=numpy(mapped(autoencoder, partial(representation, autoencoder), made)),
            )  # fmt: skip
        values = {name: score(evidence) for name, score in scores.items()}
        found[layer] = {name: value for name, value in values.items() if np.isfinite(value)}
    return found


def _made(domains: Domains) -> Examples | None:
    """Training examples of the target, else of the source, whose factors are known."""
    for domain in (domains.target, domains.source):
        if domain.pool.factors is not None:
            rows = domain.split.train
            places = np.linspace(0, len(rows) - 1, min(MADE, len(rows))).round().astype(int)
            return domain.pool.subset(rows[places])
    return None


def _some(examples: Examples, index: np.ndarray) -> torch.Tensor:
    """The inputs of at most ``UNLABELLED`` of the rows, evenly spaced."""
    places = np.linspace(0, len(index) - 1, min(UNLABELLED, len(index))).round().astype(int)
    return examples.inputs(index[places])


def encoder_layers(autoencoder: Autoencoder) -> list[str]:
    """The encoder's layers whose features can be asked for, from the input on, and the latent."""
    names = [name for name, _ in autoencoder.layers() if name.startswith("encoder.")]
    return [name for name in [*names, "latent"] if _answers(autoencoder, name)]


@torch.no_grad()
def _answers(autoencoder: Autoencoder, layer: str) -> bool:
    try:
        autoencoder.eval().features(torch.zeros(1, *autoencoder.shape), layer)
    except UserError:
        return False
    return True
