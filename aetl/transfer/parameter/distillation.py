"""The network learns from the pretrained encoder's features and from a probe's soft predictions.

Romero et al. (2015), FitNets, arXiv:1412.6550, equation 3, with no regressor between encoders of
one shape; Hinton et al. (2015), arXiv:1503.02531; the teacher on unlabelled targets is that of
Chen et al. (2020), arXiv:2006.10029, equation 2.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import kl_div, logsigmoid

from aetl.ranges import NonNegative, Positive
from aetl.task.base import Task, numpy
from aetl.transfer.base import Part, Step, TransferStrategy, View
from aetl.transfer.depth import features_at
from aetl.transfer.network import Network


class Distillation(TransferStrategy):
    """Two terms on unlabelled targets, each a mean over the batch.

    ``features / 2`` times the mean squared distance from the pretrained encoder's features, and
    ``outputs`` times the teacher's divergence from the prediction. The teacher is a linear probe
    with penalty ``l2`` on the pretrained encoder, fitted to the labelled targets. For classes the
    divergence is ``T^2 KL`` of both softened by the ``temperature`` T (for several labels, the
    sum of theirs); for numbers the task's own loss with the teacher's as target.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"target_labels", "target_inputs"})

    def __init__(
        self, *, features: NonNegative, outputs: NonNegative, temperature: Positive, l2: NonNegative
    ) -> None:
        self.features, self.outputs = features, outputs
        self.temperature, self.l2 = temperature, l2

    def module(self, network: Network, task: Task, view: View) -> nn.Module:
        z = numpy(view.features("target_labels"))
        y = numpy(view.examples("target_labels").y)
        return Teacher(task.linear_head(self.l2).fit(z, y, z[:, 0] * 0 + 1))

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor:
        assert isinstance(module, Teacher)
        target = step.streams["target"]
        start = features_at(step.network, target.x, step.initial)
        distance = (target.features - start).square().mean()
        return self.features / 2 * distance + self.outputs * self._divergence(
            step, module.answer(step.task, start, target.output), target.output
        )

    def _divergence(self, step: Step, teacher: Tensor, output: Tensor) -> Tensor:
        if step.task.kind == "regression":
            return step.task.loss(output, teacher.squeeze(1), float(step.network.scale)).mean()
        soft = teacher.clamp(1e-7, 1 - 1e-7)
        if step.task.kind == "multilabel":
            logits = (soft.logit() / self.temperature).flatten()
            own = output.flatten() / self.temperature
            student = torch.stack([logsigmoid(own), logsigmoid(-own)], 1)
            known = torch.stack([logsigmoid(logits), logsigmoid(-logits)], 1)
        else:
            student = (output / self.temperature).log_softmax(1)
            known = (soft.log() / self.temperature).log_softmax(1)
        total = kl_div(student, known, reduction="sum", log_target=True)
        return self.temperature**2 * total / len(output)


class Teacher(nn.Module):
    """A fitted probe of the pretrained features."""

    def __init__(self, probe: Any) -> None:
        super().__init__()
        self.probe = probe

    def answer(
        self, task: Task, features: Float[Tensor, "B F"], like: Float[Tensor, "B K"]
    ) -> Float[Tensor, "B K"]:
        """Its probabilities, or its values."""
        found = task.predict_with(self.probe, numpy(features), like.shape[1])
        given = found.value[:, None] if found.probability is None else found.probability
        return torch.as_tensor(given).to(like)
