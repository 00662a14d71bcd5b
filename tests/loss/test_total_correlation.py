"""The total correlation against mixtures of torch.distributions and the estimators by loops."""

from __future__ import annotations

import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from aetl.loss.total_correlation import TotalCorrelation
from tests.loss.draw import normal


def mixture_tc(z: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """``log q(z) - sum_j log q(z_j)`` where ``q`` is the equal mixture of all posteriors."""
    equal = Categorical(torch.ones(len(mean), dtype=torch.float64))
    joint = MixtureSameFamily(equal, Independent(Normal(mean, std), 1)).log_prob(z)
    columns = range(mean.shape[1])
    parts = [MixtureSameFamily(equal, Normal(mean[:, j], std[:, j])) for j in columns]
    return joint - torch.stack([q.log_prob(z[:, j]) for j, q in enumerate(parts)]).sum(0)


def test_stratified_is_exact_when_the_batch_is_the_data_set() -> None:
    mean, logvar, z = normal(6, 3), normal(6, 3, seed=1), normal(6, 3, seed=2)
    term = TotalCorrelation(weight=1.0, sampling="stratified")
    reference = mixture_tc(z, mean, (0.5 * logvar).exp())
    torch.testing.assert_close(term(z, mean, logvar, 6), reference, rtol=1e-10, atol=1e-12)


def test_stratified_weights_are_the_mean_of_the_papers_over_the_places_in_the_batch() -> None:
    """Appendix C.2: own 1/N, M - 1 others 1/M, the last one (N - M) / (N M), with M = J - 1."""
    n, m = 50, 4
    ours = TotalCorrelation(weight=1.0, sampling="stratified")._log_weights(m + 1, n).exp()
    paper = ((m - 1) / m + (n - m) / (n * m)) / m
    expected = torch.full((5, 5), paper, dtype=torch.float64).fill_diagonal_(1 / n)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(ours.sum(1), torch.ones(5, dtype=torch.float64))


def test_weighted_is_the_papers_estimator_by_loops() -> None:
    mean, logvar, z = normal(4, 2), normal(4, 2, seed=1), normal(4, 2, seed=2)
    density = torch.stack(
        [
            torch.stack([Normal(mean[i], (0.5 * logvar[i]).exp()).log_prob(z[k]) for i in range(4)])
            for k in range(4)
        ]
    ).exp()
    size = 100 * 4
    joint = (density.prod(2).sum(1) / size).log()
    marginals = (density.sum(1) / size).log().sum(1)
    value = TotalCorrelation(weight=1.0, sampling="weighted")(z, mean, logvar, 100)
    torch.testing.assert_close(value, joint - marginals, rtol=1e-10, atol=1e-12)
