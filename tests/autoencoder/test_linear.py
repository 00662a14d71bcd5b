"""The linear autoencoder spans the principal subspace (Baldi and Hornik, 1989)."""

from __future__ import annotations

import torch

from aetl.autoencoder.composite import Composite
from aetl.bottleneck.linear import Linear
from aetl.corruption.none import NoCorruption
from aetl.loss.mse import SquaredError
from tests.backbones import mlp


def test_the_trained_decoder_spans_the_principal_subspace() -> None:
    generator = torch.Generator().manual_seed(0)
    scales = torch.tensor([3.0, 2.5, 2.0, 0.5, 0.4, 0.3], dtype=torch.float64)
    mixing, _ = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64))
    x = torch.randn(200, 6, generator=generator, dtype=torch.float64) * scales @ mixing.T + 1.0
    torch.manual_seed(0)
    model = Composite(
        (6,),
        corruption=NoCorruption(),
        backbone=mlp(activation="relu"),
        bottleneck=lambda h: Linear(h, latent_dim=3, activation="none"),
    ).double()
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
    )
    term = SquaredError(weight=1.0)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = term(model(x).reconstruction, x).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    centred = x - x.mean(0)
    _, singular, principal = torch.linalg.svd(centred, full_matrices=False)
    weight = model.decoder[-1][0].weight.detach()
    basis, _ = torch.linalg.qr(weight)
    cosines = torch.linalg.svdvals(principal[:3] @ basis)  # of the principal angles
    torch.testing.assert_close(cosines, torch.ones(3, dtype=torch.float64), rtol=1e-6, atol=0)
    least = singular[3:].square().sum() / 200
    torch.testing.assert_close(closure().detach(), least, rtol=1e-6, atol=0)
