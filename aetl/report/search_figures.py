"""Figures of a search: parallel coordinates, and the importance of hyper-parameters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from aetl.comparison.search import Importance, Search, is_numeric, levels
from aetl.report.canvas import COLORS, GROUND, INK, LINE, Labels, axes_grid, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOG_FROM = 50.0
"""An axis whose largest value is that many times the smallest is logarithmic."""


def parallel_coordinates(search: Search) -> Figure:
    """A line for each trial through its values, coloured by its score; the best is thick."""
    from matplotlib import colormaps

    names = search.parameters
    scores = np.array([score for _, score in search.trials])
    places = [*(_places(search, name) for name in names), _scaled(scores)[0]]
    order = np.argsort(scores if search.higher_is_better else -scores)
    share = np.empty(len(scores))
    share[order] = np.linspace(0, 1, len(scores))
    with style():
        heads = Labels([*names, search.metric], 20)
        top = 0.3 + LINE * heads.lines
        figure, axes = axes_grid(max(6.0, 1.75 * len(places)), 3.4 + top)
        ax = axes[0, 0]
        for i in order:
            best = i == order[-1]
            look: dict[str, Any] = {"color": colormaps["viridis"](0.92 * share[i])}
            look |= {"linewidth": 3.0 if best else 1.0, "alpha": 1.0 if best else 0.65}
            ax.plot(range(len(places)), [column[i] for column in places], zorder=i + 3, **look)
        for number, name in enumerate(names):
            _axis(ax, number, heads[number], _ticks(search, name))
        _axis(ax, len(names), heads[-1], _ends(scores))
        ax.set(xlim=(-0.55, len(places) - 0.45), ylim=(-0.06, 1.0 + top / 3.2))
        ax.set_axis_off()
        figure.subplots_adjust(left=0.03, right=0.97, bottom=0.02, top=0.98)
    return figure


def _axis(ax: Axes, number: int, name: str, ticks: list[tuple[float, str]]) -> None:
    ax.plot([number, number], [0, 1], color=INK, linewidth=0.8, zorder=1)
    ax.text(number, 1.05, name, ha="center", va="bottom", size=9, weight="bold")
    for place, text in ticks:
        ax.plot([number - 0.03, number], [place, place], color=INK, linewidth=0.8, zorder=1)
        # Beside the axis, over the lines, with a rim so that it can be read.
        rim = {"facecolor": GROUND, "alpha": 0.75, "edgecolor": "none", "pad": 0.8}
        ax.text(number - 0.045, place, text, ha="right", va="center", size=8, zorder=999, bbox=rim)


def _places(search: Search, name: str) -> np.ndarray:
    """Where each trial's value lies on its axis, from 0 to 1."""
    values = [trial[name] for trial, _ in search.trials]
    if is_numeric(search, name):
        return _scaled(np.array(values, dtype=float))[0]
    order = levels(search, name)
    return np.array([order.index(str(v)) / max(1, len(order) - 1) for v in values])


def _scaled(values: np.ndarray) -> tuple[np.ndarray, bool]:
    is_log = bool(values.min() > 0 and values.max() >= _LOG_FROM * values.min())
    shown = np.log(values) if is_log else values
    reach = shown.max() - shown.min()
    return (shown - shown.min()) / reach if reach else np.full(len(shown), 0.5), is_log


def _ticks(search: Search, name: str) -> list[tuple[float, str]]:
    if is_numeric(search, name):
        return _ends(np.array([float(trial[name]) for trial, _ in search.trials]))
    order = levels(search, name)
    return [(i / max(1, len(order) - 1), text) for i, text in enumerate(Labels(order, 18))]


def _ends(values: np.ndarray) -> list[tuple[float, str]]:
    """All values where they are few, else the ends and what lies in their middle."""
    places, is_log = _scaled(values)
    distinct = sorted(set(values.tolist()))
    if len(distinct) <= 5:
        known = dict(zip(values.tolist(), places.tolist(), strict=True))
        return [(known[value], f"{value:g}") for value in distinct]
    low, high = distinct[0], distinct[-1]
    middle = math.sqrt(low * high) if is_log else (low + high) / 2
    return [(0.0, f"{low:.3g}"), (0.5, f"{middle:.3g}"), (1.0, f"{high:.3g}")]


def importance_bars(found: Importance) -> Figure:
    """The drop of R^2 when a parameter is shuffled, largest on top."""
    names = Labels(found.shares, 34)
    shares = list(found.shares.values())
    height = 0.75 + names.pitch() * len(names)
    with style():
        figure, axes = axes_grid(7.0, height)
        ax = axes[0, 0]
        ax.barh(range(len(names)), shares, color=COLORS[0], height=0.62)
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_xlabel("drop of R² when shuffled")
        ax.grid(axis="x")
        left = (names.inches + 0.2) / 7.0
        figure.subplots_adjust(left=left, right=0.97, bottom=0.55 / height, top=1 - 0.08 / height)
    return figure
