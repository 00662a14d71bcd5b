"""Places to write to, and secrets that are typed: refused or masked before anything is written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
from PIL import Image

from aetl.cli import main
from aetl.config import compose, conf_dir
from aetl.secret import is_secret, masked, masked_words, masked_yaml
from tests.comparison.synthetic import write_run

TINY = ["pretrain.max_steps=2", "finetune.max_steps=2", "logger=none", "callback.progress=null"]


@pytest.mark.parametrize("multirun", [[], ["-m"]])
@pytest.mark.parametrize("place", ["", "file", "file/inside"])
def test_a_place_that_is_none_is_one_line_and_nothing_is_written(
    place: str, multirun: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    path = f"{tmp_path}/{place}" if place else ""
    assert main([*multirun, *TINY, f"output_dir={path}"]) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line.startswith(f"aetl: output_dir{f'={path}' if path else ''}: ")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("key", ["output_dir", "store.dir"])
@pytest.mark.parametrize("below", ["link", "link/inside"])
def test_a_link_to_nowhere_is_no_place(
    below: str, key: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "link").symlink_to("gone")
    path = f"{tmp_path}/{below}"
    assert main([*TINY, f"{key}={path}"]) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line == f"aetl: {key}={path}: {tmp_path}/link is a link to gone, which is not there"
    assert not (tmp_path / "gone").exists()


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc")
@pytest.mark.parametrize("place", ["/proc", "/proc/runs"])
def test_a_place_that_root_may_write_to_and_cannot_is_named(
    place: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*TINY, f"output_dir={place}"]) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line == f"aetl: output_dir={place}: /proc cannot be written to"


@pytest.mark.parametrize("below", ["file", "file/store", "link", "link/store"])
def test_a_store_in_a_file_is_one_line(
    below: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert main([*TINY, f"store.dir={tmp_path}/{below}"]) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line.startswith(f"aetl: store.dir={tmp_path}/{below}: ")
    assert line.endswith(" is a file")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc")
@pytest.mark.parametrize("place", ["/proc/x", "/proc/x/y"])
def test_a_store_where_no_folder_can_be_made_is_one_line(
    place: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*TINY, f"store.dir={place}"]) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line == f"aetl: store.dir={place}: cannot be made there"


def anothers(folder: Path) -> list[str]:
    """Make a folder one that is read and not written; what a command then has to begin with."""
    every = [folder, *folder.rglob("*")]
    for path in every:
        path.chmod(0o555 if path.is_dir() else 0o444)
    if os.geteuid():
        return []
    for path in every:
        os.chown(path, 65534, 65534)
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"]


@pytest.mark.slow
@pytest.mark.skipif(not os.geteuid() and not shutil.which("setpriv"), reason="root, no setpriv")
def test_a_store_of_others_is_used_and_what_it_lacks_is_computed_beside_it(tmp_path: Path) -> None:
    few = [*TINY, "target.budget=40", "score=none", "backbone.hidden=[8]"]
    assert main([*few, f"output_dir={tmp_path}/theirs"]) == 0
    store, sweep = tmp_path / "theirs" / "store", tmp_path / "sweep"
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    command = [*anothers(store), sys.executable, "-m", "aetl.cli"]
    mine = [f"output_dir={tmp_path}/mine", f"store.dir={store}", f"hydra.sweep.dir={sweep}"]
    done = subprocess.run(
        [*command, "-m", *few, *mine, "hydra.launcher.jobs=1", "seed=0,1"],
        env=os.environ | {"PYTHONPATH": str(conf_dir().parents[0])}, text=True, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = ((sweep / job / "job.log").read_text() for job in "01")
    assert "cannot be written" not in first
    line = f"{store}: cannot be written; what it lacks is computed in {sweep}/1"
    assert second.count("cannot be written") == second.count(line) == 1
    assert not (sweep / "0" / "stages").exists()
    assert list((sweep / "1" / "stages").glob("transfer-*"))
    for argument in ("verify", "prune"):
        done = subprocess.run(
            [*command, "store", argument, "--dir", str(store)], text=True, capture_output=True,
            env=os.environ | {"PYTHONPATH": str(conf_dir().parents[0])},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before


@pytest.mark.parametrize("command", [["store"], ["store", "prune"], ["store", "verify"]])
def test_a_file_is_no_empty_store(
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AETL_OUTPUT_DIR", f"{tmp_path}/file")
    assert main(command) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line == f"aetl: store.dir={tmp_path}/file/store: {tmp_path}/file is a file"


def test_a_variable_that_is_set_to_nothing_names_no_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AETL_OUTPUT_DIR", "")
    monkeypatch.setenv("AETL_DATA_DIR", " ")
    cfg = compose([])
    assert (cfg.output_dir, cfg.data_dir) == ("outputs", "data")
    assert str(cfg.hydra.run.dir).startswith("outputs/")


def test_the_home_folder_is_expanded_in_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AETL_OUTPUT_DIR", "~/runs")
    assert compose([]).output_dir == f"{tmp_path}/runs"
    assert compose([]).store.dir == f"{tmp_path}/runs/store"


@pytest.mark.parametrize("command", [["compare"], ["compare", "--csv"], ["report"]])
def test_an_output_that_cannot_be_written_is_named(
    command: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "runs" / "0")
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "out", tmp_path / "runs"):
        assert main([*command, str(tmp_path / "runs"), "-o", str(place)]) == 2
        line = capfd.readouterr().err.strip().splitlines()[-1]
        assert str(tmp_path) in line
        assert "Error" not in line


SECRETS = ["logger.wandb.api_key", "HF_TOKEN", "password", "db.passwd", "awsSecretAccessKey",
           "a.auth-key", "credentials"]  # fmt: skip
PLAIN = ["tokens", "num_tokens", "keys", "seed", "author", "tokenizer", "secretary", "api", "key"]


def test_secrets_are_known_by_whole_words() -> None:
    assert [key for key in [*SECRETS, *PLAIN] if is_secret(key)] == SECRETS


def test_what_is_masked_keeps_everything_else() -> None:
    node = {"a": {"api_key": "x", "n": 1}, "password": None, "token": 3, "l": [{"secret": "y"}]}
    shown = {**node, "a": {"api_key": "***", "n": 1}, "l": [{"secret": "***"}]}
    assert masked(node) == shown
    words = ["aetl", "+a.token=x y", "seed=1", "token"]
    assert masked_words(words) == ["aetl", "+a.token=***", "seed=1", "token"]
    assert masked_yaml("a:\n  api_key: x\n  n: 1\ntoken: null\n") == (
        "a:\n  api_key: ***\n  n: 1\ntoken: null\n"
    )


def holding(folder: Path, content: bytes) -> list[Path]:
    """The files that hold it; the diff of the code may be that of this very test."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != "git.diff")
    return [path for path in files if content in path.read_bytes()]


class Mine(pl.Callback):
    """A callback of somebody's that takes a key."""

    def __init__(self, *, api_key: str) -> None:
        self.api_key = api_key


@pytest.mark.usefixtures("pages")
def test_a_secret_that_is_typed_stands_neither_in_the_record_nor_on_the_page(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own = f"+callback.mine._target_={__name__}.Mine"
    arguments = [*TINY, own, "+callback.mine.api_key=s3cr3t", f"output_dir={tmp_path}"]
    assert main(arguments) == 0
    (folder,) = (path.parent for path in tmp_path.glob("2*/*/run.json"))
    for name in ("run.json", "report.html"):
        text = (folder / name).read_text()
        assert "s3cr3t" not in text
        assert "***" in text
    assert "callback.mine.api_key: its value stands in config.yaml" in capfd.readouterr().err
    assert "s3cr3t" in (folder / "config.yaml").read_text()  # a rerun starts from it
    holders = holding(tmp_path, b"s3cr3t")
    assert [path.name for path in holders] == ["config.yaml"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in holders)


@pytest.mark.slow
def test_what_a_sweep_needs_of_a_secret_its_owner_alone_can_read(tmp_path: Path) -> None:
    """Its jobs start from their configs, and a search from its command line."""
    own = f"+callback.mine._target_={__name__}.Mine"
    folder = tmp_path / "sweep"
    arguments = ["-m", *TINY, own, "+callback.mine.api_key=s3cr3t", f"hydra.sweep.dir={folder}"]
    assert main([*arguments, "target.budget=40", "score=none", f"output_dir={tmp_path}"]) == 0
    holders = holding(tmp_path, b"s3cr3t")
    assert {path.relative_to(folder).as_posix() for path in holders} <= {
        "manifest.json", "0/config.yaml", "0/.hydra/config.yaml", "0/.hydra/hydra.yaml",
        "0/.hydra/overrides.yaml",
    }  # fmt: skip
    assert [path for path in holders if path.stat().st_mode & 0o077] == []


@pytest.mark.parametrize(
    "sweeper", ["basic", *(pytest.param(s, marks=pytest.mark.slow) for s in ("race", "optuna"))]
)
def test_hydras_file_of_a_sweep_that_is_cut_off_holds_no_secret(
    sweeper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sweeper == "optuna":
        pytest.importorskip("optuna")
    more = ["selector=target_validation", "seed=0,1"] if sweeper == "optuna" else []
    told: list[str] = []

    def cut_off(*_: object, **__: object) -> None:
        told.append((tmp_path / "sweep" / "multirun.yaml").read_text())
        raise KeyboardInterrupt

    for name in ("run_sweep", "run_search"):
        monkeypatch.setattr(f"aetl.multirun.plugin.{name}", cut_off, raising=False)
    own = [f"+callback.mine._target_={__name__}.Mine", "+callback.mine.api_key=s3cr3t"]
    place = [f"hydra.sweep.dir={tmp_path}/sweep", f"output_dir={tmp_path}", "target.budget=40"]
    assert main(["-m", f"hydra/sweeper={sweeper}", *TINY, *own, *place, *more]) == 130
    assert "***" in told[0]
    assert "s3cr3t" not in told[0]


def test_a_name_that_is_no_utf_8_is_refused_before_any_work(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = os.fsdecode(bytes(tmp_path) + b"/caf\xe9")
    for key in ("output_dir", "source.path"):
        assert main([*TINY, f"{key}='{folder}'"]) == 2
        assert "caf\\xe9': is no UTF-8" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_names_in_the_data_that_are_no_utf_8_are_kept_in_their_written_form(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of a class and of files, from reading them to the table of predictions."""
    rng = np.random.default_rng(0)
    for name in (b"caf\xe9", b"dog"):
        folder = Path(os.fsdecode(bytes(tmp_path / "set") + b"/" + name))
        folder.mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / os.fsdecode(b"\xff%d.png" % i))
    data = [f"{side}={value}" for name in ("source", "target") for side, value in (
        (f"dataset@{name}", "image_folder"), (f"{name}.path", tmp_path / "set"),
        (f"{name}.image_size", 8))]  # fmt: skip
    few = ["target.budget=10", "target.shift.rotation=0.0", "score=none", "backbone.hidden=[8]"]
    assert main([*TINY, *data, *few, f"output_dir={tmp_path / 'out'}"]) == 0
    (run,) = (path.parent for path in (tmp_path / "out").glob("2*/*/run.json"))
    for command in (["show", run], ["compare", run], ["report", run],
                    ["predict", run, tmp_path / "set", "-o", tmp_path / "p.csv"]):  # fmt: skip
        capfd.readouterr()
        assert main(list(map(str, command))) == 0, capfd.readouterr().err
    lines = (tmp_path / "p.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split(",")[:3] == ["path", "prediction", "p_caf\\xe9"]
    assert lines[1].startswith("caf\\xe9/\\xff0.png,")
