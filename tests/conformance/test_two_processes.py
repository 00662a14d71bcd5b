"""Two processes train what one does, in double precision: autoencoders, and strategies.

A new variant is here by existing. Most is ``slow``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from aetl.config import conf_dir
from aetl.tracking.history import read_history
from tests.conformance.test_transfers import NEEDS, STRATEGIES
from tests.conformance.two import Pair, done
from tests.tiny import MLP, World

TOLERANCE = 1e-6
# Not Adam, which makes a step of full size of a gradient that is zero up to rounding.
DOUBLE = ["trainer.precision=64-true", "optimizer=sgd", "optimizer.lr=0.01"]
# 144 training examples in batches of 47 and a last one of 3: uneven on two ranks.
PRETRAINED = [*DOUBLE, "pretrain.batch_size=47", "pretrain.max_steps=4"]
# 25 labels: 9, 9 and 7 in a batch, uneven on two ranks. With batch normalisation.
TRANSFERRED = [
    *DOUBLE, "backbone.hidden=[16,12]", *MLP[1:], "backbone.norm=batch", "pretrain.max_steps=2",
    "finetune.batch_size=9", "finetune.max_steps=4", "target.budget=25",
]  # fmt: skip
AUTOENCODERS = sorted(path.stem for path in (conf_dir() / "autoencoder").glob("*.yaml"))
NOT_YET = {"identity": "has no weights to compare"}
"""What is known not to hold, or cannot be asked so."""
EVERYDAY = {"feature/mmd"}


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.end()


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two")


def all_of(names: list[str]) -> list[object]:
    return [
        pytest.param(
            name,
            marks=[pytest.mark.slow] * (name not in EVERYDAY)
            + ([pytest.mark.skip(reason=NOT_YET[name])] if name in NOT_YET else []),
        )
        for name in names
    ]


def tensors_of(entry: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for file in sorted(entry.glob("*.pt")):
        found |= {f"{file.stem} {k}": v for k, v in torch.load(file, weights_only=True).items()}
    for file in sorted(entry.glob("*.safetensors")):
        found |= {f"{file.stem} {k}": v for k, v in load_file(file).items()}
    return found


def assert_same(one: Path, two: Path) -> None:
    assert one != two
    ours, theirs = tensors_of(one), tensors_of(two)
    assert ours
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(
            theirs[name], tensor, rtol=TOLERANCE, atol=TOLERANCE,
            msg=lambda m, n=name: f"{n}: {m}",
        )  # fmt: skip
    rows = [read_history(entry / "metrics.csv") for entry in (one, two)]
    assert [row[:-1] for row in rows[0]] == [row[:-1] for row in rows[1]]
    # A loss is told in single precision.
    values = [[row.value for row in side] for side in rows]
    assert values[0] == pytest.approx(values[1], rel=1e-5, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("autoencoder", all_of(AUTOENCODERS))
def test_an_autoencoder_learns_the_same(
    autoencoder: str, pair: Pair, one: World, folder: Path
) -> None:
    overrides = [*PRETRAINED, f"autoencoder={autoencoder}"]
    expected = done(one.but(*overrides), "pretrain")
    assert_same(expected, pair.do(folder, overrides, "pretrain"))


@pytest.mark.parametrize("transfer", all_of(STRATEGIES))
def test_a_strategy_does_the_same(transfer: str, pair: Pair, one: World, folder: Path) -> None:
    overrides = [*TRANSFERRED, f"transfer={transfer}", *NEEDS.get(transfer, ())]
    expected = done(one.but(*overrides), "transfer")
    assert_same(expected, pair.do(folder, overrides, "transfer"))


@pytest.mark.slow
@pytest.mark.parametrize("transfer", ["parameter/finetune", "feature/mmd", "feature/dann"])
def test_a_rank_without_an_example_takes_part(
    transfer: str, pair: Pair, one: World, folder: Path
) -> None:
    """Of batches of one example the second rank has nothing, ever."""
    single = ["backbone.norm=none", "finetune.batch_size=1"]
    overrides = [*TRANSFERRED, *single, f"transfer={transfer}"]
    expected = done(one.but(*overrides), "transfer")
    assert_same(expected, pair.do(folder, overrides, "transfer"))
