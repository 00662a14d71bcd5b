"""Reconstruction as a bridge: the value, and who gets a gradient of it."""

from __future__ import annotations

import pytest
import torch

from aetl.transfer.feature.drcn import Drcn
from aetl.transfer.parameter.keep_reconstructing import KeepReconstructing
from tests.transfer.build import normal, small_network, step

pytestmark = pytest.mark.usefixtures("float64")


def test_drcn_adds_the_targets_squared_error_for_each_pixel() -> None:
    network, target = small_network(), normal(5, 1, 4, 4, seed=1)
    penalty = Drcn(weight=3.0).penalty(
        step(network, source=normal(4, 1, 4, 4), target=target), None
    )
    error = network.autoencoder(target).reconstruction - target
    torch.testing.assert_close(penalty, 3.0 * error.square().mean(), rtol=1e-12, atol=0)
    gradients = torch.autograd.grad(penalty, list(network.autoencoder.decoder.parameters()))
    assert all(gradient.abs().max() > 0 for gradient in gradients if gradient.dim() > 1)


def test_keep_reconstructing_takes_labelled_and_unlabelled_targets_together() -> None:
    network = small_network()
    labelled, target = normal(4, 1, 4, 4), normal(6, 1, 4, 4, seed=1)
    at = step(network, labelled=labelled, target=target)
    both = torch.cat([labelled, target])
    error = network.autoencoder(both).reconstruction - both
    penalty = KeepReconstructing(weight=0.5).penalty(at, None)
    torch.testing.assert_close(penalty, 0.5 * error.square().mean(), rtol=1e-12, atol=0)
