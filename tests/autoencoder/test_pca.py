"""PCA against scikit-learn's."""

from __future__ import annotations

import pytest
import torch
from sklearn.decomposition import PCA as Reference

from aetl.autoencoder.pca import PCA
from aetl.types import UserError


def data(n: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, *shape, generator=generator, dtype=torch.float64)
    return 2.0 + (x.flatten(1) * torch.linspace(3, 0.5, x[0].numel())).view_as(x)


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("n", [60, 9])  # more examples than dimensions, and fewer
def test_features_and_reconstructions_are_those_of_sklearn(n: int, whiten: bool) -> None:
    x = data(n, 2, 3, 2)
    model = PCA((2, 3, 2), latent_dim=4, whiten=whiten).double()
    model.fit(x)
    reference = Reference(4, whiten=whiten, svd_solver="full").fit(x.flatten(1).numpy())
    z = torch.from_numpy(reference.transform(x.flatten(1).numpy()))
    output = model(x)
    signs = (output.latent * z).sum(0).sign()  # which of both directions is free
    torch.testing.assert_close(output.latent, z * signs, rtol=1e-6, atol=1e-8)
    expected = torch.from_numpy(reference.inverse_transform(z.numpy())).view_as(x)
    torch.testing.assert_close(output.reconstruction, expected, rtol=1e-6, atol=1e-8)


def test_the_squared_error_is_the_variance_that_is_left_out() -> None:
    x = data(80, 6)
    model = PCA((6,), latent_dim=2, whiten=False).double()
    model.fit(x)
    left_out = torch.linalg.eigvalsh(torch.cov(x.T, correction=0))[:4].sum()
    error = (model(x).reconstruction - x).square().sum(1).mean()
    torch.testing.assert_close(error, left_out)


def test_more_latents_than_dimensions_or_examples_are_refused() -> None:
    with pytest.raises(UserError, match="latent_dim=7: the data has only 6 dimensions"):
        PCA((6,), latent_dim=7, whiten=False)
    with pytest.raises(UserError, match="3 examples span at most 2"):
        PCA((6,), latent_dim=4, whiten=False).fit(torch.rand(3, 6))


def test_more_dimensions_than_examples_are_those_of_sklearn_in_blocks() -> None:
    """Wider than a block of columns; and with directions that have almost no variance."""
    wide = data(12, 2500)
    flat = wide.clone()
    flat[:, :] = wide[:, :1] * torch.linspace(0, 1, 2500) + 1e-7 * wide
    for x in (wide, flat):
        pca = PCA((2500,), latent_dim=5, whiten=False).double()
        pca.fit(x)
        reference = Reference(5, svd_solver="full").fit(x.numpy())
        own = pca.encoder.weight.numpy(force=True)
        overlap = abs((own * reference.components_).sum(1))
        assert overlap == pytest.approx([1.0] * 5, abs=1e-6)
