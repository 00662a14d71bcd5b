"""A user's own autoencoder, loss term and strategy, from outside the repository."""

from __future__ import annotations

import json
from pathlib import Path

from aetl.cli import main

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
