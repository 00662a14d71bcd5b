"""Which classes the clusters hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from aetl.metric.cluster_accuracy import matched
from aetl.report.canvas import COLORS, DRAWN, GROUND, INK, Labels, axes_grid, style
from aetl.report.figures import principal_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTIONS = {
    "clusters": (
        "Target test examples of each class in each cluster, shaded by the share of the class; a "
        "cluster stands at the class that it is matched with."
    ),
    "cluster_map": "The pretrained latent codes of target test examples, coloured by cluster.",
}
MOST = 30


def drawn(
    arrays: Mapping[str, np.ndarray], classes: Sequence[str], folder: Path
) -> dict[str, Figure | None]:
    y, cluster = arrays["y"], arrays["prediction"]
    known = y >= 0
    if not known.any() or max(int(cluster.max()), int(y.max())) >= MOST:
        return {}
    found: dict[str, Figure | None] = {"clusters": clusters(y[known], cluster[known], classes)}
    if (folder / "latents.npz").exists():
        with np.load(folder / "latents.npz", allow_pickle=False) as latents:
            z = latents["z"][latents["domain"] == 1]  # the first test examples
        found["cluster_map"] = cluster_map(z.reshape(len(z), -1), cluster[: len(z)])
    return found


def cluster_map(z: Float[np.ndarray, "N Z"], cluster: Int[np.ndarray, " N"]) -> Figure | None:
    """The pretrained latent codes on their principal axes, in the clusters' colours."""
    if len(z) < 3 or not np.isfinite(z).all():
        return None
    points, _ = principal_axes(z)
    with style():
        figure, axes = axes_grid(4.8, 4.4)
        ax = axes[0, 0]
        colors = np.array(COLORS)[cluster % len(COLORS)]
        look: dict[str, Any] = {
            "s": 14,
            "alpha": 0.7,
            "linewidths": 0,
            "rasterized": len(points) > DRAWN,
        }
        ax.scatter(*points.T, c=colors, **look)
        for k in np.unique(cluster):
            middle = np.median(points[cluster == k], axis=0)
            box = {"boxstyle": "round,pad=0.25", "fc": COLORS[k % len(COLORS)], "ec": GROUND}
            look = {"color": GROUND, "weight": "bold", "fontsize": 8, "bbox": box}
            ax.text(*middle, str(k), ha="center", va="center", **look)
        ax.set(xticks=[], yticks=[], xlabel="first axis", ylabel="second axis")
        figure.subplots_adjust(left=0.08, right=0.98, bottom=0.08, top=0.98)
    return figure


def clusters(
    y: Int[np.ndarray, " N"], cluster: Int[np.ndarray, " N"], classes: Sequence[str]
) -> Figure:
    counts = np.zeros((max(len(classes), int(y.max()) + 1), int(cluster.max()) + 1), np.int64)
    np.add.at(counts, (y, cluster), 1)
    found, of = matched(y, cluster)
    place = dict(zip(found.tolist(), of.tolist(), strict=True))
    order = sorted(range(counts.shape[1]), key=lambda k: (place.get(k, len(counts)), k))
    counts = counts[:, order]
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    width, height = 0.45 * counts.shape[1] + 1.4, 0.4 * len(counts) + 0.8
    with style():
        from matplotlib.colors import LinearSegmentedColormap

        shades = LinearSegmentedColormap.from_list("shades", [COLORS[0] + "08", COLORS[0] + "ff"])
        figure, axes = axes_grid(width, height)
        ax = axes[0, 0]
        ax.imshow(share, cmap=shades, vmin=0, vmax=1, aspect="auto")
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
        ax.set(xlabel="cluster", ylabel="class")
        ax.set_xticks(range(len(order)), [str(k) for k in order])
        names = Labels((classes[k] if k < len(classes) else str(k) for k in range(len(counts))), 16)
        ax.set_yticks(range(len(counts)), names)
        for i, j in zip(*np.nonzero(counts), strict=True):
            ink = "white" if share[i, j] > 0.5 else INK
            ax.text(j, i, str(counts[i, j]), ha="center", va="center", color=ink, fontsize=8)
        left = 0.5 + names.inches
        figure.subplots_adjust(left=left / width, right=0.99, bottom=0.5 / height, top=0.98)
    return figure
