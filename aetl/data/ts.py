"""Files ``.ts`` of the archive of time series.

A. Bagnall et al. (2018), The UEA multivariate time series classification archive, arXiv:1811.00075:
``#`` comments, ``@`` header, then one series a line: values by commas, channels and the label
by colons.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from aetl.data.encoding import refuse_zeros, refused
from aetl.types import UserError

Signal = Float[np.ndarray, "_ _"]
"""Channels and moments, of which every series may have its own number."""


def read_ts(path: Path, encoding: str = "utf-8") -> tuple[list[Signal], npt.NDArray[Any] | None]:
    """The signals, with NaN for values that are missing, and their labels where there are any.

    ``UserError`` names the line.
    """
    header: dict[str, str] = {}
    signals, labels, numbers = [], [], []
    lines = iter(enumerate(_lines(path, encoding), 1))
    for _, line in lines:
        if line.lower().startswith("@data"):
            break
        if line.startswith("@"):
            name, _, value = line[1:].partition(" ")
            header[name.lower()] = value.strip()
    if header.get("timestamps", "false").lower() == "true":
        raise UserError(f"{path}: has time stamps, which are not read; save it without")
    kind = "classlabel" if "classlabel" in header else "targetlabel"
    labelled = header.get(kind, "false").lower().startswith("true")
    for number, line in lines:
        if not line or line.startswith("#"):
            continue
        *channels, label = line.split(":") if labelled else (*line.split(":"), "")
        if "," in label:
            raise UserError(f"{path}: line {number} has no label after its last colon, and the "
                            f"header says @{kind} true")  # fmt: skip
        signals.append(_signal(f"{path}: line {number}", channels))
        labels.append(label.strip())
        numbers.append(number)
        if np.isinf(signals[-1]).any():
            raise UserError(f"{path}: line {number} holds infinity")
        if len(signals[-1]) != len(signals[0]):
            raise UserError(f"{path}: line {number} has {len(signals[-1])} channels, and the first "
                            f"{len(signals[0])}")  # fmt: skip
    if not signals:
        raise UserError(f"{path}: holds no series after @data")
    if not labelled:
        return signals, None
    if kind == "classlabel":
        return signals, np.array(labels, np.str_)
    return signals, np.array([_target(path, *pair) for pair in zip(numbers, labels, strict=True)])


def _target(path: Path, number: int, label: str) -> float:
    try:
        return float(label)
    except ValueError:
        raise UserError(f"{path}: line {number} has the target '{label}', which is no number"
                        ) from None  # fmt: skip


def _signal(where: str, channels: list[str]) -> Signal:
    if not channels or not channels[0]:
        raise UserError(f"{where} holds no series")
    try:
        rows = [
            np.array([np.nan if v.strip() == "?" else float(v) for v in channel.split(",")])
            for channel in channels
        ]
    except ValueError as error:
        raise UserError(f"{where} holds what is no number ({error})") from None
    signal = np.full((len(rows), max(map(len, rows))), np.nan, np.float32)
    for k, row in enumerate(rows):
        signal[k, : len(row)] = row
    return signal


def _lines(path: Path, encoding: str) -> list[str]:
    try:
        text = path.read_text(encoding=encoding).removeprefix("\ufeff")
        refuse_zeros(path, text, encoding)
        return [line.strip() for line in text.splitlines()]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeError, LookupError):
        raise refused(path, encoding) from None
