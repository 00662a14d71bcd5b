"""Residual vector quantisation against brute force and vector-quantize-pytorch."""

from __future__ import annotations

import pytest
import torch

from aetl.bottleneck.residual_quantized import ResidualQuantized
from aetl.loss.vector_quantization import VectorQuantization

TOKENS, DIM, CODES, DEPTH = 3, 4, 6, 3


def bottleneck() -> ResidualQuantized:
    torch.manual_seed(0)
    built = ResidualQuantized((5,), tokens=TOKENS, dim=DIM, codes=CODES, depth=DEPTH).double()
    with torch.no_grad():
        built.codebooks.normal_()
    return built


def test_each_codebook_takes_its_nearest_to_what_is_left() -> None:
    residual = bottleneck()
    h = torch.randn(7, 5, dtype=torch.float64)
    code = residual(h, None)
    for b, token in enumerate(residual.tokens(h)):
        for t, rest in enumerate(token.detach()):
            total = torch.zeros_like(rest)
            for d, codebook in enumerate(residual.codebooks.detach()):
                best = min(range(CODES), key=lambda k: float((rest - codebook[k]).norm()))
                assert int(code.index[b, d * TOKENS + t]) == d * CODES + best
                torch.testing.assert_close(code.before[b, d * TOKENS + t].detach(), rest)
                rest, total = rest - codebook[best], total + codebook[best]
            torch.testing.assert_close(code.latent.detach()[b, t * DIM : (t + 1) * DIM], total)
    assert code.codes == DEPTH * CODES


def test_the_loss_moves_every_codebook_and_the_latent_none() -> None:
    residual = bottleneck()
    code = residual(torch.randn(7, 5, dtype=torch.float64), None)
    (none,) = torch.autograd.grad(
        code.latent.sum(), residual.codebooks, allow_unused=True, retain_graph=True
    )
    assert none is None
    value = VectorQuantization(weight=1.0, commitment=0.0)(code.before, code.after)
    (moved,) = torch.autograd.grad(value.sum(), residual.codebooks)
    expected = torch.zeros_like(moved).view(-1, DIM)
    expected.index_add_(0, code.index.flatten(), (2 * (code.after - code.before)).flatten(0, 1))
    torch.testing.assert_close(moved.view(-1, DIM), expected.detach())


def test_codes_are_those_of_the_library() -> None:
    library = pytest.importorskip("vector_quantize_pytorch")
    residual = bottleneck()
    code = residual(torch.randn(7, 5, dtype=torch.float64), None)
    reference = library.ResidualVQ(dim=DIM, codebook_size=CODES, num_quantizers=DEPTH).double()
    for layer, codebook in zip(reference.layers, residual.codebooks.detach(), strict=True):
        layer.codebook = codebook
    quantised, index, _ = reference.eval()(code.before[:, :TOKENS].detach())
    torch.testing.assert_close(quantised.flatten(1), code.latent.detach())
    ours = code.index.view(7, DEPTH, TOKENS) - CODES * torch.arange(DEPTH)[:, None]
    assert torch.equal(index, ours.transpose(1, 2))
