"""The control of domain adaptation: trained on the source's labels and not adapted."""

from __future__ import annotations

from typing import ClassVar

from aetl.transfer.base import Part, TransferStrategy
from aetl.types import DECODED, SUPERVISED, Kind


class SourceOnly(TransferStrategy):
    """All of the pretrained network trains on labelled sources; of the target it sees nothing."""

    tasks: ClassVar[frozenset[Kind]] = SUPERVISED | DECODED
    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels"})
