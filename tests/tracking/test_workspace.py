"""A saved workspace, and what runs say of their sweep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aetl.config import ConfigError
from aetl.tracking.sweep import OfSweep, sweep_of
from aetl.tracking.workspace import project_of
from tests.comparison.synthetic import write_run


def test_a_job_knows_its_sweep_and_its_name_there(tmp_path: Path) -> None:
    sweep = tmp_path / "mine"
    (sweep / "deep" / "3").mkdir(parents=True)
    assert sweep_of(sweep / "deep" / "3") is None
    jobs = [{"folder": "deep/3", "name": "finetune seed=3"}]
    (sweep / "manifest.json").write_text(json.dumps({"jobs": jobs}))
    assert sweep_of(sweep / "deep" / "3") == OfSweep("mine", "finetune seed=3")
    assert sweep_of(sweep / "4") == OfSweep("mine", None)
    (sweep / "manifest.json").write_text("")  # while its jobs are checked
    assert sweep_of(sweep / "4") == OfSweep("mine", None)


def test_a_project_is_that_of_the_path_or_of_a_run_that_is_online(tmp_path: Path) -> None:
    assert project_of([Path("wandb:lab/aetl")], []) == ("lab", "aetl")
    for name, url in (("a", None), ("b", "http://x")):
        (tmp_path / name).mkdir()
        noted = {"entity": "lab", "project": f"of-{name}", "url": url}
        (tmp_path / name / "wandb.json").write_text(json.dumps(noted))
    folders = [tmp_path / "none", tmp_path / "a", tmp_path / "b"]
    assert project_of([tmp_path], folders) == ("lab", "of-b")
    with pytest.raises(ConfigError, match="none of these runs is on a server"):
        project_of([tmp_path], folders[:2])


def test_compare_without_a_server_is_one_line(tmp_path: Path) -> None:
    from aetl.command.compare import main

    write_run(tmp_path / "run")
    with pytest.raises(ConfigError, match="none of these runs is on a server"):
        main([str(tmp_path), "--wandb"])
