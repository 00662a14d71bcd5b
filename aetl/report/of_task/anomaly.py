"""Scores of what is normal and of what is not, and how well they part the two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from aetl.report.canvas import COLORS, GREY, axes_grid, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTIONS = {
    "scores": "Scores of the target's test examples, as shares of each kind.",
    "ROC": "Anomalies found against false alarms, over all thresholds; dashed, the twin.",
}
BINS = 40
TAIL = 0.995
"""Beyond this quantile a score is drawn at the edge: few would take all the room."""


def drawn(
    arrays: Mapping[str, np.ndarray], classes: Sequence[str], folder: Path
) -> dict[str, Figure | None]:
    y, score, twin = arrays["y"], arrays["prediction"], arrays.get("twin_prediction")
    known = (y >= 0) & np.isfinite(score)
    if twin is not None:
        known &= np.isfinite(twin)
    y, score = y[known], score[known]
    if len(np.unique(y)) < 2:
        return {}
    return {"scores": scores(y, score), "ROC": roc(y, score, None if twin is None else twin[known])}


def scores(y: Int[np.ndarray, " N"], score: Float[np.ndarray, " N"]) -> Figure:
    """A histogram of each kind, of equal area."""
    high = max(float(np.quantile(score[y == kind], TAIL)) for kind in (0, 1))
    shown = np.minimum(score, high)
    edges = np.linspace(shown.min(), high, BINS + 1) if high > shown.min() else BINS
    with style():
        figure, axes = axes_grid(4.6, 3.4)
        ax = axes[0, 0]
        for kind, name in ((0, "normal"), (1, "anomaly")):
            values = shown[y == kind]
            share = np.full(len(values), 1 / len(values))
            ax.hist(values, edges, weights=share, label=f"{name} ({len(values)})",
                    color=COLORS[kind], alpha=0.6)  # fmt: skip
        ax.set(xlabel="score", ylabel="share")
        ax.grid(axis="y")
        ax.legend(loc="upper right")
        figure.subplots_adjust(left=0.15, right=0.97, bottom=0.16, top=0.96)
    return figure


def curve(
    y: Int[np.ndarray, " N"], score: Float[np.ndarray, " N"]
) -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, " T"]]:
    """False alarms and anomalies found at every threshold, from none on; ties are one step."""
    order = np.argsort(-score, kind="stable")
    strange, ranked = (y[order] == 1), score[order]
    last = np.flatnonzero(np.append(np.diff(ranked) != 0, True))
    found, false = np.cumsum(strange)[last], np.cumsum(~strange)[last]
    return np.append(0, false / false[-1]), np.append(0, found / found[-1])


def roc(
    y: Int[np.ndarray, " N"], score: Float[np.ndarray, " N"],
    twin: Float[np.ndarray, " N"] | None,
) -> Figure:  # fmt: skip
    with style():
        figure, axes = axes_grid(4.6, 4.2)
        ax = axes[0, 0]
        ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, alpha=0.6)
        if twin is not None:
            ax.plot(*curve(y, twin), color=GREY, linestyle=(0, (4, 2)), label="twin")
        ax.plot(*curve(y, score), color=COLORS[0], label="arm")
        ax.set(xlabel="false alarms", ylabel="anomalies found", xlim=(0, 1), ylim=(0, 1.01))
        ax.grid()
        ax.legend(loc="lower right")
        figure.subplots_adjust(left=0.14, right=0.97, bottom=0.13, top=0.97)
    return figure
