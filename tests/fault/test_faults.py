"""Stopped or damaged at any moment, the same command again gives the undisturbed bits, or one line
names the file.

A small share runs by default; ``make test-faults`` runs all of it.
"""

from __future__ import annotations

import random
import shutil
import signal
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.fault import harness
from tests.fault.harness import Bits, bits, do

COMMANDS = {"run": harness.RUN, "sweep": harness.SWEEP, "two": harness.TWO}


class Undisturbed(NamedTuple):
    """What a command finds when nothing happens, the CPU seconds, and its outputs."""

    bits: Bits
    seconds: float
    folder: Path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Undisturbed]:
    return {}


def known(
    what: str, undisturbed: dict[str, Undisturbed], factory: pytest.TempPathFactory
) -> Undisturbed:
    if what not in undisturbed:
        folder = factory.mktemp("undisturbed") / what
        end = do(COMMANDS[what], folder)
        assert end.code == 0, end.said
        undisturbed[what] = Undisturbed(bits(folder), max(end.seconds, 0.3), folder)
        assert undisturbed[what].bits
    return undisturbed[what]


def again(what: str, folder: Path) -> list[str]:
    """The same command: of a sweep that has begun, its resumption."""
    if what == "sweep":
        begun = [path.parent for path in folder.glob("2*/*/manifest.json")]
        if begun and begun[-1].joinpath("manifest.json").stat().st_size:
            return ["sweep", "resume", str(begun[-1])]
    return list(COMMANDS[what])


def assert_whole(what: str, folder: Path, wanted: Bits, told: str) -> None:
    end = do(again(what, folder), folder)
    if end.code == 0:
        found = bits(folder)
        assert found.keys() == wanted.keys(), told
        differing = [name for name in wanted if found[name] != wanted[name]]
        assert not differing, f"silently wrong after {told}: {differing}\n{end.said}"
    else:
        assert harness.names_a_file(end, folder), f"unnamed after {told}:\n{end.said}"


def cases(what: str, number: int, share: int = 0) -> list[object]:
    """So many seeds, of which a share is in the default suite."""
    marks = [[] if seed < share else [pytest.mark.fault] for seed in range(number)]
    return [pytest.param(what, seed, marks=marks[seed]) for seed in range(number)]


@pytest.mark.parametrize(
    "what, seed",
    [*cases("run", 160, 1), *cases("sweep", 32), *cases("two", 12)],
)
def test_a_command_that_was_stopped_goes_on_to_the_undisturbed_bits(
    what: str, seed: int, undisturbed: dict[str, Undisturbed], tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    rng = random.Random(f"{what} {seed}")
    plain = known(what, undisturbed, tmp_path_factory)
    folder, told = tmp_path / "out", ""
    for _ in range(rng.choice((1, 1, 2))):  # sometimes once more while it goes on
        moment = rng.uniform(0.02, 1.0) * plain.seconds
        kind = ("kill", "int", "term", "full")[(seed + _) % 4]
        within = {
            "kill": harness.killed_after(moment),
            "int": harness.signalled_after(moment, signal.SIGINT),
            "term": harness.signalled_after(moment, signal.SIGTERM),
            "full": harness.full_after(rng.randrange(1, 40)),
        }[kind]
        told += f"{kind} at {moment:.2f}s "
        end = do(again(what, folder), folder, within)
        assert "Traceback" not in end.said or kind == "kill", end.said
        if kind == "full" and end.code != 0:
            assert str(folder) in end.said, f"a full disk names no file of ours:\n{end.said}"
    assert_whole(what, folder, plain.bits, told)


@pytest.mark.parametrize("what, seed", cases("run", 240, 1))
def test_a_store_that_was_damaged_gives_the_undisturbed_bits_or_names_the_file(
    what: str, seed: int, undisturbed: dict[str, Undisturbed], tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    """Of a run that is over, or of one that was stopped: then its checkpoints are there, too."""
    rng = random.Random(f"damage {seed}")
    plain = known(what, undisturbed, tmp_path_factory)
    folder, told = tmp_path / "out", ""
    if seed % 3:
        shutil.copytree(plain.folder, folder)
    else:
        do(COMMANDS[what], folder, harness.killed_after(rng.uniform(0.2, 0.9) * plain.seconds))
    for _ in range(rng.choice((1, 1, 3))):
        every = harness.files(folder / "store")
        if not every:
            break
        path, damage = rng.choice(every), rng.choice(harness.DAMAGES)
        told += f"{damage.__name__} {path.relative_to(folder)} "
        damage(path, rng, every)
    assert_whole(what, folder, plain.bits, told)


KINDS = (".json", ".yaml", ".npz", ".safetensors", ".pt")
READERS = {
    "compare": ["compare", "{run}", "--json"],
    "show": ["show", "{run}", "--json"],
    "predict": ["predict", "{run}"],
}


@pytest.mark.parametrize("what, seed", cases("run", 80, 1))
def test_a_run_that_was_damaged_reads_as_before_or_names_the_file(
    what: str, seed: int, undisturbed: dict[str, Undisturbed], tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    rng = random.Random(f"folder {seed}")
    plain = known(what, undisturbed, tmp_path_factory)
    folder = tmp_path / "out"
    shutil.copytree(plain.folder, folder)
    (run,) = folder.glob("2*/*")
    every = [
        path
        for path in harness.files(run)
        if path.suffix in (".json", ".yaml", ".npz", ".safetensors", ".pt")
    ]
    reader = list(READERS)[seed % len(READERS)]
    command = [word.format(run=run) for word in READERS[reader]]
    before = do(command, folder)
    assert before.code == 0, before.said
    path, damage = rng.choice(every), rng.choice(harness.DAMAGES)
    damage(path, rng, every)
    after = do(command, folder)
    told = f"{damage.__name__} {path.name}, {reader}"
    if after.code == 0:
        assert after.said == before.said or str(path) in after.said, f"{told}\n{after.said}"
    else:
        assert harness.names_a_file(after, folder), f"unnamed after {told}:\n{after.said}"
