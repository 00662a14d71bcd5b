"""A file of a run that is not as it was written is named in a line, and nothing is told from it.

The same of the store is in tests/store/test_digests.py; at random moments and of random files in
tests/fault.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aetl.cli import main
from tests.comparison.synthetic import write_run
from tests.tiny import MLP, SMALL

READERS = {
    "run.json": "show",
    "config.yaml": "predict",
    "model.json": "predict",
    "predictions.npz": "predict",
    "checkpoints/network.safetensors": "predict",
    "checkpoints/autoencoder.pt": "generate",
}
"""Each file and a command that reads it; examples.safetensors is in comparison/test_examples.py."""


def flipped(file: Path, other: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "one bit": flipped,
    "cut off": lambda file, other: os.truncate(file, file.stat().st_size // 2),
    "empty": lambda file, other: os.truncate(file, 0),
    "of zeros": lambda file, other: file.write_bytes(bytes(file.stat().st_size)),
    "another run's": lambda file, other: shutil.copy(other, file),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs that differ in their seed alone."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        few = ("score=none", f"seed={seed}", f"output_dir={folder}")
        assert main([*SMALL, *MLP, *few, f"hydra.run.dir={folder}/{seed}"]) == 0
    return folder / "0", folder / "1"


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_of_a_run_is_named(
    name: str, damage: str, runs: tuple[Path, Path], tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if (name, damage) == ("run.json", "another run's"):
        pytest.skip("a whole record that somebody puts there is the record")
    run = Path(shutil.copytree(runs[0], tmp_path / "run"))
    DAMAGES[damage](run / name, runs[1] / name)
    if (run / name).read_bytes() == (runs[0] / name).read_bytes():
        pytest.skip("both runs have the same")
    assert main([READERS[name], str(run)]) == 2
    said = capfd.readouterr().err
    assert [line for line in said.splitlines() if str(run / name) in line], said
    assert not any(word in said for word in ("Error", "Exception", "Traceback", "--debug"))


@pytest.mark.parametrize("content", [b"a:\n\tb: 1\n", "a: 1\n".encode("utf-16"), b"[", b"\xff"])
def test_a_config_that_is_no_yaml_is_named(
    content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / name)
    (tmp_path / "a" / "config.yaml").write_bytes(content)
    assert main(["diff", str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"aetl: {tmp_path}/a/config.yaml")
    assert "Error" not in line


def test_what_a_run_keeps_of_the_store_is_a_file_of_its_own(runs: tuple[Path, Path]) -> None:
    """Saving into a run's weights must not change what the next run starts from."""
    stored = {
        (file.stat().st_dev, file.stat().st_ino)
        for file in (runs[0].parent / "store").rglob("*")
        if file.is_file()
    }
    assert stored
    for file in runs[0].rglob("*"):
        assert (file.stat().st_dev, file.stat().st_ino) not in stored, file


def test_what_a_run_warned_of_stands_in_show_and_on_its_page(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(runs[0], tmp_path / "run"))
    (line, *_) = json.loads((run / "run.json").read_text())["warnings"]
    capsys.readouterr()
    assert main(["show", str(run)]) == 0
    assert line[:40] in " ".join(capsys.readouterr().out.split())
    assert main(["report", str(run)]) == 0
    assert line[:40] in (run / "report.html").read_text()
