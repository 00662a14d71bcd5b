"""What a transfer strategy is.

A strategy says what it uses and receives nothing else, so target labels cannot leak into an arm
that does not declare them, and target test data reach none. Every hook has a neutral default;
strategies of several families combine in one config because each answers only its own question:

=================  =========================================================
``initial``        do weights come from pretraining, or from the keyed random start?
``adapt``          what is inserted into the network (adapters, low-rank updates)?
``groups``         which parameters train, and at what multiple of the rate?
``weigh``          how much does each source example count?
``augment``        which labelled examples are added to the target's?
``module``         what stands beside the network (a domain discriminator, a teacher)?
``penalty``        what is added to the loss at a step?
``combine``        how do several trainings become one (and how many are there)?
``settle``         what is re-estimated without gradients when the weights are there?
``head``           is the head fitted in closed form on frozen features?
``represent``      what are those features, if not the network's?
``align``          how are the source's and the target's features brought together for it?
``target_map``     ... and the target's, from the arrays that are kept of it?
``fit``            on which of them is it fitted, and how often?
``restore``        ... and again from the arrays that are kept of it?
=================  =========================================================

Examples of a part train the network where any strategy of the config declares their labels. So
``feature/dann`` alone is unsupervised adaptation (source labels, target inputs), and together with
``parameter/finetune``, which declares target labels, it is semi-supervised.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from aetl.data.base import Examples
from aetl.rng import Rng
from aetl.task.base import Kind, Task
from aetl.transfer.codec import Codec
from aetl.transfer.network import Network
from aetl.types import EVERY, SUPERVISED, ExampleKind

State = Mapping[str, np.ndarray]
"""Arrays by name, to which anything that was fitted can be reduced."""

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
        features: Callable[[Examples, str | None], Float[Tensor, "N F"]],
        rng: Rng,
        codec: Callable[[], Codec] | None = None,
    ) -> None:
        self._owner, self._uses = owner, uses
        self._parts = {part: data for part, data in parts.items() if part in uses}
        self._features, self._codec = features, codec
        self.rng = rng

    def examples(self, part: Part) -> Examples:
        if part not in self._uses:
            raise Undeclared(f"{self._owner} uses {part} without declaring it in `uses`")
        return self._parts[part]

    def features(self, part: Part, layer: str | None = None) -> Float[Tensor, "N F"]:
        """The features of a part by the network as it was transferred, in eval mode.

        Those that the head sees, or those of a layer of the autoencoder.
        """
        return self._features(self.examples(part), layer)

    def codec(self) -> Codec:
        """A copy of the autoencoder as it was transferred, with its objective."""
        if self._codec is None:
            raise Undeclared(f"{self._owner} uses the codec without declaring it in `uses_codec`")
        return self._codec()


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
    task: Task
    initial: Mapping[str, Tensor]
    streams: Mapping[str, Stream]
    progress: float
    rng: Rng
    reconstruction_loss: Callable[[Tensor, Rng], Tensor]
    """The objective of pretraining for each of some inputs, for strategies that reconstruct."""


class Group(NamedTuple):
    """Parameters that train at ``scale`` times the learning rate.

    A function gives the scale at the fraction of the steps that is done; while it gives 0, the
    parameters are as frozen as those of no group: no update, eval mode.
    """

    parameters: list[nn.Parameter]
    scale: float | Callable[[float], float]

    def at(self, progress: float) -> float:
        return self.scale(progress) if callable(self.scale) else self.scale


class Alignment(NamedTuple):
    """Maps of the features of each domain into a common space.

    ``state`` is all that ``TransferStrategy.target_map`` makes the target's map of: a model that
    is taken away has it, and maps new data alike.
    """

    source: Callable[[np.ndarray], np.ndarray]
    target: Callable[[np.ndarray], np.ndarray]
    state: State = {}  # noqa: RUF012  (nobody writes to it)
    warnings: tuple[str, ...] = ()
    """What to know of it before a score is believed: it has not converged, ..."""


class Sample(NamedTuple):
    """Examples as a closed-form head sees them: features, targets and weights."""

    x: Float[np.ndarray, "N F"]
    y: np.ndarray
    weight: Float[np.ndarray, " N"]


class Samples(NamedTuple):
    """What a closed-form head may be fitted on, its features aligned.

    ``unlabelled()`` are the features of the target inputs, where the strategy declares them.
    """

    target: Sample | None
    source: Sample | None
    unlabelled: Callable[[], Float[np.ndarray, "N F"]]
    rng: Rng

    def pooled(self) -> Sample:
        """The labelled targets, then the weighted sources."""
        given = [sample for sample in (self.target, self.source) if sample is not None]
        return Sample(*(np.concatenate(arrays) for arrays in zip(*given, strict=True)))


class Added(NamedTuple):
    """Labelled examples that train beside the target's own, and how much each counts."""

    examples: Examples
    weight: Float[Tensor, " N"]


class TransferStrategy(ABC):  # noqa: B024  (every question has a neutral answer)
    """One answer to the questions above. Streams are ``labelled``, ``source`` and ``target``."""

    kinds: ClassVar[frozenset[ExampleKind]] = EVERY
    """What examples it takes; others are refused before any work."""
    uses: ClassVar[frozenset[Part]] = frozenset({"target_labels"})
    initial: ClassVar[Literal["pretrained", "random"]] = "pretrained"
    reconstructs: ClassVar[bool] = False
    """Whether the penalty uses ``Step.reconstruction_loss``: the decoder then trains too."""
    tasks: ClassVar[frozenset[Kind]] = SUPERVISED
    """The kinds of task that the strategy makes sense for; others are refused beforehand."""
    uses_codec: ClassVar[bool] = False
    """Whether it asks its view for the codec: what it gives then depends on the loss."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """Fields of the autoencoder's output without which it makes no sense; checked beforehand."""

    trains: ClassVar[bool] = True
    """Whether the network is trained where no head is fitted in closed form."""
    repeats: int = 1
    """How often the network is trained from its start, each time with other keys."""
    repeats_are_judged: bool = False
    """Whether ``combine`` asks for scores, which are those of the selector."""

    def adapt(self, network: Network) -> None:  # noqa: B027
        """Insert modules into the network, in place."""

    def groups(self, network: Network) -> list[Group] | None:
        """The parameters that train; ``None`` leaves it to the other strategies (or: all do)."""
        return None

    def weigh(self, view: View) -> Float[Tensor, " N"] | None:
        """Non-negative weights of the source examples; several strategies' weights multiply."""
        return None

    def augment(self, view: View) -> Added | None:
        """Labelled examples that are added to the target's."""
        return None

    def module(self, network: Network, task: Task, view: View) -> nn.Module | None:
        """A module beside the network as it starts: what of it wants gradients trains along.

        What is measured once before training (a teacher's weights) is a buffer of it.
        """
        return None

    def penalty(self, step: Step, module: nn.Module | None) -> Tensor | None:
        """A scalar that is added to the loss.

        Under several processes each sees the joint batch's streams and computes the same.
        """
        return None

    def combine(
        self,
        states: Sequence[Mapping[str, Tensor]],
        score: Callable[[dict[str, Tensor]], float],
    ) -> dict[str, Tensor]:
        """The weights that ``repeats`` trainings become; ``score`` is the higher the better."""
        return dict(states[-1])

    def settle(self, network: Network, view: View) -> None:  # noqa: B027
        """Change the network in place after training, or before a closed-form head is fitted."""

    def head(self, task: Task) -> Any | None:
        """An estimator with ``fit(x, y, weight)`` that is fitted on frozen features."""
        return None

    def represent(self, network: Network, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B F"]:
        """The features that ``head`` is fitted on."""
        return network.features(x)

    def align(self, view: View) -> Alignment | None:
        """Maps that the features go through before ``head`` is fitted on them."""
        return None

    def target_map(self, state: State) -> Callable[[np.ndarray], np.ndarray]:
        """The map of the target's features that ``align`` found, from ``Alignment.state``."""
        return _unchanged

    def fit(self, estimator: Any, samples: Samples) -> Any:
        """The estimator of ``head`` fitted: once, on everything that has a label."""
        return estimator.fit(*samples.pooled())

    def restore(self, estimator: Any, state: State) -> Any:
        """What ``fit`` gave, from what its ``state()`` gave and the estimator of ``head``."""
        return estimator.load_state(state)


def _unchanged(z: np.ndarray) -> np.ndarray:
    return z
