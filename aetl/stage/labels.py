"""Which labels of the source pretraining may see, and how many."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from hydra.utils import get_object
from omegaconf import DictConfig

from aetl.autoencoder.labelled import Labelled
from aetl.stage.domains import Domain
from aetl.types import DoesNotFit, UserError


def asks_for_labels(cfg: DictConfig) -> bool:
    """Whether the config's autoencoder is one that learns from labels."""
    made = get_object(cfg.autoencoder._target_)
    return isinstance(made, type) and issubclass(made, Labelled)


def known_rows(cfg: DictConfig, source: Domain) -> np.ndarray:
    """The training rows whose labels pretraining sees, a part of those of any larger number.

    Raises ``UserError`` where the source has no classes, or not so many labels.
    """
    rows = source.split.labelled[np.isin(source.split.labelled, source.split.train)]
    if not asks_for_labels(cfg):
        return rows[:0]
    labels = cfg.autoencoder.labels
    if not source.pool.classes:
        raise DoesNotFit(
            f"autoencoder.labels={labels}: this autoencoder learns from the source's classes, and "
            "there are none (a source without labels, or pretrain.domains=both)"
        )
    if labels == "all":
        return rows
    if not 0 <= labels <= len(rows):
        raise UserError(
            f"autoencoder.labels={labels}: the source has {len(rows)} training labels; "
            f"use 0 to {len(rows)}, or all"
        )
    return rows[:labels]


def with_known_labels(cfg: DictConfig, source: Domain) -> Domain:
    """The source with -1 for every label that pretraining may not see."""
    rows = known_rows(cfg, source)
    if asks_for_labels(cfg) and cfg.autoencoder.labels == "all":
        rows = np.concatenate([rows, source.split.validation])
    y = torch.full((len(source.pool),), -1)
    index = torch.from_numpy(rows)
    if len(index):
        y[index] = source.pool.y[index]
    pool = dataclasses.replace(source.pool, y=y)
    return dataclasses.replace(source, pool=pool)


def labels_seen(cfg: DictConfig, source: Domain) -> int | None:
    """How many labels pretraining sees; None where it was done elsewhere."""
    elsewhere = cfg.checkpoint is not None and not cfg.checkpoint_continue
    return None if elsewhere else len(known_rows(cfg, source))
