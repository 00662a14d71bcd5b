"""Figures over several pairs of domains: the map of gains, and mean ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aetl.comparison.aggregate import Aggregate
from aetl.comparison.rows import Row, arm_labels, budget_order, transfer_order
from aetl.comparison.standing import Standing
from aetl.report.canvas import COLORS, INK, LINE, Labels, axes_grid, style, wrapped
from aetl.report.panel import budget_text, counted_in, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDEST = 12.5  # inches; maps that would make a figure wider go below each other
_MAPS = 40  # more arms or pairs than that are no picture


def gain_map(table: Sequence[Row]) -> Figure | None:
    """Gain over scratch: a line for each arm, a column for each pair, a map for each budget.

    Faint numbers are neutral, bold ones stand after Holm's correction.
    """
    rows = [row for row in table if row.gain_mean is not None and not row.is_baseline]
    pairs = list(dict.fromkeys((row.source, row.target) for row in rows))
    labels, counted = arm_labels(rows), counted_in(run for row in rows for run in row.runs)
    arms = sorted({row.arm for row in rows}, key=lambda arm: (transfer_order(arm[0]), arm))
    budgets = sorted({row.budget for row in rows}, key=budget_order)
    if len(pairs) < 2 or len(arms) > _MAPS or len(pairs) > _MAPS:
        return None
    cells = {(row.budget, row.arm, (row.source, row.target)): row for row in rows}
    largest = max(abs(row.gain_mean or 0.0) for row in rows) or 1.0
    names = Labels((f"{s} → {t}" for s, t in zip(*_shortest(pairs), strict=True)), 26)
    lines = Labels((labels[arm] for arm in arms), 34)
    wide, high = max(0.52, names.pitch()) * len(pairs), lines.pitch() * len(arms)
    left, top, bottom, gap = 0.2 + lines.inches, 0.35, 0.15 + names.inches, 0.2
    columns = min(len(budgets), max(1, int((_WIDEST - left) / (wide + gap))))
    rows_ = math.ceil(len(budgets) / columns)
    width, height = left + columns * (wide + gap), rows_ * (top + high) + bottom
    with style():
        figure, axes = axes_grid(width, height, nrows=rows_, ncols=columns)
        for number, ax in enumerate(axes.flat):
            if number >= len(budgets):
                ax.set_visible(False)
                continue
            budget = budgets[number]
            found = [[cells.get((budget, arm, pair)) for pair in pairs] for arm in arms]
            _map(ax, found, largest)
            ax.set_title(budget_text(budget, counted))
            lowest = number + columns >= len(budgets)
            ax.set_xticks(range(len(pairs)), names if lowest else [], rotation=90)
            ax.set_yticks(range(len(arms)), [] if number % columns else lines)
            x = (left + number % columns * (wide + gap)) / width
            y = 1 - (number // columns + 1) * (top + high) / height
            ax.set_position((x, y, wide / width, high / height))
    return figure


def _map(ax: Axes, rows: Sequence[Sequence[Row | None]], largest: float) -> None:
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    # Blue helps, orange hurts, as everywhere; the middle takes the page's own ground.
    bad, good = to_rgb(COLORS[1]), to_rgb(COLORS[0])
    # Not to the full colour, on which neither dark letters nor light ones can be read.
    most = 0.7
    stops = [(0.0, (*bad, most)), (0.5, (*bad, 0.0)), (0.5, (*good, 0.0)), (1.0, (*good, most))]
    both = LinearSegmentedColormap.from_list("gain", stops)
    values = np.array([[math.nan if r is None else r.gain_mean for r in line] for line in rows])
    # The square root spreads the many small gains beside a few large ones.
    shown = np.sign(values) * np.sqrt(np.abs(values) / largest)
    ax.imshow(shown, cmap=both, vmin=-1, vmax=1, aspect="auto")
    decimals = 2 if largest < 10 else 0
    for y, line in enumerate(rows):
        for x, row in enumerate(line):
            if row is not None and row.gain_mean is not None:
                look: dict[str, Any] = {
                    "weight": "bold" if row.stands else "normal",
                    "alpha": 1.0 if row.stands or row.uncorrected else 0.6,
                }
                text = signed(row.gain_mean, decimals).replace("0.", ".", 1)
                ax.text(x, y, text, ha="center", va="center", size=8, **look)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _shortest(pairs: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Sources and targets without a shift that all of them have (`` (resize=16)``)."""
    columns = ([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    cut: list[list[str]] = []
    for names in columns:
        endings = {name.partition(" (")[2] for name in names}
        cut.append([name.partition(" (")[0] for name in names] if len(endings) == 1 else names)
    return cut[0], cut[1]


def rank_diagram(standing: Standing) -> Figure | None:
    """Mean ranks on a line, best on the left; a bar joins arms that do not differ."""
    places, bars = standing.places, standing.tied
    if len(places) > _MAPS:
        return None
    half = math.ceil(len(places) / 2)
    low, high = 1, len(places)
    top = 0.75 + 0.16 * len(bars)
    names = Labels((f"{place.label}  {place.rank:.2f}" for place in places), 38)
    heights = [LINE * (name.count("\n") + 1) + 0.09 for name in names]
    # From the axis downwards: the best to the left, and to the right the last one first.
    sides = range(half), range(len(places) - 1, half - 1, -1)
    lines = {i: sum(heights[j] for j in side[:n]) + heights[i] / 2
             for side in sides for n, i in enumerate(side)}  # fmt: skip
    width = 10.0
    height = top + max(sum(heights[i] for i in side) for side in sides) + 0.15
    with style():
        figure, axes = axes_grid(width, height)
        ax = axes[0, 0]
        ax.set_position((0, 0, 1, 1))
        ax.set(xlim=(0, width), ylim=(height, 0))
        ax.set_axis_off()

        def at(rank: float) -> float:
            return 3.5 + 3.0 * (rank - low) / max(1, high - low)

        line: dict[str, Any] = {"color": INK, "linewidth": 0.9}
        axis = 0.55
        ax.plot([at(low), at(high)], [axis, axis], **line)
        for rank in range(low, high + 1):
            ax.plot([at(rank)] * 2, [axis - 0.06, axis], **line)
            ax.text(at(rank), axis - 0.1, str(rank), ha="center", va="bottom", size=9)
        for i, place in enumerate(places):
            on_left = i < half
            y = top + lines[i]
            end = 3.35 if on_left else 6.65
            is_control = place.arm[0].startswith("control/")
            color = COLORS[8] if is_control else COLORS[0]
            ax.plot([at(place.rank), at(place.rank), end], [axis, y, y], color=color, linewidth=0.9)
            side: dict[str, Any] = {"ha": "right" if on_left else "left", "va": "center"}
            ax.text(end + (-0.06 if on_left else 0.06), y, names[i], size=9, color=color, **side)
        for i, (first, last) in enumerate(bars):
            y = axis + 0.12 + 0.16 * i
            ends = [at(places[first].rank) - 0.04, at(places[last].rank) + 0.04]
            ax.plot(ends, [y, y], color=INK, linewidth=3, solid_capstyle="butt")
        if standing.critical_difference is None:
            return figure
        distance = at(low + standing.critical_difference) - at(low)
        ax.plot([at(low), at(low) + distance], [0.16, 0.16], **line)
        for x in (at(low), at(low) + distance):
            ax.plot([x, x], [0.11, 0.21], **line)
        said = f"critical difference {standing.critical_difference:.2f}"
        ax.text(at(low) + distance + 0.08, 0.16, said, size=9, va="center")
    return figure


def profiles(metric: str, found: Sequence[Aggregate]) -> Figure | None:
    """Performance profiles (Agarwal et al. 2021): the share of runs that gain more."""
    if len(found) > len(COLORS):
        return None
    with style():
        figure, axes = axes_grid(7.0, 3.6)
        ax = axes[0, 0]
        for number, one in enumerate(found):
            at, share = zip(*one.profile, strict=True)
            dashed = one.arm[0].startswith("control/")
            ax.step(at, share, where="post", color=COLORS[number], label=wrapped(one.label, 30),
                    linestyle=(0, (4, 2)) if dashed else "-")  # fmt: skip
        ax.axvline(0, color=INK, linewidth=1)
        ax.set(xlabel=f"gain in {metric}", ylabel="share of runs that gain more", ylim=(0, 1.02))
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        figure.subplots_adjust(left=0.09, right=0.64, bottom=0.16, top=0.97)
    return figure
