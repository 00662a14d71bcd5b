"""The two domains of a run: their examples, and who may see which of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from hydra.utils import instantiate
from jaxtyping import Bool
from omegaconf import DictConfig

from aetl.config import resolved
from aetl.data.align import align
from aetl.data.base import Dataset, Examples
from aetl.data.columns import restated
from aetl.data.guard import Duplicates, refuse_overlap
from aetl.data.split import Split, make_split
from aetl.rng import Rng
from aetl.stage.read_once import load
from aetl.store.store import Store, digest_of
from aetl.task.base import Task
from aetl.types import UserError


@dataclass(frozen=True)
class Domain:
    """A data set with its split: ``pool`` is for training, ``test`` for evaluation alone.

    ``read_shape`` is that of its examples before they took the other domain's size.
    """

    pool: Examples
    test: Examples
    split: Split
    node: dict[str, Any]
    read_shape: tuple[int, ...]

    @cached_property
    def fingerprint(self) -> str:
        return f"{self.pool.fingerprint()}{self.test.fingerprint()}"

    @property
    def notes(self) -> list[str]:
        """What was read otherwise than it may have been meant."""
        return list(dict.fromkeys([*self.pool.notes, *self.test.notes]))

    @property
    def described(self) -> dict[str, Any]:
        """For the record: kind and shape, and how many examples are for what."""
        return {
            "kind": self.pool.kind,
            "shape": list(self.pool.shape),
            "train": len(self.split.train),
            "validation": len(self.split.validation),
            "test": len(self.test),
            "labelled": len(self.split.labelled),
            "without_label": int((~self.pool.known).sum()) if self.pool.labelled else 0,
            "classes": len(self.pool.classes),
            "notes": self.notes,
        }

    def taught(self, task: Task) -> Examples:
        """The training pool with what an arm may be told of each example: of a task without
        supervision nothing."""
        if task.supervised:
            return dataclasses.replace(self.pool, y=task.targets(self.pool))
        return dataclasses.replace(self.pool, y=torch.full((len(self.pool),), -1))

    def restated(self, like: Examples) -> Domain:
        """The same examples in the named columns of others; itself where they are the same."""
        if self.pool.columns == like.columns or not like.columns:
            return self
        pool, test = restated(self.pool, like), restated(self.test, like)
        return dataclasses.replace(self, pool=pool, test=test)

    def with_targets(self, task: Task) -> Domain:
        """The same examples with this task's targets."""
        pool = dataclasses.replace(self.pool, y=task.targets(self.pool))
        test = dataclasses.replace(self.test, y=task.targets(self.test))
        return dataclasses.replace(self, pool=pool, test=test)


@dataclass(frozen=True)
class Domains:
    """Source and target, of the same shape but where a target has columns of its own."""

    source: Domain
    target: Domain
    dropped: int

    duplicates: Duplicates = "refuse"

    @cached_property
    def warnings(self) -> list[str]:
        """What to know before a score is believed."""
        lines = [
            f"{name}: {line}"
            for name, domain in (("source", self.source), ("target", self.target))
            for line in domain.notes
        ]
        pool, test = self.target.pool.identity, self.target.test.identity
        if copies := int(np.isin(test, pool).sum()):
            lines.append(
                f"target: {copies} of its {len(test)} test examples are also among its training "
                "examples; what learns from those is scored on what it has seen"
            )
        if self.duplicates == "drop" and self.dropped:
            lines.append(
                f"source: {self.dropped} examples equal test examples of the target and are left "
                "out (duplicates=drop)"
            )
        kept = int(np.isin(test, self.source.pool.identity[self.source.split.train]).sum())
        if self.duplicates == "keep" and kept:
            lines.append(
                f"target: {kept} of its {len(test)} test examples are in the source, and "
                "pretraining sees them (duplicates=keep)"
            )
        return [*lines, *_absent(self.target)]

    @cached_property
    def in_columns_of_source(self) -> Domains:
        """Both domains as the pretrained autoencoder takes them."""
        return dataclasses.replace(self, target=self.target.restated(self.source.pool))

    @cached_property
    def in_columns_of_target(self) -> Domains:
        """Both domains as an arm takes them."""
        return dataclasses.replace(self, source=self.source.restated(self.target.pool))

    @property
    def data(self) -> dict[str, Any]:
        """What both domains are, for the record."""
        return {"source": self.source.described, "target": self.target.described}


def _absent(target: Domain) -> list[str]:
    """The classes, or labels of several, that no test example has: no score says a word of them.

    Of labels that all have, the scores of an order do not either; and what no training example
    has no arm can learn from the target's labels.
    """
    classes, y = target.test.classes, target.test.y.numpy()
    if not classes:
        return []
    counts = _counts(y, classes)
    what = "labels" if y.ndim == 2 else "classes"
    lines = []
    if some := _named(classes, counts == 0, what):
        lines.append(f"target: {some} have no test example, and no part in any score")
    if y.ndim == 2 and (some := _named(classes, (counts > 0) & ((y == 0).sum(0) == 0), what)):
        lines.append(
            f"target: every test example has {some}, and so they have no part in scores of an "
            "order (auroc, mean_average_precision)"
        )
    pool = target.pool
    if pool.known.any():  # else others teach the classes
        taught = _counts(pool.y[pool.known].numpy(), classes)
        if some := _named(classes, (counts > 0) & (taught == 0), what):
            lines.append(
                f"target: {some} have test examples and no training example: no budget teaches them"
            )
    return lines


def _counts(y: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """How many examples have each class, or each of several labels."""
    return (y == 1).sum(0) if y.ndim == 2 else np.bincount(y[y >= 0], minlength=len(classes))


def _named(classes: Sequence[str], which: Bool[np.ndarray, " C"], what: str) -> str:
    """``2 of 3 labels (a, b)``; empty where it is none."""
    names = [name for name, chosen in zip(classes, which, strict=True) if chosen]
    some = ", ".join([*names[:5], *["..."][: len(names) - 5]])
    return f"{len(names)} of {len(classes)} {what} ({some})" if names else ""


def pretraining_domain(domains: Domains, which: Literal["source", "both"]) -> Domain:
    """What pretraining learns from: the source, or the training inputs of both domains as one.

    No labels are in the joint one. What the target's training rows share with its test set (some
    published sets hold a few copies) is left out, as it is from the source.
    """
    source, target = domains.source, domains.target
    if which == "source":
        return source
    test = target.test.identity
    parts = [
        np.concatenate(
            [here, len(source.pool) + there[~np.isin(target.pool.identity[there], test)]]
        )
        for here, there in (
            (source.split.train, target.split.train),
            (source.split.validation, target.split.validation),
        )
    ]
    x = torch.cat([source.pool.x, target.pool.x])
    identity = np.concatenate([source.pool.identity, target.pool.identity])
    redrawn = source.pool.redrawn and target.pool.redrawn
    pool = Examples(
        x, torch.full((len(x),), -1), (), identity, source.pool.columns, redrawn=redrawn,
        entries=source.pool.entries,
    )  # fmt: skip
    split = Split(parts[0], parts[1], parts[0][:0], parts[0])
    return dataclasses.replace(source, pool=pool, split=split)


_OF_THE_SPLIT = ("validation_fraction", "budget", "per_class", "stratified")
"""The keys of a data set that its split depends on, and its examples do not."""


def load_domains(cfg: DictConfig, store: Store, folder: Any) -> Domains:
    """Both domains with their splits; the source without the target's test examples."""
    plain = resolved(cfg)
    datasets: dict[str, Dataset] = {name: instantiate(cfg[name]) for name in ("source", "target")}
    read = {name: _without_split(plain[name]) for name in datasets}
    loaded = {"source": load(datasets["source"], store, folder)}
    same = read["source"] == read["target"]
    pool = loaded["source"][0]
    loaded["target"] = loaded["source"] if same else load(datasets["target"], store, folder, pool)
    if not len(loaded["target"][1]):
        raise UserError(
            f"target.test_fraction={cfg.target.test_fraction}: leaves no test example to score; a "
            "source alone may be used whole (source.test_fraction=0)"
        )
    # The budget is the target's alone: a small source may have fewer examples.
    datasets["source"] = dataclasses.replace(
        datasets["source"], budget="all", per_class=False, stratified=True
    )
    task: Task = instantiate(cfg.task)
    task.fits(loaded["target"][0])
    source, target = (
        _domain(datasets[name], *loaded[name], plain[name], cfg.seed, store, folder, task)
        for name in ("source", "target")
    )
    if plain["target"].get("columns") != "own" or target.pool.columns == source.pool.columns:
        # The target takes the source's size, so that one pretraining serves every target.
        target = dataclasses.replace(
            target,
            pool=align(target.pool, source.pool.shape),
            test=align(target.test, source.pool.shape),
        )
    target = _matched(target, source.pool.classes)
    # The validation part too: its loss may stop the pretraining, and selectors may judge by it.
    split, number = source.split, len(source.split.train)
    both = np.concatenate([split.train, split.validation])
    kept, dropped = refuse_overlap(source.pool, both, target.test, cfg.duplicates)
    left = np.isin(both, kept)
    split = dataclasses.replace(
        split, train=both[:number][left[:number]], validation=both[number:][left[number:]]
    )
    return Domains(dataclasses.replace(source, split=split), target, dropped, cfg.duplicates)


def _matched(target: Domain, classes: tuple[str, ...]) -> Domain:
    """The target with its classes in the source's order, where they are the same ones."""
    own = target.pool.classes
    if own == classes or sorted(own) != sorted(classes):
        return target
    order = torch.tensor([own.index(name) for name in classes])
    place = torch.argsort(order)

    def reorder(part: Examples) -> Examples:
        y = part.y[:, order] if part.y.dim() == 2 else place[part.y].where(part.y >= 0, -1)
        return dataclasses.replace(part, y=y, classes=classes)

    return dataclasses.replace(target, pool=reorder(target.pool), test=reorder(target.test))


def _without_split(node: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in node.items() if name not in _OF_THE_SPLIT}


def _domain(
    dataset: Dataset, pool: Examples, test: Examples, node: dict[str, Any], seed: int,
    store: Store, folder: Any, task: Task,
) -> Domain:  # fmt: skip
    rows = task.admitted(pool, Rng.of(seed, "admitted"))
    pool = pool if rows is None else pool.subset(rows)
    # Without labels there is nothing to stratify by, and the budget is one of any examples.
    split_of = pool if task.supervised else _as_one_class(pool)
    key = {"data": pool.fingerprint(), "seed": seed} | {
        name: getattr(dataset, name) for name in _OF_THE_SPLIT
    }
    key |= {} if task.supervised else {"labels": None}

    def compute(path: Any) -> None:
        make_split(
            split_of,
            validation_fraction=dataset.validation_fraction,
            budget=dataset.budget,
            per_class=dataset.per_class,
            stratified=dataset.stratified,
            seed=seed,
        ).save(path / "split.npz")

    entry = store.stage("split", digest_of(key, __name__), key, folder, compute)
    return Domain(pool, test, Split.load(entry.path / "split.npz"), node, pool.shape)


def _as_one_class(pool: Examples) -> Examples:
    return dataclasses.replace(pool, y=torch.zeros(len(pool), dtype=torch.int64), classes=("all",))
