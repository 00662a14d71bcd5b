"""What was hidden, and what it was filled in with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from aetl.report.canvas import COLORS, GREY, INK, axes_grid, style
from aetl.report.figures import tile_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTIONS = {
    "filled_in": "Target test examples, what the arm saw of them, and what it made of that.",
    "values": "Values of target test examples against what the arm made of them.",
    "errors": "Mean squared error of each target test example; grey, the twin.",
}
MOST = 2000
"""Values that are drawn."""


def drawn(
    arrays: Mapping[str, np.ndarray], classes: Sequence[str], folder: Path
) -> dict[str, Figure | None]:
    found: dict[str, Figure | None] = {}
    if (folder / "shown.npz").exists():
        with np.load(folder / "shown.npz", allow_pickle=False) as shown:
            names = [("x", "input"), ("seen", "seen"), ("filled", "made of it")]
            rows = [("", name, shown[key]) for key, name in names if key in shown]
        found["filled_in"] = tile_figure(rows)
    elif "part.x" in arrays:
        mask = arrays.get("part.mask")
        chosen = np.ones(arrays["part.x"].shape, bool) if mask is None else mask == 1
        found["values"] = values(arrays["part.x"][chosen], arrays["part.filled"][chosen])
    found["errors"] = histogram(
        arrays["prediction"], arrays.get("twin_prediction"), "mean squared error"
    )
    return found


def values(x: Float[np.ndarray, " N"], filled: Float[np.ndarray, " N"]) -> Figure | None:
    rows = np.linspace(0, len(x) - 1, min(MOST, len(x))).round().astype(int)
    x, filled = x[rows], filled[rows]
    if not len(x) or not np.isfinite(filled).all():
        return None
    low, high = np.quantile(np.concatenate([x, filled]), [0.005, 0.995])
    with style():
        figure, axes = axes_grid(4.2, 4.0)
        ax = axes[0, 0]
        ax.plot([low, high], [low, high], color=INK, alpha=0.5, linewidth=1)
        look = {"s": 12, "alpha": 0.4, "linewidths": 0, "rasterized": True}
        ax.scatter(x, filled, color=COLORS[0], **look)
        ax.set(xlabel="true value", ylabel="filled in", xlim=(low, high), ylim=(low, high))
        ax.grid()
        figure.subplots_adjust(left=0.17, right=0.97, bottom=0.14, top=0.97)
    return figure


def histogram(
    own: Float[np.ndarray, " N"], twin: Float[np.ndarray, " N"] | None, label: str
) -> Figure | None:
    """Of one number of each test example, the arm's and the twin's."""
    given = [(own, "arm", COLORS[0])] + ([] if twin is None else [(twin, "twin", GREY)])
    every = np.concatenate([part for part, _, _ in given])
    if not np.isfinite(every).all():
        return None
    low, high = np.quantile(every, [0.0, 0.995])
    edges = np.linspace(low, high, 41) if high > low else 10
    with style():
        figure, axes = axes_grid(4.6, 3.2)
        ax = axes[0, 0]
        for part, name, color in reversed(given):
            ax.hist(np.minimum(part, high), edges, color=color, alpha=0.6, label=name)
        ax.set(xlabel=label, ylabel="test examples")
        ax.grid(axis="y")
        ax.legend(loc="upper right")
        figure.subplots_adjust(left=0.17, right=0.97, bottom=0.17, top=0.96)
    return figure
