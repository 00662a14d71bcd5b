"""Bounds of a linear VAE are exact log-likelihoods, so their difference is the density ratio."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from aetl.autoencoder.composite import Composite
from aetl.backbone.mlp import MLP as Mlp
from aetl.bottleneck.normal import Normal
from aetl.config import ConfigError, check, compose, resolved
from aetl.corruption.none import NoCorruption
from aetl.loss.gaussian import Gaussian
from aetl.loss.kl import StandardNormalKL
from aetl.loss.mse import SquaredError
from aetl.loss.objective import Objective
from aetl.rng import Rng
from aetl.stage.pretrain import objective_of
from aetl.transfer.base import TransferStrategy, View
from aetl.transfer.codec import Codec
from aetl.transfer.instance.elbo_weights import ElboWeights, refuse_other_units
from aetl.types import DoesNotFit, UserError
from tests.tiny import MLP, World, receipt
from tests.transfer.build import examples, normal

SIGMA = 0.5
SETTINGS: dict[str, Any] = {
    "clip": 1e9, "mix": 1.0, "temperature": 1.0, "samples": 4000, "steps": 1, "lr": 0.1,
    "batch_size": 8,
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("float64")


def linear_vae(loading: Tensor, mean: Tensor) -> Codec:
    """``p(x | z) = N(loading z + mean, SIGMA^2)`` for one latent, with its exact posterior."""
    vae = Composite(
        (3,),
        corruption=NoCorruption(),
        backbone=Mlp(
            hidden=[], activation="tanh", norm="none", dropout=0.0, tied=False, spectral_norm="none"
        ),
        bottleneck=partial(Normal, latent_dim=1),
    )
    precision = 1 + loading.square().sum() / SIGMA**2
    heads = {m: m[1] for m in (vae.bottleneck.mean, vae.bottleneck.logvar)}
    decoder = next(m for m in vae.decoder.modules() if isinstance(m, torch.nn.Linear))
    with torch.no_grad():
        mean_head, logvar_head = heads.values()
        mean_head.weight.copy_(loading[None] / SIGMA**2 / precision)
        mean_head.bias.copy_(-mean_head.weight[0] @ mean)
        logvar_head.weight.zero_()
        logvar_head.bias.fill_(float(-precision.log()))
        decoder.weight.copy_(loading[:, None])
        decoder.bias.copy_(mean)
    terms = {
        "reconstruction": Gaussian(weight=1.0, sigma=SIGMA, learned=False),
        "kl": StandardNormalKL(weight=1.0),
    }
    return Codec(vae, Objective(terms))


def exact(loading: Tensor, mean: Tensor) -> MultivariateNormal:
    return MultivariateNormal(mean, torch.outer(loading, loading) + SIGMA**2 * torch.eye(3))


SOURCE = torch.tensor([1.0, 0.5, -0.5]).double(), torch.tensor([0.0, 0.2, 0.0]).double()
TARGET = torch.tensor([0.4, 0.9, 0.1]).double(), torch.tensor([0.5, 0.0, 0.3]).double()


def test_the_mean_objective_is_the_exact_log_likelihood() -> None:
    x = normal(9, 3)
    found = linear_vae(*SOURCE).losses(x, 4000, Rng.of("test"))
    torch.testing.assert_close(-found, exact(*SOURCE).log_prob(x), atol=0.05, rtol=0)


class Known(Codec):
    """A codec whose training on the target gives the target's own model."""

    def tuned(self, x: Tensor, **settings: Any) -> Codec:
        return linear_vae(*TARGET)


def view_of(x: Tensor, target: Tensor, codec: Codec) -> View:
    parts: Any = {"source_inputs": examples(x), "target_inputs": examples(target)}
    return View("me", frozenset(parts), parts, lambda e, layer: e.x, Rng.of(0), lambda: codec)


@pytest.mark.slow
def test_weights_are_the_density_ratio_where_the_bounds_are_tight() -> None:
    x = normal(40, 3, seed=1)
    source = linear_vae(*SOURCE)
    known = Known(source.autoencoder, source.objective)
    found = ElboWeights(**SETTINGS).weigh(view_of(x, normal(9, 3), known)).double()
    ratio = (exact(*TARGET).log_prob(x) - exact(*SOURCE).log_prob(x)).exp()
    torch.testing.assert_close(found, ratio / ratio.mean(), rtol=0.15, atol=0.0)
    assert float(ratio.max() / ratio.min()) > 20  # the tolerance is small beside what is found


def test_without_a_temperature_the_differences_have_unit_spread() -> None:
    x = normal(40, 3, seed=1)
    source = linear_vae(*SOURCE)
    known = Known(source.autoencoder, source.objective)
    settings = SETTINGS | {"temperature": None, "samples": 50}
    found = ElboWeights(**settings).weigh(view_of(x, normal(9, 3), known)).double()
    assert float(found.log().std(correction=0)) == pytest.approx(1.0, rel=1e-5)


def test_training_a_codec_leaves_the_network_and_lowers_the_objective() -> None:
    source = linear_vae(*SOURCE)
    before = {name: t.clone() for name, t in source.autoencoder.state_dict().items()}
    x = exact(*TARGET).sample((200,)) + 1.0
    settings: dict[str, Any] = {"steps": 150, "lr": 0.02, "batch_size": 50, "rng": Rng.of(1)}
    tuned = source.tuned(x, **settings)
    old, new = (codec.losses(x, 20, Rng.of(2)).mean() for codec in (source, tuned))
    assert float(new) < float(old) - 0.5
    assert all(torch.equal(before[k], v) for k, v in source.autoencoder.state_dict().items())
    again = source.tuned(x, **settings).autoencoder.state_dict()
    assert all(torch.equal(again[k], v) for k, v in tuned.autoencoder.state_dict().items())


def test_an_objective_that_is_no_bound_is_refused() -> None:
    vae = linear_vae(*SOURCE)
    other = Codec(vae.autoencoder, Objective({"error": SquaredError(weight=1.0)}))
    with pytest.raises(UserError, match=r"loss\.error is not in nats"):
        refuse_other_units(other)


def test_a_bound_with_a_discriminator_is_refused(tmp_path: Path) -> None:
    torch.set_default_dtype(torch.float32)
    world = World(
        tmp_path, "autoencoder=factor_vae", *MLP, "pretrain.max_steps=2",
        "transfer=[instance/elbo_weights,parameter/finetune]",
    )  # fmt: skip
    with pytest.raises(DoesNotFit, match=r"loss\.\w+ \(AdversarialTC\) has its discriminator"):
        world.transfer()


def test_an_autoencoder_without_a_posterior_is_refused_before_any_work() -> None:
    cfg = compose(["transfer=instance/elbo_weights"])
    with pytest.raises(ConfigError, match="elbo_weights: needs logvar, mean, which autoencoder="):
        check(resolved(cfg), cfg.hydra.runtime.choices)


def test_bounds_weigh_through_the_stage(tmp_path: Path) -> None:
    torch.set_default_dtype(torch.float32)
    world = World(tmp_path, *MLP, "autoencoder=vae", "transfer=instance/elbo_weights",
                  "transfer.instance.steps=20")  # fmt: skip
    found = receipt(world.transfer())
    assert 1 < found["effective_sample_size"] < 0.9 * len(world.domains.source.split.train)
    other = world.but("loss.reconstruction.weight=2.0")
    other_digest = other.transfer(pretrained=world.pretrain()).digest
    assert np.unique([world.transfer().digest, other_digest]).size == 2  # the loss is in the key


class Reads(TransferStrategy):
    """Notes the scale of the likelihood that its codec has."""

    uses_codec: ClassVar[bool] = True
    found: ClassVar[list[float]] = []

    def augment(self, view: View) -> None:
        scale = view.codec().objective.terms["reconstruction"].log_sigma
        Reads.found.append(float(scale.detach()))


def test_a_codec_has_the_scale_that_pretraining_learned(tmp_path: Path) -> None:
    torch.set_default_dtype(torch.float32)
    world = World(tmp_path, *MLP, "autoencoder=vae", "loss=[gaussian_learned,kl]",
                  "pretrain.lr=0.05")  # fmt: skip
    learned = world.pretrain()
    world.transfer({"feature": {"_target_": f"{__name__}.Reads"}}, pretrained=learned)
    assert learned.entry is not None
    saved = torch.load(learned.entry.path / "objective.pt", weights_only=True)
    start = float(objective_of(world.cfg).terms["reconstruction"].log_sigma.detach())
    assert Reads.found == [float(saved["terms.reconstruction.log_sigma"])]
    assert abs(Reads.found[0] - start) > 0.01
