"""Does the reconstruction reach that of principal components of the same size, and why not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log2

import torch
from jaxtyping import Float
from torch import Tensor

from aetl.autoencoder.monitor import active_units
from aetl.autoencoder.pca import PCA

EXAMPLES = 2000
"""So many examples give the components."""
MARGIN = 1.1
"""An error up to so many times that of the components is no worse."""
BY_HEART = 1.5
"""An error held out that is so many times that in training is named as a cause."""
FALLING = 0.01
"""A loss that fell by this share of its whole way in its last tenth was still falling."""


@torch.no_grad()
def principal_error(
    train: Float[Tensor, "N ..."], x: Float[Tensor, "M ..."], size: int
) -> float | None:
    """The mean squared error of ``x`` by the ``size`` leading components of ``train``.

    None where they are so many that they give everything back.
    """
    if size >= min(x[0].numel(), len(train) - 1):
        return None
    pca = PCA(tuple(x.shape[1:]), latent_dim=size, whiten=False)
    pca.fit(train[:EXAMPLES])
    return float((pca(x).reconstruction - x).square().mean())


def below_floor(error: float, floor: float | None, size: int, causes: Iterable[str]) -> str | None:
    """A line where an error is above the floor, or no number."""
    if floor is None or error <= MARGIN * floor:
        return None
    because = "; ".join(causes) or "the network, rate and length of pretraining do not reach it"
    return (
        f"reconstruction: {error:.3g} on held-out source examples, worse than {floor:.3g} of "
        f"{size} principal components: {because}"
    )


def causes(
    code: object, terms: Sequence[str], errors: tuple[float, float], losses: Sequence[float]
) -> list[str]:
    """What may keep a reconstruction from the floor.

    Args:
        code: of held-out examples.
        terms: names of the loss beside that of the reconstruction.
        errors: in training and held out.
        losses: of validation, over the whole of pretraining.
    """
    trained, held_out = errors
    found = [*_discrete(code), *_inactive(code)]
    if terms:
        found.append(f"the loss asks for more than reconstruction ({', '.join(terms)})")
    if held_out > BY_HEART * trained:
        found.append(f"it knows its training examples by heart ({trained:.3g} there)")
    if still_falling(losses):
        found.append("the loss was still falling (pretrain.min_steps)")
    return found


def _discrete(code: object) -> list[str]:
    if not (hasattr(code, "index") and hasattr(code, "codes")):
        return []
    numbers = code.index[0].numel()
    bits = numbers * log2(code.codes)
    return [f"its code is discrete ({numbers} of {code.codes} codes, {bits:.0f} bits)"]


def _inactive(code: object) -> list[str]:
    if not hasattr(code, "mean"):
        return []
    mean = code.mean.flatten(1)
    active = active_units(mean)
    return [f"{active} of {mean.shape[1]} latents are active"] if active < mean.shape[1] else []


def still_falling(losses: Sequence[float]) -> bool:
    """Whether the mean of the last tenth is lower than that before by ``FALLING`` of the way."""
    tenth = len(losses) // 10
    if tenth < 1:
        return False
    last, before = losses[-tenth:], losses[-2 * tenth : -tenth]
    drop = (sum(before) - sum(last)) / tenth
    way = losses[0] - min(losses)
    return way > 0 and drop > FALLING * way
