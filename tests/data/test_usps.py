"""USPS: as torchvision reads it, and its damage."""

from __future__ import annotations

import bz2
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import USPS

from aetl.types import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    lines = []
    for label in (7, 10, 1):
        values = rng.uniform(-1, 1, 256).round(3)
        lines.append(f"{label} " + " ".join(f"{i}:{v:g}" for i, v in enumerate(values, 1)) + " \n")
    (tmp_path / "USPS").mkdir()
    for name in ("usps.bz2", "usps.t.bz2"):
        (tmp_path / "USPS" / name).write_bytes(bz2.compress("".join(lines).encode()))
    return tmp_path


def test_pixels_and_labels_are_those_of_torchvision(build, folder: Path) -> None:
    train, test = build("usps", data_dir=str(folder)).load()
    expected = USPS(folder / "USPS", train=True)
    np.testing.assert_array_equal(train.x[:, 0], expected.data)
    assert test.y.tolist() == expected.targets == [6, 9, 0]


@pytest.mark.parametrize("length", [0, 10, 1500])
def test_a_truncated_file_is_named_in_one_line(build, folder: Path, length: int) -> None:
    path = folder / "USPS" / "usps.t.bz2"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError, match=r"usps\.t\.bz2: is cut off or corrupt") as caught:
        build("usps", data_dir=str(folder)).load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["3 1:x 2:0.5\n", "<html>\n", "3 1:0.5 2:0.5\n", "é"])
def test_other_text_is_refused(build, folder: Path, text: str) -> None:
    (folder / "USPS" / "usps.bz2").write_bytes(bz2.compress(text.encode()))
    with pytest.raises(UserError, match=r"usps\.bz2: is cut off or corrupt"):
        build("usps", data_dir=str(folder)).load()


def test_a_missing_file_says_where_it_should_be(build, folder: Path) -> None:
    (folder / "USPS" / "usps.t.bz2").unlink()
    with pytest.raises(UserError, match=rf"usps\.t\.bz2 is missing in {folder}/USPS"):
        build("usps", data_dir=str(folder), download=False).load()


def test_without_a_network_nothing_is_left_behind(build, tmp_path: Path, monkeypatch) -> None:
    nowhere = [f"file://{tmp_path}/nowhere.bz2", "usps.bz2", None]
    monkeypatch.setattr(USPS, "split_list", {"train": nowhere})
    with pytest.raises(UserError, match="could not be downloaded"):
        build("usps", data_dir=str(tmp_path / "data"), download=True).load()
    assert list(tmp_path.iterdir()) == []


def test_the_published_set_is_that_of_torchvision(build, real_data: Path) -> None:
    _, test = build("usps", data_dir=str(real_data), download=False).load()
    expected = USPS(real_data / "USPS", train=False)
    np.testing.assert_array_equal(test.x[:, 0], expected.data)
    assert test.y.tolist() == expected.targets
