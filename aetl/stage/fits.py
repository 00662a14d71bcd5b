"""Whether the parts of a config fit the data: refused in a line before any work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from aetl.autoencoder.base import Autoencoder
from aetl.backbone.base import Backbone
from aetl.config import locate, resolved
from aetl.corruption.base import Corruption
from aetl.data.base import Examples
from aetl.data.sparse import rows_of
from aetl.loss.base import LossTerm
from aetl.metric.base import Metric
from aetl.stage.arm import refuse_other_labels, strategies_of
from aetl.stage.domains import Domain, Domains
from aetl.stage.pretrain import objective_of
from aetl.stage.sampled import refuse_unsampled
from aetl.task.base import Task, numpy
from aetl.transfer.base import TransferStrategy
from aetl.types import DoesNotFit, UserError

PARTS = ("autoencoder", "loss", "transfer", "twin")
"""The nodes of a config that are given examples."""


# Heads, metrics and selectors have kinds of tasks.
TAKERS = (Autoencoder, Backbone, Corruption, LossTerm, TransferStrategy)


def refuse_misfit(cfg: DictConfig, domains: Domains, learnt: Domain) -> None:
    """Raise ``UserError`` for a part that does not take these data, or values outside its range.

    ``learnt`` is what pretraining learns from.
    """
    plain = resolved(cfg)
    for part in PARTS:
        for path, node in _targets(part, plain[part]):
            made = locate(path, node["_target_"])
            _refuse_kind(path, made, domains.source.pool)
            if isinstance(made, type) and issubclass(made, LossTerm):
                _refuse_values(path, made, learnt)
    task: Task = instantiate(cfg.task)
    for node in (plain["transfer"], {"control": plain["twin"]}):
        refuse_other_labels(domains, task, strategies_of(node))
    _refuse_halves(plain["trainer"].get("precision"), domains.source.pool)
    if domains.target.pool.kind not in task.takes:
        raise DoesNotFit(
            f"task={task.kind}: takes {' or '.join(sorted(task.takes))} data, and this data is "
            f"{domains.target.pool.kind}"
        )
    if task.decodes:
        entries = domains.target.pool.entries
        task.fits_loss(objective_of(cfg, entries), domains.target.test)
    refuse_unsampled(cfg, domains)
    y = numpy(domains.target.with_targets(task).test.y)
    for name, node in cfg.metric.items():
        if node:
            metric: Metric = instantiate(node)
            if metric.part is not None and metric.part not in task.gives(domains.target.test):
                raise UserError(
                    f"metric={name}: asks for {metric.part}, which task={task.kind} does not give "
                    "of these data with these settings (rmse_hidden: task.hidden=0.2)"
                )
            if (reason := metric.undefined(y)) is not None:
                raise UserError(
                    f"metric={name}: is undefined, for there is {reason}; hold out more or other "
                    "examples (target.test_fraction), or choose another metric"
                )


def _targets(path: str, node: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every node below with a constructor, by its dotted name."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from _targets(f"{path}.{key}", value)


def _refuse_kind(path: str, made: Any, examples: Examples) -> None:
    if not isinstance(made, type) or not issubclass(made, TAKERS) or examples.kind in made.kinds:
        return
    raise DoesNotFit(
        f"{path} ({made.__name__}) takes {' or '.join(sorted(made.kinds))} data, and this data is "
        f"{examples.kind} of shape {examples.shape}"
    )


def _refuse_halves(precision: object, examples: Examples) -> None:
    """Words are whole numbers in a network, of which half precision holds the small ones alone."""
    exact = {"bf16-true": 256, "16-true": 2048}.get(str(precision))
    if examples.kind == "tokens" and exact is not None:
        raise DoesNotFit(
            f"trainer.precision={precision}: would take words for others, since it holds whole "
            f"numbers up to {exact} alone; use bf16-mixed, 16-mixed or 32-true"
        )


def _refuse_values(path: str, made: type[LossTerm], learnt: Domain) -> None:
    if made.support == "real" or learnt.pool.is_image:
        return
    rows = torch.as_tensor(learnt.split.train)
    x = rows_of(learnt.pool.x, rows)
    x = torch.cat([x.values(), x.values().new_zeros(1)]) if x.is_sparse else x
    x = x.nan_to_num(0)
    low, high = float(x.min()), float(x.max())
    if low < 0 or (made.support == "unit" and high > 1):
        wanted = "[0, 1]" if made.support == "unit" else "from 0 on"
        raise DoesNotFit(
            f"{path} ({made.__name__}) is for values {wanted}, and the source holds {low:.4g} to "
            f"{high:.4g}; use source.scale=unit, or another loss (loss=mse)"
        )
