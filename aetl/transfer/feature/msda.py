"""Features of the marginalised stacked denoising autoencoder of both domains, in closed form.

Chen, Xu, Weinberger and Sha (ICML 2012), arXiv:1206.4683, section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from aetl.autoencoder.msda import MSDA
from aetl.head.base import Head
from aetl.head.chosen import Chosen
from aetl.ranges import Depth, Positive, Probability
from aetl.task.base import Task, numpy
from aetl.transfer.base import Alignment, Part, State, TransferStrategy, View
from aetl.transfer.network import Network
from aetl.types import NUMBERS, ExampleKind


class Msda(TransferStrategy):
    """The head on the inputs and all ``layers`` of an mSDA of the inputs of both domains.

    The run's own autoencoder is not used, and not pretrained for it; nor has this one a decoder.
    Five layers are those of the published tables. ``noise`` is the probability
    that an input is masked (of both domains alike), ``ridge`` that of ``autoencoder=msda``.

    The head sees ``layers + 1`` times the inputs' width: of 784 pixels and 4 500 labels its
    cross-validation takes nearly all of a job, some thirty times what fine-tuning does. One
    strength (``head.strength=1 head.scale=none``) takes a third of that.
    """

    kinds: ClassVar[frozenset[ExampleKind]] = NUMBERS
    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})
    initial: ClassVar[Literal["pretrained", "random"]] = "random"

    def __init__(self, *, head: Head, layers: Depth, noise: Probability, ridge: Positive) -> None:
        self.choice, self.layers, self.noise, self.ridge = head, layers, noise, ridge

    def head(self, task: Task) -> Any:
        return Chosen(self.choice, task.kind)

    def represent(self, network: Network, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B F"]:
        return x.flatten(1)

    def align(self, view: View) -> Alignment:
        parts: tuple[Part, ...] = ("source_labels", "target_inputs")
        both = torch.cat([view.examples(part).inputs().flatten(1) for part in parts])
        stack = self._stack(both.shape[1]).to(both)
        stack.fit_encoder(both.double())
        state = {
            name: tensor.numpy()
            for name, tensor in stack.state_dict().items()
            if name.startswith("encoder")
        }
        features = self.target_map(state)
        return Alignment(features, features, state)

    def target_map(self, state: State) -> Callable[[np.ndarray], np.ndarray]:
        tensors = {name: torch.from_numpy(array) for name, array in state.items()}
        like = tensors["encoder.0.bias"]
        stack = self._stack(len(like)).to(like)
        stack.load_state_dict(tensors, strict=False)  # the decoder is not used

        @torch.no_grad()
        def features(x: np.ndarray) -> np.ndarray:
            return numpy(stack.features(torch.from_numpy(x).to(like)))

        return features

    def _stack(self, dim: int) -> MSDA:
        return MSDA(
            (dim,), layers=self.layers, noise=self.noise, ridge=self.ridge, concatenate=True
        )
