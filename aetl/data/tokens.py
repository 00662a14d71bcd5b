"""Texts as sequences of words by their numbers; learnt of the training pool alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from aetl.data.words import WORD, refuse_wordless

PADDING, OTHER = 0, 1
"""The numbers of what fills up a text, and of words that are not in the vocabulary."""


@dataclass(frozen=True)
class Tokens:
    """The first ``length`` words of a text as numbers: fitted once, kept with a model.

    ``vocabulary`` are the words from number 2 on, the most frequent first.
    """

    size: int
    length: int
    vocabulary: tuple[str, ...] = ()

    def fit(self, texts: Sequence[str]) -> "Tokens":
        """The same with the ``size`` most frequent words of these texts."""
        found = Counter(word for text in texts for word in WORD.findall(text.lower()))
        refuse_wordless(texts)
        most = sorted(found, key=lambda word: (-found[word], word))[: self.size]
        return Tokens(self.size, self.length, tuple(most))

    @property
    def number(self) -> int:
        """How many different tokens there are."""
        return len(self.vocabulary) + 2

    def __call__(self, texts: Sequence[str]) -> Int[Tensor, "N L"]:
        place = {word: k for k, word in enumerate(self.vocabulary, 2)}
        x = torch.full((len(texts), self.length), PADDING)
        for row, text in enumerate(texts):
            words = WORD.findall(text.lower())[: self.length]
            x[row, : len(words)] = torch.tensor(
                [place.get(word, OTHER) for word in words], dtype=torch.int64
            )
        return x

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(plain: Mapping[str, Any]) -> "Tokens":
        return Tokens(plain["size"], plain["length"], tuple(plain["vocabulary"]))
