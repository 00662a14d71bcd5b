"""Reverse validation (Zhong, Fan, Yang, Verscheure and Ren, ECML 2010; Ganin et al., JMLR 2016)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from aetl.ranges import Positive
from aetl.selector.base import Candidate, Selector
from aetl.transfer.base import Part


class ReverseValidation(Selector):
    """A model learnt from the state's own target predictions, scored on labelled source examples.

    The papers train the reverse model as the forward one was. Here it is a linear head (strength
    of its penalty: ``l2``) on the state's features, since a state is judged after every few epochs.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})
    uses_metric: ClassVar[bool] = True

    def __init__(self, *, l2: Positive) -> None:
        self.l2 = l2

    def score(self, candidate: Candidate) -> float:
        own = candidate.prediction("target_inputs").value
        x, task = candidate.features("target_inputs"), candidate.task
        model = task.linear_head(self.l2).fit(x, own, np.ones(len(x)))
        features = candidate.features("source_labels")
        prediction = task.predict_with(model, features, candidate.output_dim)
        return candidate.oriented(prediction, "source_labels")
