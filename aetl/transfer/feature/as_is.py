"""The pretrained autoencoder answers as it is."""

from __future__ import annotations

from typing import ClassVar

from aetl.task.base import Kind
from aetl.transfer.base import Part, TransferStrategy
from aetl.types import DECODED


class AsIs(TransferStrategy):
    """Nothing is trained and nothing of the target is seen; also for autoencoders in closed form
    (``autoencoder=pca``)."""

    tasks: ClassVar[frozenset[Kind]] = DECODED
    uses: ClassVar[frozenset[Part]] = frozenset()
    trains: ClassVar[bool] = False
