"""Labelled examples drawn from a Gaussian, or a mixture, of each class's latents.

Class-conditional sampling from the aggregate posterior, as the ex-post density estimation of Ghosh
et al. (2020), From variational to deterministic autoencoders, arXiv:1903.12436, section 4.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from annotated_types import Interval
from jaxtyping import Float, Int
from torch import Tensor

from aetl.ranges import Count, Natural, NonNegative, Size
from aetl.rng import Rng
from aetl.task.base import numpy
from aetl.transfer.base import Part, View
from aetl.transfer.codec import Codec
from aetl.transfer.instance.latent_density import mixture
from aetl.transfer.instance.synthetic import Synthetic


class Generated(Synthetic):
    """One Gaussian for each class, or with ``components`` above 1 a mixture.

    A class's covariance is drawn towards that within all classes by ``prior`` examples' worth:
    ``(n_k S_k + prior S) / (n_k + prior)``, since few labels leave ``S_k`` singular. Where no class
    has two examples all covariances are zero, and what is decoded are the latents themselves.
    Before, a copy of the autoencoder may take ``steps`` of Adam on the target's inputs.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"target_inputs", "target_labels"})

    def __init__(
        self,
        *,
        per_class: Annotated[int, Interval(ge=0, le=65_536)],
        weight: NonNegative,
        components: Size,
        prior: NonNegative,
        steps: Natural,
        lr: NonNegative,
        batch_size: Count,
    ) -> None:
        super().__init__(per_class=per_class, weight=weight)
        self.components, self.prior = components, prior
        self.steps, self.lr, self.batch_size = steps, lr, batch_size

    def codec(self, view: View) -> Codec:
        if self.steps == 0:
            return view.codec()
        return view.codec().tuned(
            view.examples("target_inputs").inputs(),
            steps=self.steps, lr=self.lr, batch_size=self.batch_size, rng=view.rng.fork("tuned"),
        )  # fmt: skip

    def draw(
        self, z: Float[Tensor, "N Z"], y: Int[Tensor, " N"], rng: Rng
    ) -> tuple[Float[Tensor, "M Z"], Int[Tensor, " M"]]:
        classes = torch.unique(y)
        within = scatter(torch.cat([z[y == k] - z[y == k].mean(0) for k in classes])) / len(z)
        drawn = []
        for k in classes.tolist():
            own, keyed = z[y == k], rng.fork("class", k)
            parts = self.mixture(own, within, keyed)
            drawn.append(sampled(*parts, self.per_class, keyed).to(z))
        return torch.cat(drawn), classes.repeat_interleave(self.per_class)

    def mixture(
        self, own: Float[Tensor, "n Z"], within: Float[Tensor, "Z Z"], rng: Rng
    ) -> tuple[Float[Tensor, " C"], Float[Tensor, "C Z"], Float[Tensor, "C Z Z"]]:
        """Shares, means and covariances of the components of a class."""
        if self.components > 1:
            found = mixture(numpy(own), self.components, rng)
            shares, means, covariances = found.weights_, found.means_, found.covariances_
            return torch.tensor(shares), torch.tensor(means), torch.tensor(covariances)
        mean = own.mean(0)
        total = scatter(own - mean) + self.prior * within
        covariance = total / (len(own) + self.prior)
        return torch.ones(1), mean[None], covariance[None]


def scatter(centred: Float[Tensor, "n Z"]) -> Float[Tensor, "Z Z"]:
    return centred.T @ centred


def sampled(
    shares: Float[Tensor, " C"],
    means: Float[Tensor, "C Z"],
    covariances: Float[Tensor, "C Z Z"],
    number: int,
    rng: Rng,
) -> Float[Tensor, "M Z"]:
    """Draws from a mixture of Gaussians, whose covariances may be singular."""
    values, vectors = torch.linalg.eigh(covariances.double())
    roots = vectors * values.clamp(min=0.0).sqrt()[:, None, :]
    edges = shares.double().cumsum(0) / shares.double().sum()
    choice = rng.fork("component").uniform(torch.empty(number, dtype=torch.float64))
    component = torch.searchsorted(edges, choice).clamp(max=len(shares) - 1)
    noise = rng.fork("noise").normal(torch.empty(number, means.shape[1], dtype=torch.float64))
    return means.double()[component] + torch.einsum("mij,mj->mi", roots[component], noise)
