"""The decoder goes along: the whole autoencoder is brought to the target.

For what reconstructs or generates afterwards; after Wang et al. (2018), Transferring GANs,
arXiv:1805.01677, where both halves of a generative model start from the source's.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from aetl.ranges import NonNegative
from aetl.transfer.base import Group, Part, Step, TransferStrategy
from aetl.transfer.depth import head_parameters
from aetl.transfer.network import Network


class DecoderTransfer(TransferStrategy):
    """Encoder and decoder train by the target's pretraining loss, each at its own rate.

    ``weight`` times the loss for each input element, over labelled and unlabelled targets, as in
    ``parameter/keep_reconstructing``. With ``decoder_scale: 0`` the decoder is kept as it was, to
    the bit, and the encoder learns to speak to it: the target's codes stay in the language of the
    source's. The head trains at the full rate. The arm's weights hold the adapted decoder.
    """

    uses: ClassVar[frozenset[Part]] = frozenset({"target_labels", "target_inputs"})
    reconstructs: ClassVar[bool] = True

    def __init__(
        self, *, weight: NonNegative, encoder_scale: NonNegative, decoder_scale: NonNegative
    ) -> None:
        self.weight, self.encoder_scale, self.decoder_scale = weight, encoder_scale, decoder_scale

    def groups(self, network: Network) -> list[Group]:
        layers = network.autoencoder.layers()
        decoder = [
            p for name, part in layers if name.startswith("decoder") for p in part.parameters()
        ]
        others = {id(p) for p in [*decoder, *head_parameters(network)]}
        encoder = [p for p in network.parameters() if id(p) not in others]
        return [
            Group(encoder, self.encoder_scale),
            Group(decoder, self.decoder_scale),
            Group(head_parameters(network), 1.0),
        ]

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor:
        x = torch.cat([stream.x for stream in step.streams.values()])
        each = step.reconstruction_loss(x, step.rng.fork("reconstruction"))
        return self.weight * each.mean() / x[0].numel()
