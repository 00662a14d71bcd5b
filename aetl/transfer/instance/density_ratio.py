"""Source examples weighted by the density ratio that a domain classifier estimates.

Bickel, Brueckner and Scheffer (ICML 2007, equation 14): a probabilistic classifier between
target (1) and source (0) gives ``p_T(z) / p_S(z) = n_S / n_T * p(1|z) / p(0|z)``.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from aetl.transfer.base import Part, TransferStrategy, View


class DensityRatio(TransferStrategy):
    """Weights on the latent, held below ``clip`` and scaled to mean ``mix``.

    ``mix`` is the weight of the source's loss beside the labelled target's, ``l2`` the strength of
    the penalty of the logistic regression on standardised features.
    """

    uses: ClassVar[frozenset[Part]] = frozenset(
        {"source_inputs", "source_labels", "target_inputs", "target_labels"}
    )

    def __init__(self, *, l2: float, clip: float, mix: float) -> None:
        self.l2, self.clip, self.mix = l2, clip, mix

    def weigh(self, view: View) -> Float[Tensor, " N"]:
        source, target = view.features("source_inputs"), view.features("target_inputs")
        ratio = density_ratio(source, target, self.l2).clamp(max=self.clip)
        return self.mix * ratio / ratio.mean()


def density_ratio(
    source: Float[Tensor, "N F"], target: Float[Tensor, "M F"], l2: float
) -> Float[Tensor, " N"]:
    """``p_target / p_source`` at the source points, by logistic regression."""
    x = torch.cat([source, target]).double().numpy()
    domain = torch.cat([torch.zeros(len(source)), torch.ones(len(target))]).numpy()
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0 / l2, max_iter=1000))
    log_odds = torch.from_numpy(model.fit(x, domain).decision_function(x[: len(source)]))
    return (log_odds.exp() * (len(source) / len(target))).float()
