"""The head that is best by cross-validation, of several."""

from __future__ import annotations

from collections.abc import Mapping

from aetl.head.base import Head, Model
from aetl.ranges import Folds
from aetl.types import Kind


class Auto(Head):
    """All options of ``heads``, by whatever names; those that are for other tasks are passed over.

    Weights of classes and folds are its own, not those of the heads.
    """

    def __init__(self, *, heads: Mapping[str, Head | None], balanced: bool, folds: Folds) -> None:
        super().__init__(scale="auto", balanced=balanced, folds=folds)
        self.heads = [head for head in heads.values() if head is not None]

    def models(self, kind: Kind) -> list[Model]:
        raise NotImplementedError  # the heads have models, each with its scales

    def options(self, kind: Kind) -> list[Model]:
        fitting = [head for head in self.heads if kind in head.kinds]
        return [option for head in fitting for option in head.options(kind)]
