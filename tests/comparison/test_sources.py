"""Code that changed between the runs of one table, and what the runs warned of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aetl.cli import main
from aetl.comparison.rows import Row, rows
from aetl.comparison.run import find_runs
from aetl.report.formats import compare
from aetl.report.panel import panels
from aetl.report.remarks import remarks
from aetl.report.table import render_table
from aetl.store import code
from tests.comparison.synthetic import record, write_run

VERSIONS = record()["versions"]


def sweep(folder: Path, sources: dict[str, list[str]], **changes: Any) -> Path:
    """Three seeds of each arm, with the digest of the code that each of them ran with."""
    for arm, digests in sources.items():
        for seed, digest in enumerate(digests):
            name = f"{arm.replace('/', '-')}-{seed}"
            score = 0.9 + 0.012 * seed if arm == "control/raw_features" else 0.6 + 0.01 * seed
            write_run(
                folder / name, transfer=arm, seed=seed, score=score, twin_score=0.5,
                versions=VERSIONS | {"sources": digest}, **changes,
            )  # fmt: skip
    return folder


def table(folder: Path, **how: Any) -> dict[str, Row]:
    return {row.transfer: row for row in rows(find_runs([folder]).done, **how)}


def test_seeds_of_changed_code_have_no_gain_together_unless_asked_for(tmp_path: Path) -> None:
    same, mixed = "feature/linear_probe", "parameter/finetune"
    sweep(tmp_path, {same: ["a", "a", "a"], mixed: ["a", "a", "b"]})
    found = table(tmp_path)
    assert found[same].gain_mean == pytest.approx(0.11)
    assert found[mixed].mean == pytest.approx(0.61)  # its own score is told
    assert (found[mixed].gain, found[mixed].verdict, found[mixed].p_value) == (
        None,
        "unknown",
        None,
    )
    (told,) = [line for line in remarks([*found.values()]) if "no gain" in line]
    assert f"the code (aetl) changed between the runs of {mixed} at 100" in told
    assert "--mixed-sources" in told
    asked = table(tmp_path, mixed_sources=True)
    assert asked[mixed].gain_mean == pytest.approx(0.11)
    assert any("gains mix both" in line for line in remarks([*asked.values()]))


def test_a_control_of_other_code_surpasses_no_arm(tmp_path: Path) -> None:
    arm, control = "parameter/finetune", "control/raw_features"
    sweep(tmp_path / "same", {arm: ["a"] * 3, control: ["a"] * 3})
    sweep(tmp_path / "other", {arm: ["a"] * 3, control: ["b"] * 3})
    assert table(tmp_path / "same")[arm].beaten
    apart = table(tmp_path / "other")
    assert not apart[arm].beaten
    assert apart[arm].control_mean == pytest.approx(0.912)
    assert any("changed between rows of digits" in line for line in remarks([*apart.values()]))
    assert table(tmp_path / "other", mixed_sources=True)[arm].beaten


def test_code_of_the_users_own_counts_where_both_runs_have_it(tmp_path: Path) -> None:
    """An arm of the user's own beside a twin without it is no change."""
    for seed in range(3):
        for arm, own in (("feature/mine", {"mine": f"{seed // 2}"}), ("control/scratch", {})):
            write_run(tmp_path / f"{seed}-{arm[:4]}", transfer=arm, seed=seed, own_code=own,
                      versions=VERSIONS | {"sources": "a"})  # fmt: skip
    found = table(tmp_path)
    assert found["feature/mine"].changed == ("mine",)
    assert found["feature/mine"].gain is None
    assert not found["control/scratch"].changed


def test_runs_of_before_code_was_noted_are_compared_as_before(tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path / str(seed), seed=seed, versions={})
    (row,) = table(tmp_path).values()
    assert row.gain is not None
    assert not row.changed


@pytest.mark.parametrize("format", ["table", "json", "csv", "latex", "html"])
@pytest.mark.parametrize("by", [(), ("transfer",)])
def test_every_format_tells_of_changed_code(
    format: Any, by: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    folder = sweep(tmp_path / "runs", {"parameter/finetune": ["a", "b", "b"]})
    page = tmp_path / "page.html"
    output = page if format == "html" else None
    assert compare([folder], format=format, by=by, output=output) == 0
    said = capsys.readouterr().out + caplog.text + (page.read_text() if page.exists() else "")
    assert "the code (aetl) changed" in " ".join(said.split())
    if format == "json":
        (one,) = json.loads(said[: said.index("\n]") + 2])
        assert one["gain_mean"] is None
        assert one["verdict"] == "unknown"


def test_a_grouped_gain_over_changed_code_is_refused_unless_asked_for(tmp_path: Path) -> None:
    from aetl.comparison.grouped import group_rows

    folder = sweep(tmp_path, {"parameter/finetune": ["a", "b", "b"]})
    runs = find_runs([folder]).done
    assert [row.gain for row in group_rows(runs, ["transfer"], None).rows] == [None]
    (asked,) = group_rows(runs, ["transfer"], None, mixed_sources=True).rows
    assert asked.gain is not None
    assert len(group_rows(runs, ["seed"], None).rows) == 3
    assert all(row.gain for row in group_rows(runs, ["seed"], None).rows)  # each of one code


def test_a_change_of_what_only_shows_results_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("loss/mse.py", "report/page.py"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.setattr(code, "_PACKAGE", tmp_path)
    before = code.package_digest()
    (tmp_path / "report/page.py").write_text("x = 2\n")
    assert code.package_digest() == before
    (tmp_path / "loss/mse.py").write_text("x = 2\n")
    assert code.package_digest() != before


def test_the_users_own_modules_are_known_by_their_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_parts.py").write_text("class Own: ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    config = {"loss": {"_target_": "own_parts.Own"}, "task": {"_target_": "aetl.loss.mse.Mse"}}
    before = code.own_code(config)
    assert list(before) == ["own_parts"]
    (tmp_path / "own_parts.py").write_text("class Own: x = 1\n")
    assert code.own_code(config) != before


def test_what_a_run_warned_of_stands_beside_its_row(tmp_path: Path) -> None:
    line = "source: 3 of 50 files are no images, left out"
    for seed in range(3):
        write_run(tmp_path / f"a{seed}", seed=seed, warnings=[line] if seed else [])
        write_run(tmp_path / f"b{seed}", seed=seed, transfer="control/scratch")
    found = table(tmp_path)
    assert found["parameter/finetune"].warned == {line: 2}
    text = render_table([*found.values()], 200)
    marked = [one for one in text.splitlines() if one.startswith(("parameter", "control"))]
    assert ["⚠" in one for one in marked] == [False, True]
    assert f"⚠ parameter/finetune at 100 (2 of 3 runs): {line}" in text
    (panel,) = panels(found.values())
    assert panel.mean(found["control/scratch"]).count("⚠") == 0


def test_a_warning_of_all_rows_is_told_once(tmp_path: Path) -> None:
    for number, arm in enumerate(("parameter/finetune", "control/scratch")):
        write_run(tmp_path / str(number), transfer=arm, warnings=["the same"])
    told = [line for line in remarks([*table(tmp_path).values()]) if "⚠" in line]
    assert told == ["⚠ all rows (2 of 2 runs): the same"]


def test_the_command_takes_the_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder = sweep(tmp_path, {"parameter/finetune": ["a", "b", "b"]})
    for words, expected in (([], None), (["--mixed-sources"], pytest.approx(0.11))):
        assert main(["compare", str(folder), "--json", *words]) == 0
        said = capsys.readouterr()
        (row,) = json.loads(said.out)
        assert row["gain_mean"] == expected
        assert "the code (aetl) changed" in said.err + caplog.text
        caplog.clear()


def test_warnings_that_differ_in_their_numbers_alone_are_one_line(tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path / str(seed), seed=seed, warnings=[f"the error is 0.{seed + 1}e-3 of 12"])
    (told,) = [line for line in remarks([*table(tmp_path).values()]) if "⚠" in line]
    assert told == "⚠ all rows (3 of 3 runs, the first): the error is 0.1e-3 of 12"
