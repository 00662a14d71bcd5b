"""``aetl compare --by``: any keys of the config, over seeds."""

from __future__ import annotations

import csv
import io
import json
import statistics
from pathlib import Path

import numpy as np
import pytest

from aetl.command import compare
from aetl.comparison.crossed import crossed
from aetl.comparison.grouped import group_rows
from aetl.comparison.run import find_runs
from aetl.comparison.statistics import interval
from aetl.config import ConfigError
from tests.comparison.synthetic import write_run
from tests.comparison.test_examples import answers, run_with


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
    low, high = group_rows(runs, ["optimizer.lr"], None).rows
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
    runs = find_runs([sweep(tmp_path)]).done
    found = group_rows(runs, ["transfer", "optimizer.lr"], None).rows
    assert [tuple(row.group.values()) for row in found] == [
        ("parameter/finetune", 0.001),
        ("parameter/finetune", 0.01),
        ("parameter/lora", 0.001),
        ("parameter/lora", 0.01),
    ]
    assert all(row.runs == row.seeds == 3 for row in found)


def test_groups_are_compared_on_the_cells_that_all_of_them_have(tmp_path: Path) -> None:
    """The hard arm was run at one rate alone, and one seed lacks an arm: neither may count."""
    sweep(tmp_path)
    for seed in range(3):
        write_run(tmp_path / f"hard-{seed}", {"optimizer": {"lr": 0.01}}, seed=seed, score=0.1,
                  transfer="parameter/hard", twin_score=0.5)  # fmt: skip
    write_run(tmp_path / "more", {"optimizer": {"lr": 0.01}}, seed=3, score=0.0, twin_score=0.5)
    found = group_rows(find_runs([tmp_path]).done, ["optimizer.lr"], None)
    low, high = found.rows
    assert (high.runs, high.seeds) == (low.runs, low.seeds) == (6, 3)
    assert high.score.mean - low.score.mean == pytest.approx(0.09)
    assert any(note.startswith("4 of 16 runs are left out") for note in found.notes)


def test_gains_over_different_twins_are_rows_of_their_own(tmp_path: Path) -> None:
    for twin, gain in (("scratch", 0.1), ("source_only", -0.1)):
        for seed in range(3):
            write_run(tmp_path / f"{twin}-{seed}", seed=seed, score=0.5 + gain + seed / 1000,
                      twin_score=0.5, baseline=f"control/{twin}")  # fmt: skip
    found = group_rows(find_runs([tmp_path]).done, ["transfer"], None).rows
    assert [row.group["twin"] for row in found] == ["scratch", "source_only"]
    assert [round(row.gain.mean, 3) for row in found if row.gain] == [0.101, -0.099]


def test_what_goes_with_a_key_is_told(tmp_path: Path) -> None:
    for width, rate in ((8, 0.001), (16, 0.01)):
        for seed in range(3):
            overrides = [f"bottleneck.latent_dim={width}", f"optimizer.lr={rate}", f"seed={seed}"]
            write_run(tmp_path / f"{width}-{seed}", {"optimizer": {"lr": rate}}, seed=seed,
                      overrides=overrides)  # fmt: skip
    found = group_rows(find_runs([tmp_path]).done, ["optimizer.lr"], None)
    assert len(found.rows) == 2
    assert found.notes == ["besides optimizer.lr, the groups differ in bottleneck.latent_dim"]


def test_groups_that_share_nothing_are_said_to(tmp_path: Path) -> None:
    for number, arm in enumerate(("a", "b", "c", "d")):
        for seed in range(3):
            write_run(tmp_path / f"{arm}-{seed}", {"optimizer": {"lr": number // 2}}, seed=seed,
                      transfer=f"parameter/{arm}")  # fmt: skip
    found = group_rows(find_runs([tmp_path]).done, ["optimizer.lr"], None)
    assert [row.runs for row in found.rows] == [6, 6]
    assert "not to be compared with each other" in found.notes[0]


def test_a_gain_over_cells_is_over_the_test_examples_of_all_of_them(tmp_path: Path) -> None:
    """Two arms on one test set: what they gain together; two targets: strata of equal weight."""
    values: dict[str, list[np.ndarray]] = {}
    for number, (target, arm) in enumerate((("x", "a"), ("x", "b"), ("y", "a"), ("y", "b"))):
        n = 200 if target == "x" else 100
        for seed in range(4):
            arm_, twin = answers(seed + 10 * number, n=n, lift=0.1 + 0.1 * number)
            identity = np.arange(n, dtype=np.uint64) + np.uint64(1000 * (target == "y"))
            run_with(tmp_path / f"{number}-{seed}", arm_, twin, identity, seed=seed,
                     target=target, transfer=f"parameter/{arm}")  # fmt: skip
            values.setdefault(target, []).append(arm_ - twin)
    (row,) = group_rows(find_runs([tmp_path]).done, ["loss"], None).rows
    together = {t: np.mean(np.split(np.stack(d), 2), axis=0) for t, d in values.items()}
    assert row.gain is not None
    means = [d.mean() for d in together.values()]
    assert row.gain.mean == pytest.approx(np.mean(means))
    # 300 units: those of x stand for 3/4 of themselves, those of y for 3/2.
    whole = np.concatenate([0.75 * (together["x"] - means[0]), 1.5 * (together["y"] - means[1])], 1)
    expected = crossed(whole + row.gain.mean).interval()
    assert (row.gain.low, row.gain.high) == pytest.approx((expected.low, expected.high))
    assert (row.over, row.runs, row.seeds) == ("seeds and examples", 16, 4)


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
