"""The penalties of regularised autoencoders against autograd and sums by hand."""

from __future__ import annotations

import torch
from torch.autograd.functional import jacobian

from aetl.loss.decoder_gradient import DecoderGradient
from aetl.loss.decoder_l2 import DecoderL2
from aetl.loss.l2_code import L2Code
from aetl.rng import Rng
from tests.loss.draw import normal, small_autoencoder


def test_l2_of_the_code_is_half_its_squared_length() -> None:
    z = torch.tensor([[3.0, -4.0], [0.0, 1.0]])
    assert L2Code(weight=1.0)(z).tolist() == [12.5, 0.5]


def test_decoder_l2_counts_the_decoders_weights_and_no_others() -> None:
    model = small_autoencoder(2, 3)
    by_hand = sum(float((p.detach() ** 2).sum()) for p in model.decoder.parameters())
    value = DecoderL2(weight=1.0)(normal(4, 2, 3), model)
    torch.testing.assert_close(value, value.new_full((4,), by_hand), rtol=1e-12, atol=0)


def test_gradient_penalty_is_the_squared_norm_of_the_decoders_jacobian() -> None:
    model, z = small_autoencoder(2, 3), normal(4, 3)
    reference = torch.stack([jacobian(model.decode, one[None]).square().sum() for one in z])
    exact = DecoderGradient(weight=1.0, probes=None)(z, model, Rng.of(0))
    torch.testing.assert_close(exact, reference, rtol=1e-10, atol=0)
    estimate = DecoderGradient(weight=1.0, probes=3000)(z, model, Rng.of(0))
    torch.testing.assert_close(estimate, reference, rtol=0.08, atol=0)


def test_gradient_penalty_moves_the_encoder_too() -> None:
    model, x = small_autoencoder(2, 3), normal(4, 2, 3)
    value = DecoderGradient(weight=1.0, probes=None)(model.features(x), model, Rng.of(0))
    gradients = torch.autograd.grad(value.sum(), list(model.encoder.parameters()))
    assert all(g.abs().max() > 0 for g in gradients)
