"""Figures of a sweep: one panel (source, target and metric) each."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import accumulate, zip_longest
from typing import TYPE_CHECKING, Any

from aetl.comparison.label_efficiency import Curve, learning_curves
from aetl.comparison.rows import Arm, Row
from aetl.comparison.statistics import Interval
from aetl.report.canvas import (
    COLORS,
    DARK_GREY,
    GREY,
    INK,
    LINE,
    VERDICT_COLORS,
    Labels,
    axes_grid,
    style,
    wrapped,
)
from aetl.report.panel import Panel, budget_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FOREST_COLUMNS = 4
_MARKERS = {"positive": ">", "negative": "<", "equivalent": "s", "undecided": "o", "unknown": "o"}


def budget_curves(panel: Panel) -> Figure | None:
    """Scores against the number of labels, and the gains below them, each with its 95 % interval;
    controls dashed. Every arm on the seeds that it has at all budgets.

    None with fewer than two budgets of a known size.
    """
    curves = learning_curves(panel.rows)
    if not curves:
        return None
    gained = {arm: curve for arm, curve in curves.items() if curve.gains and curve.ends}
    looks = _arm_looks(panel)
    names = {arm: wrapped(panel.arms[arm], 28) for arm in curves}
    bars = _crowded([*curves.values()])
    with style():
        # As high as the names beside the curves need, and the gains half of that.
        lines = sum(name.count("\n") + 1.3 for name in names.values())
        above, below = max(3.6, LINE * lines), 2.6 if gained else 0.0
        height = above + below + 0.7
        shape: dict[str, Any] = {"nrows": 2, "height_ratios": [above, below]} if gained else {}
        figure, axes = axes_grid(7.6, height, sharex=True, **shape)
        top, low = axes[0, 0], axes[-1, 0]
        ends = [
            _curve(top, curve, looks[arm], names[arm], _aside(n, len(curves)) if bars else None)
            for n, (arm, curve) in enumerate(curves.items())
        ]
        top.set_ylabel(panel.metric)
        if gained:
            low.axhline(0, color=INK, linewidth=1)
            for number, (arm, curve) in enumerate(gained.items()):
                _gain_curve(low, curve, looks[arm], _aside(number, len(gained)))
            low.set_ylabel(f"gain over {panel.baseline}")
        for ax in axes.flat:
            ax.set_xscale("log")
            ax.grid(axis="y")
        budgets = sorted({labels for curve in curves.values() for labels in curve.labels})
        low.set_xticks(budgets, [f"{labels:,}" for labels in budgets])
        low.minorticks_off()
        low.set_xlim(budgets[0] * 0.9, budgets[-1] * 1.12)
        labelled = "labelled " if panel.counted == "labels" else ""
        low.set_xlabel(f"{labelled}target examples")
        edges = {"bottom": 0.55 / height, "top": 1 - 0.1 / height}
        figure.subplots_adjust(left=0.1, right=0.62, hspace=0.06, **edges)
        _end_labels(top, ends)
    return figure


def _crowded(curves: Sequence[Curve]) -> bool:
    """Whether bands would cover one another: with fewer than five budgets, or where three meet."""
    if len({labels for curve in curves for labels in curve.labels}) < 5:
        return True
    at: dict[int, list[Interval]] = defaultdict(list)
    for curve in curves:
        for labels, score in zip(curve.labels, curve.scores, strict=True):
            at[labels].append(score)
    return any(
        sum(other.low <= one.mean <= other.high for other in scores
            if other.low is not None and other.high is not None) >= 3
        for scores in at.values() for one in scores
    )  # fmt: skip


def _aside(number: int, of: int) -> float:
    """By what labels are multiplied so that the bars of curves stand beside each other."""
    return float(1.09 ** (number / max(1, of - 1) - 0.5))


def _curve(
    ax: Axes, curve: Curve, look: Mapping[str, Any], name: str, aside: float | None
) -> tuple[float, float, str, str]:
    """Draws a curve with a band, or with bars a little aside; the score and the labels where it
    ends, its colour, its name."""
    if aside is not None:
        x = _with_bars(ax, curve.labels, curve.scores, look, aside)
        return curve.scores[-1].mean, x[-1], look["color"], name
    ax.plot(curve.labels, [score.mean for score in curve.scores], markersize=5, **look)
    pairs = zip(curve.labels, curve.scores, strict=True)
    bounds = [(x, score.low, score.high) for x, score in pairs if score.low is not None]
    if bounds:
        x_, lower, upper = zip(*bounds, strict=True)
        ax.fill_between(x_, lower, upper, color=look["color"], alpha=0.1, linewidth=0)
    return curve.scores[-1].mean, curve.labels[-1], look["color"], name


def _gain_curve(ax: Axes, curve: Curve, look: Mapping[str, Any], aside: float) -> None:
    _with_bars(ax, curve.labels, curve.gains, look, aside)


def _with_bars(
    ax: Axes, labels: Sequence[int], values: Sequence[Interval], look: Mapping[str, Any],
    aside: float,
) -> list[float]:  # fmt: skip
    x = [number * aside for number in labels]
    ax.plot(x, [value.mean for value in values], markersize=4.5, **look)
    for place, value in zip(x, values, strict=True):
        if value.low is not None and value.high is not None:
            ax.plot([place, place], [value.low, value.high], color=look["color"], linewidth=1.2)
    return x


def _arm_looks(panel: Panel) -> dict[Arm, dict[str, Any]]:
    """Colours for arms, grey dashes for controls; when the colours run out, markers change."""
    looks: dict[Arm, dict[str, Any]] = {}
    arms = controls = 0
    for arm in panel.arms:
        if arm[0].startswith("control/"):
            looks[arm] = {"color": (GREY, DARK_GREY)[controls % 2], "linestyle": (0, (4, 2))}
            looks[arm]["marker"] = "sDvPX"[controls % 5]
            controls += 1
        else:
            looks[arm] = {"color": COLORS[arms % 8], "marker": "o^h*<>"[arms // 8 % 6]}
            arms += 1
    return looks


def _end_labels(ax: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """The name of each curve at its right end, pushed apart where they would overlap."""
    low, high = ax.get_ylim()
    left, right = ax.get_xlim()
    ends = sorted(ends)
    inch = (high - low) / _inches(ax)
    heights = [inch * (LINE * (name.count("\n") + 1) + 0.03) for *_, name in ends]
    places = _apart([end[0] for end in ends], heights, low, high)
    for (value, last, color, name), place in zip(ends, places, strict=True):
        x = right * (right / left) ** 0.045  # the axis is logarithmic
        thin: dict[str, Any] = {"color": color, "linewidth": 0.7, "clip_on": False}
        ax.plot([last, x / (right / left) ** 0.01], [value, place], **thin)
        ink = DARK_GREY if color == GREY else color
        ax.text(x, place, name, color=ink, weight="bold", size=9, va="center")
    ax.set(xlim=(left, right), ylim=(low, high))


def _inches(ax: Axes) -> float:
    """How high the axes are."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return float(ax.get_position().height * figure.get_figheight())


def _apart(
    values: Sequence[float], heights: Sequence[float], low: float, high: float
) -> list[float]:
    """Middles of things of these heights, moved from sorted values as little as puts them beside
    each other, inside of ``low`` and ``high``.

    Least squares: the isotonic regression of the values less what lies below each in the row, by
    pooling neighbours that are out of order.
    """
    squeeze = min(1.0, (high - low) / sum(heights)) if heights else 1.0
    ends = [squeeze * end for end in accumulate(heights)]
    middles = [end - squeeze * height / 2 for end, height in zip(ends, heights, strict=True)]
    pools: list[list[float]] = []
    for value, middle in zip(values, middles, strict=True):
        pools.append([value - middle])
        while len(pools) > 1 and _average(pools[-2]) > _average(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    free = [_average(pool) for pool in pools for _ in pool]
    top = high - ends[-1] if ends else high
    return [min(max(f, low), top) + middle for f, middle in zip(free, middles, strict=True)]


def _average(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def gain_forest(panel: Panel) -> Figure | None:
    """Gain over scratch with its 95 % interval: a row for each arm, a column for each budget.

    The dotted line is the strongest control: what lies left of it, a simpler way beats.
    """
    arms = [arm for arm in panel.arms if any(_drawn(panel, arm, b) for b in panel.budgets)]
    if not arms:
        return None
    columns = min(_FOREST_COLUMNS, len(panel.budgets))
    lines = math.ceil(len(panel.budgets) / columns)
    names = Labels((panel.arms[arm] for arm in arms), 34)
    left = names.inches + 0.2
    width, high = left + 0.15 + 2.1 * columns, 0.75 + names.pitch() * len(arms)
    height = 0.3 + high * lines
    shape = {"nrows": lines, "ncols": columns, "sharex": True, "sharey": True}
    with style():
        figure, axes = axes_grid(width, height, **shape)
        for ax, budget in zip_longest(axes.flat, panel.budgets):
            if budget is None:
                ax.set_visible(False)
            else:
                _forest_column(ax, panel, arms, budget)
                ax.tick_params(labelbottom=budget in panel.budgets[-columns:])
        axes[0, 0].set_yticks(range(len(arms)), names)
        axes[0, 0].set_ylim(len(arms) - 0.5, -0.5)
        place = {"fontsize": 10, "x": (left + width - 0.12) / 2 / width, "y": 0.06 / height}
        figure.supxlabel(f"gain in {panel.metric} over {panel.baseline}", **place)
        margins = {"bottom": 0.62 / height, "top": 1 - 0.34 / height, "wspace": 0.08}
        margins["hspace"] = 0.4 / (names.pitch() * len(arms))
        figure.subplots_adjust(left=left / width, right=1 - 0.12 / width, **margins)
    return figure


def _drawn(panel: Panel, arm: Arm, budget: int | str) -> Row | None:
    row = panel.cells.get((arm, budget))
    return row if row and row.gain_mean is not None and not row.is_baseline else None


def _forest_column(ax: Axes, panel: Panel, arms: Sequence[Arm], budget: int | str) -> None:
    ax.axvline(0, color=INK, linewidth=1)
    ax.set_title(budget_text(budget, panel.counted))
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    rows = [(y, row) for y, arm in enumerate(arms) if (row := _drawn(panel, arm, budget))]
    best = [row.gain_mean for _, row in rows if row.is_control and row.gain_mean is not None]
    if best and panel.control(budget):  # one for all arms
        ax.axvline(max(0.0, *best), color=INK, linewidth=1, linestyle=(0, (1, 2)))
    for y, row in rows:
        color = VERDICT_COLORS[row.verdict]
        if row.gain_ci_low is not None and row.gain_ci_high is not None:
            ax.plot([row.gain_ci_low, row.gain_ci_high], [y, y], color=color, linewidth=2.4)
        ground = "none" if row.uncorrected or row.verdict == "unknown" else color
        mark: dict[str, Any] = {"marker": _MARKERS[row.verdict], "markersize": 7, "color": color}
        ax.plot([row.gain_mean or 0.0], [y], markerfacecolor=ground, linestyle="", **mark)
