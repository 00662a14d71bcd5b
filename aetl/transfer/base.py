"""What a transfer strategy is.

A strategy says what it uses and receives nothing else, so target labels cannot leak into an arm
that does not declare them, and target test data reach none. Every hook has a neutral default;
strategies of several families combine in one config because each answers only its own question:

=================  =========================================================
``initial``        do weights come from pretraining, or from the keyed random start?
``adapt``          what is inserted into the network (adapters, low-rank updates)?
``groups``         which parameters train, and at what multiple of the rate?
``weigh``          how much does each source example count?
``module``         what is trained beside the network (a domain discriminator)?
``penalty``        what is added to the loss at a step?
``head``           is the head fitted in closed form on frozen features?
``represent``      what are those features, if not the network's?
=================  =========================================================
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from aetl.data.base import Examples
from aetl.rng import Rng
from aetl.task.base import Task
from aetl.transfer.network import Network

Part = Literal["source_inputs", "source_labels", "target_inputs", "target_labels"]


class Undeclared(RuntimeError):
    """A strategy reached for data that it does not declare in ``uses``."""


class View:
    """The training data as one strategy may see it.

    ``source_inputs`` and ``target_inputs`` are unlabelled training examples, ``source_labels``
    and ``target_labels`` the labelled ones. Labels in a part that is not labelled are wiped.
    """

    def __init__(
        self,
        owner: str,
        uses: frozenset[Part],
        parts: Mapping[Part, Examples],
        features: Callable[[Examples], Float[Tensor, "N F"]],
        rng: Rng,
    ) -> None:
        self._owner, self._uses = owner, uses
        self._parts = {part: data for part, data in parts.items() if part in uses}
        self._features = features
        self.rng = rng

    def examples(self, part: Part) -> Examples:
        if part not in self._uses:
            raise Undeclared(f"{self._owner} uses {part} without declaring it in `uses`")
        return self._parts[part]

    def features(self, part: Part) -> Float[Tensor, "N F"]:
        """The features of a part by the network as it was transferred, in eval mode."""
        return self._features(self.examples(part))


class Stream(NamedTuple):
    """A batch of one part on its way through the network."""

    x: Float[Tensor, "B ..."]
    y: Tensor
    weight: Float[Tensor, " B"]
    features: Float[Tensor, "B F"]
    output: Float[Tensor, "B K"]


@dataclass(frozen=True)
class Step:
    """What a penalty may look at: the streams that its strategy declares, and the network."""

    network: Network
    initial: Mapping[str, Tensor]
    streams: Mapping[str, Stream]
    progress: float
    rng: Rng


class Group(NamedTuple):
    """Parameters that train at ``scale`` times the learning rate."""

    parameters: list[nn.Parameter]
    scale: float


class TransferStrategy(ABC):  # noqa: B024  (every question has a neutral answer)
    """One answer to the questions above. Streams are ``labelled``, ``source`` and ``target``."""

    uses: ClassVar[frozenset[Part]] = frozenset({"target_labels"})
    initial: ClassVar[Literal["pretrained", "random"]] = "pretrained"

    def adapt(self, network: Network) -> None:  # noqa: B027
        """Insert modules into the network, in place."""

    def groups(self, network: Network) -> list[Group] | None:
        """The parameters that train; ``None`` leaves it to the other strategies (or: all do)."""
        return None

    def weigh(self, view: View) -> Float[Tensor, " N"] | None:
        """Non-negative weights of the source examples; several strategies' weights multiply."""
        return None

    def module(self, feature_dim: int, output_dim: int) -> nn.Module | None:
        """A module that trains along with the network."""
        return None

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor | None:
        """A scalar that is added to the loss."""
        return None

    def head(self, task: Task) -> Any | None:
        """An estimator with ``fit(x, y, weight)`` that is fitted on frozen features."""
        return None

    def represent(self, network: Network, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B F"]:
        """The features that ``head`` is fitted on."""
        return network.features(x)
