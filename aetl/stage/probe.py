"""What the latent is worth while it is learnt: probes on the source's labels, and its rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from annotated_types import Len
from jaxtyping import Float
from torch import Tensor

from aetl.autoencoder.base import Autoencoder
from aetl.data.base import Examples
from aetl.head.chosen import Chosen
from aetl.head.knn import Knn
from aetl.head.logistic import Logistic
from aetl.ranges import Count, NonNegative
from aetl.stage.domains import Domain
from aetl.task.base import numpy
from aetl.transfer.network import evaluating
from aetl.types import DoesNotFit

LINEAR, NEIGHBOURS, RANK = "probe_linear", "probe_knn", "rankme"


class Probed(NamedTuple):
    """Source examples that a probe is fitted on, and others that it is judged by."""

    fit: Examples
    held_out: Examples


class Probe(pl.Callback):
    """Every so many epochs of pretraining, and at its end: the accuracy of logistic regression
    (``probe_linear``) and of 5 neighbours (``probe_knn``) on the latent of the source's validation
    part, fitted to at most ``examples`` training labels, and ``rankme``, the latent's effective
    rank (Garrido et al., 2023, arXiv:2210.02885).

    They are values of the history, ``pretrain/validation/probe_linear``, that a callback after this
    one may monitor. ``milestones`` are pairs of a step and an accuracy: where ``probe_linear`` is
    below it at the first look from that step on, pretraining ends there. What ends by them has been
    chosen by labels of the source. A callback of this kind is part of a pretraining's digest.
    """

    def __init__(
        self,
        *,
        every_n_epochs: Count,
        examples: Count,
        milestones: Sequence[Annotated[list[NonNegative], Len(2, 2)]],
    ) -> None:
        self.every_n_epochs, self.examples = every_n_epochs, examples
        self.milestones = sorted((int(step), least) for step, least in milestones)
        self._passed = 0

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        if module.stage != "pretrain":
            return
        step, epoch = trainer.global_step, trainer.current_epoch
        due = self._passed < len(self.milestones) and step >= self.milestones[self._passed][0]
        last = step >= module.total_steps
        if not (due or last or (epoch + 1) % self.every_n_epochs == 0):
            return
        values = measured(module.autoencoder, module.labelled(self.examples))
        for name, value in values.items():
            module.history.add("validation", trainer, name, value, step, epoch)
        while self._passed < len(self.milestones) and step >= self.milestones[self._passed][0]:
            if values[LINEAR] < self.milestones[self._passed][1]:
                trainer.should_stop = True
            self._passed += 1

    def state_dict(self) -> dict[str, Any]:
        return {"passed": self._passed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._passed = state["passed"]


def labelled_parts(source: Domain, examples: int) -> Probed:
    """Evenly spaced rows of the training and of the validation part that have a class."""
    pool = source.pool
    if not pool.classes or pool.y.dim() == 2:
        raise DoesNotFit("callback.probe: asks for classes of the source, and there are none")
    parts = []
    for rows in (source.split.train, source.split.validation):
        known = rows[pool.known[rows]]
        if not len(known):
            raise DoesNotFit("callback.probe: the source's validation part has no labels")
        places = np.linspace(0, len(known) - 1, min(examples, len(known))).round().astype(int)
        parts.append(pool.subset(known[places]))
    return Probed(*parts)


@torch.no_grad()
def measured(autoencoder: Autoencoder, parts: Probed) -> dict[str, float]:
    like = next(autoencoder.parameters(), torch.zeros(()))
    with evaluating(autoencoder):
        fit, held_out = (
            numpy(autoencoder.features(part.inputs().to(like)).flatten(1).float()) for part in parts
        )
    heads = {
        LINEAR: Logistic(scale="standard", balanced=False, folds=2, strength=1.0),
        NEIGHBOURS: Knn(scale="none", balanced=False, folds=2, neighbours=5),
    }
    y, truth = numpy(parts.fit.y), numpy(parts.held_out.y)
    found = {}
    for name, head in heads.items():
        fitted = Chosen(head, "classification").fit(fit, y, np.ones(len(y)))
        answers = fitted.classes_[fitted.predict_proba(held_out).argmax(1)]
        found[name] = float((answers == truth).mean())
    return found | {RANK: rankme(torch.from_numpy(held_out))}


def rankme(features: Float[Tensor, "N F"]) -> float:
    """The exponential of the entropy of the singular values as shares (equation 1)."""
    values = torch.linalg.svdvals(features)
    share = values / values.sum().clamp_min(1e-12) + 1e-7
    return float(torch.exp(-(share * share.log()).sum()))
