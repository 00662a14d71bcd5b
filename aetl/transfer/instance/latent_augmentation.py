"""Labelled examples between and around the latents of a class.

DeVries and Taylor (2017), Dataset augmentation in feature space, arXiv:1702.05538, equations 1 and
3; the new latents are decoded, so that all of the network may train on them.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from annotated_types import Interval
from jaxtyping import Float, Int
from torch import Tensor

from aetl.ranges import NonNegative
from aetl.rng import Rng
from aetl.transfer.base import Part
from aetl.transfer.instance.synthetic import Synthetic


class LatentAugmentation(Synthetic):
    """``z_i + u (z_j - z_i) + noise * s * e`` for random pairs of a class, ``u`` in [0, reach).

    ``e`` is standard normal and ``s`` the standard deviation of each dimension over all labelled
    targets. The paper interpolates with a fixed ``u`` of 0.5 to nearest neighbours.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"target_labels"})

    def __init__(
        self,
        *,
        per_class: Annotated[int, Interval(ge=0, le=65_536)],
        weight: NonNegative,
        reach: NonNegative,
        noise: NonNegative,
    ) -> None:
        super().__init__(per_class=per_class, weight=weight)
        self.reach, self.noise = reach, noise

    def draw(
        self, z: Float[Tensor, "N Z"], y: Int[Tensor, " N"], rng: Rng
    ) -> tuple[Float[Tensor, "M Z"], Int[Tensor, " M"]]:
        spread = z.std(0, correction=0)
        classes = torch.unique(y)
        drawn = []
        for k in classes.tolist():
            own, keyed = z[y == k], rng.fork("class", k)
            one, other = (
                own[(keyed.fork(name).uniform(torch.empty(self.per_class)) * len(own)).long()]
                for name in ("one", "other")
            )
            way = self.reach * keyed.fork("way").uniform(one[:, :1])
            drawn.append(one + way * (other - one) + self.noise * spread * keyed.normal(one))
        return torch.cat(drawn), classes.repeat_interleave(self.per_class)
