"""Freezing and rates by depth: which parameter trains how fast, and when."""

from __future__ import annotations

import pytest

from aetl.transfer.base import Group
from aetl.transfer.network import Network
from aetl.transfer.parameter.freeze import Freeze
from aetl.transfer.parameter.gradual_unfreezing import GradualUnfreezing
from aetl.transfer.parameter.layerwise_decay import LayerwiseDecay
from aetl.transfer.parameter.lp_ft import LpFt
from tests.transfer.build import small_network

LAYERS = ("encoder.1.", "encoder.2.", "bottleneck.", "head.")


def scales(network: Network, groups: list[Group], progress: float = 0.0) -> list[set[float]]:
    """For each layer the multiples of the rate at which its parameters train (0: frozen)."""
    by_id = {id(p): group.at(progress) for group in groups for p in group.parameters}
    named = list(network.named_parameters())
    return [{by_id.get(id(p), 0.0) for name, p in named if layer in name} for layer in LAYERS]


@pytest.mark.parametrize("backbone", ["mlp", "conv"])
def test_depth_goes_from_the_input_to_the_head_whatever_the_backbone(backbone: str) -> None:
    network = small_network(backbone)
    layers = LAYERS if backbone == "mlp" else ("encoder.0.", "encoder.1.", *LAYERS[2:])
    groups = LayerwiseDecay(decay=0.5).groups(network)
    by_id = {id(p): group.scale for group in groups for p in group.parameters}
    named = dict(network.named_parameters())
    found = [{by_id[id(p)] for name, p in named.items() if layer in name} for layer in layers]
    assert found == [{0.125}, {0.25}, {0.5}, {1.0}]
    assert not any(id(p) in by_id for name, p in named.items() if "decoder" in name)


@pytest.mark.parametrize(
    "layers, expected",
    [
        (0, [1, 1, 1, 1]),
        (1, [0, 1, 1, 1]),
        (2, [0, 0, 1, 1]),
        (9, [0, 0, 0, 1]),
        (-1, [0, 0, 1, 1]),
    ],
)
def test_the_first_layers_are_frozen(layers: int, expected: list[float]) -> None:
    network = small_network()
    found = scales(network, Freeze(layers=layers).groups(network))
    assert found == [{scale} for scale in expected]


def test_layers_wake_from_the_top_down_and_warm_up() -> None:
    network = small_network()
    groups = GradualUnfreezing(unfrozen_by=0.6, warmup=0.1).groups(network)
    awake = {0.0: [0, 0, 0, 1], 0.19: [0, 0, 0, 1], 0.21: [0, 0, 1, 1], 0.41: [0, 1, 1, 1]}
    for progress, expected in (awake | {0.61: [1, 1, 1, 1]}).items():
        found = scales(network, groups, progress)
        assert [scale > 0 for (scale,) in found] == [bool(e) for e in expected], progress
    # 0.2 + half of the warm-up: half-way between 0.1 and 1.
    assert max(scales(network, groups, 0.25)[2]) == pytest.approx(0.55)
    assert scales(network, groups, 1.0) == [{1.0}] * 4


def test_probe_comes_first_and_fine_tuning_after_it() -> None:
    network = small_network()
    groups = LpFt(probe=0.5, encoder_scale=0.1).groups(network)
    assert scales(network, groups, 0.49) == [{0.0}, {0.0}, {0.0}, {1.0}]
    assert scales(network, groups, 0.5) == [{0.1}, {0.1}, {0.1}, {1.0}]
