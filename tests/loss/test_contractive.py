"""The contractive penalty against autograd's Jacobian and the closed form of one sigmoid layer."""

from __future__ import annotations

import torch
from torch.autograd.functional import jacobian

from aetl.autoencoder.composite import Composite
from aetl.backbone.vit import ViT
from aetl.bottleneck.linear import Linear
from aetl.corruption.none import NoCorruption
from aetl.loss.contractive import Contractive
from aetl.rng import Rng
from tests.loss.draw import normal, small_autoencoder

RNG = Rng.of(0, "test")


def by_jacobian(model: Composite, x: torch.Tensor) -> torch.Tensor:
    return torch.stack([jacobian(model.features, one[None]).square().sum() for one in x])


def test_exact_penalty_is_the_squared_frobenius_norm_of_autograds_jacobian() -> None:
    model, x = small_autoencoder(2, 3, 2), normal(5, 2, 3, 2)
    value = Contractive(weight=1.0, probes=None)(x, model, RNG)
    torch.testing.assert_close(value, by_jacobian(model, x), rtol=1e-10, atol=0)


def test_one_sigmoid_layer_has_the_papers_closed_form() -> None:
    """``sum_j (h_j (1 - h_j))^2 sum_i W_ji^2``."""
    model, x = small_autoencoder(6), normal(5, 6)
    model.encoder = torch.nn.Sequential()
    layer = model.bottleneck.project[1] = torch.nn.Linear(6, 3).double()
    h = torch.sigmoid(layer(x))
    closed = ((h * (1 - h)).square() * layer.weight.square().sum(1)).sum(1)
    value = Contractive(weight=1.0, probes=None)(x, model, RNG)
    torch.testing.assert_close(value, closed, rtol=1e-10, atol=0)


def test_hutchinsons_estimate_is_unbiased() -> None:
    model, x = small_autoencoder(6), normal(2, 6)
    exact = by_jacobian(model, x)
    many = Contractive(weight=1.0, probes=4000)(x, model, RNG)
    torch.testing.assert_close(many, exact, rtol=0.05, atol=0)


def test_its_gradient_reaches_the_encoder_and_is_right() -> None:
    model, x = small_autoencoder(4), normal(3, 4)
    weight = model.bottleneck.project[1].weight
    term = Contractive(weight=1.0, probes=None)

    def total() -> torch.Tensor:
        return term(x, model, RNG).sum()

    (gradient,) = torch.autograd.grad(total(), weight)
    step = 1e-5
    with torch.no_grad():
        weight[0, 0] += step
        up = total()
        weight[0, 0] -= 2 * step
        down = total()
    assert abs(float((up - down) / (2 * step) - gradient[0, 0])) < 1e-7


def test_it_can_be_computed_in_inference_mode_where_lightning_validates() -> None:
    model = small_autoencoder(4)
    x = normal(3, 4)
    expected = Contractive(weight=1.0, probes=None)(x, model, RNG)
    with torch.inference_mode():
        value = Contractive(weight=1.0, probes=None)(x.clone(), model, RNG)
    torch.testing.assert_close(value.clone(), expected.detach())


def test_it_differentiates_attention_twice() -> None:
    vit = ViT(
        patch_size=2,
        dim=4,
        depth=1,
        heads=2,
        decoder_dim=4,
        decoder_depth=1,
        dropout=0.0,
        mlp_ratio=4,
        activation="gelu",
        spectral_norm="none",
    )
    model = Composite(
        (1, 4, 4),
        corruption=NoCorruption(),
        backbone=vit,
        bottleneck=lambda h: Linear(h, latent_dim=3, activation="none"),
    ).double()
    x = normal(2, 1, 4, 4)
    value = Contractive(weight=1.0, probes=None)(x, model, RNG)
    torch.testing.assert_close(value, by_jacobian(model, x), rtol=1e-9, atol=0)
    value.sum().backward()
    assert all(p.grad is not None for p in model.encoder[:-1].parameters())
