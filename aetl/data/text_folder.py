"""Own texts in folders, one folder for each class."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aetl.data.base import Examples
from aetl.data.encoding import refuse_zeros, refused
from aetl.data.folder import Folder, Part, Wanted
from aetl.data.texts import Texts, examples_of
from aetl.ranges import Text
from aetl.types import UserError


@dataclass(frozen=True, kw_only=True)
class TextFolder(Folder, Texts):
    """Files of plain text."""

    wanted = Wanted("texts", frozenset({".txt", ".text", ".md"}))
    encoding: Text

    def read(self) -> tuple[Examples, Examples | None]:
        read = self.listed()
        parts = [part for part in (read.train, read.test) if part is not None]
        sets = [self._read(part, read.classes) for part in parts]
        return sets[0].told(*read.notes), sets[1] if read.test is not None else None

    def files(self) -> dict[str, Any]:
        return {"texts": {"encoding": self.encoding}}

    def format_keys(self) -> dict[str, Any]:
        return {"encoding": self.encoding, "wordless": self.wordless}

    def _read(self, part: Part, classes: tuple[str, ...]) -> Examples:
        texts = [text_in(path, self.encoding) for path in part.files]
        self.with_words([str(path) for path in part.files], texts)
        root = self.root()
        names = np.array([file.relative_to(root).as_posix() for file in part.files], np.str_)
        return examples_of(texts, part.y, classes, group=part.group, files=names)


def text_in(path: Path, encoding: str) -> str:
    try:
        text = path.read_text(encoding=encoding)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeError, LookupError):
        raise refused(path, encoding) from None
    refuse_zeros(path, text, encoding)
    return text
