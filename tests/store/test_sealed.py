"""A training goes on from a file only where it is the one that was written, and holds no code."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from aetl.store import sealed
from aetl.types import UserError


class Payload:
    """A pickle of it makes a file in the current folder when it is read."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return os.system, ("touch executed",)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a flipped bit": flip,
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "cut off": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "another's": lambda path: torch.save({"step": 4}, path),
    "no digest": lambda path: path.with_name("last.ckpt.digest").unlink(),
    "a digest of zeros": lambda path: path.with_name("last.ckpt.digest").write_bytes(bytes(33)),
    "code": lambda path: torch.save(Payload(), path),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_set_aside_and_told(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "pretrain-0" / "last.ckpt"
    sealed.save_value(path, {"step": 3, "rows": torch.zeros(300)})
    DAMAGES[damage](path)
    assert sealed.load(path) is None
    assert [f.name for f in path.parent.iterdir()] == ["last.ckpt.damaged-1"]
    (line,) = caplog.messages
    assert str(path) in line
    assert "last.ckpt.damaged-1" in line
    assert "Error" not in line
    assert not (tmp_path / "executed").exists()


def test_a_file_that_torch_did_not_write_is_told_without_the_name_of_an_exception(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "pretrain-0" / "last.ckpt"
    sealed.save(path, lambda temporary: temporary.write_bytes(b"not torch's") and None)
    assert sealed.load(path) is None
    assert "last.ckpt: is not what torch wrote; set aside" in caplog.messages[0]


def test_a_file_of_code_with_a_digest_is_not_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sealed.save_value(tmp_path / "last.ckpt", Payload())
    assert sealed.load(tmp_path / "last.ckpt") is None
    assert not (tmp_path / "executed").exists()


def test_a_file_of_another_entry_is_not_believed(tmp_path: Path) -> None:
    one, other = (tmp_path / name / "last.ckpt" for name in ("pretrain-0", "pretrain-1"))
    sealed.save_value(one, {"step": 3})
    other.parent.mkdir()
    for file in list(one.parent.iterdir()):
        file.rename(other.parent / file.name)
    assert sealed.load(other) is None


@pytest.mark.parametrize("moment", ["before the file", "before its digest"])
def test_a_power_cut_between_a_file_and_its_digest_leaves_one_that_is_believed(
    moment: str, tmp_path: Path
) -> None:
    path = tmp_path / "last.ckpt"
    sealed.save_value(path, {"step": 1})
    before = path.read_bytes(), (tmp_path / "last.ckpt.digest").read_bytes()
    sealed.save_value(path, {"step": 2})
    path.write_bytes(before[0])
    if moment == "before its digest":
        (tmp_path / "last.ckpt.digest").write_bytes(before[1])
    found = sealed.load(path)
    assert found == {"step": 1}


def test_what_callbacks_of_others_keep_comes_back(tmp_path: Path) -> None:
    state = {"best": np.float64(0.5), "seen": np.arange(3), "wait": 2, "name": "val", "at": None}
    sealed.refuse_code({"Early{}": state})
    sealed.save_value(tmp_path / "last.ckpt", state)
    found = sealed.load(tmp_path / "last.ckpt")
    assert found is not None
    np.testing.assert_array_equal(found.pop("seen"), state.pop("seen"))
    assert found == state


def test_a_callback_that_keeps_an_object_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"^callback Mine: its state_dict\(\) cannot be kept"):
        sealed.refuse_code({"Mine{'a': 1}": {"x": Payload()}})
    assert not Path("executed").exists()
