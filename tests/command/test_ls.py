"""``aetl ls`` and ``aetl rm`` of runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from aetl.cli import main
from tests.comparison.synthetic import write_run

LONG = "a_data_set_with_a_name_that_is_longer_than_most_terminals_are_wide"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for seed, (score, transfer) in enumerate(
        ((0.5, "control/scratch"), (0.9, "parameter/finetune"), (0.7, "parameter/lora"))
    ):
        write_run(
            tmp_path / "2026-01-01" / str(seed), {"optimizer": {"lr": 10.0**-seed}},
            seed=seed, score=score, transfer=transfer, source=LONG,
        )  # fmt: skip
    return tmp_path


@pytest.mark.parametrize("width", [40, 60, 100, 200])
def test_each_run_is_one_line_that_fits(
    width: int, runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for seed in range(3):
        other = {"target": f"{seed}_{LONG}", "seed": seed, "autoencoder": f"vae_{LONG}_{seed}"}
        write_run(runs / f"other{seed}", **other)
    assert main(["ls", str(runs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = lines[next(i for i, line in enumerate(lines) if "run" in line.split()) :]
    assert len(table) == 7
    if width >= 100:
        assert max(map(len, table)) <= width


def test_runs_are_chosen_and_sorted_by_names_and_keys_of_the_config(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def seeds(*options: str) -> list[int]:
        assert main(["ls", str(runs), *options, "--json"]) == 0
        return [run["seed"] for run in json.loads(capsys.readouterr().out)]

    assert seeds("--sort", "accuracy") == [1, 2, 0]
    assert seeds("--sort", "optimizer.lr") == [2, 1, 0]
    assert seeds("--where", "transfer=parameter/lora") == [2]
    assert seeds("--where", "optimizer.lr=0.1", "--where", "status=done") == [1]
    assert seeds("--where", "seed=7") == []


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--where", "sed=1"], "--where sed: no run has it; did you mean 'seed'?"),
        (["--where", "seed"], "expected KEY=VALUE"),
        (["--sort", "acuracy"], "--sort acuracy: no run has it; did you mean 'accuracy'?"),
        (["--config-dir", "/no/such"], "--config-dir=/no/such: no such folder"),
    ],
)
def test_what_no_run_has_is_told(
    options: list[str], line: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ls", str(runs), *options]) == 2
    assert line in capsys.readouterr().err


def test_options_of_ones_own_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "metric").mkdir()
    (tmp_path / "metric" / "mine.yaml").write_text("# A measure of mine.\n")
    assert main(["ls", "metric", "--config-dir", str(tmp_path)]) == 0
    assert "A measure of mine." in capsys.readouterr().out


def test_a_gain_is_positive_where_it_is_better(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "a", metric="mae", score=2.4940, twin_score=2.4961)
    for command in (["ls", str(tmp_path)], ["show", str(run)]):
        assert main(command) == 0
        assert "+0.0021" in capsys.readouterr().out


def test_rm_takes_a_run_after_asking_and_nothing_else(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, other = runs / "2026-01-01" / "0", runs / "2026-01-01" / "1"
    assert main(["rm", str(run)]) == 2  # nobody is there to be asked
    assert run.exists()
    assert main(["rm", str(run), "--yes"]) == 0
    assert not run.exists()
    assert other.exists()


def test_rm_keeps_what_others_need(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    day = runs / "2026-01-01"
    write_run(day / "heir", {"checkpoint": str(day / "0")})
    write_run(day / "busy", status="running", pid=os.getpid())
    (day / "sweep").mkdir()
    (day / "sweep" / "manifest.json").write_text("{}")
    write_run(day / "sweep" / "7")
    (day / "link").symlink_to(day / "1")
    for name, line in (
        ("0", "starts from its weights"), ("busy", "is at work"), ("link", "is a link"),
        ("sweep/7", "is a job of the sweep"), ("..", "neither a run's folder nor a sweep's"),
    ):  # fmt: skip
        assert main(["rm", "--yes", str(day / name)]) == 2
        assert line in capsys.readouterr().err
    assert main(["rm", "--yes", str(day / "sweep")]) == 0
    assert {path.name for path in day.iterdir()} == {"0", "1", "2", "heir", "busy", "link"}
