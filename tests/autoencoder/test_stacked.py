"""Layers of a stack train one after the other, through the real stage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from aetl.autoencoder.stacked import Stacked
from aetl.loss.target_error import TargetError
from aetl.rng import Rng
from aetl.stage.pretrain import build_autoencoder
from aetl.types import UserError
from tests.stage.test_resume import assert_equal, compute, interrupted, result
from tests.tiny import World, differing, tiny_config

STACK = (
    "autoencoder=stacked_denoising",
    "backbone.hidden=[16,12]",
    "backbone.norm=batch",
    "bottleneck.latent_dim=8",
)
LAYERS = (
    ("encoder.1", "decoder.3"),
    ("encoder.2", "decoder.2"),
    ("bottleneck", "decoder.1"),
)
"""The parts of each layer; 4 x 3 steps are 3 for each layer and 3 for all together."""


def stacked(tmp_path: Path, *overrides: str) -> Stacked:
    model = build_autoencoder(tiny_config(tmp_path, *STACK, *overrides), (1, 8, 8))
    assert isinstance(model, Stacked)
    return model


def at(progress: float) -> Rng:
    return replace(Rng.of(0), progress=progress)


def test_layers_have_equal_shares_and_the_rest_is_all_together(tmp_path: Path) -> None:
    model = stacked(tmp_path)
    steps = [model.layer_at(step / 12) for step in range(12)]
    assert steps == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    alone = stacked(tmp_path, "autoencoder.finetune=0.0")
    assert [alone.layer_at(step / 6) for step in range(7)] == [0, 0, 1, 1, 2, 2, 3]
    assert stacked(tmp_path, "autoencoder.finetune=1.0").layer_at(0.0) == 3


def test_a_layer_reconstructs_the_clean_codes_below_from_corrupted_ones(tmp_path: Path) -> None:
    model, x = stacked(tmp_path).eval(), torch.rand(5, 1, 8, 8)
    output = model(x, at(0.3))
    codes = model.features(x, "encoder.1")
    torch.testing.assert_close(output.target, codes)
    masked = model.corruption(codes, at(0.3).fork("corruption"))
    torch.testing.assert_close(output.corrupted, masked)
    assert not torch.equal(masked, codes)
    expected = model.decoder[2](model.encoder[2](masked))
    torch.testing.assert_close(output.reconstruction, expected)
    error = (expected - codes).square().sum(1)
    torch.testing.assert_close(TargetError(weight=1.0)(output.reconstruction, output.target), error)


def test_without_a_source_of_noise_it_is_the_whole_autoencoder(tmp_path: Path) -> None:
    model, x = stacked(tmp_path).eval(), torch.rand(5, 1, 8, 8)
    output = model(x)
    torch.testing.assert_close(output.reconstruction, model.decode(model.features(x)))
    assert torch.equal(output.target, x)


class Snapshots(pl.Callback):
    """The weights after every step."""

    states: list[dict[str, torch.Tensor]] = []  # noqa: RUF012

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        state = module.autoencoder.state_dict()
        Snapshots.states.append({name: tensor.clone() for name, tensor in state.items()})


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_weights_and_statistics_of_a_layer_move_in_its_own_steps_alone(
    optimizer: str, tmp_path: Path
) -> None:
    Snapshots.states = []
    watch = "+callback.snapshots._target_=tests.autoencoder.test_stacked.Snapshots"
    steps = ("pretrain.max_steps=12", f"optimizer={optimizer}", "optimizer.lr=0.01", watch)
    World(tmp_path, *STACK, *steps, "source.validation_fraction=0.0").pretrain()
    states = Snapshots.states
    assert len(states) == 12
    for step in range(1, 12):
        moved = differing(states[step - 1], states[step])
        layer = step // 3
        parts = LAYERS[layer] if layer < 3 else tuple(p for pair in LAYERS for p in pair)
        allowed = {n for n in states[0] if n.startswith(tuple(f"{part}." for part in parts))}
        assert moved == allowed


def test_a_deeper_reconstruction_beats_the_untrained_one_and_greedy_training_helps_it(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, *STACK, "optimizer.lr=0.01", "pretrain.max_steps=120")
    x = world.domains.source.pool.inputs()

    def error(model: torch.nn.Module) -> float:
        return float((model.eval()(x).reconstruction - x).square().sum((1, 2, 3)).mean().detach())

    untrained = build_autoencoder(world.cfg, (1, 8, 8))
    greedy = world.but("autoencoder.finetune=0.0")
    errors = [error(untrained)]
    for other in (greedy, world):
        model = build_autoencoder(other.cfg, (1, 8, 8))
        model.load_state_dict(other.pretrain().state)
        errors.append(error(model))
    assert errors[1] < 0.7 * errors[0]
    assert errors[2] < 0.9 * errors[1]


def test_a_resumed_stack_equals_the_uninterrupted_one(tmp_path: Path) -> None:
    """Cut within the first layer, between layers, and in the joint steps."""
    saving = "callback.resume_point.every_n_steps=1"
    plain = World(tmp_path / "plain", *STACK, "pretrain.max_steps=12")
    resumed = interrupted(tmp_path / "cut", "pretrain", [2, 6, 10], *STACK, saving)
    assert_equal(resumed, result(compute(plain, "pretrain")))


@pytest.mark.parametrize(
    "overrides, said",
    [
        (("backbone=vit",), "are not mirrored by"),
        (("bottleneck=normal",), "takes a plain code"),
        (("autoencoder.finetune=1.5",), "finetune=1.5: must be 0 to 1"),
    ],
    ids=["vit", "normal", "finetune"],
)
def test_what_does_not_stack_is_refused_in_a_line(
    overrides: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    cfg = tiny_config(tmp_path, "autoencoder=stacked_denoising", *overrides)
    with pytest.raises(UserError, match=said) as caught:
        build_autoencoder(cfg, (1, 8, 8))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("backbone", ["conv", "conv_pool", "conv_pool switches", "resnet"])
def test_convolutional_layers_stack_too(backbone: str, tmp_path: Path) -> None:
    name, _, upsample = backbone.partition(" ")
    options = ["backbone.width=4" if name == "resnet" else "backbone.channels=[4,6]"]
    options += [f"backbone.upsample={upsample}"] if upsample else []
    cfg = tiny_config(tmp_path, "autoencoder=stacked_denoising", f"backbone={name}", *options)
    model = build_autoencoder(cfg, (3, 7, 5))
    assert isinstance(model, Stacked)
    for number in range(len(model.down)):
        progress = 0.75 * (number + 0.5) / len(model.down)
        output = model(torch.rand(4, 3, 7, 5), at(progress))
        assert output.reconstruction.shape == output.target.shape
