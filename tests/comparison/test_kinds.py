"""A record whose values are of other kinds: refused by its name and the value's, or shown."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest

from aetl.cli import main
from aetl.comparison.kinds import KINDS, misfit
from tests.comparison.synthetic import record, write_run

JUNK: tuple[Any, ...] = (
    None, 3, -1, 1.5, True, 10**400, "x", [], ["x"], [None], [[]], {}, {"a": "x"}, {"a": None},
    {"a": 1}, {"a": True}, {"a": {}}, {"a": {"b": 1}}, {"scores": {"a": 1}}, {"value": 1},
)  # fmt: skip
COMMANDS = (["show"], ["compare", "--details"], ["compare", "--json"], ["best"], ["ls"], ["report"])
CASES = list(itertools.product(sorted(KINDS), range(len(JUNK)), COMMANDS))


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"scores": {"accuracy": "high"}}, "scores.accuracy='high', expected a number"),
        ({"scores": {"accuracy": 10**400}}, "expected a number"),
        ({"scores": {"accuracy": True}}, "scores.accuracy=True, expected a number"),
        ({"scores": []}, "scores=[], expected a mapping"),
        ({"warnings": [3]}, "warnings[0]=3, expected a text"),
        ({"seed": 1.5}, "seed=1.5, expected an integer"),
        ({"data": {"source": "x"}}, "data.source='x', expected a mapping"),
        ({"higher_is_better": {"accuracy": 1}}, "expected true or false"),
        ({"digests": "x"}, "digests='x', expected a mapping"),
    ],
)
def test_a_value_of_another_kind_is_named(
    value: dict[str, Any], line: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    write_run(run, **value)
    assert line in str(misfit(json.loads((run / "run.json").read_text())))
    for command in ("show", "predict"):
        assert main([command, str(run)]) == 2
        said = capfd.readouterr().err
        assert said.startswith(f"aetl: {run}/run.json: holds ")
        assert line in said


def test_a_record_of_endless_brackets_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    write_run(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_text("[" * 200_000)
    assert main(["show", str(tmp_path / "bad")]) == 2
    assert "bad/run.json: cannot be read" in capfd.readouterr().err
    assert main(["compare", str(tmp_path)]) == 0
    assert "bad/run.json" in caplog.text


def shown_badly(cases: list[Any], folder: Path, capfd: Any) -> list[str]:
    bad = []
    write_run(folder)
    for key, number, command in cases:
        (folder / "run.json").write_text(json.dumps(record() | {key: JUNK[number]}))
        code = main([command[0], str(folder), *command[1:]])
        said = "".join(capfd.readouterr())
        if code not in (0, 2) or "--debug" in said or "Traceback" in said:
            bad.append(f"{key}={JUNK[number]!r}: {' '.join(command)}: {said[-200:]}")
    return bad


def test_a_share_of_all_values_is_refused_or_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cases = random.Random(0).sample([c for c in CASES if c[2] != ["report"]], 150)
    bad = shown_badly(cases, tmp_path / "run", capfd)
    assert not bad, "\n".join(bad)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_any_value_of_any_key_is_refused_or_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = shown_badly(CASES, tmp_path / "run", capfd)
    assert not bad, "\n".join(bad)
