"""What is held constant in the gradient of a quantised code, and of its loss.

A value does not tell a dropped ``detach`` from a right one, so gradients are held against formulas.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from aetl.bottleneck.base import Bottleneck
from aetl.bottleneck.finite_scalar import FiniteScalar
from aetl.bottleneck.lookup_free import LookupFree
from aetl.bottleneck.residual_quantized import ResidualQuantized
from aetl.bottleneck.vector_quantized import VectorQuantized
from aetl.loss.lookup_free import LookupFreeEntropy
from aetl.loss.vector_quantization import VectorQuantization
from tests.loss.draw import normal

TOKENS = 3

QUANTISERS: dict[str, Callable[[], Bottleneck]] = {
    "vector_quantized": lambda: VectorQuantized((5,), tokens=TOKENS, dim=4, codes=6),
    "residual_quantized": lambda: ResidualQuantized((5,), tokens=TOKENS, dim=4, codes=6, depth=3),
    "lookup_free": lambda: LookupFree((5,), tokens=TOKENS, bits=4),
    "finite_scalar": lambda: FiniteScalar((5,), tokens=TOKENS, levels=[5, 4]),
}


@pytest.mark.parametrize("name", QUANTISERS)
def test_a_quantisers_gradient_passes_to_the_code_before_it_alone(name: str) -> None:
    """Straight through: the rounding itself is a constant that is added."""
    torch.manual_seed(0)
    quantiser = QUANTISERS[name]().double()
    h = normal(7, 5).requires_grad_()
    code = quantiser(h, None)
    pull = normal(*code.latent.shape, seed=3)
    own = [p for key, p in quantiser.named_parameters() if key.startswith("codebook")]
    found = torch.autograd.grad(
        (code.latent * pull).sum(), [h, *own], allow_unused=True, retain_graph=True
    )
    assert all(gradient is None for gradient in found[1:])
    before = quantiser.tokens.latent(code.before[:, :TOKENS])  # type: ignore[union-attr, operator]
    (known,) = torch.autograd.grad((before * pull).sum(), h)
    torch.testing.assert_close(found[0], known)


@pytest.mark.parametrize("name", ["vector_quantized", "residual_quantized"])
def test_commitment_moves_the_tokens_and_no_codebook(name: str) -> None:
    """Of a residual quantiser neither: what is left over is less than the token by constants."""
    torch.manual_seed(0)
    quantiser = QUANTISERS[name]().double()
    h = normal(7, 5).requires_grad_()
    code = quantiser(h, None)
    (book,) = [p for key, p in quantiser.named_parameters() if key.startswith("codebook")]
    both = VectorQuantization(weight=1.0, commitment=0.3)(code.before, code.after).sum()
    only = VectorQuantization(weight=1.0, commitment=0.0)(code.before, code.after).sum()
    of_book = [torch.autograd.grad(v, book, retain_graph=True)[0] for v in (both, only)]
    torch.testing.assert_close(of_book[0], of_book[1])
    (of_h,) = torch.autograd.grad(only, h, allow_unused=True, retain_graph=True)
    assert of_h is None or not of_h.any()
    after = code.after.detach()
    known = 0.3 * (code.before - after).square().sum()
    expected, found = (torch.autograd.grad(v, h, retain_graph=True)[0] for v in (known, both))
    torch.testing.assert_close(found, expected)
    (none,) = torch.autograd.grad(code.before.sum(), book, allow_unused=True)
    assert none is None


def test_both_sides_of_a_quantisers_loss_are_pulled_to_a_constant() -> None:
    before, after = normal(4, 3, 2).requires_grad_(), normal(4, 3, 2, seed=1).requires_grad_()
    value = VectorQuantization(weight=1.0, commitment=0.25)(before, after).sum()
    of_before, of_after = torch.autograd.grad(value, [before, after])
    difference = (before - after).detach()
    torch.testing.assert_close(of_before, 0.5 * difference)
    torch.testing.assert_close(of_after, -2.0 * difference)


def test_the_commitment_of_binary_codes_pulls_no_code() -> None:
    before, after = normal(6, 3, 4).requires_grad_(), normal(6, 3, 4, seed=1).sign()
    after.requires_grad_()
    terms = [
        LookupFreeEntropy(weight=1.0, commitment=c, diversity=1.0, temperature=1.0)
        for c in (0.0, 0.25)
    ]
    without, with_ = (term(before, after).sum() for term in terms)
    (none,) = torch.autograd.grad(with_, after, allow_unused=True, retain_graph=True)
    assert none is None
    found = torch.autograd.grad(with_ - without, before)[0]
    torch.testing.assert_close(found, 0.5 * (before - after).detach())
