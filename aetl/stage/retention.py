"""What a transfer left of the source: how well it is still reconstructed and told apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from aetl.autoencoder.base import Autoencoder
from aetl.config import resolved
from aetl.data.base import Examples
from aetl.loss.objective import Objective
from aetl.metric.base import Metric
from aetl.stage.arm import mapped, strategies_of
from aetl.stage.domains import Domain, Domains
from aetl.stage.fitted import form_of, load_network
from aetl.store.store import Entry
from aetl.task.base import Task, numpy
from aetl.transfer.network import Representation
from aetl.types import UserError

EXAMPLES = 500
"""At most so many source examples to fit the probe on, and as many to judge by."""
L2 = 1.0
"""Of the probe on standardised features."""


@torch.no_grad()
def retention(
    cfg: DictConfig, domains: Domains, before: Autoencoder, objective: Objective, arm: Entry,
    receipt: Mapping[str, Any], metrics: Mapping[str, Metric],
) -> dict[str, Any]:  # fmt: skip
    """For the record of an arm that started pretrained; of every other arm nothing.

    ``reconstruction`` is the mean squared error per element of held-out source examples before
    and after the transfer; ``score`` the first metric of a linear probe on the representation,
    fitted to source labels, where there are any. Both are absent where the transfer changed
    nothing of the autoencoder, ``changed`` false.
    """
    if not receipt["matched"]:
        return {}
    if not any(name.startswith("autoencoder.") for name in receipt["changed"]):
        return {"changed": False}
    after = _transferred(cfg, domains, arm)
    if after is None:
        return {"changed": True}
    if domains.source.pool.columns != domains.target.pool.columns:
        return {"changed": True}  # in other columns another error
    fit, held_out = _source_parts(domains.source)
    x = held_out.inputs()
    pair = {"before": before.eval(), "after": after.eval()}
    found: dict[str, Any] = {
        "changed": True,
        "reconstruction": {
            when: float(objective.error(model.reconstruct(x), x).mean())
            for when, model in pair.items()
        },
    }
    task: Task = instantiate(cfg.task)
    if not task.supervised or task.kind == "retrieval":
        return found
    try:
        labelled = fit, held_out = [_with_targets(part, task) for part in (fit, held_out)]
    except UserError:  # the source has no targets of this kind
        return found
    if all(part.labelled and len(part) for part in labelled) and len(np.unique(numpy(fit.y))) > 1:
        name, metric = next(iter(metrics.items()))
        scores = {k: _probe(cfg, model, task, metric, fit, held_out) for k, model in pair.items()}
        found["score"] = {"metric": name, **scores}
    return found


def _transferred(cfg: DictConfig, domains: Domains, arm: Entry) -> Autoencoder | None:
    """The arm's autoencoder after the transfer; None where it is not built from a config alone."""
    strategies = strategies_of(resolved(cfg)["transfer"])
    form = form_of(domains, instantiate(cfg.task))
    try:
        network = load_network(arm.path, cfg, strategies, form)
    except UserError:
        return None
    return network.float().autoencoder


def _source_parts(source: Domain) -> tuple[Examples, Examples]:
    """Examples to fit the probe on and others to judge by (from the training part if need be)."""
    fit, held_out = source.split.train, source.split.validation
    if not len(held_out):
        fit, held_out = fit[::2], fit[1::2]
    return source.pool.subset(_evenly(fit)), source.pool.subset(_evenly(held_out))


def _evenly(index: np.ndarray) -> np.ndarray:
    places = np.linspace(0, len(index) - 1, min(EXAMPLES, len(index))).round().astype(int)
    return np.asarray(index[places])


def _with_targets(part: Examples, task: Task) -> Examples:
    known = part.subset(np.flatnonzero(part.known)) if part.labelled else part
    return dataclasses.replace(known, y=task.targets(known))


def _probe(
    cfg: DictConfig, autoencoder: Autoencoder, task: Task, metric: Metric, fit: Examples,
    held_out: Examples,
) -> float:  # fmt: skip
    representation: Representation = instantiate(cfg.representation)
    x, test = (
        numpy(mapped(autoencoder, lambda inputs: representation(autoencoder, inputs), part))
        for part in (fit, held_out)
    )
    model = task.linear_head(L2).fit(x, numpy(fit.y), np.ones(len(x)))
    prediction = task.predict_with(model, test, task.output_dim(fit))
    return metric(prediction, numpy(held_out.y))
