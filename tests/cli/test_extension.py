"""A user's own autoencoder, loss term and strategy, from outside the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aetl.cli import main
from aetl.config import compose, conf_dir

CODE = """
from aetl.autoencoder.composite import Composite
from aetl.loss.base import LossTerm
from aetl.transfer.base import Group, TransferStrategy


class Mine(Composite):
    '''A composite under another name.'''


class SmallCode(LossTerm):
    unit = "latent units"

    def forward(self, latent):
        return latent.square().flatten(1).sum(1)


class BiasOnly(TransferStrategy):
    def __init__(self, *, scale: float) -> None:
        self.scale = scale

    def groups(self, network):
        used = network.in_use()
        return [Group([p for n, p in used.items() if n.endswith("bias")], self.scale)]
"""

FILES = {
    "autoencoder/mine.yaml": """# @package _global_
defaults:
  - override /loss: [mse, small_code]

autoencoder:
  _target_: my_variants.Mine
  _partial_: true
  corruption: ${corruption}
  backbone: ${backbone}
  bottleneck: ${bottleneck}
""",
    "loss/small_code.yaml": (
        "# @package loss.small_code\n_target_: my_variants.SmallCode\nweight: 0.1\n"
    ),
    "transfer/parameter/bias_only.yaml": (
        "# @package transfer.parameter\n_target_: my_variants.BiasOnly\nscale: 1.0\n"
    ),
}


def test_variants_from_a_config_dir_run_like_our_own(tmp_path: Path) -> None:
    folder = tmp_path / "my_conf"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "my_variants.py").write_text(CODE)
    own = ["--config-dir", str(folder), "autoencoder=mine", "transfer=parameter/bias_only"]
    tiny = ["pretrain.max_steps=3", "finetune.max_steps=3", "logger=none"]
    code = main([*own, *tiny, f"output_dir={tmp_path}/out"])
    assert code == 0
    (record,) = (json.loads(p.read_text()) for p in (tmp_path / "out").glob("2*/*/run.json"))
    assert record["autoencoder"] == "mine"
    assert record["loss"] == "mse+my_variants"
    assert record["transfer"] == "parameter/bias_only"
    assert record["receipt"]["changed"]
    assert all(name.endswith("bias") for name in record["receipt"]["changed"])


TERM = "# @package loss.own\n_target_: aetl.loss.mse.SquaredError\nweight: 1.0\n"
ODD: dict[str, tuple[bytes, str]] = {
    "tab": (TERM.replace("weight", "\tweight").encode(), "loss/own.yaml, line 3: is no YAML ("),
    "bracket": (b"[", "loss/own.yaml, line 1: is no YAML ("),
    "key twice": (b"a: 1\na: 2\n", "loss/own.yaml, line 2: is no YAML (found duplicate key a)"),
    "UTF-16": (TERM.encode("utf-16"), "loss/own.yaml: is not UTF-8; save it as that"),
    "Latin-1": (b"caf\xe9: 1\n", "loss/own.yaml: is not UTF-8; save it as that"),
    "byte order mark": (TERM.encode("utf-8-sig"), "loss/own.yaml: begins with a byte order mark"),
    "a list": (b"- 1\n", "loss/own.yaml: expected KEY: VALUE, and it is a list"),
    "no header": (TERM.partition("\n")[2].encode(), "begins with '# @package loss.NAME'"),
    "nothing": (b"", "loss: at least one is needed"),
}


@pytest.mark.parametrize("name", ODD)
def test_an_option_that_cannot_be_read_is_named_with_its_line(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content, line = ODD[name]
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "own.yaml").write_bytes(content)
    own = ["--config-dir", str(tmp_path), "loss=own", "logger=none"]
    assert main([*own, f"output_dir={tmp_path}/out"]) == 2
    (said,) = capfd.readouterr().err.strip().splitlines()
    assert line in said
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_an_option_with_the_line_ends_of_windows_is_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "own.yaml").write_bytes(TERM.replace("\n", "\r\n").encode())
    assert list(compose(["loss=own"], [str(tmp_path)]).loss) == ["own"]


@pytest.mark.slow
def test_modules_of_ones_own_hide_none_that_others_need(tmp_path: Path) -> None:
    """A statistics.py in the current folder, and beside the variants, of a run and of jobs."""
    for name in ("statistics", "tokenize"):
        (tmp_path / f"{name}.py").write_text("import os\nos.system('touch executed')\n")
    (tmp_path / "metric").mkdir()
    (tmp_path / "metric" / "mine.yaml").write_text("defaults: [accuracy]\n")
    aetl = [sys.executable, "-P", "-c", "import sys; from aetl.cli import main; sys.exit(main())"]
    tiny = ["pretrain.max_steps=2", "finetune.max_steps=2", "logger=none", "metric=mine"]
    for words in (tiny, ["-m", *tiny, "seed=0,1", "hydra.launcher.jobs=1"]):
        done = subprocess.run(
            [*aetl, "--config-dir", ".", *words], cwd=tmp_path, text=True, capture_output=True,
            env=os.environ | {"PYTHONPATH": str(conf_dir().parents[0])},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("executed"))
