"""Source examples count by how much likelier a VAE finds them once it has seen the target.

The difference of two log-likelihoods, as in Moore and Lewis (ACL 2010), of which a variational
autoencoder gives lower bounds (Kingma and Welling, 2014, arXiv:1312.6114).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from aetl.ranges import Count, Draws, Fraction, Natural, NonNegative, Positive
from aetl.task.base import numpy
from aetl.transfer.base import Part, TransferStrategy, View
from aetl.transfer.codec import Codec
from aetl.transfer.instance.base import scaled
from aetl.types import DoesNotFit


class ElboWeights(TransferStrategy):
    """``exp((ELBO_T(x) - ELBO_S(x)) / temperature)``, scaled like any importance weight.

    ``ELBO_S`` is the pretrained VAE's and ``ELBO_T`` that of a copy after ``steps`` of Adam on the
    target's inputs. At ``temperature`` 1 and with tight bounds this is the density ratio; images
    differ by so many nats that few examples would count, so ``temperature: null`` takes the
    standard deviation of the differences. Each bound is the mean over the same ``samples`` draws.
    """

    uses: ClassVar[frozenset[Part]] = frozenset(
        {"source_inputs", "source_labels", "target_inputs", "target_labels"}
    )
    uses_codec: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"mean", "logvar"})

    def __init__(
        self,
        *,
        clip: Positive,
        mix: Fraction,
        temperature: Positive | None,
        samples: Draws,
        steps: Natural,
        lr: NonNegative,
        batch_size: Count,
    ) -> None:
        self.clip, self.mix, self.temperature, self.samples = clip, mix, temperature, samples
        self.steps, self.lr, self.batch_size = steps, lr, batch_size

    def weigh(self, view: View) -> Float[Tensor, " N"]:
        of_source = view.codec()
        refuse_other_units(of_source)
        of_target = of_source.tuned(
            view.examples("target_inputs").inputs(),
            steps=self.steps, lr=self.lr, batch_size=self.batch_size, rng=view.rng.fork("tuned"),
        )  # fmt: skip
        x, rng = view.examples("source_inputs").inputs(), view.rng.fork("bound")
        gain = numpy(
            of_source.losses(x, self.samples, rng) - of_target.losses(x, self.samples, rng)
        )
        temperature = self.temperature or float(gain.std()) or 1.0
        return scaled(np.exp((gain - gain.max()) / temperature), self.clip, self.mix)


def refuse_other_units(codec: Codec) -> None:
    """An objective is a bound of a log-likelihood only where all of its terms are in nats."""
    other = [name for name, term in codec.objective.terms.items() if term.unit != "nats"]
    if other:
        raise DoesNotFit(
            f"transfer.instance: elbo_weights needs a bound of the likelihood, and "
            f"loss.{other[0]} is not in nats; choose loss=elbo"
        )
