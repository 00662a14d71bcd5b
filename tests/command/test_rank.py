"""``aetl rank``: the stored encoders and no others, in the order of their scores, untrained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import rankdata

from aetl.cli import main
from aetl.stage.encoders import _mean_places

SMALL = ["pretrain.max_steps=5", "pretrain.min_steps=0", "trainer=cpu", "backbone.hidden=[16,8]"]
RUN = [*SMALL, "finetune.max_steps=2", "finetune.min_steps=0", "logger=none"]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two encoders that differ in the latent's size, and a run that used the first one again."""
    folder = tmp_path_factory.mktemp("rank")
    for arguments in (["bottleneck.latent_dim=2"], ["bottleneck.latent_dim=8"],
                      ["bottleneck.latent_dim=2", "transfer=feature/linear_probe"]):  # fmt: skip
        assert main([*RUN, *arguments, f"output_dir={folder}"]) == 0
    return folder


def ranked(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["rank", *arguments, "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_encoders_of_the_store_and_all_their_layers(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name for path in output.glob("store/pretrain-*")}
    arguments = [*SMALL, "target=digits", "sources=[digits]", f"output_dir={output}"]
    found = ranked(capsys, *arguments, "bottleneck.latent_dim=2,8")
    names = {f"undercomplete (bottleneck.latent_dim={dim})" for dim in (2, 8)}
    assert {row["autoencoder"] for row in found} == names
    assert [row["layer"] for row in found].count("latent") == 2
    assert len(found) == 6
    assert [row["mean_rank"] for row in found] == sorted(row["mean_rank"] for row in found)
    assert {path.name for path in output.glob("store/pretrain-*")} == before


def test_an_encoder_that_is_not_stored_is_told_and_not_trained(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["rank", *SMALL, "target=digits", "sources=[digits]", f"output_dir={output}"]
    assert main([*arguments, "bottleneck.latent_dim=8,3"]) == 0
    told = capsys.readouterr()
    assert "not in the store: undercomplete (bottleneck.latent_dim=3) on digits" in told.err
    assert "latent_dim=3" not in told.out
    assert main([*arguments, "bottleneck.latent_dim=3"]) == 2
    assert "none of the 1 encoders is in" in capsys.readouterr().err


def test_runs_give_each_encoder_once_on_the_target_that_is_asked_for(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(output), "target=digits", "target.shift.invert=true", "--layer", "latent"]
    found = ranked(capsys, *arguments, "target.budget=5", "target.per_class=true")
    assert len(found) == 2
    assert {row["target"] for row in found} == {"digits (invert)"}
    assert {row["budget"] for row in found} == {"5 per class"}


def test_the_scores_are_those_that_the_run_itself_recorded(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [json.loads(path.read_text()) for path in output.glob("2*/*/run.json")]
    own = {r["parents"]["pretrain"][:6]: r["transferability"]["scores"] for r in records}
    found = ranked(capsys, str(output), "target=digits", "--layer", "latent")
    for row in found:
        digest = row["autoencoder"].partition("(")[2][:6]
        assert row["scores"] == pytest.approx(own[digest])


def test_one_score_can_order(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(output), "target=digits", "score=[logme,a_distance]", "--by"]
    logme = [row["scores"]["logme"] for row in ranked(capsys, *arguments, "logme")]
    assert logme == sorted(logme, reverse=True)
    distance = [row["scores"]["a_distance"] for row in ranked(capsys, *arguments, "a_distance")]
    assert distance == sorted(distance)


def test_a_table_is_printed_by_default(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["rank", str(output), "target=digits"]) == 0
    text = capsys.readouterr().out
    assert "encoders for digits, budget 100" in text
    assert all(word in text for word in ("encoder.1", "latent", "logme", "mean rank"))


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["sources=[digits]"], "target=... is missing"),
        (["target=digits"], "sources=[...] or folders with runs are missing"),
        (["target=digist", "sources=[digits]"], "did you mean 'digits'?"),
        (["target=digits", "sources=[digits]", "score=lgme"], "score=lgme: no such option"),
        (["{output}", "target=digits", "--layer", "latnt"], "did you mean 'latent'?"),
        (["{output}", "target=digits", "--by", "logm"], "did you mean 'logme'?"),
        (["{output}", "target=digits", "target.budget=1"], "labels of at least two classes"),
        (["{output}", "target=digits", "target.budget=5,10"], "values with commas"),
        (["{output}/nowhere", "target=digits"], "no such folder"),
    ],
)
def test_a_mistake_is_one_line(
    output: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    capsys.readouterr()
    assert main(["rank", *(word.format(output=output) for word in arguments)]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert "\n" not in error


def test_mean_places_are_scipys_average_ranks() -> None:
    rows = {("a",): {"up": 1.0, "down": 3.0}, ("b",): {"up": 2.0, "down": 3.0},
            ("c",): {"up": 2.0}}  # fmt: skip
    up, down = rankdata([-1.0, -2.0, -2.0]), rankdata([3.0, 3.0])
    found = _mean_places(rows, {"up": True, "down": False})
    assert found[("a",)] == pytest.approx((up[0] + down[0]) / 2)
    assert found[("b",)] == pytest.approx((up[1] + down[1]) / 2)
    assert found[("c",)] == pytest.approx(up[2])
