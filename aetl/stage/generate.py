"""Generation by a pretrained autoencoder: samples, interpolations, traversals of the latent.

Samples of the prior that the loss names, and of a Gaussian mixture fitted to the latents of the
training data afterwards (Ghosh, Sajjadi, Vergari, Black and Schölkopf, 2020, arXiv:1903.12436,
section 3.3), which gives any autoencoder a sampler.
"""

from __future__ import annotations

import inspect
import tempfile
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from omegaconf import DictConfig
from sklearn.mixture import GaussianMixture
from torch import Tensor
from torch.nn.functional import normalize

from aetl.autoencoder.base import Autoencoder
from aetl.data.base import Examples
from aetl.files import atomic, write_json
from aetl.loss.objective import Objective
from aetl.rng import Rng, key_seed
from aetl.stage.checkpoint import read_weights
from aetl.stage.domains import Domain, load_domains, pretraining_domain
from aetl.stage.pretrain import objective_of, pretrained_autoencoder
from aetl.stage.sampled import (
    Encoder,
    distances,
    encoder_of,
    prior_of,
    refuse_without_decoder,
    sampler_of,
    samples,
)
from aetl.store.store import Store
from aetl.task.base import numpy
from aetl.types import UserError

FITTED = 5000
"""Training examples that the mixtures are fitted to."""
COMPONENTS = 10
"""Of the mixture, as in the paper; a class's own has half as many."""
FULL = 128
"""Latents of more dimensions have mixtures of diagonal covariance."""
ACROSS, DOWN = 10, 5
TRAVERSED = 3.0
"""A traversal goes so many standard deviations to either side."""


class Generator:
    """Images of a pretrained autoencoder in eval mode, in the units of the data.

    Raises ``UserError`` for an autoencoder that has no decoder from latents to images.
    """

    def __init__(
        self, autoencoder: Autoencoder, objective: Objective, source: Domain, rng: Rng
    ) -> None:
        kind = type(autoencoder)
        if len(autoencoder.shape) != 3:
            raise UserError(
                f"generate: this run's data are vectors ({autoencoder.shape}), no images"
            )
        refuse_without_decoder(kind, "generate")
        self.autoencoder, self.objective, self.rng = autoencoder.eval(), objective, rng
        train, held_out = source.split.train, source.split.validation
        self.data = source.pool.subset(train[:: max(1, ceil(len(train) / FITTED))])
        self.held_out = source.pool.subset(held_out if len(held_out) else train)
        self.latents = self._latents(self.data)
        self.prior = prior_of(objective)

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything that this autoencoder can give, as arrays of rows of images by name."""
        found: dict[str, Tensor | None] = {
            "prior": self.from_prior(),
            "mixture": self.from_mixture(),
            "interpolation": self.interpolations(),
        }
        images = {name: _rows(x) for name, x in found.items() if x is not None}
        dimensions, traversals = self.traversals()
        images |= {"traversal": _rows(traversals), "dimensions": numpy(dimensions)}
        if (by_class := self.by_class()) is not None:
            images["by_class"] = _rows(by_class)
        return images

    @torch.no_grad()
    def images(self, z: Float[Tensor, "N ..."]) -> Float[Tensor, "N C H W"]:
        """Latents decoded to the mean of each image."""
        latent = z.to(self.latents).view(-1, *self.autoencoder.latent_shape)
        return self.objective.mean(self.autoencoder.decode(latent))

    def from_prior(self, number: int = ACROSS * DOWN) -> Float[Tensor, "N C H W"] | None:
        """Of the variant's own prior or the one that the loss names; None where there is none."""
        return samples(self.autoencoder, self.objective, number, self.rng.fork("prior"))

    def from_mixture(self, number: int = ACROSS * DOWN) -> Float[Tensor, "N C H W"]:
        z = _mixture_samples(self.latents, COMPONENTS, number, self.rng.fork("mixture"))
        return self.images(self._placed(z))

    @torch.no_grad()
    def by_class(self) -> Float[Tensor, "N C H W"] | None:
        """A row for each class: by the variant's own sampler, else by a mixture for each class."""
        classes = len(self.data.classes)
        if not classes or bool((self.data.y < 0).any()):
            return None
        own = sampler_of(self.autoencoder)
        if own is not None and "y" in inspect.signature(own).parameters:
            y = torch.arange(classes).repeat_interleave(ACROSS)
            return self._decoded(own(len(y), self.rng.fork("class"), y))
        found = []
        for label in range(classes):
            z = self.latents[self.data.y == label]
            if len(z) < 2:
                return None
            rng = self.rng.fork("class", label)
            found.append(_mixture_samples(z, COMPONENTS // 2, ACROSS, rng))
        return self.images(self._placed(torch.cat(found)))

    def judged(self, encoder: Encoder) -> dict[str, Any]:
        """FID and KID of draws of the prior, where there is one, and of the mixture, each beside as
        many held-out examples, for the record."""
        number = min(FITTED, len(self.held_out))
        features = encoder.of_examples(self.held_out.subset(torch.arange(number)))
        draws = {"prior": self.from_prior(number), "mixture": self.from_mixture(number)}
        found = {
            name: distances(features, encoder.of_draws(x.view(number, *self.autoencoder.shape)))
            for name, x in draws.items()
            if x is not None
        }
        told = {"encoder": encoder.name, "features": features.shape[1], "number": number}
        return told | {"distances": found}

    def interpolations(self) -> Float[Tensor, "N C H W"]:
        """From one held-out example to another, in equal steps; the ends are reconstructions."""
        number = min(2 * DOWN, len(self.held_out))
        z = self._latents(self.held_out.subset(torch.arange(number)))
        first, last = z[: number // 2], z[number // 2 : 2 * (number // 2)]
        steps = torch.linspace(0.0, 1.0, ACROSS).to(z)[None, :, None]
        between = first[:, None] + steps * (last - first)[:, None]
        return self.images(self._placed(between.flatten(0, 1)))

    def traversals(self) -> tuple[Tensor, Float[Tensor, "N C H W"]]:
        """The latents that vary most, each moved alone around one held-out example."""
        std = self.latents.std(0)
        dimensions = std.argsort(descending=True)[: 2 * DOWN]
        z = self._latents(self.held_out.subset(torch.arange(1)))
        steps = torch.linspace(-TRAVERSED, TRAVERSED, ACROSS).to(z)
        moved = z.repeat(len(dimensions), ACROSS, 1)
        for row, dimension in enumerate(dimensions):
            moved[row, :, dimension] = self.latents[:, dimension].mean() + steps * std[dimension]
        return dimensions, self.images(self._placed(moved.flatten(0, 1)))

    def _decoded(self, drawn: Float[Tensor, "N Z"]) -> Float[Tensor, "N C H W"]:
        """A variant's own draws, which may hold more than the latent: its class, say."""
        return self.objective.mean(self.autoencoder.decode(drawn))

    def _placed(self, z: Float[Tensor, "N Z"]) -> Float[Tensor, "N Z"]:
        """Back onto the sphere, where codes lie on one."""
        return normalize(z, dim=1) if self.prior == "sphere" else z

    @torch.no_grad()
    def _latents(self, examples: Examples, size: int = 1000) -> Float[Tensor, "N Z"]:
        parts = [
            self.autoencoder.features(
                examples.inputs(torch.arange(i, min(i + size, len(examples))))
            ).flatten(1)
            for i in range(0, len(examples), size)
        ]
        return torch.cat(parts)


def _mixture_samples(
    z: Float[Tensor, "N Z"], components: int, number: int, rng: Rng
) -> Float[Tensor, "M Z"]:
    """Draws of a Gaussian mixture fitted to the latents; fewer components for few latents."""
    dim = prod(z.shape[1:])
    mixture = GaussianMixture(
        max(1, min(components, len(z) // 20)),
        covariance_type="full" if dim <= FULL else "diag",
        reg_covar=1e-5,
        random_state=key_seed(*rng.key) % 2**32,
    )
    mixture.fit(numpy(z.double()))
    drawn = mixture.sample(number)[0]
    order = numpy(rng.permutation(number))  # scikit-learn draws component after component
    return torch.from_numpy(drawn[order]).to(z)


def _rows(x: Float[Tensor, "N C H W"]) -> Float[np.ndarray, "R A C H W"]:
    images = numpy(x.clamp(0, 1)).astype(np.float32)
    return images.reshape(-1, ACROSS, *images.shape[1:])


def generate(
    cfg: DictConfig, folder: Path, seed: int, encoder: str | None = None
) -> dict[str, Any]:
    """Write ``generated.npz`` into a run's folder: rows of images, and the latents traversed.

    With an ``encoder`` (see ``sampled.encoder_of``)
    ``generated.json`` holds how far the samples are from held-out examples, which is returned.
    """
    if not (folder / "checkpoints" / "autoencoder.pt").exists():
        raise UserError(f"{folder}: this run has no pretrained autoencoder to generate with")
    with tempfile.TemporaryDirectory(prefix="aetl-generate-") as temporary:
        domains = load_domains(cfg, Store(dir=temporary, reuse=True), temporary)
    source = pretraining_domain(domains, cfg.pretrain.domains)
    state, classes = read_weights(folder), len(source.pool.classes)
    entries = source.pool.entries
    autoencoder = pretrained_autoencoder(cfg, source.pool.shape, state, classes, entries)
    rng = Rng.of(seed, "generate")
    generator = Generator(autoencoder, objective_of(cfg, entries), source, rng)
    judged = {}
    if encoder is not None:
        shape = source.pool.shape
        by = encoder_of(cfg, encoder, autoencoder, shape, entries, classes, key="--encoder")
        judged = generator.judged(by)
    arrays = generator.arrays()
    with atomic(folder / "generated.npz") as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
    if judged:
        write_json(folder / "generated.json", judged)
    else:  # of other draws
        (folder / "generated.json").unlink(missing_ok=True)
    return judged
