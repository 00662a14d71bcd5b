"""``aetl compare --by``: any keys of the config, over seeds."""

from __future__ import annotations

import csv
import io
import json
import statistics
from pathlib import Path

import pytest

from aetl.command import compare
from aetl.comparison.grouped import group_rows
from aetl.comparison.run import find_runs
from aetl.comparison.statistics import interval
from aetl.config import ConfigError
from tests.comparison.synthetic import write_run


def sweep(folder: Path) -> Path:
    """Two rates, two arms, three seeds."""
    for rate in (0.001, 0.01):
        for shift, arm in enumerate(("parameter/finetune", "parameter/lora")):
            for seed in range(3):
                write_run(
                    folder / f"{rate}-{shift}-{seed}",
                    {"optimizer": {"lr": rate}},
                    transfer=arm,
                    seed=seed,
                    score=0.5 + 10 * rate + 0.1 * shift + 0.01 * seed * seed,
                    twin_score=0.5 + 0.01 * seed,
                )
    return folder


def test_a_groups_interval_is_over_seeds_and_not_over_runs(tmp_path: Path) -> None:
    runs = find_runs([sweep(tmp_path)]).done
    low, high = group_rows(runs, ["optimizer.lr"], None)
    assert (low.group, high.group) == ({"optimizer.lr": 0.001}, {"optimizer.lr": 0.01})
    assert (low.runs, low.seeds) == (6, 3)
    each = [0.5 + 0.01 + 0.05 + 0.01 * seed * seed for seed in range(3)]
    expected = interval(each)
    assert low.score.mean == pytest.approx(statistics.mean(each))
    assert (low.score.low, low.score.high) == pytest.approx((expected.low, expected.high))
    gains = [value - 0.5 - 0.01 * seed for seed, value in enumerate(each)]
    assert low.gain is not None
    assert low.gain.mean == pytest.approx(statistics.mean(gains))


def test_names_and_config_keys_group_together(tmp_path: Path) -> None:
    found = group_rows(find_runs([sweep(tmp_path)]).done, ["transfer", "optimizer.lr"], None)
    assert [tuple(row.group.values()) for row in found] == [
        ("parameter/finetune", 0.001),
        ("parameter/finetune", 0.01),
        ("parameter/lora", 0.001),
        ("parameter/lora", 0.01),
    ]
    assert all(row.runs == row.seeds == 3 for row in found)


def test_a_misspelt_key_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"--by optimiser\.lr: no run has this key.*optimizer\.lr"
    ):
        compare.main([str(sweep(tmp_path)), "--by", "optimiser.lr"])


def test_every_format_has_every_group(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(sweep(tmp_path / "runs"))
    by = ["--by", "optimizer.lr,transfer"]

    def said(*more: str) -> str:
        assert compare.main([folder, *by, *more]) == 0
        return capsys.readouterr().out

    rows = json.loads(said("--json"))
    assert len(rows) == 4
    assert rows[0]["optimizer.lr"] == 0.001
    assert rows[0]["mean"] == pytest.approx(0.51 + 0.05 / 3)
    lines = list(csv.DictReader(io.StringIO(said("--csv"))))
    assert [float(line["mean"]) for line in lines] == [row["mean"] for row in rows]
    latex = said("--latex")
    assert latex.count("parameter/lora") == 2
    assert r"$0.527 \pm" in latex
    table = said()
    assert "0.527 ±" in table
    assert said("--output", str(tmp_path / "table.txt")) == ""
    assert "0.527 ±" in (tmp_path / "table.txt").read_text()
    page = Path(said("--html", "-o", str(tmp_path / "page.html")).strip()).read_text()
    assert "Scores by optimizer.lr, transfer" in page
    assert page.count("<tr>") == 5
