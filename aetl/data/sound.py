"""Recordings as arrays: decoded, resampled, cut to one length, and their log-mel spectrograms.

The mel scale and the filters are those of M. Slaney (1998), Auditory Toolbox, as in librosa's
``melspectrogram``: linear below 1 000 Hz, logarithmic above, triangles of equal area.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from scipy.signal import resample_poly
from torch import Tensor

from aetl.types import UserError

LINEAR, LOG_STEP, BREAK = 200.0 / 3, math.log(6.4) / 27, 1000.0
FLOOR = 1e-6
"""Of the power: silence has a finite logarithm, -13.8."""


@dataclass(frozen=True)
class Sound:
    """How files become examples of one shape: settled once, kept with a model."""

    rate: int
    length: int
    features: Literal["raw", "log_mel"]
    mels: int
    window: int
    hop: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(1, samples), or (1, mels, frames)."""
        if self.features == "raw":
            return (1, self.length)
        return (1, self.mels, 1 + self.length // self.hop)

    def read(self, path: Path) -> Float[np.ndarray, "..."]:
        """One file; ``UserError`` where it cannot be decoded."""
        samples, rate = decoded(path)
        return self.of(resampled(samples, rate, self.rate))

    def of(self, samples: Float[np.ndarray, " L"]) -> Float[np.ndarray, "..."]:
        """Samples at our rate."""
        whole = np.zeros(self.length, np.float32)
        used = samples[: self.length]
        whole[: len(used)] = used
        if self.features == "raw":
            return whole[None]
        made = log_mel(torch.from_numpy(whole), self.rate, self.mels, self.window, self.hop)
        return np.asarray(made.numpy()[None])

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(plain: Mapping[str, Any]) -> "Sound":
        return Sound(**plain)


def rate_of(path: Path) -> tuple[int, float]:
    """Samples a second, and the length in seconds, from the header."""
    info = _sounds(path, lambda library: library.info(str(path)))
    return int(info.samplerate), info.frames / info.samplerate


def decoded(path: Path) -> tuple[Float[np.ndarray, " L"], int]:
    """The mean of the channels in [-1, 1], and the samples a second."""
    _refuse_cut(path)
    values, rate = _sounds(
        path, lambda library: library.read(str(path), dtype="float32", always_2d=True)
    )
    if not len(values):
        raise UserError(f"{path}: holds no sound")
    if not np.isfinite(values).all():
        raise UserError(f"{path}: holds NaN or infinity")
    return np.ascontiguousarray(values.mean(1, dtype=np.float32)), int(rate)


def _refuse_cut(path: Path) -> None:
    """A WAV says how long it is, and is read without a word as far as it goes; streams say 0 or the
    largest number."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            name, told = struct.unpack("<4sI", file.read(8))
    except (OSError, struct.error):
        return  # told by the decoder
    if name == b"RIFF" and told not in (0, 2**32 - 1) and size < told + 8:
        raise UserError(f"{path}: is cut off (it has {size} of {told + 8} bytes)")


def _sounds(path: Path, look: Any) -> Any:
    try:
        import soundfile
    except (ImportError, OSError):  # it brings a library of its own
        raise UserError("recordings need soundfile: pip install 'aetl[audio]'") from None
    try:
        return look(soundfile)
    except (RuntimeError, OSError, ValueError) as error:
        line = (str(error).splitlines() or ["?"])[-1]
        raise UserError(f"{path}: is cut off or no recording ({line})") from None


def resampled(samples: Float[np.ndarray, " L"], rate: int, wanted: int) -> Float[np.ndarray, " M"]:
    """Another rate, by a polyphase filter that lets nothing above half of the lower one through."""
    if rate == wanted:
        return samples
    divisor = math.gcd(rate, wanted)
    return np.asarray(resample_poly(samples, wanted // divisor, rate // divisor), np.float32)


def log_mel(
    samples: Float[Tensor, " L"], rate: int, mels: int, window: int, hop: int
) -> Float[Tensor, "M T"]:
    """``log(power in each band + 1e-6)``: Hann windows, centred, the edges reflected."""
    hann = torch.hann_window(window, dtype=samples.dtype)
    spectrum = torch.stft(
        samples, window, hop, window=hann, center=True, pad_mode="reflect", return_complex=True
    )
    filters = mel_filters(rate, mels, window).to(samples.dtype)
    return (filters @ spectrum.abs().square() + FLOOR).log()


@cache
def mel_filters(rate: int, mels: int, window: int) -> Float[Tensor, "M F"]:
    """Triangles between neighbouring points of the mel scale from 0 to half of the rate.

    Each is as high as it is narrow: ``2 / (upper - lower)``, in 1/Hz.
    """
    edges = hertz(np.linspace(0.0, float(mel(rate / 2)), mels + 2))
    frequencies = np.linspace(0, rate / 2, window // 2 + 1)
    rise = (frequencies[None] - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - frequencies[None]) / np.diff(edges)[1:, None]
    height = 2 / (edges[2:] - edges[:-2])
    return torch.from_numpy(np.maximum(0, np.minimum(rise, fall)) * height[:, None])


def mel(frequency: float) -> float:
    if frequency < BREAK:
        return frequency / LINEAR
    return BREAK / LINEAR + math.log(frequency / BREAK) / LOG_STEP


def hertz(mels: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    linear = LINEAR * mels
    logarithmic = BREAK * np.exp(LOG_STEP * (mels - BREAK / LINEAR))
    return np.where(mels < BREAK / LINEAR, linear, logarithmic)
