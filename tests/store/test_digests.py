"""An entry is believed because it is what was written, not because it is there."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from aetl.cli import main
from aetl.files import atomic, copy
from aetl.store.store import Entry, Store

NAME = "pretrain-0123456789abcdef"


def compute(path: Path) -> None:
    (path / "x.npy").write_bytes(bytes(range(256)) * 9000)  # over a block
    (path / "part").mkdir()
    (path / "part" / "scores.json").write_text('{"accuracy": 0.5}')


def ask(folder: Path, work: Callable[[Path], None] = compute, name: str = "pretrain") -> Entry:
    store = Store(dir=str(folder / "store"), reuse=True)
    return store.stage(name, "0123456789abcdef", {"seed": 1}, folder / "run", work)


def flip(path: Path, at: float = 0.5) -> None:
    """One bit, and the file looks as old as before."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[int(at * (len(content) - 1))] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def swapped(entry: Path) -> None:
    """All of another entry's files, each as it was written."""
    store = Store(dir=str(entry.parent), reuse=True)
    other = store.stage("pretrain", "f" * 16, {"seed": 2}, entry, compute)
    shutil.rmtree(entry)
    shutil.copytree(other.path, entry)


def seconds(entry: Path) -> None:
    record = json.loads((entry / "entry.json").read_text())
    (entry / "entry.json").write_text(json.dumps(record | {"seconds": 1e9}))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "first bit": lambda entry: flip(entry / "x.npy", 0),
    "last bit": lambda entry: flip(entry / "x.npy", 1),
    "in a folder": lambda entry: flip(entry / "part" / "scores.json"),
    "cut off": lambda entry: os.truncate(entry / "x.npy", 100),
    "zeros": lambda entry: (entry / "x.npy").write_bytes(bytes(2304000)),
    "missing": lambda entry: (entry / "x.npy").unlink(),
    "added": lambda entry: (entry / "objective.pt").write_bytes(b"x"),
    "of another entry": swapped,
    "the record": lambda entry: flip(entry / "entry.json"),
    "the record's seconds": seconds,
    "the record cut off": lambda entry: os.truncate(entry / "entry.json", 30),
    "the record empty": lambda entry: os.truncate(entry / "entry.json", 0),
    "a record of something else": lambda entry: (entry / "entry.json").write_text("[]"),
    "a record without digests": lambda entry: (entry / "entry.json").write_text('{"seconds": 1}'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_set_aside_told_and_computed_anew(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entry = ask(tmp_path)
    assert ask(tmp_path).reused
    whole = {f.name: f.read_bytes() for f in entry.path.rglob("*.[nj]*") if f.name != "entry.json"}
    DAMAGES[damage](entry.path)
    again = ask(tmp_path)
    assert not again.reused
    assert {
        f.name: f.read_bytes() for f in again.path.rglob("*.[nj]*") if f.name != "entry.json"
    } == whole
    (line,) = caplog.messages
    assert str(entry.path) in line
    assert f"set aside as {NAME}.damaged-1, computed anew" in line
    assert "Error" not in line
    assert "(Damaged)" not in line  # nor a class of ours
    assert (entry.path.parent / f"{NAME}.damaged-1").is_dir()
    assert ask(tmp_path).reused


def test_verify_names_what_is_damaged_and_prune_removes_what_was_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry, where = ask(tmp_path), str(tmp_path / "store")
    assert main(["store", "verify", "--dir", where]) == 0
    assert "1 entry, 0 damaged" in capsys.readouterr().out
    flip(entry.path / "x.npy")
    assert main(["store", "verify", "--dir", where]) == 1
    assert f"{entry.path}/x.npy: is not what was written" in capsys.readouterr().out
    ask(tmp_path)
    assert main(["store", "prune", "--dir", where]) == 0
    assert not list(entry.path.parent.glob("*.damaged-*"))
    assert main(["store", "verify", "--dir", where]) == 0


def test_what_was_read_through_once_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(tmp_path)
    assert ask(tmp_path).reused
    read: list[Any] = []
    monkeypatch.setattr("aetl.store.digests.file_digest", read.append)
    assert ask(tmp_path).reused
    monkeypatch.setattr("aetl.store.digests._known", {})  # another process
    assert ask(tmp_path).reused
    assert not read


def test_a_store_that_may_only_be_read_is_read_and_what_it_lacks_is_computed_in_the_runs_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    there = ask(tmp_path)

    def refused(self: FileLock, *_: Any, **__: Any) -> None:
        if str(tmp_path / "store") in self.lock_file:
            raise OSError(errno.EROFS, "Read-only file system", self.lock_file)
        object.__setattr__(self, "_told", True)

    monkeypatch.setattr("aetl.store.store.FileLock.acquire", refused)
    assert ask(tmp_path) == Entry(there.path, there.digest, reused=True)
    assert not caplog.messages
    flip(there.path / "x.npy")
    own = ask(tmp_path)
    assert own.path == tmp_path / "run" / "stages" / NAME
    assert "x.npy: is not what was written; it is left out" in caplog.messages[0]
    assert ask(tmp_path, name="transfer").path.parent == own.path.parent
    (once,) = [line for line in caplog.messages if "cannot be written" in line]
    assert once.endswith(f"store: cannot be written; what it lacks is computed in {tmp_path}/run")


def test_a_copy_is_another_file(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"weights")
    copy(tmp_path / "one", tmp_path / "there" / "two")
    with (tmp_path / "there" / "two").open("r+b") as file:
        file.write(b"W")
    assert (tmp_path / "one").read_bytes() == b"weights"
    assert (tmp_path / "there" / "two").read_bytes() == b"Weights"


def test_a_full_disk_names_the_file_that_was_to_be_written(tmp_path: Path) -> None:
    def write() -> None:
        with atomic(tmp_path / "weights.pt") as path:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError) as caught:
        write()
    assert caught.value.filename == str(tmp_path / "weights.pt")
    assert list(tmp_path.iterdir()) == []
