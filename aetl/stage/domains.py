"""The two domains of a run: their examples, and who may see which of them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from aetl.config import resolved
from aetl.data.align import align
from aetl.data.base import Dataset, Examples
from aetl.data.guard import refuse_overlap
from aetl.data.split import Split, make_split
from aetl.store.store import Store, digest_of
from aetl.task.base import Task


@dataclass(frozen=True)
class Domain:
    """A data set with its split: ``pool`` is for training, ``test`` for evaluation alone."""

    pool: Examples
    test: Examples
    split: Split
    node: dict[str, Any]

    @cached_property
    def fingerprint(self) -> str:
        return f"{self.pool.fingerprint()}{self.test.fingerprint()}"

    def with_targets(self, task: Task) -> Domain:
        """The same examples with this task's targets."""
        pool = dataclasses.replace(self.pool, y=task.targets(self.pool))
        test = dataclasses.replace(self.test, y=task.targets(self.test))
        return dataclasses.replace(self, pool=pool, test=test)


@dataclass(frozen=True)
class Domains:
    """Source and target, of the same shape."""

    source: Domain
    target: Domain
    dropped: int


def load_domains(cfg: DictConfig, store: Store, folder: Any) -> Domains:
    """Both domains with their splits; the source without the target's test examples."""
    plain = resolved(cfg)
    source = _load(cfg.source, plain["source"], cfg.seed, store, folder)
    same = plain["source"] == plain["target"]
    target = source if same else _load(cfg.target, plain["target"], cfg.seed, store, folder)
    # The target takes the source's size, so that one pretraining serves every target.
    target = dataclasses.replace(
        target,
        pool=align(target.pool, source.pool.shape),
        test=align(target.test, source.pool.shape),
    )
    kept, dropped = refuse_overlap(source.pool, source.split.train, target.test)
    split = dataclasses.replace(source.split, train=kept)
    return Domains(dataclasses.replace(source, split=split), target, dropped)


def _load(cfg: DictConfig, node: dict[str, Any], seed: int, store: Store, folder: Any) -> Domain:
    dataset: Dataset = instantiate(cfg)
    pool, test = dataset.load()
    key = {"data": pool.fingerprint(), "seed": seed} | {
        name: node[name] for name in ("validation_fraction", "budget", "per_class")
    }

    def compute(path: Any) -> None:
        make_split(
            pool,
            validation_fraction=dataset.validation_fraction,
            budget=dataset.budget,
            per_class=dataset.per_class,
            seed=seed,
        ).save(path / "split.npz")

    entry = store.stage("split", digest_of(key), key, folder, compute)
    return Domain(pool, test, Split.load(entry.path / "split.npz"), node)
