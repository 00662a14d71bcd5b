"""Reconstruction, density and retrieval: what is predicted for an example, by hand."""

from __future__ import annotations

from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from aetl.data.base import Examples
from aetl.head.chosen import Chosen
from aetl.head.knn import Knn
from aetl.head.pca import Pca
from aetl.task.density import Density, dequantised
from aetl.task.reconstruction import Reconstruction, hidden_cells
from aetl.task.retrieval import Retrieval
from aetl.types import DoesNotFit
from tests.tiny import MLP, World, tiny_config

torch.manual_seed(0)
GREY = torch.randint(0, 256, (30, 1, 16, 16)).byte()
IMAGES = Examples.of(GREY, torch.arange(30) % 3, ("a", "b", "c"))
ROWS = Examples.of(torch.randn(40, 6), torch.full((40,), -1), ())


def test_cells_are_hidden_by_their_share_and_alike_for_equal_examples() -> None:
    x = torch.randn(200, 50)
    mask = hidden_cells(x, 0.2)
    assert abs(mask.mean() - 0.2) < 0.02
    assert np.array_equal(hidden_cells(x[20:30], 0.2), mask[20:30])
    assert np.array_equal(hidden_cells(x[:3].view(3, 1, 5, 10), 0.2).reshape(3, 50), mask[:3])
    assert not hidden_cells(x, 0.0).any()


def test_errors_are_over_all_cells_and_over_the_hidden_ones() -> None:
    task = Reconstruction(hidden=0.3)
    seen: list[Tensor] = []

    def filled(x: Tensor) -> Tensor:
        seen.append(x)
        return x + 0.5

    found = task._judged(ROWS, filled)
    mask = hidden_cells(ROWS.x, 0.3)
    assert np.array_equal(seen[0].numpy() == 0, mask)
    error = np.square(np.where(mask, 0.5 - ROWS.x.numpy(), 0.5))
    np.testing.assert_allclose(found.value, error.mean(1), rtol=1e-5)
    of_hidden = [e[m].mean() if m.any() else 0.0 for e, m in zip(error, mask, strict=True)]
    np.testing.assert_allclose(found.parts["hidden"], of_hidden, rtol=1e-5)
    assert np.array_equal(found.parts["number"], mask.sum(1))
    assert task.gives(ROWS) == {"hidden", "number"}


def test_similarity_of_images_is_that_of_torchmetrics() -> None:
    found = Reconstruction(hidden=0.0)._judged(IMAGES, lambda x: x * 0.7 + 0.1)
    x = IMAGES.inputs()
    # Without the border, where the library pads.
    expected = structural_similarity_index_measure(
        x * 0.7 + 0.1, x, data_range=1.0, reduction="none", kernel_size=11, sigma=1.5
    )
    np.testing.assert_allclose(found.parts["ssim"], expected.numpy(), atol=5e-3)


def test_a_control_fills_in_what_the_networks_fill_in() -> None:
    """The same cells are hidden of the flattened input; the mean fills in the mean."""
    flat = IMAGES.inputs().flatten(1).double().numpy()
    head = Chosen(Pca(scale="none", components=0), "reconstruction")
    head.fit(flat, np.full(30, -1), np.ones(30))
    found = Reconstruction(hidden=0.2).closed(head, flat, 1, IMAGES)
    mask = hidden_cells(IMAGES.inputs(), 0.2)
    assert np.array_equal(found.parts["mask"] == 1, mask)
    error = np.square(flat.mean(0) - flat)
    expected = (error * mask.reshape(30, -1)).sum(1) / mask.reshape(30, -1).sum(1)
    np.testing.assert_allclose(found.parts["hidden"], expected, rtol=1e-4)


def test_grey_values_get_noise_within_their_own_bin() -> None:
    x = dequantised(IMAGES.x)
    assert torch.equal((x.double() * 256).floor().byte(), IMAGES.x)
    assert torch.equal(dequantised(IMAGES.x[4:6]), x[4:6])


def test_densities_of_images_are_code_lengths_of_their_grey_values(tmp_path: Path) -> None:
    """Eight bits more for each value than the density of the dequantised image."""
    from aetl.loss.marginal import negative_log_likelihood
    from aetl.stage.pretrain import build_autoencoder, objective_of

    overrides = ("autoencoder=vae", "task=density", "loss=[gaussian,kl]")
    world = World(tmp_path, *MLP, *overrides)
    autoencoder = build_autoencoder(world.cfg, world.domains.target.test.shape).eval()
    objective, few = objective_of(world.cfg), world.domains.target.test.subset(np.arange(5))
    found = Density(samples=3, encoder="raw").judge(autoencoder, objective, few, torch.zeros(()))
    plain = negative_log_likelihood(autoencoder, objective, dequantised(few.x), 3).numpy()
    np.testing.assert_allclose(found.value, plain + 64 * log(256), rtol=1e-6)
    np.testing.assert_allclose(found.parts["bits_per_dim"], plain / (64 * log(2)) + 8, rtol=1e-6)
    bernoulli = objective_of(tiny_config(tmp_path, "autoencoder=vae"))
    with pytest.raises(DoesNotFit, match="binarise=fixed"):
        Density(samples=3, encoder="raw").fits_loss(bernoulli, few)


def test_neighbours_are_ranked_by_distance_and_judged_for_every_class() -> None:
    x, new = np.random.default_rng(0).normal(size=(2, 30, 4))
    y = np.arange(30) % 3
    index = Chosen(Knn(scale="auto", balanced=False, folds=5, neighbours="auto"), "retrieval")
    index.fit(x, y, np.ones(30))
    found = Retrieval().predict_with(index, new[:7], 3)
    distance = np.linalg.norm(new[:7, None] - x, axis=2)
    assert np.array_equal(found.parts["neighbour"], distance.argsort(1)[:, :10])
    assert np.array_equal(found.value, y[distance.argsort(1)[:, :10]])
    assert found.probability is not None
    assert found.probability.shape == (7, 3)
    again = Chosen(Knn(scale="auto", balanced=False, folds=5, neighbours="auto"), "retrieval")
    other = Retrieval().predict_with(again.load_state(index.state()), new[:7], 3)
    assert np.array_equal(other.probability, found.probability)
