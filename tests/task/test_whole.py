"""Each task without labels through the whole program: predicted, gone on with, done again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aetl.cli import main
from aetl.comparison.examples import read_examples
from aetl.model.datasets import difference, own_test
from aetl.model.model import Model
from aetl.tracking.record import read_record
from tests.model.runs import done
from tests.stage.test_resume import STEPS, assert_equal, compute, interrupted, result
from tests.tiny import MLP, Crash, World

BINARY = ("source.binarise=epoch", "target.binarise=epoch")
TASKS = {
    "anomaly": ("task=anomaly", "target.budget=12"),
    "bound": ("task=anomaly", "task.score=bound", "autoencoder=vae", "task.samples=3",
              "target.budget=12"),
    "detector": ("task=anomaly", "transfer=feature/frozen", "head=isolation_forest",
                 "transfer/control@twin=random_features", "target.budget=12"),
    "clustering": ("task=clustering",),
    "dec": ("task=clustering", "transfer=feature/dec"),
    "imputation": ("task=imputation", "transfer/control@twin=raw_features"),
    "density": ("task=density", "autoencoder=vae", "task.samples=3", *BINARY),
    "retrieval": ("task=retrieval",),
}  # fmt: skip
EVERYDAY = {"detector", "imputation"}


def tasks(everyday: set[str]) -> pytest.MarkDecorator:
    marked = [
        pytest.param(name, marks=() if name in everyday else (pytest.mark.slow,)) for name in TASKS
    ]
    return pytest.mark.parametrize("name", marked)


@pytest.mark.usefixtures("pages")
@tasks(EVERYDAY)
def test_a_run_has_its_page_its_examples_and_a_model_of_the_same_bits(
    name: str, tmp_path: Path
) -> None:
    run = done(tmp_path, *TASKS[name])
    record, model = read_record(run), Model.load(run)
    assert difference(model, model.predict(own_test(model), progress=False)) is None
    values = read_examples(run, record["examples"])
    for metric, score in record["scores"].items():
        assert np.isfinite(score)
        found = values[f"value.{metric}.arm"]
        if metric == "fpr95":  # of few groups
            continue
        # The mean of what each example contributes is the score, but for the jackknife's bias.
        assert found.mean() == pytest.approx(score, abs=0.05 * max(1.0, abs(score)))
    text = (run / "report.html").read_text()
    assert record["metric"] in text
    assert "Traceback" not in text
    assert len(list((run / "figures").glob("*.png"))) >= 4


@pytest.fixture
def power() -> Iterator[None]:
    yield
    Crash.at = None


@pytest.mark.usefixtures("power")
@pytest.mark.parametrize("name", ["anomaly", pytest.param("dec", marks=pytest.mark.slow)])
def test_what_was_cut_off_goes_on_to_the_same_bits(name: str, tmp_path: Path) -> None:
    often = ("callback.resume_point.every_n_steps=4", *TASKS[name])
    plain = result(compute(World(tmp_path / "plain", *MLP, *STEPS, *often), "transfer"))
    assert_equal(interrupted(tmp_path / "cut", "transfer", [10], *often), plain)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_a_rerun_gives_identical_scores(name: str, tmp_path: Path) -> None:
    tiny = ["pretrain.max_steps=5", "finetune.max_steps=5", "logger=none", "trainer=cpu"]
    assert main([*tiny, *TASKS[name], f"output_dir={tmp_path}"]) == 0
    (run,) = (path.parent for path in tmp_path.glob("2*/*/run.json"))
    assert main(["rerun", str(run), "--check"]) == 0
