"""Own recordings in folders: WAV, FLAC or OGG, as the signals or as log-mel spectrograms."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from aetl.data import mapped
from aetl.data.base import Examples, identity_of
from aetl.data.folder import Folder, Part, Wanted, threaded
from aetl.data.sound import Sound, rate_of
from aetl.ranges import Count, Positive
from aetl.types import UserError

SUFFIXES = frozenset({".wav", ".flac", ".ogg"})
BLOCK = 1024


@dataclass(frozen=True, kw_only=True)
class AudioFolder(Folder):
    """Recordings in folders, of one channel (the mean of several).

    ``rate`` is in samples a second: others are resampled; null takes the one that all have, and
    refuses files of different ones. ``seconds`` is the length of an example (null: that of the
    longest training file): longer ones are cut off, shorter ones end in silence. ``features`` are
    ``raw`` (a series of one channel) or ``log_mel``, a field of ``mels`` bands x frames of
    ``window`` samples every ``hop``; see ``aetl.data.sound``.
    """

    wanted = Wanted("recordings", SUFFIXES)
    rate: Count | None
    seconds: Positive | None
    features: Literal["raw", "log_mel"]
    mels: Count
    window: Count
    hop: Count

    def read(self) -> tuple[Examples, Examples | None]:
        read = self.listed()
        parts = [part for part in (read.train, read.test) if part is not None]
        form = self._form([path for part in parts for path in part.files], read.train.files)
        sets = [self._heard(part, read.classes, form) for part in parts]
        pool = sets[0].told(*read.notes)
        return pool, sets[1] if read.test is not None else None

    def format_keys(self) -> dict[str, Any]:
        names = ("rate", "seconds", "features", "mels", "window", "hop")
        return {name: getattr(self, name) for name in names}

    def _form(self, files: list[Path], train: list[Path]) -> Sound:
        headers = dict(zip(files, threaded(rate_of, files), strict=True))
        rates = {rate for rate, _ in headers.values()}
        if self.rate is None and len(rates) > 1:
            some = {rate: path for path, (rate, _) in headers.items()}
            root = self.root()
            told = ", ".join(
                f"{path.relative_to(root)} {rate}" for rate, path in sorted(some.items())
            )
            raise UserError(
                f"{self.path}: holds recordings of different rates ({told} samples a second); set "
                f"rate={min(rates)} and all are resampled to it"
            )
        rate = self.rate or rates.pop()
        longest = max(headers[path][1] for path in train)
        length = max(1, round(rate * (self.seconds or longest)))
        if self.features == "log_mel" and length < self.window:
            raise UserError(
                f"window={self.window}: is longer than the recordings ({length} samples at {rate} "
                "a second)"
            )
        return Sound(rate, length, self.features, self.mels, self.window, self.hop)

    def _heard(self, part: Part, classes: tuple[str, ...], form: Sound) -> Examples:
        number = len(part.files)
        x = mapped.empty((number, *form.shape), np.float32)
        for start in range(0, number, BLOCK):
            done = threaded(partial(Sound.read, form), part.files[start : start + BLOCK])
            for row, values in enumerate(done, start):
                x[row] = values
        tensor, root = torch.from_numpy(x), self.root()
        names = np.array([file.relative_to(root).as_posix() for file in part.files], np.str_)
        examples = Examples(tensor, part.y, classes, identity_of(tensor), group=part.group)
        return replace(examples, files=names, reading={"sound": form.as_dict()})
