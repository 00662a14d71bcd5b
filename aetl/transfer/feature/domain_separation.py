"""What the domains share is separated from what each has for itself.

Bousmalis et al. (2016), Domain separation networks, arXiv:1608.06019, equations 1 to 7.
"""

from __future__ import annotations

import copy
from math import prod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aetl.autoencoder.base import Autoencoder
from aetl.ranges import NonNegative, Size
from aetl.task.base import Task
from aetl.transfer.base import Part, Step, TransferStrategy, View
from aetl.transfer.feature.dann import discriminator, domain_loss, reversal, reverse
from aetl.transfer.network import Network
from aetl.types import NUMBERS, DoesNotFit, ExampleKind


class DomainSeparation(TransferStrategy):
    """Adds the ``reconstruction``, the ``difference`` and the ``similarity``, each by its weight.

    The network's encoder is the shared one. Each domain has a private encoder, and both together
    a decoder; all three start as copies of the pretrained autoencoder and are dropped after
    training. The decoder takes the mean of the shared and the private code (the paper: the sum), so
    that it starts by reconstructing. It is compared by its raw output, so pretrain it by an error
    (``loss=mse``), not by a likelihood of logits. The similarity is that of ``feature/dann``.

    Each step goes through three encoders and a decoder with the batches of both domains: a job
    costs about twelve times one of fine-tuning with 784 inputs.
    """

    kinds: ClassVar[frozenset[ExampleKind]] = NUMBERS
    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels", "target_inputs"})

    def __init__(
        self,
        *,
        reconstruction: NonNegative,
        difference: NonNegative,
        similarity: NonNegative,
        gamma: NonNegative,
        hidden: Size,
    ) -> None:
        self.reconstruction, self.difference = reconstruction, difference
        self.similarity, self.gamma, self.hidden = similarity, gamma, hidden

    def module(self, network: Network, task: Task, view: View) -> nn.Module:
        latent_dim = prod(network.autoencoder.latent_shape)
        if network.representation.layer != "latent" or network.feature_dim != latent_dim:
            raise DoesNotFit(
                f"representation.layer={network.representation.layer}: domain_separation decodes "
                "the features, so they must be the latent, not pooled"
            )
        return Private(network.autoencoder, discriminator(latent_dim, self.hidden))

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor:
        assert isinstance(module, Private)
        total = step.streams["source"].features.new_zeros(())
        shared: dict[str, Tensor] = {}
        for domain, encoder in (("source", module.source), ("target", module.target)):
            stream = step.streams[domain]
            shared[domain] = stream.features
            private = encoder.features(stream.x)
            code = (stream.features.view_as(private) + private) / 2
            error = scale_invariant_error(stream.x, module.source.decode(code))
            total = total + self.reconstruction * error.mean()
            total = total + self.difference * overlap(stream.features, private.flatten(1))
        strength = reversal(step.progress, self.gamma)
        logits = [module.judge(reverse(shared[name], strength)) for name in ("source", "target")]
        return total + self.similarity * domain_loss(*logits)


class Private(nn.Module):
    """A private encoder for each domain, a decoder for both (the source's), a discriminator."""

    def __init__(self, autoencoder: Autoencoder, judge: nn.Module) -> None:
        super().__init__()
        self.source, self.target = copy.deepcopy(autoencoder), copy.deepcopy(autoencoder)
        self.judge = judge
        x = torch.rand(2, *autoencoder.shape).to(next(autoencoder.parameters()))
        for part, decodes in ((self.source, True), (self.target, False)):
            part.requires_grad_(True).eval()
            z = part.features(x)
            _want_only(part, part.decode(z) if decodes else z)


def _want_only(module: nn.Module, output: Tensor) -> None:
    """Leave gradients to the parameters that the output depends on."""
    parameters = list(module.parameters())
    found = torch.autograd.grad(output.sum(), parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, found, strict=True):
        parameter.requires_grad_(gradient is not None)


def scale_invariant_error(
    x: Float[Tensor, "B ..."], reconstruction: Float[Tensor, "B ..."]
) -> Float[Tensor, " B"]:
    """``|d|^2 / k - (sum d)^2 / k^2`` of the difference ``d`` of ``k`` elements (equation 4)."""
    difference = (x - reconstruction).flatten(1)
    return difference.square().mean(1) - difference.mean(1).square()


def overlap(shared: Float[Tensor, "B F"], private: Float[Tensor, "B F"]) -> Float[Tensor, ""]:
    """The mean square of ``S' P`` (equation 5), of centred rows of length 1, as the authors do."""
    sides = [nn.functional.normalize(side - side.mean(0), dim=1) for side in (shared, private)]
    return (sides[0].T @ sides[1]).square().mean()
