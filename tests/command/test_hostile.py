"""A foreign folder through every command: nothing of it runs, and nothing outside it changes."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from aetl.cli import main
from tests.tiny import MLP, SMALL


class Payload:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return os.system, ("touch executed",)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("honest")
    assert main([*SMALL, *MLP, "score=none", f"output_dir={folder}"]) == 0
    (run,) = folder.glob("2*/*")
    return run


def targets(run: Path, node: str, value: Any) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    config[node] = value
    (run / "config.yaml").write_text(yaml.safe_dump(config))


def numpy_load(run: Path) -> None:
    np.save(run / "payload.npy", np.array([Payload()], dtype=object), allow_pickle=True)
    node = {"_target_": "numpy.load", "file": str(run / "payload.npy"), "allow_pickle": True}
    for name in ("source", "autoencoder", "task", "representation"):
        targets(run, name, node)


def pickles(run: Path) -> None:
    for name in ("autoencoder.pt", "network.safetensors", "last.ckpt"):
        torch.save(Payload(), run / "checkpoints" / name)
    for name in ("predictions.npz", "latents.npz", "reconstructions.npz"):
        (run / name).write_bytes(pickle.dumps(Payload()))
        with (run / name).open("wb") as file:
            np.savez(file, prediction=np.array([Payload()], dtype=object))


def own_modules(run: Path) -> None:
    """Beside Python's own, in the folder and on the path that the record tells of."""
    for name in ("statistics", "sitecustomize", "theirs"):
        (run / f"{name}.py").write_text("import os; os.system('touch executed')\nclass Loss: ...\n")
    record = json.loads((run / "run.json").read_text())
    record["paths"] = [str(run)]
    (run / "run.json").write_text(json.dumps(record))


def their_class(run: Path) -> None:
    own_modules(run)
    targets(run, "autoencoder", {"_target_": "theirs.Loss", "_partial_": True})


def links(run: Path) -> None:
    """Out of the folder, from wherever a command may write or read."""
    outside = run.parent / "outside"
    shutil.rmtree(run / "figures", ignore_errors=True)
    (run / "figures").symlink_to(outside, target_is_directory=True)
    (run / "export").symlink_to(outside, target_is_directory=True)
    for name in ("report.html", "generated.npz"):
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(outside / "precious")


def bomb(run: Path) -> None:
    """Ten references to ten references ...: nine lines that stand for a thousand million."""
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    text = "\n  ".join(["project:", *lines]) + "\n"
    with (run / "config.yaml").open("a") as file:
        file.write(text.replace("project:", "bomb:"))


def pipes(run: Path) -> None:
    """Whoever reads them waits for ever."""
    for name in ("config.yaml", "model.json", "predictions.npz", "checkpoints/autoencoder.pt",
                 "checkpoints/network.safetensors", "examples.safetensors"):  # fmt: skip
        (run / name).unlink()
        os.mkfifo(run / name)


def piped_record(run: Path) -> None:
    (run / "run.json").unlink()
    os.mkfifo(run / "run.json")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "a config that repeats itself": bomb,
    "pipes for files": pipes,
    "a pipe for its record": piped_record,
    "numpy.load of pickles": numpy_load,
    "os.system": lambda run: targets(run, "task", {"_target_": "os.system", "command": "touch x"}),
    "a function of aetl's that writes": lambda run: targets(
        run, "task",
        {"_target_": "aetl.files.write_text", "path": str(run.parent / "outside/precious"),
         "text": "gone"},
    ),
    "a function of aetl's that imports": lambda run: targets(
        run, "representation", {"_target_": "aetl.multirun.job.task_of", "reference": "theirs:Loss"}
    ),
    "a secret": lambda run: targets(run, "project", "${oc.env:HOME}"),
    "pickles": pickles,
    "modules": own_modules,
    "a class of theirs": their_class,
    "links": links,
    "outputs elsewhere": lambda run: targets(run, "output_dir", str(run.parent / "outside")),
    "markup": lambda run: targets(run, "project", "[/red]=cmd|' /C calc'!A0\x1b]0;x\x07"),
}  # fmt: skip

DRAWN = {"links", "markup"}
"""With these the pictures of pages are drawn, which takes longer than all else."""


def without_pictures(patch: pytest.MonkeyPatch) -> None:
    """Pages are written, with nothing in the place of their pictures."""
    for page in ("page", "sweep_page"):
        patch.setattr(f"aetl.report.{page}.svg", lambda figure, label: "<svg></svg>")
    patch.setattr("aetl.report.figures.png", lambda figure: b"")


COMMANDS = (
    "show {run}", "ls {run}", "diff {run} {honest}", "compare {run}", "report {run}", "best {run}",
    "rank {run} target=digits target.size=160 target.budget=40", "generate {run}", "predict {run}",
    "embed {run}", "export {run} --format safetensors", "archive {run} -o {out}/a.zip",
    "rerun {run}",
)  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_hostile_folder_runs_nothing_and_changes_nothing_outside(
    damage: str, honest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    run = tmp_path / "run"
    shutil.copytree(honest, run)
    DAMAGES[damage](run)
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    monkeypatch.chdir(cwd)
    monkeypatch.setenv("AETL_OUTPUT_DIR", str(tmp_path / "mine"))
    if damage not in DRAWN:
        without_pictures(monkeypatch)
    for command in COMMANDS:
        if command.startswith("rerun") and damage not in ("outputs elsewhere", "a class of theirs"):
            continue  # a training each
        words = command.format(run=run, honest=honest, out=tmp_path).split()
        code = main(words)
        said = capfd.readouterr()
        assert code in (0, 1, 2), command
        assert "Traceback" not in said.err, f"{command}\n{said.err}"
        assert "(--debug shows where)" not in said.err, f"{command}\n{said.err}"
        assert not list(tmp_path.rglob("executed")), command
        assert {p.name: p.read_text() for p in outside.iterdir()} == {"precious": "precious"}, (
            command
        )
