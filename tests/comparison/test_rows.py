import csv
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from aetl.comparison.rows import (
    CSV_KEYS,
    JSON_KEYS,
    Row,
    budget_order,
    rows,
)
from aetl.comparison.run import find_runs
from aetl.config import ConfigError
from aetl.report.formats import compare, render_csv, render_json
from aetl.report.panel import symbol
from aetl.report.table import render_latex, render_table
from tests.comparison.synthetic import write_run

ARMS = ("control/scratch", "control/raw_features", "feature/linear_probe", "parameter/finetune")
BUDGETS = (10, 100, "all")
SEEDS = (0, 1, 2)


def sweep(folder: Path, metric: str = "accuracy") -> dict[tuple[str, Any], np.ndarray]:
    """A multirun over arms, budgets and seeds; scores and twins [2, seeds] by arm and budget."""
    random = np.random.default_rng(0)
    numbers: dict[tuple[str, Any], np.ndarray] = {}
    for job, (arm, budget, seed) in enumerate(itertools.product(ARMS, BUDGETS, SEEDS)):
        cell = numbers.setdefault((arm, budget), random.random((2, len(SEEDS))))
        if arm == "control/scratch":
            cell[1] = cell[0]
        score, twin = cell[:, seed]
        changes = {"transfer": arm, "budget": budget, "seed": seed, "metric": metric}
        write_run(folder / str(job), score=float(score), twin_score=float(twin), **changes)
    return numbers


def table(folder: Path, metric: str | None = None) -> list[Row]:
    return rows(find_runs([folder]).done, metric)


@pytest.mark.parametrize("metric", ["accuracy", "mae"])
def test_rows_equal_a_brute_force_over_seeds(tmp_path: Path, metric: str) -> None:
    numbers = sweep(tmp_path, metric)
    found = {(row.transfer, row.budget): row for row in table(tmp_path)}
    assert found.keys() == numbers.keys()
    for key, (scores, twins) in numbers.items():
        gains = (scores - twins) * (-1 if metric == "mae" else 1)
        row = found[key]
        assert row.n == 3
        assert row.mean == pytest.approx(scores.mean())
        reach = scipy.stats.t.ppf(0.975, 2) * scipy.stats.sem(scores)
        assert (row.ci_low, row.ci_high) == pytest.approx(
            (scores.mean() - reach, scores.mean() + reach)
        )
        reach = scipy.stats.t.ppf(0.975, 2) * scipy.stats.sem(gains)
        bounds = gains.mean() - reach, gains.mean() + reach
        assert row.gain_mean == pytest.approx(gains.mean())
        assert (row.gain_ci_low, row.gain_ci_high) == pytest.approx(bounds)
        signs = {(True, True): "positive", (False, False): "negative"}
        other = "equivalent" if row.is_baseline else "undecided"
        assert row.verdict == signs.get((bounds[0] > 0, bounds[1] >= 0), other)
        assert (row.gain_seeds_ci_low, row.gain_seeds_ci_high) == pytest.approx(bounds)
        assert row.interval_over == "seeds"


def test_the_p_values_of_a_budget_are_adjusted_for_its_arms(tmp_path: Path) -> None:
    numbers = sweep(tmp_path)
    found = {(row.transfer, row.budget): row.p_value for row in table(tmp_path)}
    for budget in BUDGETS:
        assert found["control/scratch", budget] is None
        raw = {arm: scipy.stats.ttest_rel(*numbers[arm, budget]).pvalue for arm in ARMS[1:]}
        smallest = min(raw, key=lambda arm: raw[arm])
        assert found[smallest, budget] == pytest.approx(min(1.0, 3 * raw[smallest]))


def test_a_verdict_that_the_correction_takes_away_is_told_apart(tmp_path: Path) -> None:
    # One gains surely; five have p = 0.013 each, which Holm's correction makes 0.066.
    wide, gains = (0.08, 0.10, 0.12), {"parameter/finetune": (0.099, 0.100, 0.101)}
    gains |= {f"feature/{name}": wide for name in ("linear_probe", "knn", "svm", "mlp_head")}
    gains["parameter/freeze"] = (-0.12, -0.10, -0.08)
    for arm, values in gains.items():
        for seed, gain in enumerate(values):
            named = {"transfer": arm, "budget": 10, "seed": seed}
            write_run(tmp_path / f"{arm.replace('/', '-')}-{seed}", score=0.5 + gain,
                      twin_score=0.5, **named)  # fmt: skip
    found = {row.transfer: row for row in table(tmp_path)}
    p = scipy.stats.ttest_1samp(wide, 0.0).pvalue
    assert found["feature/knn"].p_value == pytest.approx(5 * p)
    assert p < 0.05 < 5 * p
    assert {name: (row.verdict, symbol(row), row.stands) for name, row in found.items()} == {
        "parameter/finetune": ("positive", "▲", True),
        "parameter/freeze": ("negative", "▽", False),
        **{name: ("positive", "△", False) for name in gains if name.startswith("feature/")},
    }
    text = render_table([*found.values()], 100)
    assert text.count("△ positive") == 5  # the legend's among them
    assert text.count("▲ positive") == 2
    assert "positive, uncorrected" in render_latex([*found.values()])


def test_json_has_exactly_the_promised_keys_and_nothing_else(tmp_path: Path) -> None:
    sweep(tmp_path)
    found = json.loads(render_json(table(tmp_path)))
    assert len(found) == len(ARMS) * len(BUDGETS)
    promised = (
        "source, target, autoencoder, loss, transfer, budget, metric, selector, n, mean, ci_low, "
        "ci_high, gain_mean, gain_ci_low, gain_ci_high, verdict, gain_seeds_ci_low, "
        "gain_seeds_ci_high, more_seeds"
    )
    assert all(list(row) == promised.split(", ") for row in found)
    assert tuple(promised.split(", ")) == JSON_KEYS


def test_controls_come_first_and_budgets_by_size(tmp_path: Path) -> None:
    sweep(tmp_path)
    found = table(tmp_path)
    assert [row.transfer for row in found[::3]] == list(ARMS)
    assert [row.budget for row in found[:3]] == list(BUDGETS)
    assert sorted(["all", 100, "10 per class", 9], key=budget_order) == [
        9,
        100,
        "10 per class",
        "all",
    ]


def test_one_seed_has_no_interval_and_no_verdict(tmp_path: Path) -> None:
    write_run(tmp_path / "run", score=0.8, twin_score=0.7)
    (row,) = table(tmp_path)
    assert (row.n, row.mean, row.gain_mean) == (1, 0.8, pytest.approx(0.1))
    assert (row.ci_low, row.ci_high, row.gain_ci_low, row.gain_ci_high) == (None,) * 4
    assert (row.verdict, row.p_value) == ("unknown", None)


def test_scratch_is_equivalent_to_itself_with_gain_zero_whatever_its_record_says(
    tmp_path: Path,
) -> None:
    for seed in SEEDS:
        changes: dict[str, Any] = {"transfer": "control/scratch", "gain": {}, "twin": {}}
        write_run(tmp_path / str(seed), seed=seed, score=0.5 + seed / 10, **changes)
    (row,) = table(tmp_path)
    assert (row.gain_mean, row.gain_ci_low, row.gain_ci_high) == (0.0, 0.0, 0.0)
    assert row.verdict == "equivalent"
    assert "baseline" in render_table([row])


def test_an_arm_without_gains_has_scores_but_no_verdict(tmp_path: Path) -> None:
    for seed in SEEDS:
        write_run(tmp_path / str(seed), seed=seed, gain={}, twin={})
    (row,) = table(tmp_path)
    assert (row.n, row.gain_mean, row.verdict, row.control) == (3, None, "unknown", None)


def test_different_settings_are_never_averaged_and_name_what_differs(tmp_path: Path) -> None:
    for seed, lr in itertools.product(SEEDS, (0.01, 0.1)):
        write_run(
            tmp_path / f"{seed}-{lr}",
            config={"finetune": {"lr": lr, "epochs": 20}, "data_dir": f"data{seed}{lr}"},
            settings=f"digest-of-{lr}",
            seed=seed,
            score=lr,
        )
    found = {row.transfer: row for row in table(tmp_path)}
    assert found.keys() == {
        "parameter/finetune (finetune.lr=0.01)",
        "parameter/finetune (finetune.lr=0.1)",
    }
    assert [row.mean for row in found.values()] == pytest.approx([0.01, 0.1])
    assert all(row.n == 3 for row in found.values())


def test_what_a_preset_repeats_of_its_parts_is_named_once(tmp_path: Path) -> None:
    for dim in (8, 16):
        part, copy = ({"bottleneck": {"latent_dim": dim}} for _ in range(2))
        write_run(tmp_path / str(dim), part | {"autoencoder": copy}, settings=f"d{dim}")
    assert [row.transfer for row in table(tmp_path)] == [
        "parameter/finetune (bottleneck.latent_dim=16)",
        "parameter/finetune (bottleneck.latent_dim=8)",
    ]


def test_settings_that_no_config_explains_are_told_apart_by_their_digest(tmp_path: Path) -> None:
    for settings, lr in (("aa1", 0.1), ("aa2", 0.1), ("bb", 0.2)):
        write_run(tmp_path / settings, {"optimizer": {"lr": lr}}, settings=settings)
    assert [row.transfer for row in table(tmp_path)] == [
        "parameter/finetune (optimizer.lr=0.1, aa1)",
        "parameter/finetune (optimizer.lr=0.1, aa2)",
        "parameter/finetune (optimizer.lr=0.2)",
    ]
    for folder in tmp_path.iterdir():
        (folder / "config.yaml").unlink()
    assert [row.transfer for row in table(tmp_path)] == [
        f"parameter/finetune ({settings})" for settings in ("aa1", "aa2", "bb")
    ]


def test_an_arm_keeps_one_name_over_its_budgets(tmp_path: Path) -> None:
    for budget, lr in ((10, 0.01), (10, 0.1), (100, 0.01)):
        changes = {"settings": f"lr {lr}", "budget": budget}
        write_run(tmp_path / f"{budget}-{lr}", config={"optimizer": {"lr": lr}}, **changes)
    found = [(row.transfer, row.budget) for row in table(tmp_path)]
    assert ("parameter/finetune (optimizer.lr=0.01)", 10) in found
    assert ("parameter/finetune (optimizer.lr=0.01)", 100) in found


def test_of_a_rerun_the_later_counts_and_a_difference_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_run(tmp_path / "b", started="2026-11-21T09:00:00", score=0.7)
    write_run(tmp_path / "a", started="2026-11-21T10:00:00", score=0.8)
    (row,) = table(tmp_path)
    assert (row.n, row.mean) == (1, 0.8)
    assert len(caplog.messages) == 1
    assert "seed 0: two runs with the same settings differ (accuracy 0.7 in" in caplog.text


def test_an_equal_rerun_is_counted_once_and_silently(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_run(tmp_path / "a")
    write_run(tmp_path / "b")
    assert [row.n for row in table(tmp_path)] == [1]
    assert not caplog.messages


def test_a_score_that_is_not_finite_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_run(tmp_path / "a", seed=0, score=0.5)
    write_run(tmp_path / "b", seed=1, score=float("nan"))
    (row,) = table(tmp_path)
    assert (row.n, row.mean) == (1, 0.5)
    assert "left out 1 of 2 seeds without a finite accuracy" in caplog.text


def test_the_strongest_control_of_a_zoo_is_that_of_the_arms_autoencoder(tmp_path: Path) -> None:
    """The best of all autoencoders' random features would be chosen among as many as there are."""
    of_random = {"vae": 0.6, "pca": 0.7}
    for name, score in of_random.items():
        for seed in range(3):
            named = {"autoencoder": name, "seed": seed, "twin_score": 0.5}
            where = tmp_path / f"{name}-{seed}"
            write_run(where / "a", score=0.8, transfer="feature/knn", **named)
            write_run(where / "r", score=score, transfer="control/random_features", **named)
    for seed in range(3):  # run once, for all
        raw = {"transfer": "control/raw_features", "autoencoder": "vae", "seed": seed}
        write_run(tmp_path / f"raw-{seed}", score=0.65, twin_score=0.5, **raw)
    found = {
        r.autoencoder: (r.control, r.control_mean) for r in table(tmp_path) if not r.is_control
    }
    assert found["vae"] == ("control/raw_features", pytest.approx(0.65))
    assert found["pca"] == ("control/random_features", pytest.approx(0.7))


def test_the_strongest_control_of_a_trial_has_its_settings(tmp_path: Path) -> None:
    for rate, scratch in (("0.1", 0.9), ("0.01", 0.6)):
        for seed in range(3):
            named = {"seed": seed, "twin_score": scratch, "settings": rate * 4}
            for arm in ("control/scratch", "parameter/finetune"):
                score = scratch if arm == "control/scratch" else 0.8
                own = {"overrides": [f"transfer={arm}", f"finetune.lr={rate}"]}
                where = tmp_path / f"{arm.replace('/', '-')}-{rate}-{seed}"
                write_run(where, score=score, transfer=arm, **named, **own)
    arms = [row for row in table(tmp_path) if not row.is_control]
    means = {row.transfer.partition("=")[2]: row.control_mean for row in arms}
    assert means == {"0.1)": pytest.approx(0.9), "0.01)": pytest.approx(0.6)}


@pytest.mark.parametrize("metric", ["accuracy", "mae"])
def test_an_arm_surely_below_the_strongest_control_is_marked(tmp_path: Path, metric: str) -> None:
    """With three seeds whose leads vary by little: not with leads that vary a lot, nor fewer."""
    sign = -1 if metric == "mae" else 1
    scores = {"control/raw_features": 0.82, "parameter/finetune": 0.80, "feature/linear_probe": 0.9}
    for arm, score in scores.items():
        for seed, (sure, unsure) in enumerate(((-0.001, -0.04), (0.0, 0.0), (0.002, 0.04))):
            for folder, off in (("sure", sure), ("unsure", unsure), ("few", sure)):
                if folder == "few" and seed == 2:
                    continue
                value = sign * (score + (off if arm == "parameter/finetune" else 0.0))
                changes = {"transfer": arm, "metric": metric, "seed": seed}
                write_run(tmp_path / folder / f"{arm}-{seed}", score=value,
                          twin_score=sign * 0.7, **changes)  # fmt: skip
    for folder in ("unsure", "few"):
        assert not any(row.beaten for row in table(tmp_path / folder)), folder
    found = {row.transfer: row for row in table(tmp_path / "sure")}
    assert {row.control for row in found.values()} == {"control/raw_features"}
    assert found["parameter/finetune"].control_mean == pytest.approx(sign * 0.82)
    assert [arm for arm, row in found.items() if row.beaten] == ["parameter/finetune"]


def test_the_scratch_twin_is_a_control_also_where_it_was_not_run_itself(tmp_path: Path) -> None:
    for seed in SEEDS:
        write_run(tmp_path / f"run{seed}", seed=seed, score=0.7 + seed / 1e3, twin_score=0.75)
    (row,) = table(tmp_path)
    assert (row.control, row.control_mean, row.beaten) == ("control/scratch", 0.75, True)
    write_run(tmp_path / "scratch", transfer="control/scratch", score=0.6)
    assert {row.control_mean for row in table(tmp_path)} == {0.6}  # then its own row counts


def test_another_metric_can_be_compared_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    both = {"scores": {"accuracy": 0.8, "nll": 1.5}, "twin": {"accuracy": 0.7, "nll": 1.7}}
    higher = {"accuracy": True, "nll": False}
    gain = {"accuracy": 0.1, "nll": -0.2}
    write_run(tmp_path / "run", higher_is_better=higher, gain=gain, **both)
    (row,) = table(tmp_path, "nll")
    assert (row.metric, row.mean, row.gain_mean) == ("nll", 1.5, 1.7 - 1.5)
    with pytest.raises(ValueError, match="no run has the metric 'f1'; known: accuracy, nll"):
        table(tmp_path, "f1")


def test_runs_without_a_result_are_counted_and_broken_records_told_in_a_line_each(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_run(tmp_path / "nested" / "multirun" / "0")
    write_run(tmp_path / "failed", status="failed", error="boom")
    (tmp_path / "just_started").mkdir()
    (tmp_path / "just_started" / "run.json").write_text('{"version": 1, "status": "running"}')
    broken = {
        "cut": '{"version": 1, "sta',
        "empty": "",
        "binary": "\xff",
        "list": "[1]",
        "newer": '{"version": 2, "status": "done"}',
        "lacking": '{"version": 1, "status": "done", "seed": 0}',
        "wrong": json.dumps({"status": "done", "scores": 3} | dict.fromkeys(JSON_KEYS, 1)),
    }
    for name, text in broken.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(text, encoding="latin-1")
    found = find_runs([tmp_path])
    assert [run.folder.name for run in found.done] == ["0"]
    assert sorted(run.status for run in found.unfinished) == ["failed", "running"]
    assert {path.parent.name for path, _ in found.unreadable} == set(broken)
    assert len(caplog.messages) == len(broken)
    assert all("\n" not in message for message in caplog.messages)
    assert found.left_out() == "1 failed, 1 running, 7 unreadable"


def test_the_store_and_wandb_are_not_searched(tmp_path: Path) -> None:
    for name in ("store", "wandb", ".hidden"):
        write_run(tmp_path / name / "run")
    write_run(tmp_path / "run")
    assert [run.folder.name for run in find_runs([tmp_path]).done] == ["run"]


def test_a_run_named_twice_is_found_once(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a" / "run")
    (tmp_path / "link").symlink_to(folder)
    paths = [tmp_path, folder, folder / "run.json", tmp_path / "link", f"{folder}/"]
    assert len(find_runs(paths).done) == 1


def test_jobs_are_found_in_their_order(tmp_path: Path) -> None:
    for job in (10, 9, 1):
        write_run(tmp_path / str(job))
    assert [run.folder.name for run in find_runs([tmp_path]).done] == ["1", "9", "10"]


def test_compare_prints_json_alone_and_warns_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    sweep(tmp_path / "sweep")
    write_run(tmp_path / "failed", status="failed")
    assert compare([tmp_path], format="json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 12
    assert caplog.messages == ["left out: 1 failed"]


@pytest.mark.parametrize("format", ["table", "json", "csv", "latex"])
def test_compare_writes_a_file_instead_when_one_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], format: Any
) -> None:
    sweep(tmp_path / "sweep")
    compare([tmp_path / "sweep"], format=format, output=tmp_path / "out")
    assert "linear" in (tmp_path / "out").read_text(encoding="utf-8")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "prepare, message",
    [
        (lambda folder: shutil.rmtree(folder), "no such folder"),
        (lambda folder: None, "no finished run below"),
        (lambda folder: write_run(folder / "0", status="failed"), r"\(1 failed\)"),
    ],
)
def test_nothing_to_compare_is_a_mistake_of_the_users(
    tmp_path: Path, prepare: Any, message: str
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    prepare(folder)
    with pytest.raises(ConfigError, match=message):
        compare([folder])


def test_csv_reads_back_as_it_was(tmp_path: Path) -> None:
    sweep(tmp_path)
    found = table(tmp_path)
    read = list(csv.DictReader(io.StringIO(render_csv(found))))
    assert list(read[0]) == list(CSV_KEYS)
    assert [float(line["mean"]) for line in read] == [row.mean for row in found]
    assert [line["verdict"] for line in read] == [row.verdict for row in found]


def test_the_effective_sample_size_is_the_mean_of_the_runs_that_weigh(tmp_path: Path) -> None:
    for seed, size in enumerate((10.0, 20.0, None)):
        receipt = {"effective_sample_size": size}
        write_run(tmp_path / f"a{seed}", transfer="instance/kmm", seed=seed, receipt=receipt)
        write_run(tmp_path / f"b{seed}", seed=seed)
    read = list(csv.DictReader(io.StringIO(render_csv(table(tmp_path)))))
    found = {line["transfer"]: line["effective_sample_size"] for line in read}
    assert found == {"instance/kmm": "15.0", "parameter/finetune": ""}
    shown = render_table(table(tmp_path), width=160).splitlines()
    heads = next(line for line in shown if line.startswith("what stands behind it"))
    kmm = next(line for line in shown[shown.index(heads) :] if line.startswith("instance/kmm"))
    assert kmm[: heads.index("n eff") + 5].split()[-1] == "15"


@pytest.mark.parametrize("width", [40, 60, 100])
@pytest.mark.parametrize("budgets", [(100,), (1, 5, 10, 50, 100, 1000, "all")])
def test_the_table_fits_the_terminal_and_keeps_every_number(
    tmp_path: Path, width: int, budgets: tuple[Any, ...]
) -> None:
    for job, (arm, budget, seed) in enumerate(itertools.product(ARMS, budgets, SEEDS)):
        score = 0.1 + 0.1 * budgets.index(budget) + 0.01 * ARMS.index(arm)
        changes = {"transfer": arm, "budget": budget, "seed": seed}
        write_run(tmp_path / str(job), score=score + seed / 1000, twin_score=score, **changes)
    found = table(tmp_path)
    text = render_table(found, width)
    assert max(map(len, text.splitlines())) <= width
    if width == 100 or len(budgets) > 1:
        assert all(f"{row.mean:.3f}" in text for row in found)


def test_latex_escapes_names_and_sets_the_best_in_bold(tmp_path: Path) -> None:
    sweep(tmp_path)
    text = render_latex(table(tmp_path))
    assert r"control/raw\_features" in text
    assert text.count(r"\mathbf") >= len(BUDGETS)
    assert r"\toprule" in text
    body = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert {line.count(" & ") for line in lines} == {len(BUDGETS)}


def test_latex_of_any_names_and_columns_is_whole(tmp_path: Path) -> None:
    """No character of a name acts; braces and dollars pair, rows have as many cells as columns."""
    name = "[a_b&c%d#e$f{g~h^i\\j<k>l|m→n}o--λ≤`p*"
    for seed in range(3):
        for budget in (10, 100):
            for transfer, gain in ((name, 0.1), ("feature/knn", -0.1)):
                write_run(
                    tmp_path / f"{seed}-{budget}-{gain}", source=name, transfer=transfer, seed=seed,
                    budget=budget, score=0.5 + gain + seed / 100, twin_score=0.5,
                )  # fmt: skip
    text = render_latex(rows(find_runs([tmp_path]).done))
    assert "(positive" in text
    words = "textbackslash|textasciitilde|textasciicircum|textasciigrave|dots"
    plain = re.sub(rf"\\(?:{words})\{{\}}", "", text)
    plain = re.sub(r"\\[&%$#_{}]", "", plain)
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    assert plain.count(r"\begin{") == plain.count(r"\end{")
    outside = "".join(plain.split("$")[::2])
    assert not set("%#_~^<>|→") & set(outside)
    spec = re.search(r"\\begin\{tabular\}\{(\w+)\}", plain)
    assert spec is not None
    lines = [line for line in plain.splitlines() if line.endswith(r"\\")]
    assert len(lines) > 4
    assert {line.count("&") + 1 for line in lines} == {len(spec[1])}
    # Behind the end of a line they would be its options.
    assert not [line for line in text.splitlines() if line.strip().startswith(("[", "*"))]
    assert "--" not in text.split(r"\toprule")[1]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no TeX here")
def test_latex_compiles_within_the_page(tmp_path: Path) -> None:
    arms = (
        "control/scratch",
        "[a] *b* --c λ≤`&%$#_{}~^\\|é…→",
        "x/y (finetune.lr=0.0003, ratio=0.7)",
    )
    for job, (budget, seed, arm) in enumerate(
        itertools.product((10, 30, 100, 300, 1000), range(4), arms)
    ):
        gain = 0.02 * arms.index(arm) + 0.01 * seed
        write_run(tmp_path / "runs" / str(job), transfer=arm, budget=budget, seed=seed,
                  score=0.7 + gain, twin_score=0.7)  # fmt: skip
    head, foot = r"\documentclass{article}\usepackage{booktabs}\begin{document}", r"\end{document}"
    text = render_latex(rows(find_runs([tmp_path / "runs"]).done))
    (tmp_path / "all.tex").write_text("\n".join([head, text, foot]))
    said = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "all.tex"],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False,
    ).stdout  # fmt: skip
    assert "Output written on all.pdf" in said
    assert [line for line in said.splitlines() if line.startswith(("!", "Overfull"))] == []


def test_comparing_imports_nothing_heavy(tmp_path: Path) -> None:
    sweep(tmp_path / "sweep")
    code = (
        "import sys, aetl.report.formats as c; c.compare([sys.argv[1]]); "
        "print({'numpy', 'torch', 'matplotlib', 'hydra', 'omegaconf'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.bench
def test_five_thousand_runs_are_compared_within_five_seconds(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    folders = itertools.product(range(10), ARMS, range(25), range(5))
    for job, (target, arm, budget, seed) in enumerate(folders):
        changes = {"target": f"t{target}", "transfer": arm, "budget": budget, "seed": seed}
        folder = write_run(tmp_path / f"day{target}" / str(job), score=random.random(), **changes)
        for name in (".hydra", "figures", "checkpoints"):
            (folder / name).mkdir()
    start = time.process_time()
    found = table(tmp_path)
    render_table(found)
    seconds = time.process_time() - start
    print(f"5000 run folders: {seconds:.2f} s")
    assert sum(row.n for row in found) == 5000
    assert seconds < 5.0


@pytest.mark.bench
def test_a_search_with_five_thousand_settings_is_compared_within_five_seconds(
    tmp_path: Path,
) -> None:
    for job in range(5000):
        write_run(tmp_path / str(job), {"optimizer": {"lr": job / 1e5}}, settings=f"{job:016d}")
    start = time.process_time()
    found = table(tmp_path)
    seconds = time.process_time() - start
    print(f"5000 settings: {seconds:.2f} s")
    assert len({row.transfer for row in found}) == 5000
    assert seconds < 5.0
