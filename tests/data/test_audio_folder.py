"""Recordings: decoded, resampled, cut, log-mel as librosa has it, domains by name, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aetl.data.sound import Sound, decoded, log_mel, mel_filters, resampled
from aetl.types import UserError

soundfile = pytest.importorskip("soundfile")

RATE = 8000
SPEAKERS = ("ann", "bob", "cyd")


def tone(frequency: float, seconds: float = 0.1, rate: int = RATE) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two digits of three speakers, six times each: low and high tones."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    for digit in (0, 1):
        for k, speaker in enumerate(SPEAKERS):
            for index in range(6):
                samples = tone(300 + 900 * digit + 40 * k + 7 * index)
                soundfile.write(folder / f"{digit}_{speaker}_{index}.wav", samples, RATE)
    return folder


KEYS = {"pattern": "{digit}_{speaker}_{index}", "target": "digit", "scale": "none"}


def test_samples_are_those_that_were_written(build, folder: Path) -> None:
    pool, _ = build("audio_folder", path=str(folder), features="raw", **KEYS).read()
    assert pool.kind == "series"
    assert pool.shape == (1, 800)
    assert pool.classes == ("0", "1")
    for row, name in enumerate(pool.files.tolist()):
        k, index = SPEAKERS.index(name.split("_")[1]), int(name.split("_")[2][0])
        wanted = tone(300 + 900 * int(name[0]) + 40 * k + 7 * index)
        np.testing.assert_allclose(pool.x[row, 0], wanted, atol=2**-14)
        assert pool.y[row] == int(name[0])


def test_a_domain_is_taken_by_the_fields_of_the_names(build, folder: Path) -> None:
    def files(**keys: Any) -> tuple[set[str], set[str]]:
        train, test = build("audio_folder", path=str(folder), **KEYS, **keys).load()
        return set(train.files.tolist()), set(test.files.tolist())

    train, test = files(where="speaker!=bob", test_where="index<2")
    assert (len(train), len(test)) == (16, 8)
    assert not any("bob" in name for name in train | test)
    assert all(name.endswith(("_0.wav", "_1.wav")) for name in test)
    train, test = files(group="speaker")
    assert not {n.split("_")[1] for n in train} & {n.split("_")[1] for n in test}


@pytest.mark.parametrize("suffix", ["flac", "ogg"])
def test_other_formats_and_channels_are_read(build, folder: Path, suffix: str) -> None:
    both = np.stack([tone(300), tone(1200)], 1)
    soundfile.write(folder.parent / f"one.{suffix}", both, RATE)
    samples, rate = decoded(folder.parent / f"one.{suffix}")
    assert rate == RATE
    np.testing.assert_allclose(samples, both.mean(1), atol=0.05)


def test_a_tone_at_another_rate_is_the_same_tone() -> None:
    for other in (16000, 11025, 4000):
        same = resampled(tone(440, 0.2, other).astype(np.float32), other, RATE)
        np.testing.assert_allclose(same[200:1400], tone(440, 0.2)[200:1400], atol=2e-3)
    # What the lower rate cannot hold is taken out and not folded back.
    above = resampled(tone(3000, 0.2).astype(np.float32), RATE, 4000)
    assert np.abs(above[100:700]).max() < 0.02


def test_log_mel_is_that_of_librosa() -> None:
    """Golden values of librosa 0.11.0: ``filters.mel(sr=8000, n_fft=256, n_mels=6)``, and ``log(
    feature.melspectrogram(..., hop_length=128, pad_mode="reflect") + 1e-6)`` of a chirp."""
    filters = mel_filters(RATE, 6, 256)
    sums = [0.031977616, 0.03197812, 0.032025598, 0.031985495, 0.032007072, 0.03199485]
    np.testing.assert_allclose(filters.sum(1), sums, rtol=1e-6)
    fourth = [1.2744532e-04, 1.9368479e-03, 1.9379804e-03, 1.6502610e-05]
    np.testing.assert_allclose(filters[3, [33, 45, 46, 64]], fourth, rtol=1e-5)
    assert filters[3].nonzero()[:, 0].tolist() == list(range(33, 65))
    t = np.arange(1600) / RATE
    chirp = torch.from_numpy(np.sin(2 * np.pi * 440 * t * (1 + t)))
    found = log_mel(chirp, RATE, 6, 256, 128)
    wanted = [
        [2.49052, 2.1669376, 1.2615073], [1.6940391, 2.2630517, 2.6779675],
        [-2.4645162, -11.826415, -2.153687], [-4.161446, -13.7836275, -4.602541],
        [-5.457585, -13.814218, -6.0463614], [-6.4539695, -13.8154335, -7.1009493],
    ]  # fmt: skip
    assert found.shape == (6, 13)
    np.testing.assert_allclose(found[:, [0, 5, 12]], wanted, atol=2e-4)


def test_examples_are_of_one_length_and_end_in_silence(build, folder: Path) -> None:
    keys = {"features": "raw", **KEYS}
    long, _ = build("audio_folder", path=str(folder), seconds=0.2, **keys).read()
    short, _ = build("audio_folder", path=str(folder), seconds=0.05, **keys).read()
    assert (long.shape, short.shape) == ((1, 1600), (1, 400))
    assert not long.x[:, :, 800:].any()
    assert torch.equal(long.x[:, :, :400], short.x)
    made = Sound.from_dict(long.reading["sound"])
    np.testing.assert_array_equal(made.read(folder / long.files[3]), long.x[3])


def test_recordings_of_different_rates_need_one_that_is_named(build, folder: Path) -> None:
    soundfile.write(folder / "0_ann_9.wav", tone(300, rate=16000), 16000)
    with pytest.raises(UserError, match=r"different rates .*0_ann_9.wav 16000.*rate=8000"):
        build("audio_folder", path=str(folder), **KEYS).read()
    pool, _ = build("audio_folder", path=str(folder), rate=8000, features="raw", **KEYS).read()
    row = pool.files.tolist().index("0_ann_9.wav")
    np.testing.assert_allclose(pool.x[row, 0, 100:700], tone(300)[100:700], atol=5e-3)


def test_what_cannot_be_used_is_refused_in_one_line(build, folder: Path, tmp_path: Path) -> None:
    def refused(said: str, path: Path = folder, **keys: Any) -> None:
        with pytest.raises(UserError, match=said) as caught:
            build("audio_folder", path=str(path), **(KEYS | keys)).load()
        assert "\n" not in str(caught.value)

    refused("is not a folder", tmp_path / "no")
    refused("must have fields", pattern="digits")
    refused(r"0_ann_0\.wav is not called so", pattern="{a}-{b}")
    refused("target=word: there is no such column; there are file, folder, digit", target="word")
    refused("no row of .* fulfils it", where="speaker=eve")
    refused("has no column 'sex'", where="sex=f")
    refused("test_where=index>=0: leaves no file to train on", test_where="index>=0")
    refused("group=room", group="room")
    refused("window=4000: is longer than the recordings", window=4000)
    (tmp_path / "none").mkdir()
    refused(r"holds no recordings \(\.flac \.ogg \.wav\)", tmp_path / "none")
    whole = (folder / "1_cyd_3.wav").read_bytes()
    for content in (b"", b"RIFF", whole[:30]):
        (folder / "1_cyd_3.wav").write_bytes(content)
        refused(r"1_cyd_3\.wav: is cut off or no recording")
    soundfile.write(folder / "1_cyd_3.wav", np.zeros(0), RATE)
    refused(r"1_cyd_3\.wav: holds no sound")


def test_speakers_of_spoken_digits_are_domains(build, folder: Path) -> None:
    keys = {"path": str(folder), "seconds": 0.1}
    train, test = build("fsdd", speaker="!bob", **keys).load()
    assert (len(train), len(test)) == (4, 20)
    assert not any("bob" in name for name in train.files)
    one, _ = build("fsdd", speaker="bob", **keys).load()
    assert all("bob" in name for name in one.files)
    with pytest.raises(UserError, match=r"is missing, .*GitHub.*AETL_DATA_DIR"):
        build("fsdd", speaker=None, path=str(folder / "no")).load()
