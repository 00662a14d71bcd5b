"""What the reference tells of an option is what the config and its classes say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from aetl.catalogue import options_by_group
from aetl.cli import main
from aetl.config import compose
from aetl.reference import Option, markdown, option


@pytest.fixture(scope="module")
def options() -> dict[str, Option]:
    return {
        f"{group}/{name}": option(f"{group}/{name}")
        for group, names in options_by_group().items()
        for name in names
    }


def test_every_option_is_told_with_its_call_and_all_its_keys(options: dict[str, Option]) -> None:
    for title, found in options.items():
        text = markdown(found)
        assert text.startswith(f"# {title}\n"), title
        assert "    aetl " in text or "    AETL" in text or "    pip" in text, title
        for part in found.parts:
            for parameter in part.parameters:
                assert f"| `{parameter.key}` | " in text
                if part.target.startswith("aetl.") and not parameter.default.startswith("$"):
                    assert parameter.takes, f"{title}: {parameter.key} has no type"


@pytest.mark.parametrize(
    "title",
    ["transfer/parameter/lora", "loss/capacity_kl", "dataset/table", "backbone/vit", "head/svm",
     "metric/auroc", "bottleneck/normal", "logger/wandb", "selector/dev", "trainer/ddp"],
)  # fmt: skip
def test_its_call_and_its_keys_are_those_of_the_config(
    title: str, options: dict[str, Option]
) -> None:
    found = options[title]
    call = found.call.removeprefix("aetl ")
    cfg = compose([call, *(["source.path=x"] if title == "dataset/table" else [])])
    for part in found.parts:
        assert selected(cfg, part.path)["_target_"] == part.target
        for parameter in part.parameters:
            node, _, key = parameter.key.rpartition(".")
            assert key in selected(cfg, node), parameter.key


def selected(cfg: object, path: str) -> dict[str, object]:
    from omegaconf import OmegaConf

    return OmegaConf.select(cfg, path, throw_on_missing=False)  # type: ignore[arg-type,no-any-return]


def test_a_range_a_comment_and_a_paper_are_told(options: dict[str, Option]) -> None:
    text = markdown(options["backbone/vit"])
    assert "| `backbone.mlp_ratio` | `4` |" in text
    assert "width of the blocks' hidden layers, in units of dim |" in text
    assert "arXiv:1706.08500" not in text
    lora = markdown(options["transfer/parameter/lora"])
    assert "arXiv:2106.09685" in lora
    assert re.search(r"`transfer.parameter.rank` \| `4` \| integer from 1 ", lora)
    assert "- tasks: classification" in markdown(options["metric/accuracy"])


def test_a_pipe_in_a_comment_stays_in_its_cell(options: dict[str, Option]) -> None:
    for found in options.values():
        for line in markdown(found).splitlines():
            if line.startswith("| `"):
                header = 4 - line.replace("\\|", "").count("|") + 1
                assert header in (0, 1, 2), line


def test_ls_shows_an_option_and_names_the_nearest(
    options: dict[str, Option], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ls", "loss/capacity_kl"]) == 0
    assert capsys.readouterr().out == markdown(options["loss/capacity_kl"])
    assert main(["ls", "loss/capacity_kl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parts"][0]["facts"]["unit"] == "nats"
    assert main(["ls", "loss/capacity"]) == 2
    assert "did you mean 'capacity_kl'?" in capsys.readouterr().err


def test_an_option_of_ones_own_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "mine.yaml").write_text(
        "# @package loss.mine\n# Mine (Me, 2026).\n"
        "_target_: aetl.loss.mse.SquaredError\nweight: 2.0 # so\n"
    )
    assert main(["ls", "loss/mine", "--config-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "Mine (Me, 2026)." in out
    assert "| `loss.mine.weight` | `2.0` |" in out
    assert "| so |" in out


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mkdocs") is None, reason="needs aetl[docs]")
def test_the_site_is_made_and_no_link_of_it_is_dead(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, str(root / ".ci" / "docs.py"), str(tmp_path / "docs")],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "warnings"
    site = tmp_path / "docs" / "site"
    for page in set(site.rglob("*.html")) - {site / "404.html"}:  # which a server would send
        for link in re.findall(r'(?:href|src)="([^":#]+)[#"]', page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
