"""A linear probe first, then fine-tuning from there (Kumar et al., 2022, arXiv:2202.10054)."""

from __future__ import annotations

from functools import partial

from aetl.ranges import Fraction, NonNegative
from aetl.transfer.base import Group, TransferStrategy
from aetl.transfer.depth import by_depth, head_parameters
from aetl.transfer.network import Network


class LpFt(TransferStrategy):
    """The head alone for the fraction ``probe`` of the steps, then everything.

    After that the encoder trains at ``encoder_scale`` times the head's rate. (The paper fits the
    probe to convergence.)
    """

    def __init__(self, *, probe: Fraction, encoder_scale: NonNegative) -> None:
        self.probe, self.encoder_scale = probe, encoder_scale

    def groups(self, network: Network) -> list[Group]:
        encoder = [parameter for layer in by_depth(network) for parameter in layer]
        late = partial(step_up, self.probe, self.encoder_scale)
        return [Group(encoder, late), Group(head_parameters(network), 1.0)]


def step_up(start: float, scale: float, progress: float) -> float:
    return scale if progress >= start else 0.0
