"""The distance of features against layers called by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torchvision.models import squeezenet1_1

from aetl.loss.objective import Objective
from aetl.loss.perceptual import FixedEncoder, Perceptual, RunEncoder, TorchvisionEncoder
from aetl.stage.pretrain import build_autoencoder
from aetl.types import UserError
from tests.loss.draw import normal
from tests.tiny import MLP, World, tiny_config

LAYERS = ["features.2", "features.6"]
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def squeezenet(weights: str | None = None, size: int | None = None) -> TorchvisionEncoder:
    return TorchvisionEncoder(name="squeezenet1_1", weights=weights, size=size, seed=3)


def perceptual(encoder: FixedEncoder, layers: list[str] = LAYERS) -> Perceptual:
    return Perceptual(weight=1.0, layers=layers, encoder=encoder)


def test_it_is_the_mean_squared_difference_of_each_layer_called_by_hand(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = squeezenet1_1(weights=None).eval()
    torch.save(net.state_dict(), tmp_path / "weights.pth")
    r, x = normal(2, 1, 33, 40).float(), normal(2, 1, 33, 40, seed=1).float()
    value = perceptual(squeezenet(str(tmp_path / "weights.pth")))(r, x)
    expected = torch.zeros(2)
    for depth in (3, 7):
        a, b = (
            net.features[:depth]((z.repeat(1, 3, 1, 1) - MEAN[:, None, None]) / STD[:, None, None])
            for z in (r, x)
        )
        expected += (a - b).square().mean((1, 2, 3)).detach()
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)


def test_the_image_gets_a_gradient_and_the_encoder_neither_that_nor_train_mode() -> None:
    term = perceptual(
        TorchvisionEncoder(name="mobilenet_v3_small", weights=None, size=32, seed=0), ["features.1"]
    )
    objective = Objective({"perceptual": term})
    objective.train()
    r = torch.rand(2, 3, 8, 8, requires_grad=True)
    x = torch.rand(2, 3, 8, 8)
    first = term(r, x)
    first.sum().backward()
    assert r.grad is not None
    assert r.grad.any()
    assert list(objective.parameters()) == []
    # Batch norm neither used the batch nor moved its statistics.
    torch.testing.assert_close(term(r[:1], x[:1]), first[:1])
    torch.testing.assert_close(term(r, x), first)


def test_random_weights_follow_from_the_seed_alone() -> None:
    r, x = torch.rand(2, 1, 33, 33), torch.rand(2, 1, 33, 33)
    state = torch.random.get_rng_state()
    one = perceptual(squeezenet())(r, x)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(7)
    assert torch.equal(perceptual(squeezenet())(r, x), one)


def test_layers_of_an_earlier_runs_autoencoder_serve_too(tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path, *MLP, "seed=5")
    model = build_autoencoder(cfg, (1, 8, 8)).eval()
    (tmp_path / "checkpoints").mkdir()
    torch.save(model.state_dict(), tmp_path / "checkpoints" / "autoencoder.pt")
    OmegaConf.save(cfg, tmp_path / "config.yaml", resolve=True)
    r, x = torch.rand(3, 1, 8, 8), torch.rand(3, 1, 8, 8)
    value = perceptual(RunEncoder(run=str(tmp_path)), ["encoder.1", "bottleneck.project"])(r, x)
    expected = torch.zeros(3)
    for layer in ("encoder.1", "latent"):
        a, b = model.features(r, layer), model.features(x, layer)
        expected += (a - b).square().mean(1).detach()
    torch.testing.assert_close(value, expected)
    with pytest.raises(UserError, match="the weights cannot be loaded"):
        perceptual(RunEncoder(run=str(tmp_path)), ["encoder"])(r[..., :7], x[..., :7])


def test_a_run_trains_with_it_and_keeps_no_weights_of_it(tmp_path: Path) -> None:
    loss = ("loss=[mse,perceptual]", "loss.perceptual.encoder.size=32")
    pretrained = World(tmp_path, *MLP, *loss, "pretrain.max_steps=2").pretrain()
    assert all(name.startswith(("encoder", "bottleneck", "decoder")) for name in pretrained.state)


@pytest.mark.parametrize(
    "encoder, layers, said",
    [
        (squeezenet(), ["features.99"], "no layer features.99"),
        (squeezenet(weights="none.pth"), LAYERS, "encoder.weights=none.pth: the weights cannot"),
        (RunEncoder(run="nowhere"), LAYERS, "run=nowhere: no run's folder"),
        (
            TorchvisionEncoder(name="resnet17", weights=None, size=None, seed=0),
            LAYERS,
            "name=resnet17: no model of torchvision's",
        ),
    ],
)
def test_mistakes_are_told_in_a_line(encoder: FixedEncoder, layers: list[str], said: str) -> None:
    x = torch.rand(1, 3, 33, 33)
    with pytest.raises(UserError, match=said) as caught:
        perceptual(encoder, layers)(x, x)
    assert "\n" not in str(caught.value)


def test_vectors_are_refused() -> None:
    with pytest.raises(UserError, match="takes grey or RGB images"):
        perceptual(squeezenet())(torch.rand(2, 9), torch.rand(2, 9))


def test_images_that_are_too_small_for_the_encoder_are_refused() -> None:
    term = Perceptual(weight=1.0, layers=["features.2"], encoder=squeezenet(size=1))
    x = torch.rand(2, 1, 8, 8)
    with pytest.raises(UserError, match=r"cannot take images that small .*size=64"):
        term(x, x)
