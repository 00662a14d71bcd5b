"""Quantisers against vector-quantize-pytorch (where it is installed) and against brute force."""

from __future__ import annotations

import pytest
import torch

from aetl.bottleneck.finite_scalar import FiniteScalar
from aetl.bottleneck.tokens import Tokens
from aetl.bottleneck.vector_quantized import VectorQuantized
from aetl.loss.vector_quantization import VectorQuantization
from aetl.types import UserError


def vector_quantized(shape: tuple[int, ...]) -> VectorQuantized:
    torch.manual_seed(0)
    bottleneck = VectorQuantized(shape, tokens=3, dim=4, codes=10).double()
    with torch.no_grad():
        bottleneck.codebook.normal_()
    return bottleneck


@pytest.mark.parametrize("shape", [(6,), (6, 2, 3)])
def test_every_token_takes_its_nearest_code(shape: tuple[int, ...]) -> None:
    bottleneck = vector_quantized(shape)
    h = torch.randn(5, *shape, dtype=torch.float64)
    code = bottleneck(h, None)
    distances = (code.before[:, :, None] - bottleneck.codebook).square().sum(3)
    assert torch.equal(code.index, distances.argmin(2))
    torch.testing.assert_close(code.after, bottleneck.codebook[code.index])
    assert code.latent.shape == (5, *bottleneck.latent_shape)
    torch.testing.assert_close(code.latent, bottleneck.tokens.latent(code.after))


def test_the_latents_gradient_goes_to_the_encoder_unchanged_and_not_to_the_codes() -> None:
    bottleneck = vector_quantized((6,))
    h = torch.randn(5, 6, dtype=torch.float64)
    pick = torch.randn(5, 12, dtype=torch.float64)
    code = bottleneck(h, None)
    weight = bottleneck.tokens.project[1].weight
    ours = torch.autograd.grad((code.latent * pick).sum(), weight, retain_graph=True)
    straight = torch.autograd.grad((code.before.flatten(1) * pick).sum(), weight, retain_graph=True)
    torch.testing.assert_close(ours, straight)
    (codes,) = torch.autograd.grad(
        (code.latent * pick).sum(), bottleneck.codebook, allow_unused=True
    )
    assert codes is None


def test_loss_is_equation_3_with_each_part_reaching_its_own_side() -> None:
    before = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    after = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    value = VectorQuantization(weight=1.0, commitment=0.25)(before, after)
    squared = (before - after).detach().square().sum((1, 2))
    torch.testing.assert_close(value.detach(), 1.25 * squared)
    to_encoder, to_codes = torch.autograd.grad(value.sum(), (before, after))
    torch.testing.assert_close(to_encoder, 0.25 * 2 * (before - after).detach())
    torch.testing.assert_close(to_codes, 2 * (after - before).detach())


def test_vector_quantisation_is_that_of_the_library() -> None:
    library = pytest.importorskip("vector_quantize_pytorch")
    bottleneck = vector_quantized((6,))
    reference = library.VectorQuantize(dim=4, codebook_size=10, commitment_weight=1.0).double()
    reference.codebook = bottleneck.codebook.detach()
    code = bottleneck(torch.randn(5, 6, dtype=torch.float64), None)
    quantized, index, _ = reference.eval()(code.before)
    torch.testing.assert_close(quantized, code.after)
    assert torch.equal(index, code.index)


def identity_tokens(bottleneck: FiniteScalar, dim: int) -> None:
    with torch.no_grad():
        project = bottleneck.tokens.project[1]
        project.weight.copy_(torch.eye(2 * dim))
        project.bias.zero_()


@pytest.mark.parametrize("levels", [[8, 5, 5, 5], [6, 3, 4, 7], [8, 6]])
def test_finite_scalar_quantisation_is_that_of_the_library(levels: list[int]) -> None:
    library = pytest.importorskip("vector_quantize_pytorch")
    dim = len(levels)
    bottleneck = FiniteScalar((2 * dim,), tokens=2, levels=levels)
    identity_tokens(bottleneck, dim)
    h = 2.0 * torch.randn(400, 2, dim)
    code = bottleneck(h.flatten(1), None)
    quantized, index = library.FSQ(levels=levels)(h)
    torch.testing.assert_close(code.after, quantized)
    assert torch.equal(code.index, index.long())


def test_every_level_is_reached_and_the_gradient_passes_the_rounding() -> None:
    bottleneck = FiniteScalar((4,), tokens=2, levels=[4, 5])
    identity_tokens(bottleneck, 2)
    h = torch.linspace(-4, 4, 400)[:, None].expand(-1, 4).clone().requires_grad_()
    code = bottleneck(h, None)
    assert code.after[..., 0].unique().tolist() == [-1.0, -0.5, 0.0, 0.5]
    assert code.after[..., 1].unique().tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]
    (passed,) = torch.autograd.grad(code.latent.sum(), h, retain_graph=True)
    (smooth,) = torch.autograd.grad(code.before.sum(), h)
    torch.testing.assert_close(passed, smooth)


def test_tokens_of_a_map_are_its_positions() -> None:
    tokens = Tokens((6, 2, 3), tokens=99, dim=4)
    h = torch.randn(5, 6, 2, 3)
    t = tokens(h)
    torch.testing.assert_close(t[:, 4], tokens.project(h)[:, :, 1, 1])
    torch.testing.assert_close(tokens.latent(t), tokens.project(h))


def test_two_levels_are_refused_since_the_bound_leaves_no_room_for_them() -> None:
    with pytest.raises(UserError, match=r"levels=\[2, 5\]: each must be at least 3"):
        FiniteScalar((4,), tokens=1, levels=[2, 5])
