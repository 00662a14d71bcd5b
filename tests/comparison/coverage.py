"""How often the intervals of a gain are right: simulated arms and twins with a known difference.

    python -m tests.comparison.coverage [FIGURE]

prints a table (false positives where there is no difference, coverage where there is one, mean half
width; 1 000 to 3 000 trials a line) and draws it. The arm and its twin share the difficulty of the
examples; seeds differ by a level (``seed_sd``), examples by what is particular to one of the two
(``example_sd``), and each single answer by noise of 0.7.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import special, stats

from aetl.comparison.crossed import crossed_components
from aetl.comparison.statistics import t_quantile
from aetl.metric.auroc import Auroc
from aetl.metric.macro_f1 import MacroF1
from aetl.metric.pseudo_values import Layout, parts
from aetl.metric.r2 import R2
from aetl.types import Prediction

Draw = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Pseudo-values [trials, seeds, units], gains [trials] of the scores, the true gain [1]."""


@dataclass(frozen=True)
class Setting:
    metric: str
    seeds: int
    examples: int
    seed_sd: float
    example_sd: float
    gap: float = 0.0
    """Of the arm's level over the twin's, in standard deviations of the difficulty."""
    group: int = 1
    """Examples of a group (a patient, a speaker), which share their difficulty and what is
    particular to one of the two; the groups are the units of the interval."""


NULL = [
    Setting(metric, *rest)
    for metric, *rest in (
        ("accuracy", 3, 60, 0.1, 0.5),
        ("accuracy", 3, 360, 0.02, 0.1),
        ("accuracy", 3, 360, 0.15, 0.3),
        ("accuracy", 3, 2000, 0.05, 0.3),
        ("accuracy", 5, 360, 0.05, 0.3),
        ("accuracy", 5, 2000, 0.02, 0.3),
        ("accuracy", 10, 60, 0.05, 0.3),
        ("accuracy", 10, 360, 0.05, 0.3),
        ("accuracy", 10, 2000, 0.0, 0.3),
        ("accuracy", 20, 360, 0.02, 0.6),
        ("accuracy", 5, 10000, 0.02, 0.3),
        ("nll", 3, 360, 0.05, 0.3),
        ("nll", 10, 360, 0.05, 0.3),
        ("nll", 20, 2000, 0.02, 0.3),
        ("mse", 3, 360, 0.05, 0.3),
        ("mse", 10, 360, 0.05, 0.3),
        ("auroc", 3, 200, 0.05, 0.3),
        ("auroc", 10, 200, 0.02, 0.5),
        ("macro_f1", 3, 200, 0.05, 0.3),
        ("macro_f1", 10, 200, 0.05, 0.5),
        ("r2", 3, 200, 0.05, 0.3),
        ("r2", 10, 200, 0.02, 0.3),
    )
]
EFFECT = [
    Setting(s.metric, s.seeds, s.examples, s.seed_sd, s.example_sd, gap=0.3)
    for s in NULL
    if s.metric in ("accuracy", "nll", "mse") and s.examples <= 2000
]
GROUPED = [
    Setting(metric, seeds, examples, 0.05, 0.3, group=group)
    for metric, seeds, examples, group in (
        ("accuracy", 3, 360, 12),
        ("accuracy", 10, 360, 12),
        ("accuracy", 20, 2000, 50),
        ("nll", 10, 360, 12),
        ("auroc", 3, 240, 8),
        ("auroc", 10, 240, 8),
    )
]


def levels(s: Setting, trials: int, random: np.random.Generator) -> Draw:
    """Latent outputs of arm and twin [trials, seeds, examples], and the common difficulty."""
    shape = (trials, s.seeds, s.examples)
    single = np.float32
    units = (trials, 1, s.examples // s.group)
    difficulty = random.normal(1.0, 1.0, units).astype(single).repeat(s.group, 2)
    own = random.normal(0.0, s.example_sd, units).astype(single).repeat(s.group, 2)
    seeds = random.normal(0.0, s.seed_sd, (2, trials, s.seeds, 1)).astype(single)
    noise = random.standard_normal((2, *shape), dtype=single) * single(0.7)
    arm = s.gap + seeds[0] + difficulty + own + noise[0]
    twin = seeds[1] + difficulty - own + noise[1]
    return arm, twin, difficulty


def simulate(s: Setting, trials: int, random: np.random.Generator) -> Draw:
    arm, twin, difficulty = levels(s, trials, random)
    if s.metric in ("auroc", "macro_f1", "r2"):
        return _of_a_metric_that_is_no_mean(s, arm, twin, difficulty, random)
    value = {"accuracy": _right, "nll": _surprise, "mse": _squared}[s.metric]
    gains = value(arm) - value(twin)
    if s.group > 1:  # of groups of one size, the pseudo-values of a mean are the groups' means
        gains = gains.reshape(*gains.shape[:2], -1, s.group).mean(3)
    return gains, gains.mean((1, 2)), np.array([true_gain(s)])


def _right(level: np.ndarray) -> np.ndarray:
    return (level > 0).astype(np.float32)


def _surprise(level: np.ndarray) -> np.ndarray:
    return np.asarray(np.logaddexp(0.0, -level), np.float32)


def _squared(level: np.ndarray) -> np.ndarray:
    return np.asarray((level - 1.0) ** 2, np.float32)


def true_gain(s: Setting) -> float:
    """In the population of seeds and examples, by quadrature over the normal level."""
    if not s.gap:
        return 0.0
    spread = np.sqrt(1.0 + s.example_sd**2 + s.seed_sd**2 + 0.49)
    if s.metric == "accuracy":
        return float(stats.norm.cdf((1 + s.gap) / spread) - stats.norm.cdf(1 / spread))
    x, w = special.roots_hermitenorm(80)
    value = {"nll": lambda v: np.logaddexp(0, -v), "mse": lambda v: (v - 1) ** 2}[s.metric]
    return float((w * (value(1 + s.gap + spread * x) - value(1 + spread * x))).sum() / w.sum())


def _of_a_metric_that_is_no_mean(
    s: Setting, arm: np.ndarray, twin: np.ndarray, difficulty: np.ndarray,
    random: np.random.Generator,
) -> Draw:  # fmt: skip
    """The score follows the difficulty: as a class (beside chance), or as a value."""
    metric = {"auroc": Auroc(), "macro_f1": MacroF1(), "r2": R2()}[s.metric]
    truth = difficulty[:, 0].astype(np.float64)
    if s.metric != "r2":
        truth = (truth + random.normal(0.0, 1.0, truth.shape) > 1.0).astype(np.int64)
    group = np.arange(s.examples) // s.group if s.group > 1 else None
    layout = Layout(np.arange(s.examples, dtype=np.uint64), group)
    gains = np.empty((*arm.shape[:2], s.examples // s.group))
    scores = np.empty(arm.shape[:2])
    for t, y in enumerate(truth):
        for seed in range(s.seeds):
            a, b = (_prediction(s.metric, level[t, seed].astype(float)) for level in (arm, twin))
            gains[t, seed] = parts(metric, a, y, layout) - parts(metric, b, y, layout)
            scores[t, seed] = metric(a, y) - metric(b, y)
    return gains, scores.mean(1), np.zeros(1)


def _prediction(metric: str, level: np.ndarray) -> Prediction:
    if metric == "r2":
        return Prediction(level, None)
    second = special.expit(level - 1.0)
    return Prediction((second > 0.5).astype(np.int64), np.stack([1 - second, second], 1))


def over_both(gains: np.ndarray) -> np.ndarray:
    """Half the width of the interval over seeds and examples, of each trial."""
    from aetl.comparison.crossed import Crossed

    _, S, n = gains.shape
    found = crossed_components(gains)
    reach = []
    for values in zip(*(found[k] for k in ("of_seeds", "of_units", "of_rest")), strict=True):
        error, df = Crossed(0.0, S, n, *map(float, values)).error()
        reach.append(error * t_quantile(0.975, df) if error else 0.0)
    return np.array(reach)


def over_seeds(gains: np.ndarray) -> np.ndarray:
    """The same of the interval over seeds alone."""
    S = gains.shape[1]
    spread = gains.mean(2, dtype=np.float64).std(1, ddof=1)
    return np.asarray(spread / np.sqrt(S) * t_quantile(0.975, S - 1))


Interval = Callable[[np.ndarray], np.ndarray]
INTERVALS: dict[str, Interval] = {"seeds": over_seeds, "seeds and examples": over_both}


def misses(s: Setting, trials: int, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Of each interval how often the true gain lies outside, and its mean half width."""
    random = np.random.default_rng([seed, s.seeds, s.examples, *([s.group] if s.group > 1 else [])])
    outside = dict.fromkeys(INTERVALS, 0)
    widths = dict.fromkeys(INTERVALS, 0.0)
    at_once = max(1, min(trials, 4_000_000 // (s.seeds * s.examples)))
    done = 0
    while done < trials:
        number = min(at_once, trials - done)
        gains, mean, true = simulate(s, number, random)
        for name, reach_of in INTERVALS.items():
            reach = reach_of(gains)
            outside[name] += int((np.abs(mean - true) > reach).sum())
            widths[name] += float(reach.sum())
        done += number
    return {name: (outside[name] / trials, widths[name] / trials) for name in INTERVALS}


def holm_errors(
    arms: int, seeds: int, examples: int, trials: int, seed: int = 0
) -> dict[str, float]:
    """How often at least one of so many arms without a difference stands after Holm's correction.

    The smallest p value times the number of arms decides that.
    """
    random = np.random.default_rng(seed)
    setting = Setting("accuracy", seeds, examples, 0.05, 0.3)
    smallest = {name: np.ones(trials) for name in INTERVALS}
    for _ in range(arms):
        gains, mean, _ = simulate(setting, trials, random)
        S = seeds
        spread = gains.mean(2, dtype=np.float64).std(1, ddof=1) / np.sqrt(S)
        equal = spread < 1e-12
        with np.errstate(divide="ignore", invalid="ignore"):
            p = 2 * stats.t.sf(np.abs(mean) / spread, S - 1)
        smallest["seeds"] = np.minimum(smallest["seeds"], np.where(equal, mean == 0, p))
        found = crossed_components(gains)
        ms, excess = examples * found["of_seeds"] + found["of_rest"], S * found["of_units"]
        df = np.minimum((S - 1) * ((ms + excess) / ms) ** 2, examples - 1)
        p = 2 * stats.t.sf(np.abs(mean) / np.sqrt((ms + excess) / (S * examples)), df)
        smallest["seeds and examples"] = np.minimum(smallest["seeds and examples"], p)
    return {name: float((p * arms < 0.05).mean()) for name, p in smallest.items()}


def trials_of(s: Setting) -> int:
    if s.metric in ("auroc", "macro_f1", "r2"):
        return 1000 if s.seeds < 5 else 400
    return 3000 if s.examples <= 500 else 1000


def main() -> None:
    rows = []
    print(
        "| metric | seeds | examples | seed sd | example sd | gap | seeds alone | both | widths |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for s in [*NULL, *GROUPED, *EFFECT]:
        found = misses(s, trials_of(s))
        (old, old_width), (new, new_width) = found.values()
        rows.append((s, old, new))
        print(
            f"| {s.metric} | {s.seeds} | {_examples(s)} | {s.seed_sd} | {s.example_sd} | {s.gap} "
            f"| {old:.3f} | {new:.3f} | {old_width:.4f} {new_width:.4f} |",
            flush=True,
        )
    for arms, seeds, examples in ((13, 3, 360), (13, 5, 360), (13, 10, 360)):
        found_ = holm_errors(arms, seeds, examples, 2000)
        print(f"Holm, {arms} arms, {seeds} seeds, {examples} examples: {found_}", flush=True)
    if len(sys.argv) > 1:
        draw(rows, Path(sys.argv[1]))


def _examples(s: Setting) -> str:
    return f"{s.examples // s.group} x {s.group}" if s.group > 1 else f"{s.examples:,}"


def draw(rows: list[tuple[Setting, float, float]], path: Path) -> None:
    from aetl.report.canvas import COLORS, axes_grid, png, style

    with style():
        figure, axes = axes_grid(7.2, 0.24 * len(rows) + 1.0)
        ax = axes[0, 0]
        names = [
            f"{s.metric}, {s.seeds} seeds, {_examples(s)} examples" + (", a gain" if s.gap else "")
            for s, *_ in rows
        ]
        for y, (_, old, new) in enumerate(rows):
            ax.plot([old, new], [y, y], color=COLORS[9], linewidth=1)
        ax.plot([r[1] for r in rows], range(len(rows)), "o", color=COLORS[1], label="seeds alone")
        ax.plot([r[2] for r in rows], range(len(rows)), "o", color=COLORS[0],
                label="seeds and test examples")  # fmt: skip
        ax.axvline(0.05, linestyle=(0, (1, 2)), linewidth=1, color=COLORS[8])
        ax.set_yticks(range(len(rows)), names)
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_xlabel("how often the 95 % interval misses the truth (promised: 0.05)")
        ax.legend(loc="lower right")
        figure.subplots_adjust(left=0.43, right=0.98, top=0.99, bottom=0.07)
    path.write_bytes(png(figure))


if __name__ == "__main__":
    main()
