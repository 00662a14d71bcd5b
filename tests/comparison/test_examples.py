"""``examples.safetensors``: written compactly, checked when it is read, matched over seeds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aetl.comparison.crossed import crossed
from aetl.comparison.examples import (
    NAME,
    Unusable,
    compact,
    read_examples,
    values_of,
    write_examples,
)
from aetl.comparison.rows import Row, rows
from aetl.comparison.run import find_runs
from aetl.report.formats import render_csv, render_json
from aetl.report.table import render_latex, render_table
from tests.comparison.synthetic import write_run


def run_with(
    folder: Path, arm: np.ndarray, twin: np.ndarray, identity: np.ndarray | None = None,
    metric: str = "accuracy", **changes: Any,
) -> Path:  # fmt: skip
    """A run whose scores are the means of these values."""
    identity = np.arange(len(arm), dtype=np.uint64) if identity is None else identity
    write_run(folder, score=float(arm.mean()), twin_score=float(twin.mean()), metric=metric,
              rope={metric: 0.01}, **changes)  # fmt: skip
    arrays = {"identity": identity, "prediction.arm": arm, "prediction.twin": twin,
              f"value.{metric}.arm": arm, f"value.{metric}.twin": twin}  # fmt: skip
    record = json.loads((folder / "run.json").read_text())
    record["examples"] = write_examples(folder, arrays)
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def answers(seed: int, n: int = 200, lift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Right or wrong of an arm and its twin, on examples of common difficulty."""
    difficulty = np.random.default_rng(99).normal(0.5, 1.0, n)
    random = np.random.default_rng(seed)
    arm = difficulty + lift + random.normal(0, 0.5, n) > 0
    twin = difficulty + random.normal(0, 0.5, n) > 0
    return arm.astype(np.float64), twin.astype(np.float64)


def table(folder: Path, **options: Any) -> list[Row]:
    return rows(find_runs([folder]).done, **options)


def parts(folder: Path) -> list[list[tuple[Path, dict[str, Any]]]]:
    seeds: dict[int, list[tuple[Path, dict[str, Any]]]] = {}
    for path in sorted(folder.glob("*/run.json")):
        record = json.loads(path.read_text())
        seeds.setdefault(record["seed"], []).append((path.parent, record))
    return list(seeds.values())


def test_a_rows_interval_is_that_of_its_runs_examples(tmp_path: Path) -> None:
    gains = []
    for seed in range(4):
        arm, twin = answers(seed, lift=0.3)
        run_with(tmp_path / str(seed), arm, twin, seed=seed)
        gains.append(arm - twin)
    (row,) = table(tmp_path)
    expected = crossed(np.stack(gains))
    assert row.gain_mean == pytest.approx(np.mean(gains))
    assert (row.gain_ci_low, row.gain_ci_high) == pytest.approx(
        (expected.interval().low, expected.interval().high)
    )
    assert row.p_value == pytest.approx(expected.p_value())
    assert (row.interval_over, row.test_examples) == ("seeds and examples", 200)
    assert row.gain_seeds_ci_low is not None
    assert row.gain_seeds_ci_low > (row.gain_ci_low or 1.0), "three times as wide, or so"


@pytest.mark.parametrize("metric, sign", [("accuracy", 1), ("mae", -1)])
def test_gains_are_turned_so_that_positive_is_better(
    tmp_path: Path, metric: str, sign: int
) -> None:
    for seed in range(3):
        arm, twin = answers(seed, lift=3.0)
        run_with(tmp_path / str(seed), arm, twin, metric=metric, seed=seed)
    (row,) = table(tmp_path)
    assert row.verdict == {1: "positive", -1: "negative"}[sign]
    assert sign * (row.gain_ci_low or 0) > 0


def test_values_take_a_byte_where_they_are_right_or_wrong_and_four_else() -> None:
    assert compact(np.array([0.0, 1.0])).dtype == np.uint8
    assert compact(np.array([0.25, 1.0])).dtype == np.float32
    assert compact(np.array([-1.0, 1.0])).dtype == np.float32
    assert compact(np.array([3, 255])).dtype == np.uint8
    assert compact(np.array([-1, 300])).dtype == np.int16
    assert compact(np.array([70_000])).dtype == np.int32
    assert compact(np.array([2**63], np.uint64)).dtype == np.uint64
    assert compact(np.array([np.nan, 1.0])).dtype == np.float32
    assert len(compact(np.zeros(0))) == 0


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    arrays = {"identity": np.array([7, 3], np.uint64), "value.nll.arm": np.array([0.5, 1.25])}
    noted = write_examples(tmp_path, arrays)
    found = read_examples(tmp_path, noted)
    assert {name: list(values) for name, values in found.items()} == {
        name: list(values) for name, values in arrays.items()
    }
    assert (tmp_path / NAME).stat().st_size < 400


@pytest.mark.parametrize("damage", ["missing", "a bit", "another's", "not tensors", "no metric"])
def test_a_file_that_cannot_be_believed_is_said_and_the_interval_is_over_seeds(
    tmp_path: Path, damage: str
) -> None:
    for seed in range(3):
        run_with(tmp_path / str(seed), *answers(seed, lift=0.5), seed=seed)
    path = tmp_path / "1" / NAME
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "a bit":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "another's":
        path.write_bytes((tmp_path / "2" / NAME).read_bytes())
    elif damage == "not tensors":
        path.write_bytes(b"nothing")
    else:
        arrays = {"identity": np.arange(200, dtype=np.uint64)}
        record = json.loads((tmp_path / "1" / "run.json").read_text())
        record["examples"] = write_examples(tmp_path / "1", arrays)
        (tmp_path / "1" / "run.json").write_text(json.dumps(record))
    (row,) = table(tmp_path)
    assert row.interval_over == "seeds"
    assert (row.gain_ci_low, row.gain_ci_high) == (row.gain_seeds_ci_low, row.gain_seeds_ci_high)
    assert row.gain is not None
    assert NAME in str(row.gain.lacking)
    assert "over seeds alone" in render_table([row])


def test_a_record_names_no_file_outside_its_folder(tmp_path: Path) -> None:
    run_with(tmp_path / "a", *answers(0))
    noted = json.loads((tmp_path / "a" / "run.json").read_text())["examples"]
    (tmp_path / "b").mkdir()
    with pytest.raises(Unusable, match="is missing"):
        read_examples(tmp_path / "b", noted | {"file": "../a/" + NAME})


def test_seeds_that_saw_the_examples_in_another_order_are_matched_by_identity(
    tmp_path: Path,
) -> None:
    gains = []
    for seed in range(3):
        arm, twin = answers(seed)
        gains.append(arm - twin)
        order = np.random.default_rng(seed).permutation(200)
        identity = np.arange(200, dtype=np.uint64)[order]
        run_with(tmp_path / str(seed), arm[order], twin[order], identity, seed=seed)
    found = values_of(parts(tmp_path), "accuracy")
    np.testing.assert_array_equal(found.gains, np.stack(gains))


def test_seeds_that_were_tested_on_other_examples_fall_back_and_say_so(tmp_path: Path) -> None:
    for seed in range(3):
        identity = np.arange(200, dtype=np.uint64) + np.uint64(10 * seed)
        run_with(tmp_path / str(seed), *answers(seed), identity, seed=seed)
    (row,) = table(tmp_path)
    assert row.interval_over == "seeds"
    assert row.gain is not None
    assert row.gain.lacking == "the test examples differ between seeds"


def test_of_folds_each_example_belongs_to_one_and_a_seed_is_their_mean(tmp_path: Path) -> None:
    """Five folds of 40 examples are the 200 of one test set."""
    gains = []
    for seed in range(3):
        arm, twin = answers(seed, lift=0.4)
        gains.append(arm - twin)
        for fold in range(5):
            mine = slice(40 * fold, 40 * fold + 40)
            identity = np.arange(200, dtype=np.uint64)[mine]
            run_with(tmp_path / f"{seed}-{fold}", arm[mine], twin[mine], identity, seed=seed,
                     fold=fold)  # fmt: skip
    (row,) = table(tmp_path)
    expected = crossed(np.stack(gains)).interval()
    assert row.n == 3
    assert row.gain_mean == pytest.approx(np.mean(gains))
    assert (row.gain_ci_low, row.gain_ci_high) == pytest.approx((expected.low, expected.high))


def test_a_seed_that_lacks_a_fold_is_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for seed in range(4):
        for fold in range(2 if seed else 1):
            mine = slice(100 * fold, 100 * fold + 100)
            identity = np.arange(200, dtype=np.uint64)[mine]
            arm, twin = (values[mine] for values in answers(seed, lift=0.4))
            run_with(tmp_path / f"{seed}-{fold}", arm, twin, identity, seed=seed, fold=fold)
    (row,) = table(tmp_path)
    assert (row.n, row.test_examples, row.interval_over) == (3, 200, "seeds and examples")
    assert "left out 1 of 4 seeds without a result on every fold" in caplog.text


def test_a_seed_for_each_fold_is_over_seeds_alone_and_said_to_be(tmp_path: Path) -> None:
    for seed in range(4):
        mine = slice(50 * seed, 50 * seed + 50)
        arm, twin = (values[mine] for values in answers(seed))
        identity = np.arange(200, dtype=np.uint64)[mine]
        run_with(tmp_path / str(seed), arm, twin, identity, seed=seed, fold=seed)
    (row,) = table(tmp_path)
    assert (row.n, row.interval_over) == (4, "seeds")


def test_groups_are_told_where_the_units_are_groups(tmp_path: Path) -> None:
    """Forty patients with five pictures each; what lacks is patients."""
    for seed in range(4):
        arm, twin = answers(seed, lift=0.05)
        means = {"arm": arm.reshape(40, 5).mean(1), "twin": twin.reshape(40, 5).mean(1)}
        folder = write_run(tmp_path / str(seed), seed=seed, score=float(arm.mean()),
                           twin_score=float(twin.mean()), rope={"accuracy": 0.01})  # fmt: skip
        arrays = {"identity": np.arange(200, dtype=np.uint64), "group": np.arange(200) // 5}
        arrays |= {f"value.accuracy.{side}": values for side, values in means.items()}
        record = json.loads((folder / "run.json").read_text())
        record["examples"] = write_examples(folder, arrays)
        (folder / "run.json").write_text(json.dumps(record))
    (row,) = table(tmp_path)
    assert (row.test_examples, row.test_groups) == (200, 40)
    assert row.gain is not None
    assert row.gain.crossed is not None
    assert row.gain.crossed.units == 40
    assert row.more_examples is None
    assert row.more_groups == row.gain.more_units is not None
    text = " ".join(render_table([row]).split())
    assert f"○ undecided, +{row.more_groups} test groups" in text
    assert "95 % over seeds and groups of test examples" in text
    assert "with its 200 test examples of 40 groups no number of seeds" in text


def test_an_undecided_gain_says_what_would_decide_in_every_format(tmp_path: Path) -> None:
    for seed in range(3):
        run_with(tmp_path / str(seed), *answers(seed, n=4000, lift=0.05), seed=seed)
    (row,) = table(tmp_path)
    assert row.verdict == "undecided"
    assert row.more_seeds is not None
    more = f"+{row.more_seeds} seed"
    assert f"○ undecided, {more}" in render_table([row])
    assert f"undecided, {more}" in render_latex([row])
    assert json.loads(render_json([row]))[0]["more_seeds"] == row.more_seeds
    assert "seeds and examples" in render_csv([row])


def test_a_test_set_that_can_never_decide_the_rope_is_told(tmp_path: Path) -> None:
    for seed in range(5):
        random, (arm, twin) = np.random.default_rng(5), answers(0, n=100)
        flipped = random.random(100) < 0.3  # the two differ by the example, whatever the seed
        arm = np.where(flipped, 1 - twin, twin)
        run_with(tmp_path / str(seed), arm, twin, seed=seed)
    (row,) = table(tmp_path)
    assert row.more_seeds is None
    assert row.gain is not None
    text = " ".join(render_table([row]).split())
    told = re.search(r"with its 100 test examples no .* gain of 0.01 .*\(±([\d.e-]+) would", text)
    assert told is not None
    assert float(told[1]) == pytest.approx(row.gain.best_reach, rel=0.05)  # however it is rounded
    assert "no number of seeds" not in render_table(table(tmp_path, rope=0.2))


def test_the_rope_may_be_set_when_comparing(tmp_path: Path) -> None:
    for seed in range(5):
        run_with(tmp_path / str(seed), *answers(seed, n=1000), seed=seed)
    (row,) = table(tmp_path)
    assert row.rope == 0.01
    (wide,) = table(tmp_path, rope=0.2)
    assert wide.verdict == "equivalent"
    assert "≈ equivalent" in render_table([wide])


def test_a_page_may_be_the_family_of_the_correction(tmp_path: Path) -> None:
    for number, budget in enumerate((10, 20, 40)):
        for seed in range(3):
            arm, twin = answers(seed + 10 * number, lift=0.3)
            run_with(tmp_path / f"{budget}-{seed}", arm, twin, seed=seed, budget=budget)
    alone = {row.budget: row.p_value for row in table(tmp_path)}
    together = {row.budget: row.p_value for row in table(tmp_path, family="page")}
    smallest = min(alone, key=lambda budget: alone[budget] or 1.0)
    assert together[smallest] == pytest.approx(min(1.0, 3 * (alone[smallest] or 0.0)))


def test_an_arm_that_trained_longer_than_its_twin_is_marked(tmp_path: Path) -> None:
    for arm, steps in (("parameter/finetune", 640), ("instance/mixup", 1260)):
        for seed in range(3):
            cost = {"parameters_trained": 9, "seconds": 1.0, "steps": steps, "twin_steps": 640}
            run_with(tmp_path / f"{arm}-{seed}".replace("/", "-"), *answers(seed, lift=0.5),
                     seed=seed, transfer=arm, cost=cost)  # fmt: skip
    found = {row.transfer: row.longer for row in table(tmp_path)}
    assert found == {"parameter/finetune": False, "instance/mixup": True}
    text = " ".join(render_table(table(tmp_path)).split())
    assert "‡ trained more steps than its twin (instance/mixup at 100: 1,260 against 640)" in text
