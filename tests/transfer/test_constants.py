"""What is held constant in a gradient: which way each penalty pulls.

A value does not tell a dropped ``detach`` from a right one. So each strategy with a penalty says
here which of what it sees its gradient reaches, and what is constant inside of one way is held
against the formula with the constant written as a number.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra.utils import get_class, instantiate
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from aetl.task.classification import Classification
from aetl.transfer.base import Step, Stream, TransferStrategy
from aetl.transfer.feature.cdan import Cdan
from aetl.transfer.feature.dann import reversal
from aetl.transfer.feature.deep_jdot import DeepJdot
from aetl.transfer.feature.mmd import Mmd
from tests.transfer.build import CLASSES, normal, small_network, step, view

pytestmark = pytest.mark.usefixtures("float64")
CONF = Path(__file__).parents[2] / "conf" / "transfer"

FEATURES, OUTPUT = "features", "output"
REACHED: dict[str, set[str]] = {
    # The features of both domains; no prediction is pulled where it is a condition.
    "feature/cdan": {"source.features", "target.features", "module"},
    "feature/coral": {"source.features", "target.features"},
    "feature/dann": {"source.features", "target.features", "module"},
    "feature/domain_separation": {"source.features", "target.features", "module"},
    "feature/mmd": {"source.features", "target.features"},
    # Here predictions are drawn together, too.
    "feature/deep_jdot": {"source.features", "target.features", "target.output"},
    "feature/jan": {"source.features", "source.output", "target.features", "target.output"},
    "feature/drcn": {"encoder", "decoder"},
    # The second classifier and the features that it sees; the prediction that it disputes is held.
    "feature/mdd": {"source.features", "target.features", "module"},
    "feature/mcc": {"target.output"},
    # The head's weights are the centres, and the clusters' targets are held.
    "feature/dec": {"labelled.output"},
    "feature/idec": {"labelled.output", "encoder", "decoder"},
    "feature/mlp_head": {"head"},
    "feature/sgd_probe": {"head"},
    "instance/pseudo_labels": {"target.output"},
    "parameter/bss": {"labelled.features"},
    "parameter/decoder_transfer": {"encoder", "decoder"},
    "parameter/delta": {"encoder", "head"},
    "parameter/distillation": {"target.features", "target.output"},
    "parameter/keep_reconstructing": {"encoder", "decoder"},
    "parameter/l2_sp": {"encoder", "decoder", "head"},
}


def strategies_with_a_penalty() -> dict[str, TransferStrategy]:
    found = {}
    for file in sorted(CONF.glob("*/*.yaml")):
        node = yaml.safe_load(file.read_text())
        if get_class(node["_target_"]).penalty is not TransferStrategy.penalty:
            found[f"{file.parent.name}/{file.stem}"] = instantiate(node)
    return found


STRATEGIES = strategies_with_a_penalty()


def cut(at: Step) -> tuple[Step, dict[str, Tensor]]:
    """The step with features and outputs that depend on nothing: what reaches them is seen."""
    leaves: dict[str, Tensor] = {}
    streams: dict[str, Stream] = {}
    for name, given in at.streams.items():
        of = {part: getattr(given, part).detach().requires_grad_() for part in (FEATURES, OUTPUT)}
        leaves |= {f"{name}.{part}": leaf for part, leaf in of.items()}
        streams[name] = given._replace(**of)
    return replace(at, streams=streams), leaves


def three_streams(network: Any) -> tuple[Step, dict[str, Tensor]]:
    return cut(
        step(
            network,
            labelled=normal(6, 1, 4, 4, seed=2),
            source=normal(5, 1, 4, 4),
            target=normal(4, 1, 4, 4, seed=1) + 0.5,
        )
    )


def test_every_strategy_with_a_penalty_says_what_its_gradient_reaches() -> None:
    assert STRATEGIES.keys() == REACHED.keys()


@pytest.mark.parametrize("name", REACHED)
def test_a_penalty_pulls_what_it_says_and_nothing_else(name: str) -> None:
    strategy = STRATEGIES[name]
    for bound in ("threshold", "start"):  # so that pseudo-labels count
        if hasattr(strategy, bound):
            setattr(strategy, bound, 0.0)
    network = small_network()
    strategy.adapt(network)
    labelled = normal(12, 1, 4, 4, seed=5)
    module = strategy.module(
        network, Classification(), view(network, target_labels=labelled, target_inputs=labelled)
    )
    start = three_streams(network)[0].initial
    with torch.no_grad():  # away from the start, where a distance to it has no gradient
        for parameter in network.parameters():
            parameter += 0.1 * normal(*parameter.shape, seed=parameter.numel())
    at, leaves = three_streams(network)
    at = replace(at, initial=start)
    layers = network.autoencoder.named_parameters()
    groups: dict[str, list[Tensor]] = {key: [leaf] for key, leaf in leaves.items()}
    groups |= {"encoder": [], "decoder": [], "head": list(network.head.parameters())}
    for key, parameter in layers:
        groups["decoder" if key.startswith("decoder") else "encoder"].append(parameter)
    groups["module"] = [p for p in module.parameters() if p.requires_grad] if module else []
    value = strategy.penalty(at, module)
    assert value is not None
    every = [tensor for tensors in groups.values() for tensor in tensors]
    gradients = iter(torch.autograd.grad(value, every, allow_unused=True))
    reached = set()
    for key, tensors in groups.items():
        found = [next(gradients) for _ in tensors]
        if any(g is not None and bool(g.abs().max() > 0) for g in found):
            reached.add(key)
    assert reached == REACHED[name]


def gradients_of(value: Tensor, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
    pairs = zip(leaves, found, strict=True)
    return {name: torch.zeros(()) if g is None else g for name, g in pairs}


@pytest.mark.parametrize("entropy", [False, True])
def test_cdan_holds_probabilities_and_certainty_constant(entropy: bool) -> None:
    network = small_network()
    strategy = Cdan(weight=2.0, gamma=10.0, hidden=4, entropy=entropy)
    judge = strategy.module(network, Classification(), view(network))
    at, leaves = three_streams(network)
    expected = torch.zeros(())
    for domain, label in (("source", 1.0), ("target", 0.0)):
        p = torch.tensor(leaves[f"{domain}.output"].softmax(1).tolist())
        certain = torch.tensor((1 + (p * p.log()).sum(1).exp()).tolist())
        features = leaves[f"{domain}.features"]
        product = (p[:, :, None] * features[:, None]).flatten(1)
        logits = judge(product)[:, 0]
        each = binary_cross_entropy_with_logits(
            logits, torch.full_like(logits, label), reduction="none"
        )
        weight = certain if entropy else torch.ones_like(certain)
        expected = expected + 2.0 * 0.5 * (each * weight / weight.sum()).sum()
    known = gradients_of(expected, leaves)
    found = gradients_of(strategy.penalty(at, judge), leaves)
    for name in leaves:  # it is reversed on its way into the features
        torch.testing.assert_close(found[name], -reversal(at.progress, 10.0) * known[name])


@pytest.mark.parametrize("scales", [[1.0], [0.5, 2.0]])
def test_mmd_holds_its_bandwidth_constant(scales: list[float]) -> None:
    at, leaves = three_streams(small_network())
    source, target = leaves["source.features"], leaves["target.features"]
    both = torch.cat([source, target])
    squared = torch.cdist(both, both).square()
    n, m = len(source), len(target)
    mean = float(squared.detach().sum()) / ((n + m) * (n + m - 1))
    sign = torch.cat([torch.full((n,), 1 / n), torch.full((m,), -1 / m)])
    distance = (both[:, None] - both[None]).square().sum(2)
    kernel = sum(torch.exp(-distance / (scale * mean)) for scale in scales) / len(scales)
    known = gradients_of(sign @ kernel @ sign, leaves)
    found = gradients_of(Mmd(weight=1.0, scales=scales).penalty(at, None), leaves)
    for name in leaves:
        torch.testing.assert_close(found[name], known[name])


def test_deep_jdot_holds_its_plan_constant() -> None:
    pytest.importorskip("ot")
    at, leaves = three_streams(small_network())
    source, target = leaves["source.features"], leaves["target.features"]
    strategy = DeepJdot(alpha=0.3, weight=0.7)
    found = gradients_of(strategy.penalty(at, None), leaves)
    distance = (source[:, None] - target[None]).square().sum(2)
    surprise = -leaves["target.output"].log_softmax(1)[:, at.streams["source"].y].T
    cost = 0.3 * distance + 0.7 * surprise
    import ot

    plan = torch.as_tensor(ot.emd([], [], cost.detach().numpy()))
    known = gradients_of((plan * cost).sum(), leaves)
    for name in leaves:
        torch.testing.assert_close(found[name], known[name])


def test_pseudo_labels_are_constants() -> None:
    """The gradient is that of the cross-entropy with the likeliest class, which does not move."""
    at, leaves = three_streams(small_network())
    strategy = STRATEGIES["instance/pseudo_labels"]
    strategy.threshold, strategy.start = 0.0, 0.0  # type: ignore[attr-defined]
    found = gradients_of(strategy.penalty(at, None), leaves)["target.output"]
    output = leaves["target.output"].detach()
    label = torch.eye(CLASSES)[output.argmax(1)]
    ramp = strategy.ramp(at.progress)  # type: ignore[attr-defined]
    torch.testing.assert_close(found, ramp * (output.softmax(1) - label) / len(output))
