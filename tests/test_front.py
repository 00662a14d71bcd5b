"""The functions of ``import aetl``."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import aetl
from aetl.config import ConfigError
from aetl.types import UserError
from tests.tiny import MLP, SMALL

HELD_OUT = "selector=target_validation"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("front")
    for seed in (0, 1):
        quick = [*SMALL, *MLP, f"output_dir={folder}", HELD_OUT]
        aetl.run([*quick, f"seed={seed}"])
    return folder


def test_a_run_is_done_and_found_again(folder: Path) -> None:
    found = aetl.runs(folder)
    # Folders of one second are in the order of their random names.
    first, second = sorted(found, key=lambda run: run.seed)
    assert (first.seed, second.seed) == (0, 1)
    assert first.record["command"][0] == "aetl"
    assert "seed=0" in first.record["overrides"]
    assert repr(found) == "Runs(2 done)"
    assert found._repr_html_().count("<tr>") == 3
    frame = found.to_pandas()
    assert sorted(frame["seed"]) == [0, 1]
    assert frame["score_accuracy"].tolist() == [run.scores["accuracy"] for run in found]


def test_runs_are_compared_as_the_command_compares_them(folder: Path) -> None:
    found = aetl.compare(folder)
    (row,) = found
    assert (row.n, row.transfer) == (2, "parameter/finetune")
    assert "parameter/finetune" in found._repr_html_()
    assert "finetune" in repr(found)
    frame = found.to_pandas()
    assert frame.loc[0, "mean"] == row.mean
    assert list(aetl.runs(folder).compare()) == list(found)
    with pytest.raises(ConfigError, match="no run has the metric 'f2'"):
        aetl.compare(folder, metric="f2")
    with pytest.raises(ConfigError, match="no such folder"):
        aetl.runs(folder / "nothing")


def test_the_best_arm_is_loaded(folder: Path) -> None:
    (best,) = aetl.best(folder)
    assert aetl.runs(folder).best() == [best]
    model = aetl.load(best.run)
    assert model.folder == best.run.folder
    assert aetl.load(str(best.run.folder)).classes == model.classes


@pytest.mark.parametrize(
    "overrides, line",
    [
        (["autoencoder=vea"], "did you mean 'vae'"),
        (["pretrain.epoch=3"], "did you mean"),
        (["seed=a"], "seed='a'"),
        (["dataset@target=npz", "target.path=nowhere.npz"], "nowhere.npz: is not a file"),
    ],
)
def test_a_mistake_is_raised_in_a_line_and_leaves_nothing(
    tmp_path: Path, overrides: list[str], line: str
) -> None:
    with pytest.raises((ConfigError, UserError), match=line) as caught:
        aetl.run([*overrides, "logger=none", f"output_dir={tmp_path}"])
    assert len(str(caught.value).splitlines()) == 1
    if isinstance(caught.value, ConfigError):
        assert not list(tmp_path.glob("2*/*"))


def test_every_name_that_is_offered_has_types_and_a_docstring() -> None:
    for name in aetl.__all__:
        function = getattr(aetl, name)
        assert function.__doc__
        signature = inspect.signature(function)
        assert signature.return_annotation is not signature.empty
        assert all(p.annotation is not p.empty for p in signature.parameters.values())
        assert name in dir(aetl)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        aetl.nothing  # noqa: B018


def test_import_aetl_is_light() -> None:
    """Neither tensors nor tables are imported before something is asked for."""
    code = "import sys, aetl; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "numpy", "pandas", "hydra", "omegaconf", "matplotlib", "sklearn"}
    assert not heavy & set(done.stdout.split())
