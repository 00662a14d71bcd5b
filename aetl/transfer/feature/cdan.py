"""Domain-adversarial training, conditioned on the predicted class.

Long et al. (2018), Conditional adversarial domain adaptation, arXiv:1705.10667, equations 5 and 9.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aetl.ranges import NonNegative, Size
from aetl.task.base import Kind, Task
from aetl.transfer.base import Part, Step, Stream, TransferStrategy, View
from aetl.transfer.feature.dann import discriminator, domain_loss, reversal, reverse
from aetl.transfer.network import Network


class Cdan(TransferStrategy):
    """As ``feature/dann``, on the outer product of features and class probabilities.

    With ``entropy`` (CDAN+E) examples count by ``1 + exp(-H(p))``, scaled to mean 1. The product is
    taken in full; the paper's random projection of large ones is left out. No gradient goes into
    the probabilities, as in the authors' code.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})
    tasks: ClassVar[frozenset[Kind]] = frozenset({"classification"})

    def __init__(
        self, *, weight: NonNegative, gamma: NonNegative, hidden: Size, entropy: bool
    ) -> None:
        self.weight, self.gamma, self.hidden, self.entropy = weight, gamma, hidden, entropy

    def module(self, network: Network, task: Task, view: View) -> nn.Module:
        return discriminator(network.feature_dim * network.head.out_features, self.hidden)

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor:
        assert module is not None
        strength = reversal(step.progress, self.gamma)
        sides = [step.streams["source"], step.streams["target"]]
        logits = [module(reverse(conditioned(side), strength)) for side in sides]
        weights = [certainty(side.output) if self.entropy else None for side in sides]
        return self.weight * domain_loss(*logits, *weights)


def conditioned(side: Stream) -> Float[Tensor, "B D"]:
    """The flattened outer product of probabilities and features."""
    probability = side.output.detach().softmax(1)
    return torch.einsum("bk,bf->bkf", probability, side.features).flatten(1)


def certainty(output: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
    """``1 + exp(-H)`` with the entropy ``H`` of the prediction in nats."""
    log_probability = output.detach().log_softmax(1)
    return 1.0 + (log_probability.exp() * log_probability).sum(1).exp()
