"""A run in one file, on another machine; and files that would do more than that."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aetl.cli import main
from aetl.model.archive import pack, unpack
from aetl.model.model import Model
from aetl.types import UserError
from tests.model.runs import done, saved
from tests.tiny import MLP, SMALL


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two runs, in a place that is gone when they are unpacked."""
    folder = tmp_path_factory.mktemp("here")
    for seed in (0, 1):
        data = f"data_dir={folder}/own/data"
        done(folder, data, "transfer=feature/linear_probe", f"seed={seed}", name=f"sweep/{seed}")
    return folder


@pytest.fixture(scope="module")
def packed(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(world / "sweep" / "0", tmp_path_factory.mktemp("archive") / "run.zip")


def test_no_path_of_this_machine_is_in_it(world: Path, packed: Path) -> None:
    with zipfile.ZipFile(packed) as zipped:
        names = zipped.namelist()
        for name in names:
            if name.endswith((".yaml", ".md")):
                assert str(world) not in zipped.read(name).decode(), name
        assert json.loads(zipped.read("run.json"))["paths"] == []
    expected = {"README.md", "archive.json", "config.yaml", "run.json", "model.json", "splits.npz",
                "predictions.npz", "checkpoints/network.safetensors",
                "checkpoints/head.safetensors"}  # fmt: skip
    assert expected <= set(names)


def test_the_same_run_gives_the_same_archive(world: Path, packed: Path, tmp_path: Path) -> None:
    again = pack(world / "sweep" / "0", tmp_path / "again.zip")
    assert again.read_bytes() == packed.read_bytes()


def test_an_unpacked_run_predicts_compares_reports_and_is_done_again(
    world: Path, packed: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    before = saved(world / "sweep" / "0")
    gone = world.rename(world.with_name("gone"))
    try:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("AETL_OUTPUT_DIR", str(tmp_path / "mine"))
        assert main(["archive", str(packed)]) == 0
        assert capsys.readouterr().out.strip() == "run"
        x = np.random.default_rng(0).integers(0, 256, (5, 8, 8), dtype=np.uint8)
        assert len(Model.load("run").predict(x)) == 5
        assert main(["predict", "run", "-o", "own.npz"]) == 0
        with np.load("own.npz") as own:
            assert np.array_equal(own["probability"], before["probability"])
        assert main(["compare", "run"]) == 0
        assert main(["report", "run"]) == 0
        assert main(["show", "run"]) == 0
        capsys.readouterr()
        assert main(["rerun", "run", "--check"]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == "identical scores"
        assert not world.exists()
    finally:
        gone.rename(world)


def test_a_sweep_is_packed_whole_with_its_table(world: Path, tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "sweep.zip"
    assert main(["archive", str(world / "sweep"), "-o", str(file)]) == 0
    folder = unpack(file, tmp_path / "there")
    card = (folder / "README.md").read_text()
    assert "linear_probe" in card
    assert "(0/README.md)" in card
    assert "| accuracy (first) |" in (folder / "1" / "README.md").read_text()
    capsys.readouterr()
    assert main(["compare", str(folder), "--csv"]) == 0
    there = capsys.readouterr().out
    assert main(["compare", str(world / "sweep"), "--csv"]) == 0
    assert there == capsys.readouterr().out


@pytest.mark.slow
def test_a_sweep_of_jobs_is_done_again_elsewhere_to_the_same_scores(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    monkeypatch.setenv("AETL_OUTPUT_DIR", str(here))
    jobs = ["-m", *SMALL, *MLP, "seed=0,1", "transfer=feature/linear_probe"]
    assert main([*jobs, f"hydra.sweep.dir={here}/sweep"]) == 0
    assert main(["archive", str(here / "sweep"), "-o", str(tmp_path / "sweep.zip")]) == 0
    here.rename(tmp_path / "gone")
    monkeypatch.setenv("AETL_OUTPUT_DIR", str(there))
    folder = unpack(tmp_path / "sweep.zip", tmp_path / "unpacked")
    capsys.readouterr()
    assert main(["rerun", str(folder), "--check"]) == 0
    assert main(["sweep", "status", str(folder)]) == 0
    config = folder / "1" / "config.yaml"
    config.write_text(config.read_text().replace("seed: 1", "seed: 7"))
    assert main(["rerun", str(folder), "--check"]) == 2
    assert "1/config.yaml: is not what" in capsys.readouterr().err
    # What was edited before it is packed is still seen after it.
    assert main(["archive", str(folder), "-o", str(tmp_path / "edited.zip")]) == 0
    edited = unpack(tmp_path / "edited.zip", tmp_path / "edited")
    assert main(["rerun", str(edited), "--check"]) == 2


@pytest.mark.parametrize("manifest", ["null", "3", "[]", "junk", '{"jobs": 3, "check": ""}'])
def test_a_manifest_of_another_kind_is_carried_as_it_is(
    manifest: str, world: Path, tmp_path: Path
) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "manifest.json").write_text(manifest)
    run = tmp_path / "sweep" / "0"
    run.mkdir()
    shutil.copy(world / "sweep" / "0" / "run.json", run)
    unpack(pack(tmp_path / "sweep", tmp_path / "a.zip", weights=False), tmp_path / "there")
    there = (tmp_path / "there" / "manifest.json").read_text()
    assert json.loads(there) == json.loads(manifest) if manifest != "junk" else there == "junk"


def test_without_weights_the_records_are_there_and_a_prediction_is_refused(
    world: Path, tmp_path: Path
) -> None:
    file = pack(world / "sweep" / "0", tmp_path / "light.zip", weights=False)
    folder = unpack(file, tmp_path / "light")
    assert not (folder / "checkpoints").exists()
    with pytest.raises(UserError, match=r"network\.safetensors: is not there"):
        Model.load(folder)


def test_links_and_the_store_stay_where_they_are(world: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(world / "sweep" / "0", tmp_path / "run"))
    (run / "secret").symlink_to("/etc/passwd")
    (run / "folder").symlink_to("/etc")
    (run / "stages").mkdir()
    (run / "stages" / "large").write_text("x")
    with zipfile.ZipFile(pack(run, tmp_path / "run.zip")) as zipped:
        assert not [n for n in zipped.namelist() if n.startswith(("secret", "folder", "stages"))]


def repacked(
    packed: Path, file: Path, extra: Any = None, edit: Any = None, listed: bool = True
) -> Path:
    """The archive with an entry more, as ``(ZipInfo, content)``, or with other contents."""
    with zipfile.ZipFile(packed) as zipped:
        contents = {name: zipped.read(name) for name in zipped.namelist()}
    about = json.loads(contents.pop("archive.json"))
    entries = [(zipfile.ZipInfo(name), content) for name, content in contents.items()]
    if extra is not None:
        entries.append(extra)
        if listed:
            digest = hashlib.sha256(extra[1]).hexdigest()
            about["files"][extra[0].filename] = {"size": len(extra[1]), "sha256": digest}
    if edit is not None:
        entries = [(info, edit(info.filename, content)) for info, content in entries]
    with zipfile.ZipFile(file, "w") as zipped:
        for info, content in entries:
            zipped.writestr(info, content)
        zipped.writestr("archive.json", json.dumps(about))
    return file


def link(name: str, to: str) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, to.encode()


@pytest.mark.parametrize(
    "extra, line",
    [
        ((zipfile.ZipInfo("../evil"), b"x"), "'../evil' would lie outside of the folder"),
        ((zipfile.ZipInfo("a/../../evil"), b"x"), "would lie outside of the folder"),
        ((zipfile.ZipInfo("/tmp/evil"), b"x"), "'/tmp/evil' would lie outside of the folder"),
        ((zipfile.ZipInfo("..\\evil"), b"x"), "would lie outside of the folder"),
        ((zipfile.ZipInfo("C:/evil"), b"x"), "would lie outside of the folder"),
        ((zipfile.ZipInfo("a//b"), b"x"), "would lie outside of the folder"),
        (link("evil", "/etc/passwd"), "'evil' is no plain file"),
        ((zipfile.ZipInfo("folder/"), b""), "'folder/' would lie outside"),
        ((zipfile.ZipInfo("config.yaml/evil"), b"x"), "below another file"),
    ],
)
def test_what_would_lead_out_of_the_folder_is_refused_before_anything_is_there(
    packed: Path, tmp_path: Path, extra: Any, line: str
) -> None:
    (tmp_path / "in").mkdir()
    file = repacked(packed, tmp_path / "in" / "evil.zip", extra)
    with pytest.raises(UserError, match=line):
        unpack(file, tmp_path / "in" / "out")
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["evil.zip"]
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_file_that_is_not_listed_or_not_as_it_was_is_refused(
    packed: Path, tmp_path: Path, capsys: Any
) -> None:
    extra = (zipfile.ZipInfo("more"), b"x")
    cases = {
        "holds other files than it lists (more)": repacked(
            packed, tmp_path / "a.zip", extra, listed=False
        ),
        "run.json is not as it was packed": repacked(
            packed, tmp_path / "b.zip", edit=lambda n, c: c[::-1] if n == "run.json" else c
        ),
        "run.json is not of the size": repacked(
            packed, tmp_path / "c.zip", edit=lambda n, c: c + b" " if n == "run.json" else c
        ),
    }
    (tmp_path / "d.zip").write_bytes(packed.read_bytes()[:2000])
    cases["is no archive, or cut off"] = tmp_path / "d.zip"
    with zipfile.ZipFile(tmp_path / "e.zip", "w") as zipped:
        zipped.writestr("run.json", "{}")
    cases["is no archive of aetl's (it has no archive.json)"] = tmp_path / "e.zip"
    for line, file in cases.items():
        assert main(["archive", str(file), "-o", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert line in error
        assert len(error.splitlines()) == 1
        assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_not_written_over(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="out: is there already"):
        unpack(packed, tmp_path / "out")


def test_what_is_no_run_is_not_packed(tmp_path: Path, capsys: Any) -> None:
    assert main(["archive", str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err
    assert main(["archive", str(tmp_path / "nowhere")]) == 2
    assert "no such folder" in capsys.readouterr().err
