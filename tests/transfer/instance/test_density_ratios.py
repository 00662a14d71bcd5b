"""Estimators of a density ratio on Gaussians with a known one, and against brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hydra.utils import get_class
from omegaconf import OmegaConf
from scipy.optimize import minimize
from scipy.stats import norm
from sklearn.decomposition import PCA

from aetl.config import conf_dir
from aetl.rng import Rng
from aetl.transfer.base import TransferStrategy
from aetl.transfer.instance import kliep, rulsif
from aetl.transfer.instance.base import ImportanceWeights, gaussian, scaled
from aetl.transfer.instance.density_ratio import density_ratio
from aetl.transfer.instance.kliep import Kliep, likeliest
from aetl.transfer.instance.kmm import Kmm, mean_matching, project
from aetl.transfer.instance.knn_weights import KnnWeights, counted_ratio
from aetl.transfer.instance.reconstruction_error import ReconstructionError, errors
from aetl.transfer.instance.rulsif import Rulsif, coefficients
from aetl.transfer.instance.select_best import top_fraction
from aetl.transfer.instance.ulsif import Ulsif, clipped

COMMON: dict[str, Any] = {"space": "input", "clip": 1e6, "mix": 1.0}
ESTIMATORS: dict[str, ImportanceWeights] = {
    "kmm": Kmm(**COMMON, width=0.5, bound=20.0, epsilon=0.1, block=500),
    "kliep": Kliep(**COMMON, centres=100),
    "ulsif": Ulsif(**COMMON, centres=100),
    "rulsif": Rulsif(**COMMON, alpha=0.1, centres=100),
    "knn_weights": KnnWeights(**COMMON, neighbours=None),
}


def logistic(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    points, others = (np.concatenate([x, x**2], 1) for x in (source, target))
    return density_ratio(points, points, others, l2=1.0)


def estimate(name: str, source: np.ndarray, target: np.ndarray, seed: int) -> np.ndarray:
    if name == "density_ratio":
        found = logistic(source, target)
    else:
        found = ESTIMATORS[name].ratio(source, target, Rng.of("test", seed))
    return found / found.mean()


NAMES = [*ESTIMATORS, "density_ratio"]
OTHERS = {
    "bbse": "a ratio of labels",
    "elbo_weights": "exact where the bounds are: test_elbo_weights",
    "latent_density": "a density",
    "reconstruction_error": "a distance",
    "select_best": "a choice",
    "target_shift": "a ratio of labels",
}
"""Strategies that weigh the source, but estimate no density ratio from two samples."""


def test_every_estimator_of_a_density_ratio_is_here() -> None:
    weighing = set()
    for path in (conf_dir() / "transfer" / "instance").glob("*.yaml"):
        kind = get_class(OmegaConf.load(path)["_target_"])
        if kind.weigh is not TransferStrategy.weigh:
            weighing.add(path.stem)
    assert weighing == {*NAMES, *OTHERS}


@pytest.mark.parametrize("name", NAMES)
def test_error_falls_with_the_sample_size(name: str) -> None:
    """Source N(0, 1), target N(0.5, 0.7^2): the ratio is bounded and known."""

    def error(size: int, seed: int) -> float:
        rng = np.random.default_rng(seed)
        source, target = rng.normal(0, 1, (size, 1)), rng.normal(0.5, 0.7, (size, 1))
        true = norm.pdf(source[:, 0], 0.5, 0.7) / norm.pdf(source[:, 0])
        if name == "rulsif":
            true = true / (0.1 * true + 0.9)
        return float(((estimate(name, source, target, seed) - true / true.mean()) ** 2).mean())

    repeats = 3 if name in ("kmm", "kliep", "knn_weights") else 8  # the slow ones vary little
    small, large = (np.mean([error(size, seed) for seed in range(repeats)]) for size in (50, 800))
    assert large < 0.5 * small
    assert large < 0.15


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[pytest.mark.slow] * (n not in ("rulsif", "density_ratio")))
        for n in NAMES
    ],
)
def test_half_the_gap_to_the_oracle_weights_is_recovered(name: str) -> None:
    """A line fitted to sin(x) / x: right where it is fitted, wrong elsewhere (Sugiyama, 2008)."""

    def risk(x: np.ndarray, y: np.ndarray, weight: np.ndarray, new: np.ndarray) -> float:
        slope, offset = np.polyfit(x, y, 1, w=np.sqrt(weight))
        return float(((slope * new + offset - np.sinc(new)) ** 2).mean())

    gaps = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        source, target = rng.normal(1.0, 0.5, (400, 1)), rng.normal(1.8, 0.3, (400, 1))
        x, new = source[:, 0], rng.normal(1.8, 0.3, 2000)
        y = np.sinc(x) + rng.normal(0, 0.1, 400)
        oracle = norm.pdf(x, 1.8, 0.3) / norm.pdf(x, 1.0, 0.5)
        found = estimate(name, source, target, seed)
        gaps.append([risk(x, y, w, new) for w in (np.ones(400), found, oracle)])
    plain, weighted, best = np.mean(gaps, 0)
    assert plain > 5 * best  # the shift is one that plain training fails on
    assert plain - weighted >= 0.5 * (plain - best)


def small_kernels() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(12, 2)), rng.normal(0.7, 0.8, size=(15, 2))
    return source, target


@pytest.mark.parametrize("bound, epsilon", [(20.0, 0.1), (1.5, 0.0), (20.0, 10.0)])
def test_mean_matching_solves_the_quadratic_programme(bound: float, epsilon: float) -> None:
    source, target = small_kernels()
    kernel = gaussian(source, source, 0.5)
    kappa = gaussian(source, target, 0.5).mean(1) * 12

    def objective(b: np.ndarray) -> float:
        return float(b @ kernel @ b / 2 - kappa @ b)

    band = [
        {"type": "ineq", "fun": lambda b: 12 * (1 + epsilon) - b.sum()},
        {"type": "ineq", "fun": lambda b: b.sum() - 12 * (1 - epsilon)},
    ]
    reference = minimize(
        objective,
        np.ones(12),
        jac=lambda b: kernel @ b - kappa,
        bounds=[(0, bound)] * 12,
        constraints=band,
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    found = mean_matching(kernel, kappa, bound, epsilon)
    assert objective(found) == pytest.approx(reference.fun, abs=1e-7)
    np.testing.assert_allclose(found, reference.x, atol=1e-3)


def test_projection_is_the_nearest_point() -> None:
    point = np.random.default_rng(0).normal(1, 2, 8)
    for low, high in ((3.0, 4.0), (14.0, 15.0), (0.0, 100.0)):
        reference = minimize(
            lambda b: ((b - point) ** 2).sum(),
            np.full(8, 1.0),
            bounds=[(0, 2.0)] * 8,
            constraints=[
                {"type": "ineq", "fun": lambda b, low=low: b.sum() - low},
                {"type": "ineq", "fun": lambda b, high=high: high - b.sum()},
            ],
            options={"ftol": 1e-14},
        )
        np.testing.assert_allclose(project(point, 2.0, low, high), reference.x, atol=1e-5)


def test_kliep_is_the_constrained_maximum_of_the_log_likelihood() -> None:
    source, target = small_kernels()
    of_source, of_target = (gaussian(x, target[:4], 0.8) for x in (source, target))
    found = likeliest(of_source, of_target)
    reference = minimize(
        lambda a: -np.log(of_target @ a).mean(),
        np.full(4, 1.0 / of_source.mean(0).sum()),
        bounds=[(0, None)] * 4,
        constraints=[{"type": "eq", "fun": lambda a: (of_source @ a).mean() - 1}],
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    assert (of_source @ found).mean() == pytest.approx(1.0, rel=1e-9)
    assert -np.log(of_target @ found).mean() == pytest.approx(reference.fun, abs=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_least_squares_coefficients_are_the_minimum_of_the_penalised_error(alpha: float) -> None:
    source, target = small_kernels()
    s, t = (gaussian(x, target[:4], 0.8) for x in (source, target))

    def objective(a: np.ndarray) -> float:
        mixed = alpha * ((t @ a) ** 2).mean() + (1 - alpha) * ((s @ a) ** 2).mean()
        return float(mixed / 2 - (t @ a).mean() + 0.05 / 2 * (a**2).sum())

    reference = minimize(objective, np.zeros(4), method="BFGS", options={"gtol": 1e-9})
    np.testing.assert_allclose(coefficients(s, t, alpha, 0.05), reference.x, rtol=1e-4, atol=1e-5)


def test_neighbours_are_counted_in_the_ball_to_the_kth_source() -> None:
    source, target = small_kernels()
    for i, found in enumerate(counted_ratio(source, target, 3)):
        radius = np.sort(np.linalg.norm(source - source[i], axis=1))[3]  # the 0th is itself
        inside = (np.linalg.norm(target - source[i], axis=1) <= radius).sum()
        assert found == pytest.approx((inside / 15) / (3 / 11))


def test_reconstruction_error_is_that_of_the_targets_principal_components() -> None:
    rng = np.random.default_rng(0)
    target, source = rng.normal(size=(40, 2)) @ rng.normal(size=(2, 6)), rng.normal(size=(30, 6))
    target += 0.1 * rng.normal(size=(40, 6))
    pca = PCA(2).fit(target)
    expected = ((source - pca.inverse_transform(pca.transform(source))) ** 2).sum(1)
    np.testing.assert_allclose(errors(source, target, 2), expected, rtol=1e-9)
    mixed = np.concatenate([source, target])  # what looks like the target counts more
    weights = ReconstructionError(**COMMON, dim=2, temperature=1.0).ratio(mixed, target, Rng.of(0))
    assert weights[30:].min() > weights[:30].max()


def test_the_best_fraction_is_selected() -> None:
    score = np.array([0.1, 5.0, 3.0, 3.0, -1.0])
    assert top_fraction(score, 0.4).tolist() == [0, 1, 1, 0, 0]
    assert top_fraction(score, 0.01).tolist() == [0, 1, 0, 0, 0]


@pytest.mark.parametrize("name", NAMES)
def test_domains_without_overlap_give_finite_weights(name: str) -> None:
    rng = np.random.default_rng(0)
    for apart in (30.0, 1e4):
        source, target = rng.normal(size=(40, 3)), rng.normal(size=(30, 3)) + apart
        found = (
            logistic(source, target)
            if name == "density_ratio"
            else ESTIMATORS[name].ratio(source, target, Rng.of("test", 0))
        )
        weight = scaled(found, 10.0, 0.7).numpy()
        assert np.isfinite(weight).all()
        assert (weight >= 0).all()
        assert weight.mean() == pytest.approx(0.7, rel=1e-5)


def test_ulsif_clips_its_coefficients_and_rulsif_its_ratio() -> None:
    """Kanamori et al. (2009), equation 14; so that uLSIF's ratio is positive where any is known."""
    rng = np.random.default_rng(1)
    source, target = rng.normal(0, 1, (200, 1)), rng.normal(1.5, 0.3, (200, 1))
    theta = least_squares_coefficients(source, target)
    assert theta.min() < 0
    np.testing.assert_allclose(clipped(theta), np.where(theta > 0, theta, 0.0))
    ratio = ESTIMATORS["ulsif"].ratio(source, target, Rng.of("test", 0))
    assert (ratio > 0).all()


def least_squares_coefficients(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    s, t = (gaussian(x, target[:50], 1.0) for x in (source, target))
    return np.linalg.solve(s.T @ s / len(s) + 1e-3 * np.eye(50), t.mean(0))


@pytest.mark.parametrize("name", ["ulsif", "rulsif", "kliep"])
def test_widths_are_chosen_by_examples_that_were_not_fitted_on(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fit of the cross-validation is judged on the rows that it did not see."""
    fitted: list[tuple[int, int]] = []
    judged: list[int] = []
    module = kliep if name == "kliep" else rulsif
    fit = "likeliest" if name == "kliep" else "coefficients"
    real = getattr(module, fit)

    def watched(of_source: np.ndarray, of_target: np.ndarray, *rest: Any) -> np.ndarray:
        fitted.append((len(of_source), len(of_target)))
        return real(of_source, of_target, *rest)

    monkeypatch.setattr(module, fit, watched)
    if name != "kliep":
        error = rulsif.squared_error

        def watched_error(s: np.ndarray, t: np.ndarray, alpha: float) -> float:
            judged.append(len(s) + len(t))
            return error(s, t, alpha)

        monkeypatch.setattr(rulsif, "squared_error", watched_error)
    rng = np.random.default_rng(2)
    ESTIMATORS[name].ratio(rng.normal(size=(50, 1)), rng.normal(size=(40, 1)), Rng.of("t"))
    if name == "kliep":  # the source only gives the constraint
        assert set(fitted) == {(50, 32), (50, 40)}
    else:
        assert set(fitted) == {(40, 32), (50, 40)}
        assert set(judged) == {10 + 8}
    assert fitted[-1] == (50, 40)


def test_held_out_targets_choose_a_wider_kernel_than_those_fitted_on() -> None:
    """The likelihood of the targets that were fitted on is largest for the narrowest kernel."""
    rng = np.random.default_rng(3)
    source, target = rng.normal(size=(300, 2)), rng.normal(size=(60, 2)) * 0.5
    unit = kliep.median_distance(source, target)

    def of(width: float) -> np.ndarray:
        s, t = gaussian(source, target, width), gaussian(target, target, width)
        return s @ likeliest(s, t)

    chosen = Kliep(**COMMON, centres=100).ratio(source, target, Rng.of("test", 0))
    ranked = [np.corrcoef(chosen, of(f * unit))[0, 1] for f in kliep.WIDTHS]
    assert int(np.argmax(ranked)) > 0
