"""A masked autoencoder sees visible patches alone and is judged on hidden ones alone."""

from __future__ import annotations

import pytest
import torch

from aetl.autoencoder.mae import MAE
from aetl.backbone.vit import ViT
from aetl.loss.masked_error import MaskedError
from aetl.rng import Rng
from aetl.types import UserError
from tests.backbones import mlp

SHAPE = (3, 7, 5)
PATCHES = 4 * 3


def mae(*, normalise: bool = False, mask_fraction: float = 0.75) -> MAE:
    torch.manual_seed(0)
    vit = ViT(
        patch_size=2,
        dim=8,
        depth=2,
        heads=2,
        decoder_dim=4,
        decoder_depth=1,
        dropout=0.0,
        mlp_ratio=4,
        activation="gelu",
        spectral_norm="none",
    )
    return MAE(SHAPE, backbone=vit, mask_fraction=mask_fraction, normalise=normalise).double()


def images(n: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(n, *SHAPE, generator=generator, dtype=torch.float64)


def test_what_is_hidden_changes_nothing_but_the_target() -> None:
    model, x = mae(), images(4)
    output = model(x, Rng.of(0))
    other = model(x + output.hidden * torch.rand_like(x), Rng.of(0))
    assert torch.equal(other.hidden, output.hidden)
    torch.testing.assert_close(other.reconstruction, output.reconstruction, rtol=0, atol=0)
    seen = model(x + (1 - output.hidden), Rng.of(0))
    assert not torch.allclose(seen.reconstruction, output.reconstruction)


def test_the_latent_is_the_encoding_of_visible_tokens_alone_and_mask_tokens_elsewhere() -> None:
    model, x = mae(), images(3)
    output = model(x, Rng.of(0))
    grid = output.hidden[:, 0, ::2, ::2].flatten(1).bool()
    assert (grid.sum(1) == round(0.75 * PATCHES)).all()
    latent = output.latent.flatten(2).transpose(1, 2)
    for i in range(3):
        tokens = model.encoder[0](x[i : i + 1])[:, ~grid[i]]
        for block in model.encoder[1:-1]:
            tokens = block(tokens)
        torch.testing.assert_close(latent[i, ~grid[i]], model.encoder[-1].norm(tokens)[0])
        torch.testing.assert_close(
            latent[i, grid[i]], model.mask_token.expand(int(grid[i].sum()), -1)
        )


def test_features_are_the_encoding_of_the_whole_image() -> None:
    model, x = mae(), images(3)
    torch.testing.assert_close(model.features(x), model.encoder(x))
    torch.testing.assert_close(model(x).latent, model.features(x))
    assert model(x).hidden.sum() == 0


def test_normalised_targets_have_mean_zero_and_deviation_one_in_each_patch() -> None:
    x = images(2)
    target = mae(normalise=True)(x, Rng.of(0)).target
    for i, j in ((0, 0), (4, 2)):  # patches that the border does not cut
        patch = x[:, :, i : i + 2, j : j + 2].flatten(1)
        expected = (patch - patch.mean(1, keepdim=True)) / patch.std(1, keepdim=True)
        ours = target[:, :, i : i + 2, j : j + 2].flatten(1)
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_the_loss_sums_squared_errors_of_hidden_pixels_over_all_channels() -> None:
    model, x = mae(), images(3)
    output = model(x, Rng.of(0))
    squared = (output.reconstruction - x).square()
    by_hand = [squared[i][:, output.hidden[i, 0] == 1].sum() for i in range(3)]
    value = MaskedError(weight=1.0)(output.reconstruction, output.target, output.hidden)
    torch.testing.assert_close(value, torch.stack(by_hand))
    value.sum().backward()
    assert model.mask_token.grad is not None
    assert model.mask_token.grad.abs().max() > 0


def test_hiding_all_or_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="hides 12 of 12 patches"):
        mae(mask_fraction=0.99)


def test_other_backbones_are_refused_with_what_to_use() -> None:
    backbone = mlp(4, activation="relu")
    with pytest.raises(UserError, match="MLP cannot: use backbone=vit, or autoencoder=masked"):
        MAE(SHAPE, backbone=backbone, mask_fraction=0.5, normalise=False)


@pytest.mark.parametrize("mask_fraction", [0.2, 0.75])
def test_what_is_reported_of_a_patch_was_predicted_without_that_patch(mask_fraction: float) -> None:
    model, x = mae(mask_fraction=mask_fraction), images(1)
    for row in range(0, 7, 2):
        for column in range(0, 5, 2):
            patch = (slice(None), slice(None), slice(row, row + 2), slice(column, column + 2))
            x.requires_grad_().grad = None
            model.reconstruct(x)[patch].sum().backward()
            assert x.grad is not None
            assert not x.grad[patch].any()
            assert x.grad.any()


def test_normalised_predictions_are_reported_on_the_scale_of_their_true_patches() -> None:
    """A decoder that says -1 and 1 by turns gives each patch's mean and standard deviation."""
    model, x = mae(normalise=True), images(2)
    signs = torch.ones(SHAPE, dtype=x.dtype)
    signs[:, ::2] = -1.0

    def decode(z: torch.Tensor) -> torch.Tensor:
        return signs.expand(len(z), *SHAPE)

    model.decode = decode  # type: ignore[method-assign]
    found = model.reconstruct(x)
    patch = x[0, :, 2:4, 2:4]
    mean, std = patch.mean(), (patch.var() + 1e-6).sqrt()
    for row, sign in ((2, -1.0), (3, 1.0)):
        expected = (mean + sign * std).expand(3, 2)
        torch.testing.assert_close(found[0, :, row, 2:4], expected)
