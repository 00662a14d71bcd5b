"""A foreign sweep through every command: nothing of it runs, and nothing outside it changes.

Its files are resealed after they were changed, as whoever made them can do.
"""

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
import yaml

from aetl.cli import main
from aetl.files import file_digest, sealed
from tests.command.test_hostile import without_pictures
from tests.tiny import MLP, SMALL


class Payload:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return os.system, ("touch executed",)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of one job, which is done; its resumption is asked for anew."""
    folder = tmp_path_factory.mktemp("honest") / "sweep"
    few = ("pretrain.max_steps=2", "finetune.max_steps=2", "score=none")
    code = main(["-m", *SMALL, *MLP, *few, f"hydra.sweep.dir={folder}", "seed=0"])
    assert code == 0
    manifest(folder, lambda values: values["jobs"][0].update(state="waiting"))
    return folder


def manifest(sweep: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest and seal it again, with the digests of the configs as they are now."""
    values = json.loads((sweep / "manifest.json").read_text())
    values.pop("check", None)
    change(values)
    for job in values["jobs"]:
        for name in job["digests"]:
            file = sweep / job["folder"] / name
            if file.is_file():
                job["digests"][name] = file_digest(file)
    (sweep / "manifest.json").write_text(json.dumps(sealed(values)))


def setting(**changes: Any) -> Callable[[Path], None]:
    return lambda sweep: manifest(sweep, lambda values: values.update(changes))


def config(node: str, value: Any, file: str = "config.yaml") -> Callable[[Path], None]:
    def damage(sweep: Path) -> None:
        path = sweep / "0" / file
        saved = yaml.safe_load(path.read_text())
        place = saved
        *parents, last = node.split(".")
        for parent in parents:
            place = place[parent]
        place[last] = value
        path.write_text(yaml.safe_dump(saved))
        manifest(sweep, lambda values: None)

    return damage


def modules(sweep: Path) -> None:
    for folder in (sweep, sweep / "0"):
        for name in ("statistics", "sitecustomize", "theirs"):
            (folder / f"{name}.py").write_text(
                "import os; os.system('touch executed')\ndef task(cfg): ...\n"
            )
    manifest(sweep, lambda values: values.update(paths=[str(sweep)], cwd=str(sweep)))


def their_task(sweep: Path) -> None:
    modules(sweep)
    manifest(sweep, lambda values: values.update(task="theirs:task"))


def pickles(sweep: Path) -> None:
    content = pickle.dumps(Payload())
    for name in ("study.pkl", "study.log", "0/work.json", "0/outcome.json", "0/process.json",
                 "0/predictions.npz", "0/examples.safetensors", "race.json",
                 "0/checkpoints/network.safetensors", "0/checkpoints/last.ckpt"):  # fmt: skip
        (sweep / name).write_bytes(content)
    np.save(sweep / "0" / "x.npy", np.array([Payload()], dtype=object), allow_pickle=True)
    node = {"_target_": "numpy.load", "file": str(sweep / "0" / "x.npy"), "allow_pickle": True}
    config("task", node)(sweep)


def a_link_to(name: str, target: str = "precious") -> Callable[[Path], None]:
    def damage(sweep: Path) -> None:
        path = sweep / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.symlink_to(sweep.parent / "outside" / target)

    return damage


def moved_job(sweep: Path) -> None:
    manifest(sweep, lambda values: values["jobs"][0].update(folder="../outside"))


def linked_job(sweep: Path) -> None:
    (sweep / "0").rename(sweep.parent / "kept")
    (sweep / "0").symlink_to(sweep.parent / "kept", target_is_directory=True)


def a_search(*words: str) -> Callable[[Path], None]:
    """A search goes on by the command line that its manifest tells of."""
    return setting(study="tpe", command=["aetl", "-m", *words])


LOGGING = {"version": 1, "handlers": {"x": {"()": "os.system", "command": "touch executed"}},
           "root": {"handlers": ["x"]}}  # fmt: skip
SHOWN = "[/red]=cmd|' /C calc'!A0\x1b]0;x\x07<script>alert(1)</script>"

DAMAGES: dict[str, Callable[[Path], None]] = {
    "os.system as its task": setting(task="os:system"),
    "a task of theirs": their_task,
    "modules on its path": modules,
    "os.system as its backend": setting(backend={"_target_": "os.system", "command": "touch x"}),
    "a setup of its backend": setting(
        backend={"_target_": "aetl.multirun.on_submitit.Submitit", "setup": ["touch executed"]}
    ),
    "a folder of configs": a_search("--config-dir", "evil", "seed=0"),
    "a target in its command": a_search("hydra.launcher._target_=os.system", "seed=0"),
    "a callback of hydra's": a_search("+hydra.callbacks.x._target_=os.system", "seed=0"),
    "a secret in its command": a_search("project=${oc.env:HOME}", "seed=0"),
    "os.system in a job": config("task", {"_target_": "os.system", "command": "touch executed"}),
    "a function of aetl's that writes": config(
        "task", {"_target_": "aetl.files.write_text", "path": "../outside/precious", "text": "x"}
    ),
    "handlers of a log": config("hydra.job_logging", LOGGING, ".hydra/hydra.yaml"),
    "variables of a job": config("hydra.job.env_set", {"PATH": "x"}, ".hydra/hydra.yaml"),
    "pickles": pickles,
    "a job elsewhere": moved_job,
    "a job that is a link": linked_job,
    "a log that is a link": a_link_to("0/job.log"),
    "a record that is a link": a_link_to("0/run.json"),
    "a lock that is a link": a_link_to("0/.job.lock"),
    "weights that are a link": a_link_to("0/checkpoints", "."),
    "figures that are a link": a_link_to("0/figures", "."),
    "pages that are a link": a_link_to("report.html"),
    "markup": lambda sweep: manifest(
        sweep, lambda values: values["jobs"][0].update(name=SHOWN, error=SHOWN, state="failed")
    ),
}  # fmt: skip

COMMANDS = (
    "sweep status {sweep}", "sweep resume {sweep} --jobs 1", "sweep retry {sweep} --jobs 1",
    "show {sweep}", "ls {sweep}", "compare {sweep}", "compare {sweep} --details --csv",
    "report {sweep}", "best {sweep}", "predict {sweep}/0", "archive {sweep} -o {out}/a.zip",
    "rank {sweep} target=digits target.size=160 target.budget=40", "rm {sweep} --yes",
)  # fmt: skip


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(name, marks=[pytest.mark.slow] if i % 4 else [])
        for i, name in enumerate(DAMAGES)
    ],
)
def test_a_hostile_sweep_runs_nothing_and_changes_nothing_outside(
    damage: str, honest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    outside, cwd = tmp_path / "outside", tmp_path / "cwd"
    for folder in (outside, cwd):
        folder.mkdir()
    (outside / "precious").write_text("precious")
    sweep = tmp_path / "sweep"
    shutil.copytree(honest, sweep, symlinks=True)
    manifest(sweep, lambda values: values.update(cwd=str(cwd)))
    DAMAGES[damage](sweep)
    monkeypatch.chdir(cwd)
    monkeypatch.setenv("AETL_OUTPUT_DIR", str(tmp_path / "mine"))
    if damage not in ("figures that are a link", "pages that are a link", "markup"):
        without_pictures(monkeypatch)
    for command in COMMANDS:
        if "re" in command.split()[1] and damage == "markup":
            continue  # its job is an honest one, and would run
        code = main(command.format(sweep=sweep, out=tmp_path).split())
        said = capfd.readouterr()
        assert code in (0, 1, 2), command
        assert "Traceback" not in said.err + said.out, f"{command}\n{said.err}"
        assert "(--debug shows where)" not in said.err, f"{command}\n{said.err}"
        assert "\x1b]" not in said.out + said.err, command
        assert not list(tmp_path.rglob("executed")), command
        kept = {p.name: p.read_text() for p in outside.iterdir() if p.is_file()}
        assert kept == {"precious": "precious"}, command
        if "resume" in command and damage not in ("pages that are a link", "modules on its path"):
            assert code != 0, said.out  # it is refused, in a line that names a file
            assert str(sweep) in said.err, said.err
