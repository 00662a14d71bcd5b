"""Features of all layers of a stacked denoising autoencoder, and a head on the source's labels.

Glorot, Bordes and Bengio (ICML 2011), Domain adaptation for large-scale sentiment classification.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from aetl.head.base import Head
from aetl.head.chosen import Chosen
from aetl.task.base import Task
from aetl.transfer.base import Part, TransferStrategy
from aetl.transfer.network import Network
from aetl.types import NUMBERS, ExampleKind


class Sda(TransferStrategy):
    """The head on the input, every encoder layer and the latent of the frozen autoencoder.

    The paper's autoencoder is denoising and learns from the inputs of all domains, layer by layer:
    ``autoencoder=denoising pretrain.domains=both`` is that one, trained end to end.
    """

    kinds: ClassVar[frozenset[ExampleKind]] = NUMBERS
    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels"})

    def __init__(self, *, head: Head) -> None:
        self.choice = head

    def head(self, task: Task) -> Any:
        return Chosen(self.choice, task.kind)

    def represent(self, network: Network, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B F"]:
        autoencoder = network.autoencoder
        names = [name for name, _ in autoencoder.layers() if name.startswith("encoder.")]
        states = [autoencoder.features(x, name) for name in [*names, "latent"]]
        return torch.cat([state.flatten(1) for state in [x, *states]], 1)
