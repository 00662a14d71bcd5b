"""Figures of a sweep: one panel (source, target and metric) each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from aetl.comparison.label_efficiency import Curve, learning_curves
from aetl.comparison.rows import Arm, Row
from aetl.comparison.statistics import Interval
from aetl.report.canvas import COLORS, DARK_GREY, GREY, INK, VERDICT_COLORS, axes_grid, style
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
    with style():
        figure, axes = axes_grid(7.0, 6.6 if gained else 4.6, nrows=1 + bool(gained), sharex=True)
        top, low = axes[0, 0], axes[-1, 0]
        ends = [_curve(top, c.labels, c.scores, looks[arm], panel.arms[arm])
                for arm, c in curves.items()]  # fmt: skip
        top.set_ylabel(panel.metric)
        if gained:
            low.axhline(0, color=INK, linewidth=1)
            for number, (arm, curve) in enumerate(gained.items()):
                _gain_curve(low, curve, looks[arm], number / max(1, len(gained) - 1) - 0.5)
            low.set_ylabel(f"gain over {panel.baseline}")
        for ax in axes.flat:
            ax.set_xscale("log")
            ax.grid(axis="y")
        budgets = sorted({labels for curve in curves.values() for labels in curve.labels})
        low.set_xticks(budgets, [f"{labels:,}" for labels in budgets])
        low.minorticks_off()
        low.set_xlim(budgets[0] * 0.9, budgets[-1] * 1.12)
        low.set_xlabel("labelled target examples")
        edges = {"bottom": 0.09, "hspace": 0.08} if gained else {"bottom": 0.12}
        figure.subplots_adjust(left=0.11, right=0.64, top=0.98, **edges)
        _end_labels(top, ends)
    return figure


def _curve(
    ax: Axes, labels: Sequence[int], values: Sequence[Interval], look: Mapping[str, Any], name: str
) -> tuple[float, float, str, str]:
    """Draws a curve; the score and the labels where it ends, its colour, its name."""
    ax.plot(labels, [value.mean for value in values], markersize=5, **look)
    bounds = [(x, v.low, v.high) for x, v in zip(labels, values, strict=True) if v.low is not None]
    if bounds:
        x, lower, upper = zip(*bounds, strict=True)
        ax.fill_between(x, lower, upper, color=look["color"], alpha=0.1, linewidth=0)
    return values[-1].mean, labels[-1], look["color"], name


def _gain_curve(ax: Axes, curve: Curve, look: Mapping[str, Any], aside: float) -> None:
    """With bars, a little aside of each other: bands of gains would cover one another."""
    x = [labels * 1.06**aside for labels in curve.labels]
    ax.plot(x, [gain.mean for gain in curve.gains], markersize=4, **look)
    for place, gain in zip(x, curve.gains, strict=True):
        if gain.low is not None and gain.high is not None:
            ax.plot([place, place], [gain.low, gain.high], color=look["color"], linewidth=1.2)


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
    places = _apart([end[0] for end in ends], (high - low) * 0.052, low, high)
    for (value, last, color, name), place in zip(ends, places, strict=True):
        x = right * (right / left) ** 0.045  # the axis is logarithmic
        thin: dict[str, Any] = {"color": color, "linewidth": 0.7, "clip_on": False}
        ax.plot([last, x / (right / left) ** 0.01], [value, place], **thin)
        ink = DARK_GREY if color == GREY else color
        ax.text(x, place, _shortened(name, 28), color=ink, weight="bold", size=9, va="center")
    ax.set(xlim=(left, right), ylim=(low, high))


def _apart(values: Sequence[float], step: float, low: float, high: float) -> list[float]:
    """Sorted values moved as little as puts them ``step`` apart, inside of ``low`` and ``high``.

    Least squares: the isotonic regression of the values less their place in the row, by pooling
    neighbours that are out of order.
    """
    step = min(step, (high - low) / max(1, len(values) - 1))
    pools: list[list[float]] = []
    for i, value in enumerate(values):
        pools.append([value - i * step])
        while len(pools) > 1 and _average(pools[-2]) > _average(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    free = [_average(pool) for pool in pools for _ in pool]
    top = high - (len(values) - 1) * step
    return [min(max(place, low), top) + i * step for i, place in enumerate(free)]


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
    width, high = 3.0 + 2.1 * columns, 0.75 + 0.3 * len(arms)
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
        axes[0, 0].set_yticks(range(len(arms)), [_shortened(panel.arms[arm], 36) for arm in arms])
        axes[0, 0].set_ylim(len(arms) - 0.5, -0.5)
        place = {"fontsize": 10, "x": (2.8 + width - 0.12) / 2 / width, "y": 0.06 / height}
        figure.supxlabel(f"gain in {panel.metric} over {panel.baseline}", **place)
        margins = {"bottom": 0.62 / height, "top": 1 - 0.34 / height, "wspace": 0.08}
        margins["hspace"] = 0.4 / (0.3 * len(arms))
        figure.subplots_adjust(left=2.8 / width, right=1 - 0.12 / width, **margins)
    return figure


def _drawn(panel: Panel, arm: Arm, budget: int | str) -> Row | None:
    row = panel.cells.get((arm, budget))
    return row if row and row.gain_mean is not None and not row.is_baseline else None


def _forest_column(ax: Axes, panel: Panel, arms: Sequence[Arm], budget: int | str) -> None:
    ax.axvline(0, color=INK, linewidth=1)
    ax.set_title(budget_text(budget))
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    rows = [(y, row) for y, arm in enumerate(arms) if (row := _drawn(panel, arm, budget))]
    if best := [row.gain_mean for _, row in rows if row.is_control and row.gain_mean is not None]:
        ax.axvline(max(0.0, *best), color=INK, linewidth=1, linestyle=(0, (1, 2)))
    for y, row in rows:
        color = VERDICT_COLORS[row.verdict]
        if row.gain_ci_low is not None and row.gain_ci_high is not None:
            ax.plot([row.gain_ci_low, row.gain_ci_high], [y, y], color=color, linewidth=2.4)
        ground = "none" if row.uncorrected or row.verdict == "unknown" else color
        mark: dict[str, Any] = {"marker": _MARKERS[row.verdict], "markersize": 7, "color": color}
        ax.plot([row.gain_mean or 0.0], [y], markerfacecolor=ground, linestyle="", **mark)


def _shortened(text: str, length: int) -> str:
    """Cut in the middle: names of one sweep differ at their ends."""
    head = length // 2
    return text if len(text) <= length else f"{text[:head]}…{text[head + 1 - length :]}"
