"""The joint distribution of features and predictions is drawn together.

Long et al. (2017), Joint Adaptation Networks, arXiv:1605.06636, equation 9.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from aetl.ranges import NonNegative, Positive
from aetl.transfer.base import Part, Step, TransferStrategy
from aetl.transfer.feature.mmd import gaussian_kernel, squared_mmd


class Jan(TransferStrategy):
    """``weight`` times the squared MMD under the product of two kernels.

    One is on the features, one on the probabilities (on the output itself for regression).
    The quadratic statistic is used, not the paper's linear-time one.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})

    def __init__(self, *, weight: NonNegative, scales: Sequence[Positive]) -> None:
        self.weight, self.scales = weight, scales

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor:
        source, target = step.streams["source"], step.streams["target"]
        joint = gaussian_kernel(source.features, target.features, self.scales) * gaussian_kernel(
            step.task.expected(source.output), step.task.expected(target.output), self.scales
        )
        return self.weight * squared_mmd(joint, len(source.x))
