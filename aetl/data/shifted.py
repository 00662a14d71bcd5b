"""Points in the plane whose shift has a name, and a known truth.

J. G. Moreno-Torres, T. Raeder, R. Alaiz-Rodriguez, N. V. Chawla, F. Herrera (2012), A unifying view
on dataset shift in classification, Pattern Recognition 45(1); the mixture of the first three forms
is that of skada's ``make_shifted_datasets`` (T. Gnassounou et al., 2024, arXiv:2407.11676).
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int

from aetl.data.base import Dataset, Examples
from aetl.ranges import Count, Fraction, NonNegative, Seed
from aetl.rng import key_seed

Points = tuple[Float[np.ndarray, "N 2"], Int[np.ndarray, " N"]]

DISC = np.array([[2.0, -0.5], [-0.5, 2.0]]), np.array([2.0, 2.0])
"""The first class: the unit disc, mapped and moved."""
CLUSTERS = (
    (np.array([[0.15, 0.0], [0.0, 0.3]]), np.array([-1.5, 3.0])),
    (np.array([[0.2, -0.1], [-0.1, 0.2]]), np.array([-0.5, 1.0])),
    (np.array([[0.17, -0.05], [-0.05, 0.17]]), np.array([1.0, -0.4])),
    (np.array([[0.3, 0.0], [0.0, 0.15]]), np.array([3.0, -1.0])),
)
"""The second class: four Gaussians along a bow, by the map of unit ones and the mean."""
GAMMA, CENTRE = 2.0, np.array([-0.4, 3.0])
SCALE, OFFSET = 0.7, 1.0
GAP, ACROSS = 1.5, 0.8


@dataclass(frozen=True, kw_only=True)
class Shifted(Dataset):
    """``number`` points of one of two domains, in two classes.

    - ``covariate``: of the target's points, one at ``x`` is kept with probability
      ``exp(-2 |x - (-0.4, 3)|^2)``, to which the ratio of the densities is proportional; what class
      a point has depends on its place alone and is the same in both.
    - ``label``: ``ratio`` of the target's points are of the first class, half of the source's.
    - ``concept``: the target's points are ``0.7 x + 1``, and the classes move with them.
    - ``subspace``: along (1, 1) the classes alternate in the same way in both domains; across it
      they stand apart in both, but on opposite sides.

    ``reading["truth"]`` says the same in numbers. Departure from skada: the noise is there before
    points are chosen and mapped (theirs comes last), for else the truth would hold of points that
    nobody sees. ``subspace`` is our own.
    """

    form: Literal["covariate", "label", "concept", "subspace"]
    domain: Literal["source", "target"]
    number: Count
    noise: NonNegative
    ratio: Fraction
    data_seed: Seed

    def read(self) -> tuple[Examples, None]:
        rng = np.random.default_rng(key_seed("shifted", self.form, self.domain, self.data_seed))
        x, y = self._points(rng)
        order = rng.permutation(len(x))
        examples = Examples.of(
            torch.from_numpy(x[order].astype(np.float32)),
            torch.from_numpy(y[order].astype(np.int64)),
            ("0", "1"),
        )
        return replace(examples, columns=("x", "y"), reading={"truth": self._truth()}), None

    def _points(self, rng: np.random.Generator) -> Points:
        if self.form == "subspace":
            return self._subspace(rng)
        if self.domain == "source":
            return self._mixture(rng, self.number // 2)
        if self.form == "label":
            return self._mixture(rng, self.number - round(self.ratio * self.number))
        if self.form == "concept":
            x, y = self._mixture(rng, self.number // 2)
            return SCALE * x + OFFSET, y
        return self._chosen(rng)

    def _mixture(self, rng: np.random.Generator, second: int, number: int | None = None) -> Points:
        """``second`` points of the second class, all others of the first."""
        first = (number or self.number) - second
        angle, radius = 2 * np.pi * rng.random(first), np.sqrt(rng.random(first))
        disc = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1) @ DISC[0] + DISC[1]
        which = np.arange(second) % len(CLUSTERS)
        maps, means = (np.stack([c[k] for c in CLUSTERS])[which] for k in (0, 1))
        bow = np.einsum("ni,nij->nj", rng.standard_normal((second, 2)), maps) + means
        x = np.concatenate([disc, bow])
        x += self.noise * rng.standard_normal(x.shape)
        return x, np.repeat([0, 1], [first, second])

    def _chosen(self, rng: np.random.Generator) -> Points:
        """As many as asked for that are kept, drawn one by one from the source's mixture."""
        xs, ys, found = [], [], 0
        while found < self.number:
            x, y = self._mixture(rng, second := 32 * self.number, 2 * second)
            mixed = rng.permutation(len(x))
            x, y = x[mixed], y[mixed]
            kept = rng.random(len(x)) < np.exp(-GAMMA * ((x - CENTRE) ** 2).sum(1))
            xs.append(x[kept])
            ys.append(y[kept])
            found += int(kept.sum())
        return np.concatenate(xs)[: self.number], np.concatenate(ys)[: self.number]

    def _subspace(self, rng: np.random.Generator) -> Points:
        y = np.arange(self.number) % 2
        # Along: -GAP, 0 and GAP are of the classes 0, 1 and 0. Across: the sign is the class.
        along = np.where(y == 0, GAP * rng.choice([-1.0, 1.0], self.number), 0.0)
        side = 1.0 if self.domain == "source" else -1.0
        across = side * np.where(y == 0, -ACROSS, ACROSS)
        place = np.stack([along, across], 1) + self.noise * rng.standard_normal((self.number, 2))
        return place @ (np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2)), y

    def _truth(self) -> dict[str, Any]:
        truths: dict[str, dict[str, Any]] = {
            "covariate": {"log_weight": {"gamma": GAMMA, "centre": CENTRE.tolist()}},
            "label": {"first_class": {"source": 0.5, "target": self.ratio}},
            "concept": {"scale": SCALE, "offset": OFFSET},
            "subspace": {"shared": [np.sqrt(0.5), np.sqrt(0.5)]},
        }
        return truths[self.form]
