"""Every kind of data and every task through one spine, by commands in processes of their own.

Killed in pretraining and in its transfer it ends in the same bits, a rerun is identical, two
processes learn what one does, the model answers as the run did, and is exported or says why not.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl

from aetl.files import read_json
from tests.cli.test_bad_data import TABLE, X, Y, series, sounds, svm, table, texts, ts
from tests.conformance.test_two_processes import assert_same
from tests.fault.harness import do
from tests.task.test_whole import TASKS
from tests.tiny import MLP, SMALL

STEPS = (
    "pretrain.min_steps=0", "pretrain.max_steps=4", "finetune.min_steps=0", "finetune.max_steps=8",
    "score=none", "logger=none", "callback.progress=null", "callback.resume_point.every_n_steps=2",
)  # fmt: skip
FEW = ("trainer=cpu", "pretrain.batch_size=7", "finetune.batch_size=3", "target.budget=8",
       "bottleneck.latent_dim=3")  # fmt: skip
HOLES = TABLE.assign(dose=np.where(np.arange(len(TABLE)) % 5 == 0, np.nan, TABLE.dose))
UNEQUAL = ts(None, X).splitlines()
UNEQUAL[4] = ":".join([*("1,2,3,4,5" for _ in range(X.shape[1])), str(Y[2])])
KINDS: dict[str, Callable[[Path], list[str]]] = {
    "table": table(HOLES),
    "svmlight": svm(),
    "bag of words": texts(),
    "tokens": texts("words=tokens", "length=8", "backbone=token_conv", "loss=token_nll"),
    "log-mel": sounds(),
    "raw sound": sounds("features=raw", "backbone=conv1d"),
    "unequal series": series("s.ts", "\n".join(UNEQUAL) + "\n"),
}
CASES = [*KINDS, *TASKS]
FORMATS = ("torch", "onnx", "safetensors")


class Kill(pl.Callback):
    """Ends the process at a step, as a cluster does: no handler runs, nothing is written."""

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if os.environ.get("AETL_TEST_KILL_AT") == str(trainer.global_step):
            os.kill(os.getpid(), signal.SIGKILL)


KILL = "+callback.kill._target_=tests.conformance.test_kinds.Kill"


def command(name: str, folder: Path) -> list[str]:
    if name in TASKS:
        return [*SMALL, *MLP, *STEPS, *TASKS[name]]
    (folder / "data").mkdir()
    return [*STEPS, *FEW, *KINDS[name](folder / "data")]


def ended(folder: Path) -> Path:
    """The run in a folder of outputs that has ended."""
    runs = [p.parent for p in folder.glob("2*/*/run.json") if read_json(p)["status"] == "done"]
    assert len(runs) == 1, runs
    return runs[0]


def bits(run: Path) -> dict[str, np.ndarray]:
    with np.load(run / "predictions.npz", allow_pickle=False) as saved:
        return dict(saved)


def killed_at(step: int) -> Callable[[], None]:
    return lambda: os.environ.update(AETL_TEST_KILL_AT=str(step))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_kind_and_a_task_go_through_the_whole_spine(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AETL_TRUST", "tests.conformance.test_kinds.Kill")
    arguments = [*command(name, tmp_path), KILL]
    end = do(arguments, tmp_path / "plain")
    assert end.code == 0, end.said
    run = ended(tmp_path / "plain")
    for step in (3, 6):  # of pretraining; of the arm or its twin, where one trains so long
        end = do(arguments, tmp_path / "cut", killed_at(step))
        assert end.code in (-signal.SIGKILL, 0), end.said
        assert step == 6 or end.code == -signal.SIGKILL, end.said
    if end.code:
        end = do(arguments, tmp_path / "cut")
        assert end.code == 0, end.said
    resumed = ended(tmp_path / "cut")
    one, other = bits(run), bits(resumed)
    assert one.keys() == other.keys()
    for key, values in one.items():
        np.testing.assert_array_equal(values, other[key], err_msg=key)
    assert read_json(run / "run.json")["scores"] == read_json(resumed / "run.json")["scores"]

    end = do(["rerun", str(run), "--check"], tmp_path / "again")
    assert end.code == 0, end.said
    end = do(["predict", str(run), "-o", str(tmp_path / "answers.csv")], tmp_path / "predict")
    assert end.code == 0, end.said
    for form in FORMATS:
        end = do(["export", str(run), "--format", form, "-o", str(tmp_path / form)], tmp_path / "x")
        lines = [line for line in end.said.splitlines() if line.startswith("aetl: ")]
        assert end.code == 0 or (end.code == 2 and len(lines) == 1), end.said
        assert end.code == 0 or "export:" in lines[0], end.said


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_processes_learn_what_one_does(name: str, tmp_path: Path) -> None:
    double = ["trainer.precision=64-true", "optimizer=sgd", "optimizer.lr=0.001"]
    double += ["trainer.gradient_clip_val=1.0"]  # counts are large
    arguments = [*command(name, tmp_path), *double]
    two = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    for folder, more in (("one", []), ("two", two)):
        end = do([*arguments, *more], tmp_path / folder)
        assert end.code == 0, end.said
    stages = [
        {
            path.name.partition("-")[0]: path
            for path in sorted((tmp_path / folder / "store").iterdir())
            if path.name.startswith(("pretrain-", "transfer-")) and path.is_dir()
        }
        for folder in ("one", "two")
    ]
    assert stages[0].keys() == stages[1].keys()
    for stage, entry in stages[0].items():
        if stage == "pretrain":
            assert_same(entry, stages[1][stage])
    one, two_ = (read_json(ended(tmp_path / f) / "run.json")["scores"] for f in ("one", "two"))
    assert one == pytest.approx(two_, abs=1e-6)
