"""The receipt of a transfer, and what it does where the weights fit in part or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate

from aetl.stage.arm import build_network
from aetl.stage.pretrain import Pretrained
from aetl.stage.receipt import Receipt, frozen_modules, load_pretrained, tensors
from aetl.transfer.network import Network
from aetl.types import UserError
from tests.tiny import MLP, World, receipt, same_bits, weights


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"), *MLP)


@pytest.fixture
def network(world: World) -> Network:
    target = world.domains.target
    labelled = target.pool.subset(target.split.labelled)
    return build_network(world.cfg, world.domains, instantiate(world.cfg.task), labelled)


def test_weights_of_which_nothing_matters_are_refused(network: Network) -> None:
    count = len([name for name in network.in_use() if name.startswith("autoencoder.")])
    everything = len(network.autoencoder.state_dict())
    message = rf"none of the encoder's {count} tensors matches .*\({everything} missing, 0 of"
    with pytest.raises(UserError, match=message):
        load_pretrained(network, {"conv1.weight": torch.zeros(3)}, Receipt.start(network))


def test_a_decoder_that_matches_alone_is_no_transfer(network: Network) -> None:
    """The prediction does not depend on it."""
    state = network.autoencoder.state_dict()
    decoder = {name: t for name, t in state.items() if name.startswith("decoder.")}
    with pytest.raises(UserError, match="none of the encoder's"):
        load_pretrained(network, decoder, Receipt.start(network))


def test_what_fits_is_copied_and_the_rest_is_listed(network: Network) -> None:
    before = {name: t.clone() for name, t in tensors(network).items()}
    state = {name: torch.randn_like(t) for name, t in network.autoencoder.state_dict().items()}
    del state["encoder.1.0.bias"]
    state["bottleneck.project.1.weight"] = torch.zeros(7, 16)
    state["something.else"] = torch.zeros(1)
    noted = Receipt.start(network)
    load_pretrained(network, state, noted)
    assert noted.missing == ["autoencoder.encoder.1.0.bias"]
    assert noted.skipped == ["autoencoder.bottleneck.project.1.weight"]
    assert len(noted.matched) == len(network.autoencoder.state_dict()) - 2
    for name, tensor in tensors(network).items():
        source = state[name.removeprefix("autoencoder.")] if name in noted.matched else before[name]
        assert same_bits(tensor, source), name


def test_the_start_is_after_the_pretrained_weights_came_in(network: Network) -> None:
    noted = Receipt.start(network)
    state = {name: torch.randn_like(t) for name, t in network.autoencoder.state_dict().items()}
    load_pretrained(network, state, noted)
    noted.trained(network, [])
    assert noted.changed == []
    with torch.no_grad():
        network.head.bias[0] += 1.0
    noted.trained(network, [])
    assert noted.changed == ["head.bias"]


def test_modules_without_parameters_of_their_own_count_as_their_children_do() -> None:
    inner = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout())
    outer = torch.nn.Sequential(inner, torch.nn.Linear(2, 2))
    awake = {id(parameter) for parameter in outer[1].parameters()}
    assert set(frozen_modules(outer, awake)) == {inner, inner[0]}


def test_a_checkpoint_of_a_wider_code_fits_in_part(world: World, tmp_path: Path) -> None:
    """Through the stage, from the file of another run."""
    state = dict(world.pretrain().state)
    other = World(tmp_path, "backbone.hidden=[16]", "bottleneck.latent_dim=5")
    entry = other.transfer(pretrained=Pretrained(state, None))
    said = receipt(entry)
    assert set(said["skipped"]) == {
        "autoencoder.bottleneck.project.1.weight",
        "autoencoder.bottleneck.project.1.bias",
        "autoencoder.decoder.1.0.weight",
    }
    assert "autoencoder.encoder.1.0.weight" in said["matched"]
    kept = "autoencoder.decoder.2.0.weight"  # matched, and never trained
    assert same_bits(weights(entry)[kept], state["decoder.2.0.weight"])


def test_checkpoints_that_differ_give_different_entries(world: World) -> None:
    """Also where every tensor has the same sum."""
    state = dict(world.pretrain().state)
    other = {name: tensor.flip(0) for name, tensor in state.items()}
    entries = [world.transfer(pretrained=Pretrained(s, None)) for s in (state, other)]
    assert entries[0].path != entries[1].path
    again = world.transfer(pretrained=Pretrained({k: v.clone() for k, v in state.items()}, None))
    assert again.path == entries[0].path
