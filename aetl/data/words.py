"""Texts as counts of words, their TF-IDF, or hashed n-grams (scikit-learn).

What is learnt of texts (which words there are, and how many texts have each) is learnt from the
training pool alone.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.sparse import csr_array, diags_array
from torch import Tensor

from aetl.data.sparse import tensor_of
from aetl.types import UserError

Method = Literal["counts", "tfidf", "hashed"]
WORD = re.compile(r"(?u)\b\w+\b")


def refuse_wordless(texts: Sequence[str]) -> None:
    """Raise ``UserError`` where no text has a word."""
    if not any(WORD.search(text) for text in texts):
        raise UserError(f"none of the {len(texts)} texts has a word (of letters or digits)")


@dataclass(frozen=True)
class Words:
    """How texts become vectors: fitted once, kept with a model.

    ``vocabulary`` are the words in the order of their columns, ``idf`` their weights; both are
    empty where nothing is fitted.
    """

    method: Method
    size: int
    ngrams: int
    vocabulary: tuple[str, ...] = ()
    idf: tuple[float, ...] = ()

    def fit(self, texts: Sequence[str]) -> "Words":
        """The same with the ``size`` most frequent words of these texts."""
        if self.method == "hashed":
            refuse_wordless(texts)
            return self
        frequencies: Counter[str] = Counter()
        found: Counter[str] = Counter()
        for text in texts:
            grams = self.grams(text)
            found.update(grams)
            frequencies.update(set(grams))
        if not found:
            refuse_wordless(texts)
        most = sorted(found, key=lambda word: (-found[word], word))[: self.size]
        kept = tuple(sorted(most))
        idf: tuple[float, ...] = ()
        if self.method == "tfidf":  # the smooth one of scikit-learn
            idf = tuple(
                float(np.log((1 + len(texts)) / (1 + frequencies[word])) + 1) for word in kept
            )
        return Words(self.method, self.size, self.ngrams, kept, idf)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Sparse float32 [N, D]."""
        if self.method == "hashed":
            return tensor_of(self._hashed(texts))
        matrix = self._counted(texts)
        if self.method == "tfidf":
            matrix = matrix @ diags_array(np.array(self.idf))
            norms = np.sqrt(matrix.multiply(matrix).sum(1))
            matrix = diags_array(1 / np.where(norms > 0, norms, 1.0)) @ matrix
        return tensor_of(csr_array(matrix, dtype=np.float32))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a vector's entries, where they have some."""
        return () if self.method == "hashed" else self.vocabulary

    def grams(self, text: str) -> list[str]:
        """The words of a text, and up to ``ngrams`` neighbours as one."""
        words = WORD.findall(text.lower())
        return [
            " ".join(words[i : i + n])
            for n in range(1, self.ngrams + 1)
            for i in range(len(words) - n + 1)
        ]

    def _counted(self, texts: Sequence[str]) -> csr_array:
        place = {word: k for k, word in enumerate(self.vocabulary)}
        pointers, columns, values = [0], [], []
        for text in texts:
            counts = Counter(place[gram] for gram in self.grams(text) if gram in place)
            for column, number in sorted(counts.items()):
                columns.append(column)
                values.append(number)
            pointers.append(len(columns))
        shape = (len(texts), len(self.vocabulary))
        return csr_array((values, columns, pointers), shape=shape, dtype=np.float64)

    def _hashed(self, texts: Sequence[str]) -> csr_array:
        from sklearn.feature_extraction.text import HashingVectorizer  # slow to import

        made = HashingVectorizer(
            n_features=self.size, analyzer=self.grams, norm="l2", alternate_sign=True
        ).transform(texts)
        return csr_array(made, dtype=np.float32)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(plain: Mapping[str, Any]) -> "Words":
        lists = {name: tuple(plain[name]) for name in ("vocabulary", "idf")}
        return Words(**{**plain, **lists})
