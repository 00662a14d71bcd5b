"""Queries beside their nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from aetl.report.canvas import COLORS, Labels, axes_grid, style
from aetl.report.figures import tile_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTIONS = {
    "neighbours": (
        "Target test examples (left of the line), then their nearest neighbours in the budget; "
        "what is of another class is faded."
    ),
    "precision_by_class": "Mean average precision of the queries of each class.",
}
FADED = 0.35


def drawn(
    arrays: Mapping[str, np.ndarray], classes: Sequence[str], folder: Path
) -> dict[str, Figure | None]:
    found: dict[str, Figure | None] = {}
    if (folder / "shown.npz").exists():
        with np.load(folder / "shown.npz", allow_pickle=False) as shown:
            found["neighbours"] = neighbours(shown["query"], shown["near"], shown["same"])
    y, precision = arrays["y"], arrays["probability"]
    own = precision[np.arange(len(y)), y]
    found["precision_by_class"] = by_class(
        np.array([own[y == k].mean() if (y == k).any() else np.nan for k in range(len(classes))]),
        classes,
    )
    return found


def neighbours(
    query: Float[np.ndarray, "N C H W"], near: Float[np.ndarray, "N k C H W"],
    same: Bool[np.ndarray, "N k"],
) -> Figure:  # fmt: skip
    shade = np.where(same, 1.0, FADED)[..., None, None, None]
    gap = np.full_like(query[:1], 1.0)
    rows = [
        ("", "", np.concatenate([q[None], gap[:, :, :, : max(1, gap.shape[3])], n * s]))
        for q, n, s in zip(query, near, shade, strict=True)
    ]
    return tile_figure(rows)


def by_class(precision: Float[np.ndarray, " K"], classes: Sequence[str]) -> Figure | None:
    if len(precision) > 40 or not len(precision):
        return None
    with style():
        names = Labels(classes, 18)
        height = names.pitch(0.26) * len(precision) + 0.8
        figure, axes = axes_grid(4.4, height)
        ax = axes[0, 0]
        places = np.arange(len(precision))[::-1]
        ax.barh(places, np.nan_to_num(precision), color=COLORS[0], height=0.7)
        ax.set_yticks(places, names)
        ax.set(xlabel="mean average precision", xlim=(0, 1))
        ax.grid(axis="x")
        figure.subplots_adjust(
            left=(names.inches + 0.2) / 4.4, right=0.96, bottom=0.55 / height, top=0.98
        )
    return figure
