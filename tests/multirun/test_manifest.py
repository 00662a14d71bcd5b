"""The manifest and its journal: what is known of a sweep whenever its launcher ends."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from aetl.cli import main
from aetl.files import append
from aetl.multirun.manifest import JOURNAL, JobEntry, Manifest, SweepRefused
from aetl.secret import has_secrets


def entry(number: int) -> JobEntry:
    return JobEntry(
        number=number, name=f"job {number}", folder=str(number), overrides=[f"seed={number}"],
        threads=1, ranks=1, on_gpu=False, shares="x",
    )  # fmt: skip


def begun(folder: Path, jobs: int = 3) -> Manifest:
    folder.mkdir(exist_ok=True)
    manifest = Manifest(
        folder, ["aetl", "-m"], "/", [], "m:f", None, 0, "now", jobs=[*map(entry, range(jobs))]
    )
    manifest.save()
    return manifest


def states(folder: Path) -> list[str]:
    return [job.state for job in Manifest.load(folder).jobs]


def test_what_was_noted_is_known_and_then_part_of_the_manifest(tmp_path: Path) -> None:
    manifest = begun(tmp_path)
    before = (tmp_path / "manifest.json").read_bytes()
    for job, state in zip(manifest.jobs, ("done", "running"), strict=False):
        job.state = state  # type: ignore[assignment]
        manifest.note(job)
    assert states(tmp_path) == ["done", "running", "waiting"]
    assert (tmp_path / "manifest.json").read_bytes() == before
    Manifest.load(tmp_path).save()
    assert not (tmp_path / JOURNAL).exists()
    assert states(tmp_path) == ["done", "running", "waiting"]


def test_a_search_notes_its_further_jobs(tmp_path: Path) -> None:
    manifest = begun(tmp_path, 0)
    for number in range(2):
        manifest.jobs.append(entry(number))
        manifest.note(manifest.jobs[-1])
    assert [job.overrides for job in Manifest.load(tmp_path).jobs] == [["seed=0"], ["seed=1"]]


def test_a_note_looks_at_its_own_job_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def counted(words: Iterable[str]) -> bool:
        looked.extend(words)
        return has_secrets(looked)

    manifest = begun(tmp_path, 500)
    monkeypatch.setattr("aetl.multirun.manifest.has_secrets", counted)
    manifest.note(manifest.jobs[7])
    assert looked == ["aetl", "-m", "seed=7"]


@pytest.mark.parametrize("words", [(["logger.api_key=x"], []), ([], ["+logger.api_key=x"])])
def test_what_holds_a_secret_is_for_its_owner_alone(
    tmp_path: Path, words: tuple[list[str], list[str]]
) -> None:
    manifest = begun(tmp_path, 0)
    manifest.command += words[0]
    manifest.jobs = [replace(entry(0), overrides=words[1])]
    manifest.save()
    manifest.note(manifest.jobs[0])
    for name in ("manifest.json", JOURNAL):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0


def test_a_secret_of_a_later_job_closes_the_journal(tmp_path: Path) -> None:
    manifest = begun(tmp_path, 2)
    manifest.jobs[1].overrides.append("logger.api_key=x")
    manifest.note(manifest.jobs[0])
    manifest.note(manifest.jobs[1])
    assert (tmp_path / JOURNAL).stat().st_mode & 0o077 == 0


def test_a_line_that_was_cut_off_is_none(tmp_path: Path) -> None:
    manifest = begun(tmp_path)
    for job in manifest.jobs:
        job.state = "done"
        manifest.note(job)
    whole = (tmp_path / JOURNAL).read_bytes()
    for length in range(len(whole) - 1, len(whole) - 200, -37):
        (tmp_path / JOURNAL).write_bytes(whole[:length])
        assert states(tmp_path) == ["done", "done", "waiting"]


def test_a_damaged_line_is_refused_by_the_files_name(tmp_path: Path) -> None:
    manifest = begun(tmp_path)
    manifest.jobs[0].state = "done"
    manifest.note(manifest.jobs[0])
    line = (tmp_path / JOURNAL).read_bytes()
    for damaged in (line.replace(b'"done"', b'"failed"'), b"\0" * 30 + b"\n", b"{}\n", b"1\n"):
        (tmp_path / JOURNAL).write_bytes(damaged)
        with pytest.raises(SweepRefused, match="manifest.jsonl: is not what the sweep wrote"):
            Manifest.load(tmp_path)


def test_lines_of_an_older_manifest_count_for_nothing(tmp_path: Path) -> None:
    manifest = begun(tmp_path)
    manifest.jobs[0].state = "running"
    manifest.note(manifest.jobs[0])
    stale = (tmp_path / JOURNAL).read_bytes()
    manifest.jobs[0].state = "done"
    manifest.save()
    (tmp_path / JOURNAL).write_bytes(stale)  # killed between the two files
    assert states(tmp_path) == ["done", "waiting", "waiting"]


def test_an_addition_to_a_full_disk_names_the_file() -> None:
    with pytest.raises(OSError, match="No space left") as raised:
        append(Path("/dev/full"), b"x")
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, "/dev/full")


def test_a_note_of_a_large_sweep_is_as_long_as_one_of_a_small_sweep(tmp_path: Path) -> None:
    lengths = []
    for jobs in (2, 2_000):
        manifest = begun(tmp_path / str(jobs), jobs)
        whole = (tmp_path / str(jobs) / "manifest.json").stat().st_mtime_ns
        manifest.note(manifest.jobs[0])
        lengths.append((tmp_path / str(jobs) / JOURNAL).stat().st_size)
        assert (tmp_path / str(jobs) / "manifest.json").stat().st_mtime_ns == whole
    assert lengths[0] == lengths[1]


WHOLE = {"command": [], "cwd": "/", "paths": [], "task": "m:f", "jobs_at_once": None, "retries": 0,
         "started": ""}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], "is not the manifest of a sweep"),
        (None, "is not the manifest of a sweep"),
        ({}, "of a sweep of this aetl (command: field required)"),
        ({"version": 99, "jobs": []}, "has version 99, this aetl reads 1"),
        (WHOLE | {"jobs": 3}, "(jobs: input should be a valid list)"),
        (WHOLE | {"jobs": [3]}, "(jobs.0: "),
        (WHOLE | {"jobs": [{"number": 0}]}, "(jobs.0.name: field required)"),
        (WHOLE | {"jobs": [asdict(entry(0)) | {"state": "lost"}]}, "(jobs.0.state: "),
        (WHOLE | {"jobs": [asdict(entry(0)) | {"overrides": 3}]}, "(jobs.0.overrides: "),
    ],
)
def test_a_manifest_of_other_kinds_or_of_another_version_is_one_line(
    values: Any, line: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(values))
    for command in (["sweep", "status"], ["sweep", "resume"]):
        assert main([*command, str(tmp_path)]) == 2
        said = capfd.readouterr().err
        assert said.startswith(f"aetl: {tmp_path}/manifest.json: ")
        assert line in said
        assert len(said.splitlines()) == 1


def test_the_last_word_of_a_job_counts_however_often_it_was_said(tmp_path: Path) -> None:
    manifest = begun(tmp_path)
    for state in ("running", "done"):
        manifest.jobs[1].state = state  # type: ignore[assignment]
        manifest.note(manifest.jobs[1])
    lines = (tmp_path / JOURNAL).read_bytes()
    (tmp_path / JOURNAL).write_bytes(lines + lines)
    assert states(tmp_path) == ["waiting", "done", "waiting"]
