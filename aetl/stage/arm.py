"""What an arm is made of: its strategies, the data that they may see, its network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from jaxtyping import Float
from omegaconf import DictConfig
from torch import Tensor, nn

from aetl.data.base import Examples
from aetl.loss.objective import Objective
from aetl.rng import Rng
from aetl.stage.domains import Domain, Domains
from aetl.stage.fit import seeded
from aetl.stage.pretrain import build_autoencoder
from aetl.task.base import Task
from aetl.transfer.base import Part, TransferStrategy, View
from aetl.transfer.codec import Codec
from aetl.transfer.network import Network, evaluating
from aetl.types import PLAIN, DoesNotFit, Entries, Prediction, UserError

Strategies = Mapping[str, TransferStrategy]


def strategies_of(node: Mapping[str, Any]) -> dict[str, TransferStrategy]:
    """The strategies of a ``transfer`` node by family."""
    return {family: instantiate(strategy) for family, strategy in node.items() if strategy}


def uses_of(strategies: Strategies) -> frozenset[Part]:
    return frozenset().union(*(strategy.uses for strategy in strategies.values()))


def starts_pretrained(strategies: Strategies) -> bool:
    return all(strategy.initial == "pretrained" for strategy in strategies.values())


def refuse_other_labels(domains: Domains, task: Task, strategies: Strategies) -> None:
    """Raise ``DoesNotFit`` where a strategy learns from labels of the source that are others."""
    source, target = domains.source.pool.classes, domains.target.pool.classes
    if task.supervised and "source_labels" in uses_of(strategies) and source != target:
        raise DoesNotFit(
            f"transfer.{_first_using('source_labels', strategies)} learns from the source's "
            f"labels, and its classes ({_some(source)}) are not the target's ({_some(target)})"
        )


def parts_of(
    domains: Domains, training: Examples, task: Task, strategies: Strategies
) -> dict[Part, Examples]:
    """The training data of the arm; labels are wiped where a part has none to give."""
    uses = uses_of(strategies)
    source, target = domains.source, domains.target
    parts: dict[Part, Examples] = {}
    if "target_labels" in uses:
        parts["target_labels"] = training
    if "source_labels" in uses and not task.supervised:
        parts["source_labels"] = source.taught(task).subset(source.split.train)
    elif "source_labels" in uses:
        refuse_other_labels(domains, task, strategies)
        rows = source.split.train
        rows = rows[source.pool.known[rows]]
        parts["source_labels"] = source.with_targets(task).pool.subset(rows)
    if "source_inputs" in uses:
        parts["source_inputs"] = unlabelled(source, source.split.train)
    if "target_inputs" in uses:
        parts["target_inputs"] = unlabelled(target, target.split.train)
    return parts


def _first_using(part: Part, strategies: Strategies) -> str:
    return next(family for family, strategy in strategies.items() if part in strategy.uses)


def _some(classes: Sequence[str]) -> str:
    """``0, 1, 2, ...``."""
    return ", ".join([*classes[:3], *["..."][: len(classes) - 3]]) or "none"


def unlabelled(domain: Domain, index: Any) -> Examples:
    """Examples with their labels wiped."""
    part = domain.pool.subset(index)
    return dataclasses.replace(part, y=torch.full_like(part.y, -1))


def scaling_of(parts: Mapping[Part, Examples], task: Task, pool: Examples) -> Examples:
    """The examples whose labels give the head its scale: the target's own where there are any."""
    if not task.supervised:
        return pool
    labels: tuple[Part, ...] = ("target_labels", "source_labels")
    for part in labels:
        if part in parts and len(parts[part]):
            return parts[part]
    raise UserError("transfer: at least one strategy has to use labels, the target's or source's")


def build_network(cfg: DictConfig, domains: Domains, task: Task, training: Examples) -> Network:
    """The network of an arm at its random start, which is the same for every arm of a seed."""
    pool = domains.target.pool
    units, classes = task.scale(training.y), len(domains.source.pool.classes)
    return network_of(cfg, pool.shape, classes, task.output_dim(pool), units, pool.entries)


def network_of(
    cfg: DictConfig, shape: tuple[int, ...], source_classes: int, output_dim: int,
    units: tuple[float, float], entries: Entries = PLAIN,
) -> Network:  # fmt: skip
    """The network of a config for examples of ``shape``; ``units`` are location and scale."""
    autoencoder = build_autoencoder(cfg, shape, source_classes, entries)
    representation = instantiate(cfg.representation)
    network: Network = seeded(
        lambda: Network(autoencoder, representation, output_dim, *units), cfg.seed, "head"
    )
    return network


def predict(
    network: Network,
    task: Task,
    examples: Examples,
    objective: Objective | None = None,
    size: int = 1024,
) -> Prediction:
    """Predictions for all examples, in eval mode."""
    if not task.decodes:
        return task.predict(mapped(network, network.forward, examples, size))
    assert objective is not None
    like = next(network.parameters(), torch.zeros(()))
    objective = objective.to(like.device).eval()
    with evaluating(network), torch.no_grad():
        rows = np.arange(len(examples))
        return concatenated(
            [
                task.judge(network.autoencoder, objective, examples.subset(part), like)
                for part in np.split(rows, range(size, len(rows), size))
            ]
        )


def concatenated(found: Sequence[Prediction]) -> Prediction:
    """Predictions for several sets as those for one."""
    probability = [part.probability for part in found if part.probability is not None]
    return Prediction(
        np.concatenate([part.value for part in found]),
        np.concatenate(probability) if probability else None,
        {name: np.concatenate([part.parts[name] for part in found]) for name in found[0].parts},
    )


@torch.no_grad()
def mapped(network: nn.Module, function: Any, examples: Examples, size: int = 1024) -> Tensor:
    """``function`` over all examples in batches, with the network in eval mode."""
    like = next(network.parameters(), torch.zeros(()))  # one without any is on the CPU
    with evaluating(network):
        parts = [
            function(examples.inputs(torch.arange(i, min(i + size, len(examples)))).to(like)).cpu()
            for i in range(0, len(examples), size)
        ]
    return torch.cat(parts)


def views_of(
    strategies: Strategies,
    parts: Mapping[Part, Examples],
    network: Network,
    seed: int,
    purpose: str,
    objective: Objective | None = None,
) -> dict[str, View]:
    """What each strategy may see; features by the network as it is now, computed once."""
    cache: dict[tuple[int, str | None], Tensor] = {}

    def features(examples: Examples, layer: str | None) -> Tensor:
        key = id(examples.x), layer
        if key not in cache:
            cache[key] = mapped(network, lambda x: network.features(x, layer), examples)
        return cache[key]

    def codec_for(strategy: TransferStrategy) -> Callable[[], Codec] | None:
        if objective is None or not strategy.uses_codec:
            return None
        return partial(Codec, network.autoencoder, objective)

    return {
        family: View(
            f"{family} ({type(strategy).__name__})",
            strategy.uses,
            parts,
            features,
            Rng.of(seed, purpose, family),
            codec_for(strategy),
        )
        for family, strategy in strategies.items()
    }


def weights_of(strategies: Strategies, views: Mapping[str, View]) -> Float[Tensor, " N"] | None:
    """The product of the strategies' weights of the source examples."""
    found = [strategy.weigh(views[family]) for family, strategy in strategies.items()]
    given = [weights for weights in found if weights is not None]
    return torch.stack(given).prod(0) if given else None


def augmented(
    strategies: Strategies, views: Mapping[str, View], own: Examples
) -> tuple[Examples, Float[Tensor, " N"]]:
    """The target's labelled examples and those that strategies add to them, with weights."""
    found = [strategy.augment(views[family]) for family, strategy in strategies.items()]
    added = [new for new in found if new is not None]
    if not added:
        return own, torch.ones(len(own))
    sets = [own, *(new.examples for new in added)]
    examples = Examples(
        torch.cat([examples.x for examples in sets]),
        torch.cat([examples.y for examples in sets]),
        own.classes,
        np.concatenate([examples.identity for examples in sets]),
        own.columns,
        entries=own.entries,
    )
    return examples, torch.cat([torch.ones(len(own)), *(new.weight for new in added)])


def settle(
    strategies: Strategies, parts: Mapping[Part, Examples], network: Network, seed: int
) -> None:
    views = views_of(strategies, parts, network, seed, "settle")
    for family, strategy in strategies.items():
        strategy.settle(network, views[family])
