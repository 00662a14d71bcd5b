"""Transfer: bring the pretrained autoencoder to the target by one arm's strategies."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import get_object, instantiate
from jaxtyping import Float
from omegaconf import DictConfig
from torch import Tensor

from aetl import ranks
from aetl.config import resolved
from aetl.data.base import Examples
from aetl.files import atomic, write_json
from aetl.label import callbacks_that_count, engine_that_counts
from aetl.loss.objective import Objective
from aetl.selector.base import Selector
from aetl.stage.arm import (
    Strategies,
    augmented,
    build_network,
    parts_of,
    scaling_of,
    settle,
    strategies_of,
    uses_of,
    views_of,
    weights_of,
)
from aetl.stage.domains import Domain, Domains
from aetl.stage.fit import seeded
from aetl.stage.fitted import ClosedForm, FittedArm
from aetl.stage.gradient import Arm, first_metric, train
from aetl.stage.head import closed_form_head, fit_head
from aetl.stage.pretrain import (
    Pretrained,
    build_autoencoder,
    objective_of,
    trained_objective,
)
from aetl.stage.receipt import Columns, Receipt, load_pretrained
from aetl.stage.selection import hold_out, parts_for, selection_key
from aetl.store.store import Entry, Store, content_digest, digest_of
from aetl.task.base import Task, numpy
from aetl.tracking.history import Listener, Row, write_history
from aetl.transfer.base import Part, TransferStrategy, View
from aetl.transfer.network import Network
from aetl.types import DoesNotFit, Entries, Prediction


def transfer(
    cfg: DictConfig,
    node: Mapping[str, Any],
    domains: Domains,
    pretrained: Pretrained | None,
    store: Store,
    folder: Path,
    listener: Listener,
) -> Entry:
    """The arm's entry: ``network.safetensors``, ``predictions.npz``, ``receipt.json``,
    ``metrics.csv``, and for a head in closed form ``head.safetensors``."""
    source = None if pretrained is None else _identity(pretrained)
    key = transfer_key(cfg, node, domains, source)
    return store.stage(
        "transfer",
        digest_of(key, __name__),
        key,
        folder,
        lambda path: _compute(cfg, node, domains, pretrained, path, listener),
    )


def transfer_key(
    cfg: DictConfig, node: Mapping[str, Any], domains: Domains, pretrained: str | None
) -> dict[str, Any]:
    """What the result of an arm depends on; a scratch arm's on no source: all pairs share it."""
    plain = resolved(cfg)
    names = ["representation", "task", "selector", "finetune", "optimizer", "scheduler", "trainer",
             "threads", "seed", "autoencoder"]  # fmt: skip
    key = {name: plain[name] for name in names} | {
        "engine": engine_that_counts(plain["engine"]),
        "callback": callbacks_that_count(plain["callback"], "transfer"),
        "transfer": node,
        "pretrained": pretrained,
        "target": domains.target.fingerprint,
    }
    strategies = strategies_of(node)
    selector: Selector = instantiate(cfg.selector)
    key |= selection_key(selector, plain, domains)
    uses = uses_of(strategies) | selector.uses
    if "target_labels" in uses:  # so arms without labels share all budgets
        key["labelled"] = domains.target.split.labelled.tolist()
    task = get_object(plain["task"]["_target_"])
    key["task"] = {k: v for k, v in plain["task"].items() if k not in task.judged_by}
    decodes = any(strategy.reconstructs or strategy.uses_codec for strategy in strategies.values())
    if decodes or task.decodes:
        key["loss"] = plain["loss"]
    if uses & {"source_inputs", "source_labels"}:
        key["source"] = domains.source.fingerprint
        key["source_train"] = content_digest({"train": domains.source.split.train.tolist()})
    if "target_inputs" in uses:
        key["unlabelled"] = content_digest({"index": domains.target.split.train.tolist()})
    return key


def _identity(pretrained: Pretrained) -> str:
    if pretrained.entry is not None:
        return pretrained.entry.digest
    content = hashlib.blake2b(digest_size=8)
    for name, tensor in sorted(pretrained.state.items()):
        content.update(repr((name, tuple(tensor.shape), str(tensor.dtype))).encode())
        content.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return content.hexdigest()


def _compute(
    cfg: DictConfig, node: Mapping[str, Any], domains: Domains,
    pretrained: Pretrained | None, path: Path, listener: Listener,
) -> None:  # fmt: skip
    task: Task = instantiate(cfg.task)
    strategies = strategies_of(node)
    columns, domains = columns_of(cfg, domains), domains.in_columns_of_target
    labelled = domains.target.taught(task).subset(domains.target.split.labelled)
    uses = uses_of(strategies)
    if "target_labels" in uses and not len(labelled) and "source_labels" not in uses:
        raise DoesNotFit("target.budget=0: this arm learns from target labels alone, and has none")
    estimator, fits_head = closed_form_head(strategies, task)
    selector: Selector = instantiate(cfg.selector)
    training, held_out = hold_out(selector, labelled)
    # A closed form has one state and nothing to select; a search may look at its held-out score.
    judged = parts_for(selector, domains, task, held_out) if estimator is None else {}
    parts = parts_of(domains, training, task, strategies)
    network = build_network(cfg, domains, task, scaling_of(parts, task, labelled))
    receipt = Receipt.start(network)
    if pretrained is not None:
        load_pretrained(network, pretrained.state, receipt, columns)
    for family, strategy in strategies.items():
        seeded(partial(_adapted, strategy, network), cfg.seed, "adapt", family)
    decodes = any(strategy.uses_codec or strategy.reconstructs for strategy in strategies.values())
    entries = domains.target.pool.entries
    objective = _objective(cfg, pretrained, entries) if decodes or task.decodes else None
    views = views_of(strategies, parts, network, cfg.seed, "weigh", objective)
    source_weights = weights_of(strategies, views)
    trained, weights = _trained_on(strategies, views, parts, source_weights)
    rows: list[Row] = []
    closed_form: ClosedForm | None = None
    trains = estimator is None and all(strategy.trains for strategy in strategies.values())
    if trains:
        parameters, rows, selection = train(
            Arm(
                cfg, task, strategies, network, parts, trained, weights,
                selector, judged, objective, domains.target, path, listener,
            )
        )  # fmt: skip
        settle(strategies, parts, network, cfg.seed)
        receipt.trained(network, parameters)
    elif ranks.rank() == 0:
        settle(strategies, parts, network, cfg.seed)
        if estimator is not None:
            strategy = strategies[fits_head]
            view = views_of(strategies, parts, network, cfg.seed, "align")[fits_head]
            closed_form = fit_head(strategy, estimator, task, network, trained, weights, view)
        receipt.trained(network, [])
    if ranks.rank() == 0:
        if source_weights is not None:
            receipt.effective_sample_size = effective_sample_size(source_weights)
        if "target_labels" in parts:
            receipt.examples_added = len(trained["target_labels"]) - len(parts["target_labels"])
        if trains:
            _save(path / "candidates.npz", selection.arrays())
        output_dim = task.output_dim(domains.target.pool)
        answers = objective if task.decodes and closed_form is None else None
        arm = FittedArm(network, task, output_dim, closed_form, answers)
        prediction = arm.predict(domains.target.test)
        arm.save(path)
        if closed_form is not None:
            told = {"head": dict(closed_form.told), "warnings": list(closed_form.warnings)}
            write_json(path / "head.json", told)
        _write(path, prediction, receipt, rows, domains.target.with_targets(task))
        if held_out is not None:
            write_json(path / "selection.json", _validated(cfg, arm.predict(held_out), held_out))


def columns_of(cfg: DictConfig, domains: Domains) -> Columns | None:
    """How weights of the source's columns become those of the target's own."""
    source, target = domains.source.pool, domains.target.pool
    if source.columns == target.columns or not target.columns:
        return None
    # Which axes of a tensor count columns: those that differ with one more of them.
    (width,), classes = target.shape, len(source.classes)
    sizes = [
        {name: t.shape for name, t in build_autoencoder(cfg, shape, classes).state_dict().items()}
        for shape in ((width,), (width + 1,))
    ]
    axes = {
        name: tuple(k for k, (a, b) in enumerate(zip(shape, sizes[1][name], strict=True)) if a != b)
        for name, shape in sizes[0].items()
    }
    return Columns(source.columns, target.columns, {k: found for k, found in axes.items() if found})


def _validated(cfg: DictConfig, prediction: Prediction, held_out: Examples) -> dict[str, Any]:
    """The score of the state that was chosen, on the labels that it was chosen by: what a search
    may look at, while it may not look at test scores."""
    name, metric = first_metric(cfg)
    score = metric(prediction, numpy(held_out.y))
    return {"metric": name, "score": score, "higher_is_better": metric.higher_is_better,
            "labels": len(held_out)}  # fmt: skip


def _save(path: Path, arrays: Mapping[str, Any]) -> None:
    with atomic(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def _objective(cfg: DictConfig, pretrained: Pretrained | None, entries: Entries) -> Objective:
    if pretrained is None:
        return objective_of(cfg, entries)
    return trained_objective(cfg, pretrained, entries)


def _adapted(strategy: TransferStrategy, network: Network) -> Network:
    strategy.adapt(network)
    return network


def _trained_on(
    strategies: Strategies, views: Mapping[str, View], parts: Mapping[Part, Examples],
    source_weights: Tensor | None,
) -> tuple[dict[Part, Examples], dict[Part, Tensor]]:  # fmt: skip
    """The parts with what strategies add to them, and the weights of their examples."""
    trained, weights = dict(parts), dict[Part, Tensor]()
    if source_weights is not None:
        weights["source_labels"] = source_weights
    if "target_labels" in parts:
        added = augmented(strategies, views, parts["target_labels"])
        trained["target_labels"], weights["target_labels"] = added
    return trained, weights


def effective_sample_size(weights: Float[Tensor, " N"]) -> float:
    """Kish's ``(sum w)^2 / sum w^2``."""
    return float(weights.double().sum().square() / weights.double().square().sum())


def _write(
    path: Path, prediction: Prediction, receipt: Receipt, rows: list[Row], target: Domain,
) -> None:  # fmt: skip
    _save(path / "predictions.npz", {"y": numpy(target.test.y)} | prediction.arrays())
    write_json(path / "receipt.json", receipt.as_dict())
    write_history(path / "metrics.csv", rows)
