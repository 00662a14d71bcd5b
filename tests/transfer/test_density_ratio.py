"""Source weights by density ratio: against known ratios, and on a shift that plain training fails.

Covariate shift: p(y | x) is the same in both domains, p(x) is not. The class is 1 between two
bounds, and a line can have one of them only: the source shows the lower, the target the upper.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from aetl.config import resolved
from aetl.rng import Rng
from aetl.stage.arm import build_network
from aetl.stage.pretrain import build_autoencoder
from aetl.task.classification import Classification
from aetl.transfer.base import View
from aetl.transfer.instance.density_ratio import density_ratio
from tests.tiny import MLP, World, receipt


def gaussian(n: int, mean: list[float], seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, len(mean), generator=generator) + torch.tensor(mean)


def at_source(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    points = source.numpy()
    return torch.from_numpy(density_ratio(points, points, target.numpy(), l2=1.0)).float()


def error(n: int, seed: int) -> float:
    """Of the log-ratio of N(m, I) to N(0, I), which is linear: the model is well specified."""
    mean = [1.0, -0.5]
    source, target = gaussian(n, [0.0, 0.0], seed), gaussian(n, mean, seed + 1000)
    m = torch.tensor(mean)
    true = source @ m - 0.5 * m.square().sum()
    estimated = at_source(source, target).log()
    return float((estimated - true).square().mean().sqrt())


def test_error_falls_with_the_root_of_the_sample() -> None:
    errors = [np.mean([error(n, seed) for seed in range(6)]) for n in (100, 400, 1600)]
    assert errors[-1] < 0.1
    for larger, smaller in pairwise(errors):
        assert smaller < larger / 1.4  # 2 in the limit


def test_ratio_of_a_domain_to_itself_is_one() -> None:
    x = gaussian(2000, [0.0, 0.0], 0)
    torch.testing.assert_close(at_source(x, x), torch.ones(2000), rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["near", "far", "odd scales", "more features than examples"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_classifier_is_solved_to_the_end(kind: str, dtype: type) -> None:
    rng = np.random.default_rng(0)
    n, features = (60, 200) if kind.startswith("more") else (400, 20)
    source, target = rng.normal(size=(n, features)), rng.normal(size=(n, features))
    target += 3.0 if kind == "far" else 0.2
    if kind == "odd scales":
        scales = 10.0 ** rng.uniform(-5, 5, features)
        source, target = source * scales, target * scales
    source, target = source.astype(dtype), target.astype(dtype)
    x = np.concatenate([source, target]).astype(np.float64)
    by_newton = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    model = make_pipeline(StandardScaler(), by_newton).fit(x, np.repeat([0, 1], n))
    expected = model.decision_function(source.astype(np.float64))
    found = np.log(density_ratio(source, source, target, l2=1.0))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("sizes", [(4000, 400), (400, 4000)])
def test_ratio_is_corrected_for_the_sizes_of_the_domains(sizes: tuple[int, int]) -> None:
    """Its mean over the source is one, whatever the numbers of examples."""
    source, target = gaussian(sizes[0], [0.0], 0), gaussian(sizes[1], [0.5], 1)
    assert float(at_source(source, target).mean()) == pytest.approx(1.0, abs=0.1)


LOW, HIGH, SOURCE, TARGET = -1.0, 1.2, -0.5, 1.5


def label(x: torch.Tensor) -> torch.Tensor:
    return ((x > LOW) & (x < HIGH)).long().squeeze(1)


def accuracy(weight: torch.Tensor, source: torch.Tensor, test: torch.Tensor) -> float:
    """On the target, of a linear classifier trained on weighted source examples alone."""
    head = Classification().linear_head(1e-3)
    head.fit(source.double().numpy(), label(source).numpy(), weight.double().numpy())
    predicted = head.predict_proba(test.double().numpy()).argmax(1)
    return float((predicted == label(test).numpy()).mean())


def test_weighting_recovers_the_gap_to_the_oracle_where_plain_training_fails() -> None:
    gaps, recovered = [], []
    for seed in range(4):
        source, target = gaussian(1000, [SOURCE], seed), gaussian(1000, [TARGET], seed + 100)
        test = gaussian(4000, [TARGET], seed + 200)
        true = torch.exp((TARGET - SOURCE) * source - (TARGET**2 - SOURCE**2) / 2).squeeze(1)
        plain = accuracy(torch.ones(1000), source, test)
        oracle = accuracy(true, source, test)
        estimated = accuracy(at_source(source, target).clamp(max=20.0), source, test)
        assert plain < 0.5
        gaps.append(oracle - plain)
        recovered.append(estimated - plain)
    assert min(gaps) > 0.4
    assert np.mean(recovered) > 0.5 * np.mean(gaps)


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The same shift as two data sets of vectors, the second coordinate without meaning."""
    folder = tmp_path_factory.mktemp("shifted")
    overrides = ["source.size=null", "target.size=null", "target.shift.rotation=0.0"]
    for seed, (name, mean) in enumerate((("source", SOURCE), ("target", TARGET))):
        x = torch.cat([gaussian(1500, [mean], seed), gaussian(1500, [0.0], seed + 10)], 1)
        np.savez(folder / f"{name}.npz", x=x.numpy(), y=label(x[:, :1]).numpy())
        overrides += [f"dataset@{name}=npz", f"{name}.path={folder / f'{name}.npz'}"]
    # An affine encoder with as many latents as inputs loses nothing and straightens nothing.
    return World(
        folder, *overrides, "target.budget=4", "backbone.hidden=[]", "bottleneck.latent_dim=2",
        "transfer=[instance/density_ratio,feature/linear_probe]",
    )  # fmt: skip


def arm(world: World) -> float:
    saved = np.load(world.transfer().path / "predictions.npz")
    return float((saved["prediction"] == saved["y"]).mean())


def test_the_strategy_recovers_the_gap_through_the_whole_stage(shifted: World) -> None:
    """With a clip at nothing all weights are the same: that is plain training."""
    plain = arm(shifted.but("transfer.instance.clip=1e-9"))
    weighted = arm(shifted)
    assert plain < 0.55
    assert weighted > 0.9


def test_the_stages_weights_are_clipped_ratios_of_mean_mix(shifted: World) -> None:
    """The receipt's effective sample size is that of the weights by hand."""
    encoder = build_autoencoder(shifted.cfg, (2,))
    encoder.load_state_dict(dict(shifted.pretrain().state))
    latents = [
        encoder.features(domain.pool.subset(domain.split.train).inputs()).detach()
        for domain in (shifted.domains.source, shifted.domains.target)
    ]
    ratio = at_source(*latents).double()
    ratio = (ratio / ratio.mean()).clamp(max=5.0)
    expected = float(ratio.sum() ** 2 / ratio.square().sum())
    said = receipt(shifted.but("transfer.instance.clip=5.0").transfer())
    assert said["effective_sample_size"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("mix", [1.0, 0.25])
def test_mix_is_the_mean_of_the_weights(shifted: World, mix: float) -> None:
    strategy = instantiate(resolved(shifted.cfg)["transfer"]["instance"], mix=mix)
    labelled = shifted.domains.target.pool.subset(shifted.domains.target.split.labelled)
    task = instantiate(shifted.cfg.task)
    network = build_network(shifted.cfg, shifted.domains, task, labelled)
    parts = {
        "source_inputs": shifted.domains.source.pool,
        "target_inputs": shifted.domains.target.pool,
    }
    features = lambda examples, layer: network.features(examples.inputs()).detach()  # noqa: E731
    weights = strategy.weigh(View("me", strategy.uses, parts, features, Rng.of(0)))  # type: ignore[arg-type]
    assert float(weights.mean()) == pytest.approx(mix, rel=1e-5)
    assert float(weights.min()) > 0


def test_all_labels_in_the_budget_leave_target_inputs_to_compare_with(tmp_path: Path) -> None:
    world = World(tmp_path, *MLP, "transfer=instance/density_ratio", "target.budget=all")
    assert receipt(world.transfer())["effective_sample_size"] > 1
