"""Lookup-free quantisation and its loss against brute force and vector-quantize-pytorch."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from aetl.bottleneck.lookup_free import LookupFree
from aetl.bottleneck.vector_quantized import QuantizedCode
from aetl.loss.lookup_free import LookupFreeEntropy
from aetl.types import UserError

TOKENS, BITS = 3, 4


def quantised(number: int = 50) -> tuple[QuantizedCode, torch.Tensor]:
    torch.manual_seed(0)
    bottleneck = LookupFree((6,), tokens=TOKENS, bits=BITS).double()
    h = torch.randn(number, 6, dtype=torch.float64, requires_grad=True)
    return bottleneck(h, None), h


def entropy_loss(before: torch.Tensor, temperature: float, diversity: float) -> torch.Tensor:
    term = LookupFreeEntropy(
        weight=1.0, temperature=temperature, diversity=diversity, commitment=0.0
    )
    return term(before, before.sign())


def test_every_token_takes_the_nearest_corner_of_the_cube() -> None:
    code, _ = quantised()
    corners = torch.tensor(list(product([-1.0, 1.0], repeat=BITS)), dtype=torch.float64)
    distances = (code.before[:, :, None] - corners).square().sum(3)
    assert torch.equal(code.index, distances.argmin(2))
    torch.testing.assert_close(code.after, corners[code.index])
    assert code.codes == len(corners)


def test_the_gradient_passes_the_sign_unchanged() -> None:
    code, h = quantised()
    pick = torch.randn_like(code.latent)
    (passed,) = torch.autograd.grad((code.latent * pick).sum(), h, retain_graph=True)
    (smooth,) = torch.autograd.grad((code.before.flatten(1) * pick).sum(), h)
    torch.testing.assert_close(passed, smooth)


def test_loss_is_the_softmax_over_all_corners_written_out() -> None:
    before = torch.randn(5, TOKENS, BITS, dtype=torch.float64)
    corners = torch.tensor(list(product([-1.0, 1.0], repeat=BITS)), dtype=torch.float64)
    q = torch.softmax(-(before[:, :, None] - corners).square().sum(3) / 2.5, 2)
    own = torch.distributions.Categorical(q).entropy().sum(1)
    together = torch.distributions.Categorical(q.mean((0, 1))).entropy()
    value = entropy_loss(before, 2.5, 0.7)
    torch.testing.assert_close(value, own - 0.7 * TOKENS * together)


def test_commitment_pulls_the_tokens_to_their_corners() -> None:
    before = torch.randn(5, TOKENS, BITS, dtype=torch.float64)
    terms = [
        LookupFreeEntropy(weight=1.0, temperature=1.0, diversity=1.0, commitment=c)(
            before, before.sign()
        )
        for c in (0.0, 0.25)
    ]
    expected = 0.25 * (before.abs() - 1.0).square().sum((1, 2))
    torch.testing.assert_close(terms[1] - terms[0], expected)


def test_codes_and_loss_are_those_of_the_library() -> None:
    library = pytest.importorskip("vector_quantize_pytorch")
    code, _ = quantised(40)
    reference = library.LFQ(dim=BITS, diversity_gamma=0.7)
    before = code.before.detach().float()
    (after, index, _), parts = reference(before, inv_temperature=0.8, return_loss_breakdown=True)
    torch.testing.assert_close(after, code.after.float())
    assert torch.equal(index.long(), code.index)
    ours = entropy_loss(before, 1 / 0.8, 0.7).mean() / TOKENS
    theirs = parts.per_sample_entropy - 0.7 * parts.batch_entropy
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_too_many_bits_are_refused() -> None:
    with pytest.raises(UserError, match="bits=30: must be 1 to 16"):
        LookupFree((6,), tokens=1, bits=30)
