"""Confident predictions on unlabelled targets become labels (Lee, 2013, Pseudo-Label, ICML-W)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from aetl.ranges import Fraction, NonNegative
from aetl.task.base import Kind
from aetl.transfer.base import Part, Step, TransferStrategy


class PseudoLabels(TransferStrategy):
    """``weight`` times the cross-entropy with the likeliest class, mean over the target batch.

    Only predictions of at least ``threshold`` count (the paper has none). The weight is 0 up to the
    fraction ``start`` of the steps and rises on a line to the full at ``end`` (equation 16).
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"target_inputs", "target_labels"})
    tasks: ClassVar[frozenset[Kind]] = frozenset({"classification"})

    def __init__(
        self, *, weight: NonNegative, threshold: Fraction, start: Fraction, end: Fraction
    ) -> None:
        self.weight, self.threshold, self.start, self.end = weight, threshold, start, end

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor:
        output = step.streams["target"].output
        confidence, label = output.detach().softmax(1).max(1)
        each = cross_entropy(output, label, reduction="none") * (confidence >= self.threshold)
        return self.weight * self.ramp(step.progress) * each.mean()

    def ramp(self, progress: float) -> float:
        if progress <= self.start:
            return 0.0
        return min(1.0, (progress - self.start) / max(self.end - self.start, 1e-12))
