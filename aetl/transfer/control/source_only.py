"""The control of domain adaptation: trained on the source's labels and not adapted."""

from __future__ import annotations

from typing import ClassVar

from aetl.transfer.base import Part, TransferStrategy


class SourceOnly(TransferStrategy):
    """All of the pretrained network trains on labelled sources; of the target it sees nothing."""

    uses: ClassVar[frozenset[Part]] = frozenset({"source_labels"})
