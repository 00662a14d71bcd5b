"""The softmax over grey levels against its definition, and decoders that have its logits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from aetl.loss.categorical import Categorical
from aetl.rng import Rng
from aetl.stage.pretrain import build_autoencoder, objective_of
from aetl.types import UserError
from tests.loss.draw import normal
from tests.tiny import MLP, World, history, tiny_config

LEVELS = 5


def test_loss_is_the_log_probability_of_each_values_level() -> None:
    logits = normal(2, LEVELS, 3, 4, 2)
    level = torch.randint(LEVELS, (2, 3, 4, 2), generator=torch.Generator().manual_seed(0))
    expected = torch.distributions.Categorical(logits=logits.movedim(1, -1)).log_prob(level)
    term = Categorical(weight=1.0, levels=LEVELS)
    value = term(logits.flatten(1, 2), level.double() / (LEVELS - 1))
    torch.testing.assert_close(value, -expected.flatten(1).sum(1))


def test_two_levels_are_a_bernoulli_and_one_is_none() -> None:
    logits = normal(4, 2, 6)
    x = torch.randint(2, (4, 6), generator=torch.Generator().manual_seed(0)).double()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[:, 1] - logits[:, 0], x, reduction="none"
    )
    value = Categorical(weight=1.0, levels=2)(logits.flatten(1), x)
    torch.testing.assert_close(value, expected.sum(1))
    with pytest.raises(UserError, match="levels=1: must be at least 2"):
        Categorical(weight=1.0, levels=1)


def test_mean_is_the_expectation_on_the_datas_scale() -> None:
    logits = normal(2, LEVELS, 3, 4, 2)
    at = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0], dtype=torch.float64)
    expected = (logits.softmax(1) * at[:, None, None, None]).sum(1)
    mean = Categorical(weight=1.0, levels=LEVELS).mean(logits.flatten(1, 2))
    torch.testing.assert_close(mean, expected)


def test_every_level_of_an_image_of_8_bits_is_met_exactly() -> None:
    x = torch.arange(256, dtype=torch.float32)[None] / 255
    logits = torch.full((1, 256, 256), -50.0)
    logits[0].fill_diagonal_(50.0)
    value = Categorical(weight=1.0, levels=256)(logits.flatten(1), x)
    assert float(value) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("autoencoder", ["vae", "vamp"])
@pytest.mark.parametrize("backbone", ["mlp", "conv", "conv_pool", "resnet", "vit"])
def test_decoders_give_as_many_outputs_as_the_loss_asks_for(
    backbone: str, autoencoder: str, tmp_path: Path
) -> None:
    cfg = tiny_config(
        tmp_path,
        f"autoencoder={autoencoder}",
        f"backbone={backbone}",
        f"loss=[categorical,{'kl' if autoencoder == 'vae' else 'mixture_prior_kl'}]",
        f"loss.reconstruction.levels={LEVELS}",
    )
    model = build_autoencoder(cfg, (3, 7, 5))
    x = torch.rand(4, 3, 7, 5)
    output = model(x, Rng.of(0))
    assert output.reconstruction.shape == (4, LEVELS * 3, 7, 5)
    assert objective_of(cfg).mean(output.reconstruction).shape == x.shape


def test_training_lowers_it_below_that_of_a_uniform_guess(tmp_path: Path) -> None:
    loss = ("loss=categorical", "loss.reconstruction.levels=17", "pretrain.max_steps=60")
    entry = World(tmp_path, *MLP, *loss, "optimizer.lr=0.01").pretrain().entry
    assert entry is not None
    values = [row.value for row in history(entry) if row.name == "loss" and row.split == "train"]
    uniform = 64 * torch.tensor(17.0).log()
    assert values[0] == pytest.approx(float(uniform), rel=0.1)
    assert values[-1] < 0.6 * uniform


def test_an_autoencoder_without_such_a_decoder_is_refused_in_a_line(tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path, "autoencoder=pca", "loss=categorical")
    with pytest.raises(UserError, match="asks for 256 outputs a value"):
        build_autoencoder(cfg, (1, 8, 8))
