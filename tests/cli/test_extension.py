"""A user's own autoencoder, loss term and strategy, from outside the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aetl.cli import main
from aetl.config import conf_dir

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
