"""What lies in the current folder is found by its name, and by nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aetl.config import ConfigError, conf_dir, locate
from aetl.trust import places, search_here


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_current_folder_is_searched_once_something_in_it_is_named(here: Path) -> None:
    (here / "of_this_folder.py").write_text("class Mine: ...\n")
    search_here()
    assert str(here) not in sys.path
    assert str(here) in places()
    with pytest.raises(ConfigError):
        locate("loss", "in_no_folder.Mine")
    assert str(here) not in sys.path
    assert locate("loss", "of_this_folder.Mine").__name__ == "Mine"
    assert sys.path[-1] == str(here)


def test_a_folder_in_which_somebody_stands_runs_nothing(tmp_path: Path) -> None:
    """Hydra imports every module of a package of this name that it finds."""
    (tmp_path / "hydra_plugins").mkdir()
    code = "import os\nos.system('touch executed')\n"
    (tmp_path / "hydra_plugins" / "theirs.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "aetl.cli", "--cfg", "job"], cwd=tmp_path, text=True,
        env=os.environ | {"PYTHONPATH": str(conf_dir().parents[0])}, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("executed"))


def test_a_name_of_an_installed_module_is_not_looked_for_there(here: Path) -> None:
    (here / "statistics.py").write_text("raise RuntimeError\n")
    search_here()
    assert callable(locate("loss", "statistics.fmean"))
    assert str(here) not in sys.path
