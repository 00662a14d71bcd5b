"""Generation: what is drawn, from which distribution, and who is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from sklearn.mixture import GaussianMixture

from aetl.rng import Rng
from aetl.stage.generate import ACROSS, DOWN, Generator, _mixture_samples, generate
from aetl.stage.pretrain import build_autoencoder, objective_of
from aetl.stage.sampled import drawn
from aetl.types import UserError
from tests.tiny import MLP, World


def generator(world: World) -> Generator:
    model = build_autoencoder(world.cfg, (1, 8, 8), 10)
    return Generator(model, objective_of(world.cfg), world.domains.source, Rng.of(0))


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("vae"), "autoencoder=vae", *MLP)


def test_a_standard_normal_prior_is_drawn_from(vae: World) -> None:
    model = generator(vae)
    assert model.prior == "normal"
    z = drawn("normal", model.autoencoder, torch.empty(4000, 4), Rng.of(1))
    assert kstest(z.flatten().numpy(), "norm").pvalue > 0.01
    assert model.from_prior() is not None


def test_the_uniform_prior_of_the_sphere_lies_on_it_without_a_direction(vae: World) -> None:
    z = drawn("sphere", generator(vae).autoencoder, torch.empty(20_000, 3), Rng.of(1))
    torch.testing.assert_close(z.norm(dim=1), torch.ones(20_000))
    # Archimedes: a coordinate of a uniform point on the sphere is uniform on [-1, 1].
    assert kstest(z[:, 0].numpy(), "uniform", args=(-1, 2)).pvalue > 0.01


def test_the_categorical_prior_is_one_class_of_each_variable_all_alike(tmp_path: Path) -> None:
    sizes = ("bottleneck.variables=3", "bottleneck.classes=4", "backbone.hidden=[8]")
    model = generator(World(tmp_path, "autoencoder=categorical_vae", *sizes))
    assert model.prior == "categorical"
    z = drawn("categorical", model.autoencoder, torch.empty(6000, 12), Rng.of(1))
    shares = z.view(6000, 3, 4)
    assert torch.equal(shares.sum(2), torch.ones(6000, 3, dtype=shares.dtype))
    torch.testing.assert_close(shares.double().mean(0), torch.full((3, 4), 0.25).double(),
                               atol=0.02, rtol=0)  # fmt: skip


def test_a_mixture_has_the_moments_of_the_latents() -> None:
    """Two clusters: the draws have their shares, means and spreads."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(2000, 2, generator=generator) * torch.tensor([0.3, 1.0])
    z[:500, 0] += 10.0
    drawn = _mixture_samples(z, 10, 8000, Rng.of(2))
    far = drawn[:, 0] > 5.0
    assert float(far.double().mean()) == pytest.approx(0.25, abs=0.02)
    assert float(drawn[far, 0].mean()) == pytest.approx(10.0, abs=0.05)
    assert float(drawn[~far, 0].std()) == pytest.approx(0.3, abs=0.03)
    assert float(drawn[:, 1].std()) == pytest.approx(1.0, abs=0.05)
    own = GaussianMixture(10, random_state=0).fit(z.numpy()).score(drawn.numpy())
    assert own == pytest.approx(GaussianMixture(10, random_state=0).fit(z).score(z), abs=0.1)


def test_interpolations_begin_and_end_at_reconstructions_and_go_straight(vae: World) -> None:
    model = generator(vae)
    found = model.interpolations().view(DOWN, ACROSS, 1, 8, 8)
    x = model.held_out.inputs(torch.arange(2 * DOWN))
    with torch.no_grad():
        z = model.autoencoder.features(x)
        ends = model.objective.mean(model.autoencoder.reconstruct(x))
        middle = model.images(z[:DOWN] + 4 / 9 * (z[DOWN:] - z[:DOWN]))
    torch.testing.assert_close(found[:, 0], ends[:DOWN])
    torch.testing.assert_close(found[:, -1], ends[DOWN:])
    torch.testing.assert_close(found[:, 4], middle)


def test_a_traversal_moves_one_latent_by_three_deviations_around_an_example(vae: World) -> None:
    model = generator(vae)
    dimensions, found = model.traversals()
    assert sorted(dimensions.tolist()) == [0, 1, 2, 3]
    z = model.autoencoder.features(model.held_out.inputs(torch.arange(1))).detach()
    data = model.autoencoder.features(model.data.inputs()).detach()
    assert data.std(0)[dimensions].diff().le(0).all()
    first = int(dimensions[0])
    z[0, first] = data[:, first].mean() - 3 * data[:, first].std()
    torch.testing.assert_close(found[0], model.images(z)[0])


def test_classes_are_drawn_from_the_latents_of_their_own_examples(tmp_path: Path) -> None:
    """Where the decoder is the inverse of the encoder, a class's draws have its mean image."""
    world = World(tmp_path, "autoencoder=pca", "autoencoder.latent_dim=40", "source.size=1000")
    model = build_autoencoder(world.cfg, (1, 8, 8))
    source = world.domains.source
    model.fit(source.pool.inputs(source.split.train))  # type: ignore[operator]
    made = Generator(model, objective_of(world.cfg), source, Rng.of(0))
    rows = made.by_class()
    assert rows is not None
    means = rows.view(10, ACROSS, 64).mean(1)
    x = source.pool.subset(torch.as_tensor(source.split.train))
    own = torch.stack([x.inputs()[x.y == label].flatten(1).mean(0) for label in range(10)])
    nearest = torch.cdist(means, own).argmin(1)
    assert nearest.tolist() == list(range(10))
    assert made.from_prior() is None  # squared error names no prior


def test_a_conditional_variant_draws_its_classes_itself(tmp_path: Path) -> None:
    made = generator(World(tmp_path, "autoencoder=conditional_vae", *MLP))
    model: Any = made.autoencoder
    y = torch.arange(10).repeat_interleave(ACROSS)
    z = model.prior_sample(len(y), Rng.of(0).fork("class"), y)
    with torch.no_grad():
        expected = made.objective.mean(model.decode(z))
    found = made.by_class()
    assert found is not None
    torch.testing.assert_close(found, expected)
    assert z[:, -10:].argmax(1).tolist() == y.tolist()
    assert made.from_prior() is not None
    assert made.interpolations().shape == (DOWN * ACROSS, 1, 8, 8)


def test_the_seed_says_what_is_drawn(vae: World, tmp_path: Path) -> None:
    one, again = generator(vae).from_mixture(), generator(vae).from_mixture()
    assert torch.equal(one, again)
    other = generator(vae)
    other.rng = Rng.of(1)
    assert not torch.equal(one, other.from_mixture())


def test_a_mixture_of_posteriors_draws_its_own_prior(tmp_path: Path) -> None:
    world = World(tmp_path, "autoencoder=vamp", *MLP, "autoencoder.pseudo_inputs=3")
    model: Any = build_autoencoder(world.cfg, (1, 8, 8)).eval()
    with torch.no_grad():
        z = model.prior_sample(6000, Rng.of(0))
        code = model.vae.bottleneck(model.vae.encoder(torch.sigmoid(model.pseudo_logits)), None)
    torch.testing.assert_close(z.mean(0), code.mean.mean(0), atol=0.05, rtol=0)
    variance = code.logvar.exp().mean(0) + code.mean.var(0, correction=0)
    torch.testing.assert_close(z.var(0), variance, atol=0.0, rtol=0.1)
    assert generator(world).from_prior() is not None


@pytest.mark.parametrize(
    "overrides, said",
    [
        (("autoencoder=mae", "backbone.dim=8", "backbone.heads=2"), "has no decoder from latents"),
        (("transfer=control/raw_features",), "has no pretrained autoencoder"),
    ],
)
def test_what_cannot_generate_is_refused_in_a_line(
    overrides: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    world = World(tmp_path, *overrides)
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    if "autoencoder=mae" in overrides:
        state = build_autoencoder(world.cfg, (1, 8, 8)).state_dict()
        torch.save(state, run / "checkpoints" / "autoencoder.pt")
    with pytest.raises(UserError, match=said):
        generate(world.cfg, run, 0)


@pytest.mark.usefixtures("pages")
def test_images_and_figures_of_a_run_are_in_its_folder_and_on_its_page(tmp_path: Path) -> None:
    from aetl.cli import main
    from tests.tiny import SMALL

    run = tmp_path / "run"
    assert main([*SMALL, *MLP, "autoencoder=vae", f"hydra.run.dir={run}"]) == 0
    assert main(["generate", str(run)]) == 0
    with np.load(run / "generated.npz") as saved:
        shapes = {name: saved[name].shape[:2] for name in saved.files if name != "dimensions"}
        assert all(saved[n].min() >= 0.0 and saved[n].max() <= 1.0 for n in shapes)
    assert shapes == {
        "prior": (DOWN, ACROSS),
        "mixture": (DOWN, ACROSS),
        "interpolation": (DOWN, ACROSS),
        "traversal": (4, ACROSS),
        "by_class": (10, ACROSS),
    }
    drawn = {path.stem for path in (run / "figures").glob("*.png")}
    assert {"samples", "samples_by_class", "interpolations", "traversals"} <= drawn
    assert "<h2>Generated</h2>" in (run / "report.html").read_text(encoding="utf-8")
