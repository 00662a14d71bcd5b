"""``aetl new``: what it writes runs, is tested, and keeps to the style."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aetl.cli import main
from aetl.command.new import TEMPLATES, written
from aetl.front import check

ROOT = Path(__file__).parents[2]
KINDS = sorted(file.stem for file in TEMPLATES.glob("*.txt"))


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one's own with a new variant of each kind."""
    folder = tmp_path_factory.mktemp("mine")
    for kind in KINDS:
        assert main(["new", kind, f"my_{kind}", "--dir", str(folder)]) == 0
    return folder


def test_there_is_a_template_of_every_noun_that_people_add() -> None:
    assert KINDS == ["autoencoder", "dataset", "loss", "metric", "transfer"]


def test_the_new_variants_pass_a_check_together(mine: Path) -> None:
    check(
        ["autoencoder=my_autoencoder", "loss=[mse,my_loss]", "transfer=parameter/my_transfer",
         "dataset@source=my_dataset", "dataset@target=my_dataset", "metric=[accuracy,my_metric]",
         "logger=none"],
        config_dir=[str(mine)],
    )  # fmt: skip


@pytest.mark.slow
def test_the_tests_that_it_writes_pass(mine: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(mine)]
    done = subprocess.run(
        [*command, "--rootdir", str(mine), "-c", os.devnull],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert f"{len(KINDS)} passed" in done.stdout


def test_what_it_writes_into_the_checkout_keeps_to_its_style(tmp_path: Path) -> None:
    for kind in KINDS:
        for file, text in written(kind, f"my_{kind}", "feature", None).items():
            place = tmp_path / file.relative_to(ROOT)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
    assert (tmp_path / "aetl/transfer/feature/my_transfer.py").is_file()
    assert (tmp_path / "tests/data/test_my_dataset.py").is_file()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "aetl" / "__init__.py").touch()
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache"],
            capture_output=True, text=True, check=False, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "arguments, line",
    [
        (["loss", "My-Loss", "--dir", "x"], "a name is snake_case"),
        (["loss", "kl", "--dir", "x"], "loss/kl is there already"),
        (["autoencodr", "mine"], "invalid choice: 'autoencodr'"),
    ],
)
def test_a_name_that_cannot_be_is_one_line(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", *arguments]) == 2
    assert line in capsys.readouterr().err


def test_nothing_that_is_there_is_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text("precious")
    assert main(["new", "loss", "mine", "--dir", str(tmp_path)]) == 2
    assert "mine.py is there already" in capsys.readouterr().err
    assert (tmp_path / "mine.py").read_text() == "precious"
    assert [file.name for file in tmp_path.iterdir()] == ["mine.py"]
