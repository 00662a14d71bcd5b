"""A conditional VAE draws the class that it is asked for, and needs none for its features."""

from __future__ import annotations

from pathlib import Path

import torch
from sklearn.linear_model import LogisticRegression

from aetl.autoencoder.conditional_vae import ConditionalVAE
from aetl.bottleneck.normal import Normal
from aetl.corruption.none import NoCorruption
from aetl.rng import Rng
from aetl.stage.pretrain import build_autoencoder, objective_of
from tests.backbones import mlp
from tests.loss.draw import normal
from tests.tiny import World


def conditional() -> ConditionalVAE:
    torch.manual_seed(0)
    return ConditionalVAE(
        (5,),
        3,
        labels="all",
        corruption=NoCorruption(),
        backbone=mlp(6),
        bottleneck=lambda h: Normal(h, latent_dim=2),
    ).double()


def test_the_class_stands_beside_the_code_and_beside_z() -> None:
    model, x = conditional(), normal(3, 5)
    output = model(x, Rng.of(0), torch.tensor([1, -1, 2]))
    classes = torch.tensor([[0, 1, 0], [1 / 3, 1 / 3, 1 / 3], [0, 0, 1]]).double()
    joined = torch.cat([model.encoder(x), classes], 1)
    mean, logvar = model.bottleneck.mean(joined), model.bottleneck.logvar(joined)
    noise = Rng.of(0).fork("posterior").normal(mean)
    z = mean + (0.5 * logvar).exp() * noise
    torch.testing.assert_close(output.code.mean, mean)
    torch.testing.assert_close(output.latent, torch.cat([z, classes], 1))
    torch.testing.assert_close(output.reconstruction, model.decoder(output.latent))


def test_a_latent_without_a_class_is_of_any() -> None:
    model, z = conditional(), normal(4, 2)
    whole = torch.cat([z, torch.full((4, 3), 1 / 3).double()], 1)
    torch.testing.assert_close(model.decode(z), model.decode(whole))
    torch.testing.assert_close(model.features(normal(4, 5)), model(normal(4, 5)).latent)


def test_samples_of_a_class_look_like_it(tmp_path: Path) -> None:
    """To a classifier of real digits."""
    world = World(
        tmp_path, "autoencoder=conditional_vae", "bottleneck.latent_dim=8", "source.size=null",
        "backbone.hidden=[64]", "pretrain.max_steps=400", "pretrain.batch_size=128",
        "optimizer.lr=0.003",
    )  # fmt: skip
    source = world.domains.source
    model = build_autoencoder(world.cfg, (1, 8, 8), 10)
    model.load_state_dict(dict(world.pretrain().state))
    assert isinstance(model, ConditionalVAE)
    judge = LogisticRegression(max_iter=500)
    judge.fit(source.pool.inputs().flatten(1).numpy(), source.pool.y.numpy())
    y = torch.arange(10).repeat_interleave(20)
    with torch.no_grad():
        drawn = objective_of(world.cfg).mean(model.decode(model.prior_sample(200, Rng.of(0), y)))
    assert judge.score(drawn.flatten(1).numpy(), y.numpy()) > 0.8
