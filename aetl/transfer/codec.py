"""The pretrained autoencoder together with what it was trained for, for strategies that use both.

A copy: whatever a strategy does with it, the network that is transferred stays as it is.
"""

from __future__ import annotations

import copy

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from aetl.autoencoder.base import Autoencoder
from aetl.loss.adversarial import Adversarial
from aetl.loss.objective import Objective
from aetl.rng import Rng
from aetl.types import Batch, DoesNotFit, field_values

ROWS = 1024
"""Examples that go through the autoencoder at a time."""


def objective_of_each(
    autoencoder: Autoencoder, objective: Objective, x: Float[Tensor, "B ..."], rng: Rng, size: int,
    mask: Bool[Tensor, "B ..."] | None = None,
) -> Float[Tensor, " B"]:  # fmt: skip
    """The objective of pretraining for each input, as at its end (warm-ups are over).

    ``size`` is the number of examples that the batch is drawn from, ``mask`` what is there of them.
    """
    output = autoencoder(x, rng)
    rows = torch.arange(len(x), device=x.device)
    batch = Batch(x, torch.full_like(rows, -1), rows, torch.ones(len(x), device=x.device), mask)
    given = field_values(output, output.code, batch) | {
        "autoencoder": autoencoder,
        "latent": output.latent,
        "rng": rng.fork("loss"),
        "progress": 1.0,
        "data_size": size,
    }
    each: Tensor = objective(given, 1.0)[0]
    return each


class Codec:
    """Latents of data, data of latents, and the objective of each example (in eval mode)."""

    def __init__(self, autoencoder: Autoencoder, objective: Objective) -> None:
        self.autoencoder = copy.deepcopy(autoencoder).eval()
        self.objective = objective.eval()

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "N ..."]) -> Float[Tensor, "N ..."]:
        return torch.cat([self.autoencoder.features(part) for part in torch.split(x, ROWS)])

    @torch.no_grad()
    def decode(self, z: Float[Tensor, "N ..."]) -> Float[Tensor, "N ..."]:
        """On the data's own scale."""
        decoded = [self.autoencoder.decode(part) for part in torch.split(z, ROWS)]
        return self.objective.mean(torch.cat(decoded))

    def refuse_adversaries(self) -> None:
        """Raise where the objective asks a discriminator, which ended with pretraining."""
        for name, term in self.objective.terms.items():
            if isinstance(term, Adversarial):
                raise DoesNotFit(
                    f"transfer.instance goes on with the loss of pretraining, and loss.{name} "
                    f"({type(term).__name__}) has its discriminator there alone; choose another "
                    "loss or strategy"
                )

    @torch.no_grad()
    def losses(self, x: Float[Tensor, "N ..."], samples: int, rng: Rng) -> Float[Tensor, " N"]:
        """The objective of each example, the mean over ``samples`` draws of its noise."""
        self.refuse_adversaries()
        total = torch.zeros(len(x), dtype=torch.float64)
        for draw in range(samples):
            parts = [
                objective_of_each(
                    self.autoencoder, self.objective, part, rng.fork("draw", draw, i), len(x)
                )
                for i, part in enumerate(torch.split(x, ROWS))
            ]
            total += torch.cat(parts).double()
        return total / samples

    def tuned(
        self, x: Float[Tensor, "N ..."], *, steps: int, lr: float, batch_size: int, rng: Rng
    ) -> Codec:
        """This codec after ``steps`` of Adam on the mean objective of batches of ``x``."""
        if steps:
            self.refuse_adversaries()
        tuned = Codec(self.autoencoder, self.objective)
        tuned.autoencoder.requires_grad_(True)
        optimizer = torch.optim.Adam(tuned.autoencoder.parameters(), lr)
        size = min(batch_size, len(x))
        per_pass = len(x) // size
        with torch.enable_grad():
            for step in range(steps):
                turn, place = divmod(step, per_pass)
                order = rng.fork("order", turn).permutation(len(x))
                rows = order[place * size : (place + 1) * size]
                each = objective_of_each(
                    tuned.autoencoder, self.objective, x[rows], rng.fork("step", step), len(x)
                )
                optimizer.zero_grad()
                torch.autograd.backward(each.mean())
                optimizer.step()
        return tuned
