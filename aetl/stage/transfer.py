"""Transfer: bring the pretrained autoencoder to the target by one arm's strategies."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from jaxtyping import Float
from omegaconf import DictConfig
from torch import Tensor, nn

from aetl import ranks
from aetl.config import resolved
from aetl.data.base import Examples
from aetl.data.loader import Loader
from aetl.files import atomic, write_json, write_torch
from aetl.loss.objective import Objective
from aetl.metric.base import Metric
from aetl.rng import Rng
from aetl.stage.domains import Domain, Domains
from aetl.stage.fit import Training, callbacks_that_count, run_fit, seeded
from aetl.stage.pretrain import Pretrained, build_autoencoder, objective_of
from aetl.stage.receipt import Receipt, frozen_modules, load_pretrained, tensors
from aetl.store.store import Entry, Store, digest_of
from aetl.task.base import Task, numpy
from aetl.tracking.history import Listener, Row, write_history
from aetl.transfer.base import Alignment, Group, Part, Step, Stream, TransferStrategy, View
from aetl.transfer.network import Network, evaluating
from aetl.types import Batch, Prediction, UserError, field_values

MIN_BATCHES = 20
"""Batches in an epoch of a small labelled set: below that, epochs cost more than their steps."""

Strategies = Mapping[str, TransferStrategy]
Batches = dict[str, Batch]


def strategies_of(node: Mapping[str, Any]) -> dict[str, TransferStrategy]:
    """The strategies of a ``transfer`` node by family."""
    return {family: instantiate(strategy) for family, strategy in node.items() if strategy}


def uses_of(strategies: Strategies) -> frozenset[Part]:
    return frozenset().union(*(strategy.uses for strategy in strategies.values()))


def starts_pretrained(strategies: Strategies) -> bool:
    return all(strategy.initial == "pretrained" for strategy in strategies.values())


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


class Transferring(Training):
    """Minimises the task's loss on labelled targets and weighted sources, plus penalties."""

    stage = "transfer"

    def __init__(
        self,
        network: Network,
        task: Task,
        strategies: Strategies,
        streams: Streams,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.network, self.task, self.strategies, self.streams = network, task, strategies, streams
        dims = network.feature_dim, network.head.out_features
        modules = {name: s.module(*dims) for name, s in strategies.items()}
        self.beside = nn.ModuleDict({name: m for name, m in modules.items() if m is not None})
        self.initial = {name: t.clone() for name, t in tensors(network).items()}
        self.groups = _groups(network, strategies)
        self.selection: _Selection | None = None
        self.objective: Objective | None = None
        self.train()  # Lightning takes the modes as they are

    def losses(
        self, batch: Batches, rng: Rng, batch_index: int, progress: float
    ) -> dict[str, Tensor]:
        sizes = self.streams.joint_sizes(batch_index)
        streams = {name: self._stream(part) for name, part in batch.items()}
        values: dict[str, Tensor] = {}
        for name, stream in streams.items():
            if name == "target":
                continue
            each = (
                self.task.loss(stream.output, stream.y, float(self.network.scale)) * stream.weight
            )
            values[name] = each.sum() * (ranks.world() / sizes[name])
        for family, strategy in self.strategies.items():
            seen = {name: s for name, s in streams.items() if _STREAM_PART[name] in strategy.uses}
            keyed = rng.fork(family)
            step = Step(
                self.network, self.initial, seen, progress, keyed, self._reconstruction_loss
            )
            module = self.beside[family] if family in self.beside else None  # noqa: SIM401
            penalty = strategy.penalty(step, module)
            if penalty is not None:
                values[family] = penalty
        return {"loss": torch.stack([v.float() for v in values.values()]).sum()} | {
            name: value.detach() for name, value in values.items()
        }

    def _stream(self, batch: Batch) -> Stream:
        features = self.network.features(batch.x)
        return Stream(batch.x, batch.y, batch.weight, features, self.network.output(features))

    def _reconstruction_loss(self, x: Tensor, rng: Rng) -> Tensor:
        output = self.network.autoencoder(x, rng)
        rows = torch.arange(len(x), device=x.device)
        batch = Batch(x, torch.full_like(rows, -1), rows, torch.ones(len(x), device=x.device))
        given = field_values(output, output.code, batch) | {
            "autoencoder": self.network.autoencoder,
            "latent": output.latent,
            "rng": rng.fork("loss"),
            "progress": 1.0,  # warm-ups of pretraining are over
            "data_size": len(self.streams.first.rows),
        }
        assert self.objective is not None
        each: Tensor = self.objective(given, 1.0)[0]
        return each

    def _optimised(self) -> list[Group]:
        groups = [group for group in self.groups if group.parameters]
        beside = list(self.beside.parameters())
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

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if any(callable(group.scale) for group in self.groups):
            self._put_to_sleep()

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        # A rate of 0 is not enough: the optimiser's moments would run on. And requires_grad is
        # not to change, since DDP registers the parameters that want gradients once.
        for group in self.groups:
            if group.at(self.progress) == 0.0:
                for parameter in group.parameters:
                    parameter.grad = None

    def on_train_epoch_end(self) -> None:
        if self.selection is not None:
            self.selection.look(self.network, self.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.selection is not None:
            checkpoint["aetl_selection"] = self.selection.best

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.selection is not None:
            self.selection.best = checkpoint["aetl_selection"]


_STREAM_PART: dict[str, Part] = {
    "labelled": "target_labels",
    "source": "source_labels",
    "target": "target_inputs",
}


class _Selection:
    """The best state so far by a metric on labels that training does not see."""

    def __init__(self, task: Task, metric: Metric, examples: Examples) -> None:
        self.task, self.metric, self.examples = task, metric, examples
        self.best: tuple[float, int, dict[str, Tensor]] | None = None

    def look(self, network: Network, step: int) -> None:
        prediction = predict(network, self.task, self.examples)
        score = self.metric(prediction, numpy(self.examples.y))
        oriented = score if self.metric.higher_is_better else -score
        if self.best is None or oriented > self.best[0]:
            self.best = (oriented, step, {k: v.clone() for k, v in network.state_dict().items()})


def transfer_key(
    cfg: DictConfig, node: Mapping[str, Any], domains: Domains, pretrained: str | None
) -> dict[str, Any]:
    """What the result of an arm depends on; a scratch arm's on no source: all pairs share it."""
    plain = resolved(cfg)
    names = ["representation", "task", "selector", "finetune", "optimizer", "scheduler", "trainer",
             "threads", "seed", "autoencoder"]  # fmt: skip
    if plain["selector"]["_target_"] != "aetl.selector.last.Last":
        names.append("metric")
    key = {name: plain[name] for name in names} | {
        "callback": callbacks_that_count(plain["callback"]),
        "transfer": node,
        "pretrained": pretrained,
        "target": domains.target.fingerprint,
    }
    strategies = strategies_of(node)
    uses = uses_of(strategies)
    if "target_labels" in uses or "metric" in names:  # so arms without labels share all budgets
        key["labelled"] = domains.target.split.labelled.tolist()
    if any(strategy.reconstructs for strategy in strategies.values()):
        key["loss"] = plain["loss"]
    if uses & {"source_inputs", "source_labels"}:
        key["source"] = domains.source.fingerprint
        key["source_train"] = digest_of({"train": domains.source.split.train.tolist()})
    if "target_inputs" in uses:
        key["unlabelled"] = digest_of({"index": domains.target.split.train.tolist()})
    return key


def transfer(
    cfg: DictConfig,
    node: Mapping[str, Any],
    domains: Domains,
    pretrained: Pretrained | None,
    store: Store,
    folder: Path,
    listener: Listener,
) -> Entry:
    """The arm's entry: ``network.pt``, ``predictions.npz``, ``receipt.json``, ``metrics.csv``."""
    source = None if pretrained is None else _identity(pretrained)
    key = transfer_key(cfg, node, domains, source)
    return store.stage(
        "transfer",
        digest_of(key),
        key,
        folder,
        lambda path: _compute(cfg, node, domains, pretrained, path, listener),
    )


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
    labelled = domains.target.with_targets(task).pool.subset(domains.target.split.labelled)
    uses = uses_of(strategies)
    if "target_labels" in uses and not len(labelled) and "source_labels" not in uses:
        raise UserError("target.budget=0: this arm learns from target labels alone, and has none")
    training, held_out = _hold_out(cfg, labelled)
    parts = _parts(domains, training, task, strategies)
    network = build_network(cfg, domains, task, _scaling(parts))
    receipt = Receipt.start(network)
    if pretrained is not None:
        load_pretrained(network, pretrained.state, receipt)
    for family, strategy in strategies.items():
        seeded(partial(_adapted, strategy, network), cfg.seed, "adapt", family)
    weights = _weights(strategies, parts, network, cfg.seed)
    estimator, family = _closed_form(strategies, task)
    rows: list[Row] = []
    if estimator is None:
        streams = _streams(cfg, parts, weights)
        settings = instantiate(cfg.finetune)
        module = seeded(
            lambda: Transferring(
                network, task, strategies, streams,
                seed=cfg.seed, fit=settings, optimizer=instantiate(cfg.optimizer),
                schedule=instantiate(cfg.scheduler),
                total_steps=settings.total_steps(
                    len(streams), cfg.trainer.accumulate_grad_batches
                ),
            ),
            cfg.seed,
            "beside",
        )  # fmt: skip
        if any(strategy.reconstructs for strategy in strategies.values()):
            module.objective = objective_of(cfg)
        if held_out is not None:
            metric = next(instantiate(m) for m in cfg.metric.values() if m)
            module.selection = _Selection(task, metric, held_out)
        rows = run_fit(
            module, streams, None,
            trainer=instantiate(cfg.trainer),
            callbacks=[*(instantiate(c) for c in cfg.callback.values() if c)],
            folder=path, listener=listener,
        ).rows  # fmt: skip
        if module.selection is not None and module.selection.best is not None:
            network.load_state_dict(module.selection.best[2])
        _settle(strategies, parts, network, cfg.seed)
        receipt.trained(network, [p for g in module.groups for p in g.parameters])
        if ranks.rank() == 0:
            prediction = predict(network, task, domains.target.test)
    elif ranks.rank() == 0:
        _settle(strategies, parts, network, cfg.seed)
        view = _views(strategies, parts, network, cfg.seed, "align")[family]
        prediction = _fit_head(
            strategies[family], estimator, task, network, parts, weights, domains, view
        )
        receipt.trained(network, [])
    if ranks.rank() == 0:
        if weights is not None:
            receipt.effective_sample_size = effective_sample_size(weights)
        _write(path, network, prediction, receipt, rows, domains.target.with_targets(task))


def effective_sample_size(weights: Float[Tensor, " N"]) -> float:
    """Kish's ``(sum w)^2 / sum w^2``."""
    return float(weights.double().sum().square() / weights.double().square().sum())


def build_network(cfg: DictConfig, domains: Domains, task: Task, training: Examples) -> Network:
    """The network of an arm at its random start, which is the same for every arm of a seed."""
    autoencoder = build_autoencoder(cfg, domains.target.pool.shape)
    location, scale = task.scale(training.y)
    representation = instantiate(cfg.representation)
    output_dim = task.output_dim(domains.target.pool)
    network: Network = seeded(
        lambda: Network(autoencoder, representation, output_dim, location, scale), cfg.seed, "head"
    )
    return network


def predict(network: Network, task: Task, examples: Examples) -> Prediction:
    """Predictions for all examples, in eval mode."""
    return task.predict(_mapped(network, network.forward, examples))


@torch.no_grad()
def _mapped(network: nn.Module, function: Any, examples: Examples, size: int = 1024) -> Tensor:
    """``function`` over all examples in batches, with the network in eval mode."""
    like = next(network.parameters())
    with evaluating(network):
        parts = [
            function(examples.inputs(torch.arange(i, min(i + size, len(examples)))).to(like)).cpu()
            for i in range(0, len(examples), size)
        ]
    return torch.cat(parts)


def _hold_out(cfg: DictConfig, labelled: Examples) -> tuple[Examples, Examples | None]:
    """Split the budget into what trains and what selects (the order is stratified already)."""
    number = instantiate(cfg.selector).held_out(len(labelled))
    if number <= 0:
        return labelled, None
    index = np.arange(len(labelled))
    return labelled.subset(index[:-number]), labelled.subset(index[-number:])


def _parts(
    domains: Domains, training: Examples, task: Task, strategies: Strategies
) -> dict[Part, Examples]:
    """The training data of the arm; labels are wiped where a part has none to give."""
    uses = uses_of(strategies)
    source, target = domains.source, domains.target
    parts: dict[Part, Examples] = {}
    if "target_labels" in uses:
        parts["target_labels"] = training
    if "source_labels" in uses:
        if source.pool.classes != target.pool.classes:
            raise UserError(
                f"transfer uses the source's labels, and its classes ({len(source.pool.classes)}) "
                f"are not the target's ({len(target.pool.classes)})"
            )
        parts["source_labels"] = source.with_targets(task).pool.subset(source.split.train)
    if "source_inputs" in uses:
        parts["source_inputs"] = _unlabelled(source, source.split.train)
    if "target_inputs" in uses:
        parts["target_inputs"] = _unlabelled(target, target.split.train)
    return parts


def _unlabelled(domain: Domain, index: Any) -> Examples:
    part = domain.pool.subset(index)
    return dataclasses.replace(part, y=torch.full_like(part.y, -1))


def _scaling(parts: Mapping[Part, Examples]) -> Examples:
    """The examples whose labels give the head its scale: the target's own where there are any."""
    labels: tuple[Part, ...] = ("target_labels", "source_labels")
    for part in labels:
        if part in parts and len(parts[part]):
            return parts[part]
    raise UserError("transfer: at least one strategy has to use labels, the target's or source's")


def _adapted(strategy: TransferStrategy, network: Network) -> Network:
    strategy.adapt(network)
    return network


def _views(
    strategies: Strategies,
    parts: Mapping[Part, Examples],
    network: Network,
    seed: int,
    purpose: str,
) -> dict[str, View]:
    """What each strategy may see; features by the network as it is now, computed once."""
    cache: dict[int, Tensor] = {}

    def features(examples: Examples) -> Tensor:
        key = id(examples.x)
        if key not in cache:
            cache[key] = _mapped(network, network.features, examples)
        return cache[key]

    return {
        family: View(
            f"{family} ({type(strategy).__name__})",
            strategy.uses,
            parts,
            features,
            Rng.of(seed, purpose, family),
        )
        for family, strategy in strategies.items()
    }


def _weights(
    strategies: Strategies, parts: Mapping[Part, Examples], network: Network, seed: int
) -> Float[Tensor, " N"] | None:
    """The product of the strategies' weights of the source examples."""
    views = _views(strategies, parts, network, seed, "weigh")
    found = [strategy.weigh(views[family]) for family, strategy in strategies.items()]
    given = [weights for weights in found if weights is not None]
    return torch.stack(given).prod(0) if given else None


def _settle(
    strategies: Strategies, parts: Mapping[Part, Examples], network: Network, seed: int
) -> None:
    views = _views(strategies, parts, network, seed, "settle")
    for family, strategy in strategies.items():
        strategy.settle(network, views[family])


def _closed_form(strategies: Strategies, task: Task) -> tuple[Any | None, str]:
    heads = {family: strategy.head(task) for family, strategy in strategies.items()}
    found = [(head, family) for family, head in heads.items() if head is not None]
    if len(found) > 1:
        raise UserError(f"transfer: {' and '.join(f for _, f in found)} both fit the head")
    trains = [f for f, s in strategies.items() if _trains(s) and heads[f] is None]
    if found and trains:
        raise UserError(
            f"transfer: {found[0][1]} fits the head in closed form on a frozen network, "
            f"so there is nothing to train for {', '.join(trains)}"
        )
    return found[0] if found else (None, "")


def _trains(strategy: TransferStrategy) -> bool:
    """Whether a strategy says what is trained by gradients, or adds to that loss."""
    kind = type(strategy)
    return (
        kind.groups is not TransferStrategy.groups or kind.penalty is not TransferStrategy.penalty
    )


def _streams(cfg: DictConfig, parts: Mapping[Part, Examples], weights: Tensor | None) -> Streams:
    loaders: dict[str, Loader] = {}
    for name, part in _STREAM_PART.items():
        if part not in parts or not len(parts[part]):
            continue
        loaders[name] = Loader(
            parts[part],
            np.arange(len(parts[part])),
            batch_size=cfg.finetune.batch_size,
            rng=Rng.of(cfg.seed, "transfer", name),
            shuffle=True,
            weight=weights if name == "source" else None,
            # The others are at least as long as the first, which says how long an epoch is.
            min_batches=len(next(iter(loaders.values()))) if loaders else MIN_BATCHES,
        )
        loaders[name].rank, loaders[name].world = ranks.rank(), ranks.world()
    return Streams(loaders)


def _fit_head(
    strategy: TransferStrategy, estimator: Any, task: Task, network: Network,
    parts: Mapping[Part, Examples], weights: Tensor | None, domains: Domains, view: View,
) -> Prediction:  # fmt: skip
    """Fit the head on frozen features of the labelled targets and the weighted sources."""
    identity = Alignment(lambda z: z, lambda z: z)
    to_source, to_target = strategy.align(view) or identity

    def features(examples: Examples) -> np.ndarray:
        return numpy(_mapped(network, lambda x: strategy.represent(network, x), examples))

    x: list[np.ndarray] = []
    y: list[np.ndarray] = []
    w: list[np.ndarray] = []
    if "target_labels" in parts and len(parts["target_labels"]):
        labelled = parts["target_labels"]
        x.append(to_target(features(labelled)))
        y.append(numpy(labelled.y))
        w.append(np.ones(len(labelled)))
    if "source_labels" in parts:
        source = parts["source_labels"]
        x.append(to_source(features(source)))
        y.append(numpy(source.y))
        w.append(np.ones(len(source)) if weights is None else numpy(weights))
    estimator.fit(np.concatenate(x), np.concatenate(y), np.concatenate(w))
    output_dim = task.output_dim(domains.target.pool)
    return task.predict_with(estimator, to_target(features(domains.target.test)), output_dim)


def _groups(network: Network, strategies: Sequence[Any] | Strategies) -> list[Group]:
    """The groups of the one strategy that names them, or everything; the rest is frozen."""
    by_family: Strategies = dict(strategies)
    named = {f: s.groups(network) for f, s in by_family.items()}
    found = [(family, groups) for family, groups in named.items() if groups is not None]
    if len(found) > 1:
        raise UserError(f"transfer: {' and '.join(f for f, _ in found)} both say what trains")
    used = network.in_use()
    groups = found[0][1] if found else [Group(list(used.values()), 1.0)]
    if any(strategy.reconstructs for strategy in by_family.values()):
        known = {id(p) for p in used.values()} | {id(p) for g in groups for p in g.parameters}
        rest = [p for p in network.autoencoder.parameters() if id(p) not in known]
        groups = [*groups, Group(rest, 1.0)]
    trained = {id(p) for group in groups for p in group.parameters}
    for parameter in network.parameters():
        parameter.requires_grad_(id(parameter) in trained)
    return groups


def _write(
    path: Path, network: Network, prediction: Prediction, receipt: Receipt, rows: list[Row],
    target: Domain,
) -> None:  # fmt: skip
    arrays: dict[str, Any] = {"y": numpy(target.test.y), "prediction": prediction.value}
    if prediction.probability is not None:
        arrays["probability"] = prediction.probability.astype(np.float32)
    with atomic(path / "predictions.npz") as temporary:
        np.savez_compressed(temporary, **arrays)
    state = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
    write_torch(path / "network.pt", state)
    write_json(path / "receipt.json", receipt.as_dict())
    write_history(path / "metrics.csv", rows)
