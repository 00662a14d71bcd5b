import json
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock

from aetl.command import store
from aetl.config import ConfigError
from aetl.files import copy
from aetl.store import held as held_module
from aetl.store.held import held, prune, prune_locks
from aetl.store.store import RECORD, Entry, Store

DAY = 86400
DIGESTS = [f"{number:016x}" for number in range(9)]


def compute(path: Path) -> None:
    (path / "weights.pt").write_bytes(b"w" * 1000)


def put(folder: Path, stage: str, digest: str, days: float = 0.0) -> Entry:
    """An entry of 1 000 bytes, and its record, last used some days ago."""
    entry = Store(dir=str(folder), reuse=True).stage(stage, digest, {}, folder, compute)
    then = time.time() - days * DAY
    os.utime(entry.path / RECORD, (then, then))
    return entry


def begin(folder: Path, stage: str, digest: str, days: float = 0.0) -> Path:
    """A stage that was cut off, with the checkpoint that the next attempt goes on from."""
    checkpoint = folder / f"{stage}-{digest}" / "last.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"c" * 500)
    then = time.time() - days * DAY
    os.utime(checkpoint, (then, then))
    return checkpoint.parent


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir()}


def test_what_is_held_is_told_by_stage_and_size(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    first = put(tmp_path, "pretrain", DIGESTS[0], days=3)
    put(tmp_path, "transfer", DIGESTS[1])
    begin(tmp_path, "pretrain", DIGESTS[2], days=9)
    copy(first.path / "weights.pt", tmp_path / "run" / "autoencoder.pt")
    cut, old, new = held(tmp_path)
    record = (first.path / RECORD).stat().st_size
    assert (cut.stage, cut.done, cut.size) == ("pretrain", False, 500)
    assert (old.stage, old.done, old.size) == ("pretrain", True, 1000 + record)
    assert (new.stage, new.path.name) == ("transfer", f"transfer-{DIGESTS[1]}")
    assert store.main(["--dir", str(tmp_path)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1][:3] == ["pretrain", "1", "1"]
    assert lines[1][-3:] == ["3", "days", "ago"]
    assert (lines[2][0], lines[2][-1]) == ("transfer", "today")
    assert store.main(["--dir", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [entry["size"] for entry in found] == [500, 1000 + record, new.size]


def test_reuse_counts_as_use(tmp_path: Path) -> None:
    put(tmp_path, "pretrain", DIGESTS[0], days=40)
    assert time.time() - held(tmp_path)[0].used > 39 * DAY
    again = Store(dir=str(tmp_path), reuse=True).stage(
        "pretrain", DIGESTS[0], {}, tmp_path, compute
    )
    assert again.reused
    assert time.time() - held(tmp_path)[0].used < 60


def test_only_what_nobody_used_for_long_goes(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for stage, digest, days in (("pretrain", 0, 31), ("pretrain", 1, 29), ("transfer", 2, 31)):
        put(tmp_path, stage, DIGESTS[digest], days)
    begin(tmp_path, "transfer", DIGESTS[3], days=31)
    (tmp_path / "mine").mkdir()
    before = names(tmp_path)
    assert store.main(["--dir", str(tmp_path), "prune", "--dry-run"]) == 0
    assert names(tmp_path) == before
    assert capsys.readouterr().out.startswith("would remove 3 entries of 4, ")
    assert store.main(["prune", "--stage", "transfer", "--dir", str(tmp_path)]) == 0
    kept = {"mine", f"pretrain-{DIGESTS[0]}", f"pretrain-{DIGESTS[1]}"}
    assert names(tmp_path) == kept
    assert store.main(["--dir", str(tmp_path), "prune"]) == 0
    assert names(tmp_path) == kept - {f"pretrain-{DIGESTS[0]}"}
    assert store.main(["--dir", str(tmp_path), "prune", "--older-than", "0"]) == 0
    assert names(tmp_path) == {"mine"}


def test_what_is_being_computed_stays(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = begin(tmp_path, "pretrain", DIGESTS[0], days=99)
    with FileLock(f"{path}.lock"):  # as the job has it that computes
        assert store.main(["--dir", str(tmp_path), "prune"]) == 0
    assert (path / "last.ckpt").exists()
    said = capsys.readouterr().out
    assert said.startswith("removed 0 entries of 1, 0 B")
    assert "1 entry in use: left alone" in said
    assert [entry.path for entry in prune(held(tmp_path))] == [path]


def test_a_job_that_waited_for_an_entry_while_it_was_removed_computes_it(tmp_path: Path) -> None:
    path = begin(tmp_path, "pretrain", DIGESTS[0])
    store = Store(dir=str(tmp_path), reuse=True)
    with ThreadPoolExecutor() as pool:
        with FileLock(f"{path}.lock"):
            job = pool.submit(store.stage, "pretrain", DIGESTS[0], {}, tmp_path, compute)
            time.sleep(0.2)
            path.rename(tmp_path / "away")
        assert not job.result(60).reused
    assert (path / "weights.pt").exists()


def test_locks_go_with_their_entries_and_without_them_but_not_while_they_are_held(
    tmp_path: Path,
) -> None:
    path = begin(tmp_path, "pretrain", DIGESTS[0], days=99)
    for name in (path.name, f"pretrain-{DIGESTS[1]}", f"transfer-{DIGESTS[1]}", "my-own"):
        (tmp_path / f"{name}.lock").touch()
    with FileLock(tmp_path / f"transfer-{DIGESTS[1]}.lock"):
        assert store.main(["--dir", str(tmp_path), "prune"]) == 0
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"transfer-{DIGESTS[1]}.lock", "my-own.lock"}


def test_who_waited_for_a_lock_that_was_removed_does_not_share_it(tmp_path: Path) -> None:
    path = tmp_path / f"pretrain-{DIGESTS[0]}"
    inside: list[int] = []
    most = []

    def work() -> None:
        with FileLock(f"{path}.lock"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.05)
            inside.pop()

    with ThreadPoolExecutor(5) as pool:
        jobs = [pool.submit(work) for _ in range(5)]
        while not all(job.done() for job in jobs):
            prune_locks(tmp_path)
        for job in jobs:
            job.result()
    assert len(most) == 5
    assert max(most) == 1


def test_a_removal_that_was_cut_off_is_finished_by_the_next(tmp_path: Path) -> None:
    (tmp_path / f".removed-pretrain-{DIGESTS[0]}").mkdir()
    assert held(tmp_path) == []
    assert store.main(["--dir", str(tmp_path), "prune"]) == 0
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prune", "--older-than", "-1"], "--older-than=-1.0: expected days, from 0 on"),
        (["prune", "--older-than", "nan"], "--older-than=nan: expected days"),
        (["prune", "--stage", "pretrian"], "--stage=pretrian: none of pretrain"),
    ],
)
def test_mistakes_are_told_in_a_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    put(tmp_path, "pretrain", DIGESTS[0])
    with pytest.raises(ConfigError, match=said):
        store.main(["--dir", str(tmp_path), *arguments])
    assert len(names(tmp_path)) == 1


def test_a_stage_that_is_refused_leaves_no_entry(tmp_path: Path) -> None:
    def refuse(path: Path) -> None:
        raise ConfigError("it does not fit")

    with pytest.raises(ConfigError, match="does not fit"):
        Store(dir=str(tmp_path), reuse=True).stage("transfer", DIGESTS[0], {}, tmp_path, refuse)
    assert held(tmp_path) == []
    assert names(tmp_path) == set()


def test_a_folder_that_is_not_there_is_refused_and_an_empty_default_is_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        store.main(["--dir", str(tmp_path / "none")])
    monkeypatch.setenv("AETL_OUTPUT_DIR", str(tmp_path / "out"))
    assert store.main([]) == 0
    assert "nothing is stored" in capsys.readouterr().out
    assert store.main(["prune"]) == 0
    assert "removed 0 entries of 0" in capsys.readouterr().out


def test_an_entry_that_goes_while_it_is_looked_at_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = tmp_path / "pretrain-0123456789abcdef"
    entry.mkdir()
    (entry / "entry.json").write_text("{}")
    real = held_module._stats

    def as_it_goes(path: Path) -> Iterator[os.stat_result]:
        yield from real(path)
        shutil.rmtree(path)

    monkeypatch.setattr(held_module, "_stats", as_it_goes)
    assert held_module.held(tmp_path) == []
