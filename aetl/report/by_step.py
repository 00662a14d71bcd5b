"""What an autoencoder made of the same examples, step after step of its pretraining."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float, Int, Num

from aetl.foreign import refuse_endless
from aetl.report.canvas import COLORS, INK, Labels, axes_grid, style
from aetl.report.figures import legend_above, tile_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

FILE = "reconstructions_by_step.npz"
CAPTION = (
    "The same held-out source examples at steps of the pretraining (callback=reconstructions, "
    "which takes at most as many pictures as its key says; all of them are in "
    "figures/reconstructions)."
)
_ROWS = 8
"""So many steps are shown, evenly spaced, the last one among them."""
_BESIDE, _CHANNELS, _COLUMNS = 3, 3, 30


def drawn(folder: Path) -> Figure | None:
    """The figure that a run's folder allows; None with a warning for a file that cannot be read."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        refuse_endless(path)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return by_step(**arrays)
    except (OSError, ValueError, KeyError, TypeError, IndexError, BadZipFile) as error:
        logger.warning("no figure of %s: %s", path, error)
        return None


def by_step(
    x: Num[np.ndarray, "N ..."],
    made: Num[np.ndarray, "S N ..."],
    step: Int[np.ndarray, " S"],
    columns: Sequence[str] | np.ndarray = (),
) -> Figure | None:
    """Images [N, C, H, W] in rows, series [N, C, L] and vectors [N, D] in a picture for each
    example, later steps in a fuller colour."""
    if not len(x) or not len(step) or not np.isfinite(made).all():
        return None
    kept = np.unique(np.linspace(0, len(step) - 1, _ROWS).round().astype(int))
    made, names = made[kept], [f"step {int(s)}" for s in step[kept]]
    if x.ndim == 4:
        rows = [("", "input", x), *(("", n, m) for n, m in zip(names, made, strict=True))]
        return tile_figure(rows)
    x, made = x[:_BESIDE], made[:, :_BESIDE]
    return _series(x, made, names) if x.ndim == 3 else _vectors(x, made, names, list(columns))


def _look(place: int, steps: int) -> dict[str, float]:
    return {"alpha": 0.25 + 0.75 * (place + 1) / steps}


def _label(place: int, names: Sequence[str]) -> str | None:
    """The first and the last step are named."""
    return names[place] if place in (0, len(names) - 1) else None


def _series(
    x: Float[np.ndarray, "N C L"], made: Float[np.ndarray, "S N C L"], names: Sequence[str]
) -> Figure:
    channels = min(_CHANNELS, x.shape[1])
    height = 1.25 * channels + 0.9
    with style():
        figure, axes = axes_grid(9.6, height, nrows=channels, ncols=len(x), sharex=True)
        for c in range(channels):
            for ax, row in zip(axes[c], range(len(x)), strict=True):
                for place, one in enumerate(made):
                    look = _look(place, len(made))
                    ax.plot(one[row, c], color=COLORS[0], label=_label(place, names), **look)
                ax.plot(x[row, c], color=INK, linewidth=1, label="input")
                ax.tick_params(labelsize=8)
        axes[-1, len(x) // 2].set_xlabel("moment")
        legend_above(figure, axes[0, 0], height, 3)
        edges = {"bottom": 0.5 / height, "top": 1 - 0.35 / height}
        figure.subplots_adjust(left=0.06, right=0.99, wspace=0.2, hspace=0.25, **edges)
    return figure


def _vectors(
    x: Float[np.ndarray, "N D"], made: Float[np.ndarray, "S N D"], names: Sequence[str],
    columns: Sequence[str],
) -> Figure:  # fmt: skip
    kept = np.sort(np.argsort(-x.std(axis=0), kind="stable")[:_COLUMNS])
    every = columns if len(columns) == x.shape[1] else [f"column {i}" for i in range(x.shape[1])]
    labels = Labels((str(every[i]) for i in kept), 28)
    left, high = labels.inches + 0.2, labels.pitch(0.2) * len(labels)
    width, height = left + 2.2 * len(x) + 0.1, high + 0.8
    with style():
        figure, axes = axes_grid(width, height, ncols=len(x), sharey=True, sharex=True)
        y = np.arange(len(kept))
        for row, ax in enumerate(axes[0]):
            for place, one in enumerate(made):
                look = {"color": COLORS[0], "markersize": 4, **_look(place, len(made))}
                ax.plot(one[row, kept], y, "D", label=_label(place, names), **look)
            ax.plot(x[row, kept], y, "o", color=INK, markersize=4, label="input")
            ax.grid(axis="x")
            ax.spines["left"].set_visible(False)
            ax.tick_params(axis="y", length=0)
        axes[0, 0].set_yticks(y, labels)
        axes[0, 0].set_ylim(len(kept) - 0.5, -0.5)
        legend_above(figure, axes[0, 0], height, 3)
        edges = {"bottom": 0.35 / height, "top": 1 - 0.4 / height}
        figure.subplots_adjust(left=left / width, right=1 - 0.1 / width, wspace=0.1, **edges)
    return figure
