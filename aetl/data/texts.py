"""What sets of texts have in common: they are kept as texts, and become vectors after the split."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Interval
from jaxtyping import UInt64

from aetl.data import mapped
from aetl.data.base import Dataset, Examples
from aetl.data.tokens import OTHER, Tokens
from aetl.data.words import WORD, Method, Words
from aetl.ranges import Count
from aetl.types import Entries, UserError


@dataclass(frozen=True, kw_only=True)
class Texts(Dataset):
    """``words`` says what becomes of a text.

    ``counts`` and ``tfidf`` of the ``vocabulary`` most frequent words of the training pool (and
    groups of up to ``ngrams`` neighbours), or all ``hashed`` to as many columns (Weinberger et al.,
    2009, arXiv:0902.2206). ``tokens`` are the first ``length`` words as numbers, for backbones that
    embed them. A target has the words of its source, with the source's weights. A text without any
    word is refused, but with ``wordless=keep``.
    """

    words: Method | Literal["tokens"]
    vocabulary: Count
    length: Count
    ngrams: Annotated[int, Interval(ge=1, le=5)]
    wordless: Literal["refuse", "keep"]

    def files(self) -> dict[str, Any]:
        """How files are read, for a model that is given others."""
        return {}

    def with_words(self, named: Sequence[str], texts: Sequence[str]) -> None:
        """Refuse a text that has no word at all; ``named`` says where each is."""
        if self.wordless == "keep":
            return
        bare = [place for place, text in enumerate(texts) if WORD.search(text) is None]
        if bare:
            more = f", and {len(bare) - 1} more have none" if len(bare) > 1 else ""
            raise UserError(
                f"{named[bare[0]]}: has no word (of letters or digits){more}; take it out, or set "
                "wordless=keep"
            )

    def prepared(
        self, train: Examples, test: Examples, source: Examples | None
    ) -> tuple[Examples, Examples]:
        if self.words == "tokens":
            return self._as_tokens(train, test, source)
        there = None if source is None else source.reading.get("words")
        if there is None and source is not None and "tokens" in source.reading:
            raise UserError(f"words={self.words}: the source's texts were read with words=tokens")
        texts = [text_of(part) for part in (train, test)]
        own = Words(self.words, self.vocabulary, self.ngrams)
        if there is None:
            own = own.fit(texts[0])
        else:
            own = Words.from_dict(there)
            if own.method != self.words:
                raise UserError(
                    f"words={self.words}: the source's texts were read with words={own.method}"
                )
        parts = [
            replace(
                part,
                x=own(said),
                columns=own.columns,
                reading={"words": own.as_dict()} | self.files(),
            )
            for part, said in zip((train, test), texts, strict=True)
        ]
        bare = sum(int((_sums(part) == 0).sum()) for part in parts)
        if there is not None and bare:
            parts[0] = parts[0].told(f"{bare} texts have none of the source's words")
        elif bare:
            parts[0] = parts[0].told(f"{bare} texts have none of the words and are empty vectors")
        return super().prepared(parts[0], parts[1], source)

    def _as_tokens(
        self, train: Examples, test: Examples, source: Examples | None
    ) -> tuple[Examples, Examples]:
        if self.ngrams != 1:
            raise UserError(f"ngrams={self.ngrams}: tokens are single words; set ngrams=1")
        texts = [text_of(part) for part in (train, test)]
        if source is None:
            own = Tokens(self.vocabulary, self.length).fit(texts[0])
        elif "tokens" in source.reading:
            own = Tokens.from_dict(source.reading["tokens"])
        else:
            raise UserError("words=tokens: the source's texts were not read with words=tokens")
        parts = [
            replace(
                part, x=own(said), entries=Entries(tokens=own.number),
                reading={"tokens": own.as_dict()} | self.files(),
            )
            for part, said in zip((train, test), texts, strict=True)
        ]  # fmt: skip
        if bare := sum(int((part.x <= OTHER).all(1).sum()) for part in parts):
            parts[0] = parts[0].told(f"{bare} texts have none of the words")
        return super().prepared(parts[0], parts[1], source)


def _sums(part: Examples) -> torch.Tensor:
    """How much is in each example."""
    rows: torch.Tensor = part.x.indices()[0].bincount(minlength=len(part))
    return rows


def examples_of(
    texts: Sequence[str], y: torch.Tensor, classes: tuple[str, ...], **more: Any
) -> Examples:
    """Texts before they are vectors: one byte a column, filled up with zeros."""
    raw = [text.replace("\0", " ").encode() for text in texts]
    x = mapped.empty((len(raw), max(map(len, raw), default=0) + 1), np.uint8)
    x[:] = 0
    for row, content in enumerate(raw):
        x[row, : len(content)] = np.frombuffer(content, np.uint8)
    return Examples(torch.from_numpy(x), y, classes, identity_of_texts(raw), **more)


def identity_of_texts(raw: Sequence[bytes]) -> UInt64[np.ndarray, " N"]:
    digests = b"".join(hashlib.blake2b(content, digest_size=8).digest() for content in raw)
    return np.frombuffer(digests, np.uint64).copy()


def text_of(part: Examples) -> list[str]:
    """The texts of ``examples_of``."""
    return [row.tobytes().rstrip(b"\0").decode() for row in part.x.numpy()]
