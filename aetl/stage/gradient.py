"""Training an arm's network by gradient: once, or several times from one start."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor, nn

from aetl import ranks
from aetl.data.base import Examples
from aetl.launched import sized
from aetl.loss.objective import Objective
from aetl.metric.base import Metric
from aetl.rng import key_seed
from aetl.selector.base import Selector
from aetl.stage.arm import Strategies, views_of
from aetl.stage.callbacks import callbacks_of
from aetl.stage.domains import Domain
from aetl.stage.fit import run_fit, seeded
from aetl.stage.receipt import tensors
from aetl.stage.selection import Selection, seen_as_tensors, seen_from
from aetl.stage.transferring import Transferring, streams_of
from aetl.store import sealed
from aetl.task.base import Task
from aetl.tracking.history import Listener, Row
from aetl.transfer.base import Part, TransferStrategy
from aetl.transfer.network import Network
from aetl.types import DoesNotFit, UserError

State = dict[str, Tensor]


@dataclass(frozen=True)
class Arm:
    """What an arm's training goes by: the network at its start, its data, where files go."""

    cfg: DictConfig
    task: Task
    strategies: Strategies
    network: Network
    parts: Mapping[Part, Examples]
    trained: Mapping[Part, Examples]
    weights: Mapping[Part, Tensor]
    selector: Selector
    judged: Mapping[Part, Examples]
    objective: Objective | None
    target: Domain
    path: Path
    listener: Listener

    def selection(self) -> Selection:
        name, metric = first_metric(self.cfg)
        return Selection(
            self.selector, self.judged, self.task, self.target, name, metric, self.objective
        )


def first_metric(cfg: DictConfig) -> tuple[str, Metric]:
    """The metric that states are selected by and verdicts are about."""
    return next((str(name), instantiate(node)) for name, node in cfg.metric.items() if node)


Trained = tuple[list[nn.Parameter], list[Row], Selection]
"""The parameters that trained, the history, and the candidates with the chosen one."""


def train(arm: Arm) -> Trained:
    """Train the network in place.

    Where a strategy asks for several trainings they start from the same weights and differ in their
    keys (the order of examples, noise, dropout); the first has the keys of a single one. Each that
    is done is kept in a file until all are.
    """
    several = [(f, s) for f, s in arm.strategies.items() if s.repeats > 1]
    if not several:
        return _train_once(arm, 0)
    if len(several) > 1:
        raise UserError(f"transfer: {' and '.join(f for f, _ in several)} both repeat the training")
    ((family, strategy),) = several
    if strategy.repeats_are_judged and arm.selection().score(arm.network) is None:
        raise DoesNotFit(f"transfer.{family}: needs a selector that judges; set selector=...")
    return _train_often(arm, strategy)


def _train_often(arm: Arm, strategy: TransferStrategy) -> Trained:
    network, total = arm.network, arm.selection()
    start = {name: tensor.clone() for name, tensor in tensors(network).items()}
    files = [arm.path / f"member-{member}.pt" for member in range(strategy.repeats)]
    states: list[State] = []
    found: Any = None
    rows: list[Row] = []
    for member, file in enumerate(files):
        network.load_state_dict(start)
        network.requires_grad_(True)
        # Rank 0 looks, and sets aside what is damaged, before the others do.
        found = sealed.load(file) if ranks.rank() == 0 else None
        if not ranks.agree(found is not None):
            _train_member(arm, member, file)
        found = sealed.load(file) if found is None else found
        states.append(found["state"])
        # One after the other on the axis of steps, as if it were one long training.
        before = rows[-1].step if rows else 0
        rows += [row._replace(step=row.step + before) for row in map(Row._make, found["rows"])]
        total.seen += [(step + before, seen) for step, seen in seen_from(found["seen"])]
    network.load_state_dict(strategy.combine(states, partial(_score, arm)))
    ranks.agree(None)  # all have read the files that go now
    if ranks.rank() == 0:
        total.look(network, rows[-1].step + 1)  # the last candidate, and the one that is taken
        total.best = None
        for file in files:
            sealed.remove(file)
    trainable = found["trainable"]
    return [network.get_parameter(name) for name in trainable], rows, total


def _train_member(arm: Arm, member: int, file: Path) -> None:
    parameters, rows, selection = _train_once(arm, member)
    given = {id(p) for p in parameters}
    if ranks.rank() == 0:
        kept = {
            "state": {n: t.cpu().clone() for n, t in tensors(arm.network).items()},
            "rows": [tuple(row) for row in rows],
            "seen": seen_as_tensors(selection.seen),
            "trainable": [n for n, p in arm.network.named_parameters() if id(p) in given],
        }
        sealed.save_value(file, kept)
    ranks.agree(None)


def _score(arm: Arm, state: State) -> float:
    """What the selector thinks of some weights, higher is better."""
    arm.network.load_state_dict(state)
    score = arm.selection().score(arm.network)
    assert score is not None
    return score


def _train_once(arm: Arm, member: int) -> Trained:
    cfg, network, strategies = arm.cfg, arm.network, arm.strategies
    streams = streams_of(cfg, arm.trained, arm.weights, network, member)
    views = views_of(strategies, arm.parts, network, cfg.seed, "module")
    settings = instantiate(cfg.finetune)
    module = seeded(
        lambda: Transferring(
            network, arm.task, strategies, streams, views,
            seed=cfg.seed if member == 0 else key_seed(cfg.seed, "member", member),
            fit=settings, optimizer=instantiate(cfg.optimizer),
            schedule=instantiate(cfg.scheduler),
            total_steps=settings.total_steps(len(streams), cfg.trainer.accumulate_grad_batches),
        ),
        cfg.seed,
        "beside",
    )  # fmt: skip
    if arm.task.decodes or any(strategy.reconstructs for strategy in strategies.values()):
        module.objective = deepcopy(arm.objective)
    selection = arm.selection()
    module.selection = selection
    rows = run_fit(
        module, streams, None,
        trainer=instantiate(cfg.trainer, **sized(cfg.trainer)),
        engine=instantiate(cfg.engine),
        callbacks=callbacks_of(cfg, module.stage),
        folder=arm.path, listener=arm.listener,
    ).rows  # fmt: skip
    if selection.best is not None:
        network.load_state_dict(selection.best[2])
    return [p for group in module.groups for p in group.parameters], rows, selection
