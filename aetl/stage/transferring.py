"""Gradient training of an arm: streams of batches, the loss, what is frozen, the selection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from aetl import ranks
from aetl.data.base import Examples
from aetl.data.loader import Loader, smallest_batch
from aetl.joint_batch import joint_batch
from aetl.label import strategy_name
from aetl.loss.objective import Objective
from aetl.rng import Rng
from aetl.stage.arm import Strategies
from aetl.stage.fit import Training, epochs_of
from aetl.stage.receipt import frozen_modules, tensors
from aetl.stage.selection import Selection, is_candidate
from aetl.task.base import Task
from aetl.transfer.base import Group, Part, Step, Stream, TransferStrategy, Undeclared, View
from aetl.transfer.codec import objective_of_each
from aetl.transfer.network import Network
from aetl.types import Batch, UserError

MIN_BATCHES = 20
"""Batches in an epoch of a small labelled set: below that, epochs cost more than their steps."""


Batches = dict[str, Batch]


STREAM_PART: dict[str, Part] = {
    "labelled": "target_labels",
    "source": "source_labels",
    "target": "target_inputs",
}


class Streams:
    """Batches of several parts side by side; the first loader says how long an epoch is."""

    def __init__(self, loaders: Mapping[str, Loader]) -> None:
        self.loaders = loaders
        self.first = next(iter(loaders.values()))

    def __len__(self) -> int:
        return len(self.first)

    @property
    def epoch(self) -> int:
        return self.first.epoch

    @epoch.setter
    def epoch(self, value: int) -> None:
        for loader in self.loaders.values():
            loader.epoch = value

    @property
    def skip(self) -> int:
        return self.first.skip

    @skip.setter
    def skip(self, value: int) -> None:
        for loader in self.loaders.values():
            loader.skip = value

    def joint_sizes(self, batch_index: int) -> dict[str, int]:
        return {name: loader.joint_size(batch_index) for name, loader in self.loaders.items()}

    def __iter__(self) -> Iterator[Batches]:
        for batches in zip(*self.loaders.values(), strict=False):
            yield dict(zip(self.loaders, batches, strict=True))


def streams_of(
    cfg: DictConfig,
    parts: Mapping[Part, Examples],
    weights: Mapping[Part, Tensor],
    network: nn.Module,
    member: int = 0,
) -> Streams:
    """The batches of an arm; each of several trainings has its own order."""
    order = () if member == 0 else ("member", member)
    loaders: dict[str, Loader] = {}
    for name, part in STREAM_PART.items():
        if part not in parts or not len(parts[part]):
            continue
        loaders[name] = Loader(
            parts[part],
            np.arange(len(parts[part])),
            batch_size=cfg.finetune.batch_size,
            rng=Rng.of(cfg.seed, "transfer", name, *order),
            shuffle=True,
            weight=weights.get(part),
            # The others are at least as long as the first, which says how long an epoch is.
            min_batches=len(next(iter(loaders.values()))) if loaders else MIN_BATCHES,
            smallest=smallest_batch(network.modules()),
        )
        loaders[name].rank, loaders[name].world = ranks.rank(), ranks.world()
    return Streams(loaders)


class Transferring(Training):
    """Minimises the task's loss on labelled targets and weighted sources, plus penalties."""

    stage = "transfer"

    @property
    def title(self) -> str:
        """With the arm, since its twin is trained beside it."""
        kinds = {family: type(strategy) for family, strategy in self.strategies.items()}
        names = (strategy_name(f, f"{k.__module__}.{k.__qualname__}") for f, k in kinds.items())
        return f"{self.stage} {'+'.join(names)}"

    def __init__(
        self,
        network: Network,
        task: Task,
        strategies: Strategies,
        streams: Streams,
        views: Mapping[str, View],
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.network, self.task, self.strategies, self.streams = network, task, strategies, streams
        modules = {f: s.module(network, task, views[f]) for f, s in strategies.items()}
        self.beside = nn.ModuleDict({name: m for name, m in modules.items() if m is not None})
        self.initial = {name: t.clone() for name, t in tensors(network).items()}
        self.units = float(network.scale)
        self.groups = groups_of(network, strategies, task.decodes)
        self.selection: Selection | None = None
        self.objective: Objective | None = None
        self._looked: tuple[int, dict[str, Tensor]] = (-1, {})
        self.train()  # Lightning takes the modes as they are
        self._refuse_lonely()

    def _refuse_lonely(self) -> None:
        """Batch normalisation over one example has nothing to normalise by."""
        training = [m for m in self.network.modules() if m.training]
        least = smallest_batch(training)
        for name, loader in self.streams.loaders.items():
            if loader.smallest_joint < least:
                raise UserError(
                    f"finetune.batch_size={loader.batch_size}: backbone.norm=batch needs at least "
                    f"{least} examples in a batch, and {name} has one of {loader.smallest_joint} "
                    f"({len(loader.rows)} examples in all); use backbone.norm=none, or more"
                )

    def losses(
        self, batch: Batches, rng: Rng, batch_index: int, progress: float
    ) -> dict[str, Tensor]:
        sizes = self.streams.joint_sizes(batch_index)
        streams = {name: self._stream(part) for name, part in batch.items()}
        values: dict[str, Tensor] = {}
        for name, stream in streams.items():
            if name == "target":
                continue
            each = self._each(name, stream, sizes[name], rng, batch[name].mask) * stream.weight
            values[name] = each.sum() * (ranks.world() / sizes[name])
        for family, strategy in self.strategies.items():
            seen = {name: s for name, s in streams.items() if STREAM_PART[name] in strategy.uses}
            if type(strategy).penalty is not TransferStrategy.penalty:
                seen = {name: joint(stream) for name, stream in seen.items()}
            step = Step(
                self.network, self.task, self.initial, seen, progress, rng.fork(family),
                self._reconstruction_loss(family),
            )  # fmt: skip
            module = self.beside[family] if family in self.beside else None  # noqa: SIM401
            with ranks.as_one():  # the streams are whole: the same penalty, on every rank
                penalty = strategy.penalty(step, module)
            if penalty is not None:
                values[family] = penalty
        return {"loss": torch.stack([v.float() for v in values.values()]).sum()} | {
            name: value.detach() for name, value in values.items()
        }

    def _each(self, name: str, stream: Stream, joint: int, rng: Rng, mask: Tensor | None) -> Tensor:
        """The task's loss of each example; of one that the decoder answers, pretraining's."""
        if not self.task.decodes:
            return self.task.loss(stream.output, stream.y, self.units)
        assert self.objective is not None
        drawn = Rng((*rng.key, "objective", name), ranks.rank(), ranks.world(), joint)
        size = len(self.streams.loaders[name].rows)
        return objective_of_each(
            self.network.autoencoder, self.objective, stream.x, drawn, size, mask
        )

    def _stream(self, batch: Batch) -> Stream:
        features = self.network.features(batch.x)
        return Stream(batch.x, batch.y, batch.weight, features, self.network.output(features))

    def _reconstruction_loss(self, family: str) -> Callable[[Tensor, Rng], Tensor]:
        """Without this module in it, from which a strategy would reach every other part."""
        if self.objective is None or not self.strategies[family].reconstructs:
            return partial(_undeclared, family)
        size = len(self.streams.first.rows)
        return partial(objective_of_each, self.network.autoencoder, self.objective, size=size)

    def _optimised(self) -> list[Group]:
        groups = [group for group in self.groups if group.parameters]
        beside = [p for p in self.beside.parameters() if p.requires_grad]
        return [*groups, Group(beside, 1.0)] if beside else groups

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": group.parameters} for group in self._optimised()]

    def rate_scales(self) -> list[Callable[[float], float]]:
        return [group.at for group in self._optimised()]

    def train(self, mode: bool = True) -> Transferring:
        super().train(mode)
        if mode:
            self._put_to_sleep()
        return self

    @property
    def frozen(self) -> list[nn.Module]:
        """The modules that do not train at this step."""
        progress = self.progress if self._trainer is not None else 0.0
        awake = {id(p) for g in self.groups if g.at(progress) != 0.0 for p in g.parameters}
        return frozen_modules(self.network, awake)

    def _put_to_sleep(self) -> None:
        """Eval mode for what does not train at this step, train mode for what does."""
        self.network.train()
        for module in self.frozen:
            module.eval()

    def on_fit_start(self) -> None:
        # As the trainer's precision has made the network.
        now = tensors(self.network)
        self.initial = {name: t.to(now[name].dtype) for name, t in self.initial.items()}
        self.units = float(self.network.scale)  # here, since to look at it waits for the device

    def begin_batch(self) -> None:
        if any(callable(group.scale) for group in self.groups):
            self._put_to_sleep()

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        # A rate of 0 is not enough: the optimiser's moments would run on. And requires_grad is
        # not to change, since DDP registers the parameters that want gradients once.
        for group in self.groups:
            if group.at(self.progress) == 0.0:
                for parameter in group.parameters:
                    parameter.grad = None
        super().on_before_optimizer_step(optimizer)

    def end_epoch(self) -> None:
        num_epochs = epochs_of(self.total_steps, len(self.streams), self.accumulate)
        if self.selection is None:
            return
        if is_candidate(self.current_epoch, num_epochs):
            self._look(self.selection, self.global_step, self.current_epoch)
        else:
            # Whoever counts values without a gain is not to count the last one twice.
            self.history.forget("validation", self.trainer, self.selection.name)

    def _look(self, selection: Selection, step: int, epoch: int) -> None:
        self._looked = step, _copied(self.network) if self.history.heard else {}
        score = selection.look(self.network, step)
        if score is not None:
            # What a sweep optimises and a pruner judges by: no test label has a part in it.
            self.history.add("validation", self.trainer, selection.name, score, step, epoch)

    def on_train_end(self) -> None:
        """The state that training ends with is a candidate: it may have been stopped before the
        last epoch, and a callback may have put an average in the place of the weights."""
        super().on_train_end()
        step, state = self._looked
        now = self.network.state_dict()
        if self.selection is not None and (
            step < self.global_step or any(not torch.equal(t, now[n]) for n, t in state.items())
        ):
            again = step == self.global_step
            self._look(self.selection, self.global_step + again, max(0, self.current_epoch - 1))

    def awaited(self) -> tuple[str, ...]:
        if self.selection is None or self.selection.score(self.network) is None:
            return ()
        return (f"{self.stage}/validation/{self.selection.name}",)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        if self.selection is not None:
            checkpoint["aetl_selection"] = self.selection.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        if self.selection is not None:
            self.selection.load_state(checkpoint["aetl_selection"])


def joint(stream: Stream) -> Stream:
    """The stream of the joint batch, in the order that one process would have it in.

    A penalty may compare examples, or draw for each in turn: of parts it could not be put together.
    """
    return Stream(*(joint_batch(tensor).everyone for tensor in stream))


def _copied(network: Network) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def _undeclared(family: str, x: Tensor, rng: Rng) -> Tensor:
    raise Undeclared(f"{family} uses the loss of reconstruction without declaring `reconstructs`")


def groups_of(
    network: Network, strategies: Sequence[Any] | Strategies, decodes: bool = False
) -> list[Group]:
    """The groups of the one strategy that names them, or everything; the rest is frozen.

    Where the decoder answers it trains in any case, and the head does not.
    """
    by_family: Strategies = dict(strategies)
    named = {f: s.groups(network) for f, s in by_family.items()}
    found = [(family, groups) for family, groups in named.items() if groups is not None]
    if len(found) > 1:
        raise UserError(f"transfer: {' and '.join(f for f, _ in found)} both say what trains")
    used = network.in_use()
    groups = found[0][1] if found else [Group(list(used.values()), 1.0)]
    if decodes or any(strategy.reconstructs for strategy in by_family.values()):
        known = {id(p) for p in used.values()} | {id(p) for g in groups for p in g.parameters}
        rest = [p for p in network.autoencoder.parameters() if id(p) not in known]
        groups = [*groups, Group(rest, 1.0)]
    if decodes:
        head = {id(p) for p in network.head.parameters()}
        groups = [Group([p for p in g.parameters if id(p) not in head], g.scale) for g in groups]
    groups = [group for group in groups if group.scale != 0.0]
    trained = {id(p) for group in groups for p in group.parameters}
    for parameter in network.parameters():
        parameter.requires_grad_(id(parameter) in trained)
    return groups
