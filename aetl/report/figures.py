"""Figures of one run, drawn from the files of its folder; None where there is nothing to draw."""

from __future__ import annotations

import csv
import importlib.util
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float, Int, Num

from aetl.comparison.by_class import BINS, calibration_error, reliability
from aetl.files import atomic, refuse_link
from aetl.foreign import refuse_endless
from aetl.report.canvas import (
    COLORS,
    DRAWN,
    GREY,
    GROUND,
    INK,
    LETTER,
    Labels,
    axes_grid,
    png,
    style,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

_DOMAINS = ((0, "source"), (1, "target"))
_TILE = 96  # pixels: larger images are shown smaller
_NAMED_CLASSES = 20  # more would not be legible

Curves = Mapping[tuple[str, str, str], tuple[list[float], list[float]]]
"""(stage, split, name) -> steps and values."""


Drawn = dict[str, "Figure | None"]


def run_figures(
    folder: Path, metric: str, classes: Sequence[str] = (), task: str = ""
) -> dict[str, Figure]:
    """The figures that the files of a run's folder allow, by name.

    A file that is not there leaves its figure out; one that cannot be read does so with a warning.
    """
    parts: dict[str, Callable[[Path], Drawn]] = {
        "metrics.csv": lambda p: {"learning_curves": learning_curves(read_curves(p), metric)},
        "reconstructions.npz": lambda p: {"reconstructions": reconstructions(**_arrays(p))},
        "latents.npz": lambda p: {"latent_map": latent_map(**_arrays(p), classes=classes)},
        "predictions.npz": lambda p: _of_predictions(p, classes, task),
        "generated.npz": lambda p: generated(**_arrays(p), classes=classes),
    }
    drawn: dict[str, Figure] = {}
    for file, draw in parts.items():
        if not (folder / file).exists():
            continue
        try:
            found = draw(folder / file)
        except (OSError, ValueError, KeyError, TypeError, IndexError, BadZipFile) as error:
            logger.warning("no figure of %s: %s", folder / file, error)
            continue
        drawn |= {name: figure for name, figure in found.items() if figure is not None}
    return drawn


def save_figures(folder: Path, figures: Mapping[str, Figure]) -> dict[str, Path]:
    """The figures of a run as ``figures/*.png`` in its folder, by name."""
    refuse_link(folder / "figures")
    paths = {name: folder / "figures" / f"{name}.png" for name in figures}
    for name, figure in figures.items():
        with atomic(paths[name]) as temporary:
            temporary.write_bytes(png(figure))
    return paths


def of_task(task: str) -> ModuleType | None:
    """What draws the predictions of a task in its own way, with their captions; a file each."""
    name = f"aetl.report.of_task.{task}"
    known = task.isidentifier() and importlib.util.find_spec(name) is not None
    return importlib.import_module(name) if known else None


def _of_predictions(file: Path, classes: Sequence[str], task: str) -> Drawn:
    arrays, own = _arrays(file), of_task(task)
    if own is None:
        return _prediction_figure(arrays, classes)
    found: Drawn = own.drawn(arrays, classes, file.parent)
    return found


def _prediction_figure(arrays: Mapping[str, np.ndarray], classes: Sequence[str]) -> Drawn:
    y, prediction = arrays["y"], arrays["prediction"]
    if y.ndim > 1:  # several labels for each example
        return {}
    if np.issubdtype(y.dtype, np.integer):
        found: Drawn = {"confusion_matrix": confusion_matrix(y, prediction, classes)}
        if "probability" in arrays and arrays["probability"].ndim == 2:
            found["calibration"] = calibration(y, arrays["probability"])
        return found
    return {"predictions": predictions(y, prediction)}


def _arrays(path: Path) -> dict[str, np.ndarray]:
    refuse_endless(path)
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def read_curves(path: Path) -> Curves:
    """A run's metrics.csv; a line that was cut off is passed over."""
    curves: dict[tuple[str, str, str], tuple[list[float], list[float]]] = defaultdict(
        lambda: ([], [])
    )
    with path.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            try:
                step, value = float(line["step"]), float(line["value"])
            except (TypeError, ValueError):
                continue
            steps, values = curves[line["stage"], line["split"], line["name"]]
            steps.append(step)
            values.append(value)
    return curves


def learning_curves(curves: Curves, metric: str) -> Figure | None:
    """Loss of the pretraining; loss and metric of the transfer, with its scratch twin's."""
    known = {(stage, name) for stage, _, name in curves}
    wanted = [("pretrain", "loss"), ("transfer", "loss"), ("transfer", metric)]
    parts = [part for part in dict.fromkeys(wanted) if part in known]
    if not parts:
        return None
    width = 3.6 * len(parts) + 0.4
    with style():
        figure, axes = axes_grid(width, 3.1, ncols=len(parts))
        for ax, (stage, name) in zip(axes[0], parts, strict=True):
            _curves_axes(ax, curves, stage, name)
        margins = {"left": 0.62 / width, "right": 1 - 0.2 / width, "wspace": 0.26}
        figure.subplots_adjust(bottom=0.17, top=0.88, **margins)
    return figure


def _curves_axes(ax: Axes, curves: Curves, stage: str, name: str) -> None:
    shown: list[tuple[str, str, str, dict[str, Any]]] = [
        (stage, "train", "train", {"color": COLORS[0], "alpha": 0.45, "linewidth": 1.3}),
        (stage, "validation", "validation", {"color": COLORS[0]}),
    ]
    if stage == "transfer":
        # With few labels none are left to validate on: then the twins are compared in training.
        split = "validation" if ("twin", "validation", name) in curves else "train"
        dashed = {"color": GREY, "linestyle": (0, (4, 2))}
        shown.append(("twin", split, "twin", dashed))
    finite: list[float] = []
    for of, split, label, look in shown:
        if (of, split, name) in curves:
            steps, values = curves[of, split, name]
            ax.plot(steps, values, label=label, marker="o" if len(steps) == 1 else None, **look)
            finite += [value for value in values if math.isfinite(value)]
    if finite and min(finite) > 0 and max(finite) > 20 * min(finite):
        _log_axis(ax)
    of_stage = "pretraining" if stage == "pretrain" else stage
    ax.set(title=f"{of_stage}: {name}", xlabel="step")
    ax.grid(axis="y")
    # Where curves that fall or rise leave room; to search the best place takes longer than to draw.
    ax.legend(loc="upper right" if finite and finite[0] > finite[-1] else "lower right")


def _log_axis(ax: Axes) -> None:
    ax.set_yscale("log")
    # Plain numbers: the powers of ten that Matplotlib writes need its mathematical text.
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter("")


def reconstructions(
    x: Num[np.ndarray, "N ..."],
    corrupted: Num[np.ndarray, "N ..."],
    reconstruction: Num[np.ndarray, "N ..."],
    domain: Int[np.ndarray, " N"],
    clean: Num[np.ndarray, "N ..."] | None = None,
    columns: Sequence[str] | np.ndarray = (),
) -> Figure | None:
    """Inputs and their reconstructions: images in [0, 1] over each other (the corrupted row only
    where it differs), series [N, C, L] and vectors [N, D] in one picture each.

    ``clean`` are the reconstructions of the inputs that are not corrupted, ``columns`` the names
    of a vector's entries.
    """
    if x.ndim < 4:
        made = reconstruction if clean is None else clean
        if x.ndim == 3:
            return series_beside(x, made, domain)
        return vectors_beside(x, made, domain, list(map(str, columns)))
    rows: list[tuple[str, str, np.ndarray]] = []
    for value, name in _DOMAINS:
        if not (chosen := np.flatnonzero(domain == value)).size:
            continue
        rows.append((name, "input", x[chosen]))
        if not np.allclose(corrupted[chosen], x[chosen], atol=1e-6):
            rows.append((name, "corrupted", corrupted[chosen]))
        rows.append((name, "reconstruction", reconstruction[chosen]))
        if clean is not None and not np.array_equal(clean[chosen], reconstruction[chosen]):
            rows.append((name, "of the clean", clean[chosen]))
    return tile_figure(rows) if rows else None


_BESIDE = 3
"""Examples of each domain that are drawn with what is made of them, where they are no images."""
_CHANNELS, _COLUMNS = 3, 30


def series_beside(
    x: Float[np.ndarray, "N C L"], made: Float[np.ndarray, "N C L"], domain: Int[np.ndarray, " N"]
) -> Figure:
    """Series and their reconstructions, the first channels below each other."""
    domains = [(value, name) for value, name in _DOMAINS if (domain == value).any()]
    channels = min(_CHANNELS, x.shape[1])
    shape = {"nrows": len(domains) * channels, "ncols": _BESIDE}
    height = 1.15 * shape["nrows"] + 0.6
    with style():
        figure, axes = axes_grid(9.6, height, sharex=True, **shape)
        for d, (value, name) in enumerate(domains):
            chosen = np.flatnonzero(domain == value)[:_BESIDE]
            for c in range(channels):
                label = name if channels == 1 else f"{name}\nchannel {c}"
                axes[d * channels + c, 0].set_ylabel(label, weight="bold")
                for ax, row in zip(axes[d * channels + c], chosen, strict=False):
                    ax.plot(x[row, c], color=INK, alpha=0.55, linewidth=1, label="input")
                    ax.plot(made[row, c], color=COLORS[0], label="reconstruction")
        for ax in axes.flat:
            ax.tick_params(labelsize=8)
        axes[-1, _BESIDE // 2].set_xlabel("moment")
        legend_above(figure, axes[0, 0], height)
        edges = {"bottom": 0.5 / height, "top": 1 - 0.35 / height}
        figure.subplots_adjust(left=0.09, right=0.99, wspace=0.2, hspace=0.25, **edges)
    return figure


def vectors_beside(
    x: Float[np.ndarray, "N D"],
    made: Float[np.ndarray, "N D"],
    domain: Int[np.ndarray, " N"],
    columns: Sequence[str] = (),
) -> Figure | None:
    """Vectors and their reconstructions, a line for each column; of many those that vary most."""
    if not np.isfinite(made).all():
        return None
    kept = np.sort(np.argsort(-x.std(axis=0), kind="stable")[:_COLUMNS])
    every = columns if len(columns) == x.shape[1] else [f"column {i}" for i in range(x.shape[1])]
    names = Labels((str(every[i]) for i in kept), 28)
    examples = [
        (row, name) for value, name in _DOMAINS for row in np.flatnonzero(domain == value)[:_BESIDE]
    ]
    left, high = names.inches + 0.2, names.pitch(0.2) * len(names)
    width, height = left + 1.35 * len(examples) + 0.1, high + 1.0
    with style():
        figure, axes = axes_grid(width, height, ncols=len(examples), sharey=True, sharex=True)
        y = np.arange(len(kept))
        for ax, (row, name) in zip(axes[0], examples, strict=True):
            ax.hlines(y, x[row, kept], made[row, kept], color=INK, alpha=0.35, linewidth=1)
            ax.plot(x[row, kept], y, "o", color=INK, markersize=4, label="input")
            ax.plot(made[row, kept], y, "D", color=COLORS[0], markersize=4, label="reconstruction")
            ax.set_title(name)
            ax.grid(axis="x")
            ax.spines["left"].set_visible(False)
            ax.tick_params(axis="y", length=0)
        axes[0, 0].set_yticks(y, names)
        axes[0, 0].set_ylim(len(kept) - 0.5, -0.5)
        legend_above(figure, axes[0, 0], height)
        edges = {"bottom": 0.35 / height, "top": 1 - 0.6 / height}
        figure.subplots_adjust(left=left / width, right=1 - 0.1 / width, wspace=0.1, **edges)
    return figure


def legend_above(figure: Figure, ax: Axes, height: float, ncols: int = 2) -> None:
    handles, labels = ax.get_legend_handles_labels()
    place: dict[str, Any] = {
        "loc": "upper right",
        "bbox_to_anchor": (1, 1 - 0.02 / height),
        "ncols": ncols,
    }
    figure.legend(handles, labels, borderaxespad=0.2, **place)


def calibration(y: Int[np.ndarray, " N"], probability: Float[np.ndarray, "N K"]) -> Figure | None:
    """A reliability diagram: the share of right predictions by their confidence, over how many
    predictions have it; the dotted line is what could be believed."""
    bins = reliability(y, probability)
    if not bins or not np.isfinite(probability).all():
        return None
    x = [one.confidence for one in bins]
    with style():
        shape = {"nrows": 2, "sharex": True, "height_ratios": [3.0, 1.0]}
        figure, axes = axes_grid(4.6, 4.6, **shape)
        above, below = axes[:, 0]
        above.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (1, 2)))
        above.plot(x, [one.accuracy for one in bins], color=COLORS[0], marker="o", markersize=5)
        above.vlines(x, x, [one.accuracy for one in bins], color=COLORS[1], linewidth=1.2)
        above.set(ylabel="share that is right", ylim=(0, 1.02), xlim=(0, 1))
        above.set_title(f"expected calibration error {calibration_error(bins):.3f}")
        above.grid()
        below.bar(x, [one.count for one in bins], width=0.8 / BINS, color=GREY)
        below.set(xlabel="probability of the predicted class", ylabel="examples")
        figure.subplots_adjust(left=0.15, right=0.97, bottom=0.11, top=0.93, hspace=0.1)
    return figure


def generated(
    mixture: Num[np.ndarray, "R A C H W"],
    interpolation: Num[np.ndarray, "R A C H W"],
    traversal: Num[np.ndarray, "R A C H W"],
    dimensions: Int[np.ndarray, " R"],
    prior: Num[np.ndarray, "R A C H W"] | None = None,
    by_class: Num[np.ndarray, "K A C H W"] | None = None,
    classes: Sequence[str] = (),
) -> Drawn:
    """What ``aetl generate`` made, in [0, 1]: each array is rows of images."""
    samples = [] if prior is None else [("prior", "", row) for row in prior]
    samples += [("mixture", "", row) for row in mixture]
    moved = zip(dimensions, traversal, strict=True)
    figures = {
        "samples": tile_figure(samples),
        "interpolations": tile_figure([("", "", row) for row in interpolation]),
        "traversals": tile_figure([("", f"latent {d}", row) for d, row in moved]),
    }
    if by_class is not None:
        rows = [("", _class_name(classes, i), row) for i, row in enumerate(by_class)]
        figures["samples_by_class"] = tile_figure(rows)
    return dict(figures)


def tile_figure(rows: Sequence[tuple[str, str, np.ndarray]]) -> Figure:
    """One picture of all tiles: an axes for each would take ten times as long to draw."""
    tiles = [[_tile(image) for image in images] for _, _, images in rows]
    height, width = tiles[0][0].shape[:2]
    gap = max(1, round(0.08 * max(height, width)))
    firsts = [i > 0 and rows[i][0] != rows[i - 1][0] for i in range(len(rows))]
    tops = np.cumsum([gap + 3 * gap * first + height for first in firsts]) - height
    columns = max(map(len, tiles))
    picture = np.zeros((int(tops[-1]) + height + gap, gap + columns * (width + gap), 4))
    for top, row in zip(tops, tiles, strict=True):
        for j, tile in enumerate(row):
            left = gap + j * (width + gap)
            picture[top : top + height, left : left + width] = tile
    scale = min(0.95 / width, 0.95 / height)
    size = 1.6 + scale * picture.shape[1], scale * picture.shape[0] + 0.1
    with style():
        figure, axes = axes_grid(*size)
        ax = axes[0, 0]
        ax.imshow(picture, aspect="equal")
        ax.set_yticks(tops + height / 2 - 0.5, [name for _, name, _ in rows])
        ax.tick_params(length=0)
        ax.set_xticks([])
        ax.spines[:].set_visible(False)
        for name in dict.fromkeys(row[0] for row in rows):
            own = [top for top, row in zip(tops, rows, strict=True) if row[0] == name]
            middle = (own[0] + own[-1] + height) / 2
            # Between the figure's left edge and the names of the rows.
            place = {"transform": ax.get_yaxis_transform(), "rotation": 90, "va": "center"}
            ax.text(-1.35 / (size[0] - 1.6), middle, name, weight="bold", **place)
        figure.subplots_adjust(left=1.5 / size[0], right=1 - 0.1 / size[0], bottom=0, top=1)
    return figure


def _tile(image: Num[np.ndarray, "C H W"]) -> Float[np.ndarray, "h w 4"]:
    """An image as RGBA, averaged down where it is larger than a thumbnail."""
    channels = image[:3] if len(image) >= 3 else np.repeat(image[:1], 3, axis=0)
    factor = math.ceil(max(image.shape[1:]) / _TILE)
    if factor > 1:
        h, w = (size // factor for size in image.shape[1:])
        channels = channels[:, : h * factor, : w * factor]
        channels = channels.reshape(3, h, factor, w, factor).mean(axis=(2, 4))
    tile = np.ones((*channels.shape[1:], 4))
    tile[..., :3] = np.clip(np.nan_to_num(channels), 0.0, 1.0).transpose(1, 2, 0)
    return tile


def latent_map(
    z: Num[np.ndarray, "N Z"],
    y: Num[np.ndarray, " N"],
    domain: Int[np.ndarray, " N"],
    classes: Sequence[str] = (),
) -> Figure | None:
    """The latent codes of both domains on the two axes along which they vary most (PCA)."""
    flat = z.reshape(len(z), math.prod(z.shape[1:]))
    finite = np.isfinite(flat).all(axis=1)
    if finite.sum() < 3:
        return None
    points, explained = principal_axes(flat[finite])
    y, domain = y[finite], domain[finite]
    with style():
        figure, axes = axes_grid(5.6, 5.0)
        ax = axes[0, 0]
        if np.issubdtype(y.dtype, np.integer) and y.ndim == 1:
            _class_points(ax, points, y, domain, classes)
            figure.subplots_adjust(left=0.07, right=0.98, bottom=0.08, top=0.93)
        else:
            figure.subplots_adjust(left=0.07, right=0.86, bottom=0.08, top=0.93)
            _value_points(figure, ax, points, y, domain)
        ax.set_xlabel(f"first axis ({explained[0]:.0%} of variance)")
        ax.set_ylabel(f"second axis ({explained[1]:.0%})")
        ax.set(xticks=[], yticks=[])
        _domain_legend(ax, domain)
    return figure


def principal_axes(
    z: Num[np.ndarray, "N Z"],
) -> tuple[Float[np.ndarray, "N 2"], Float[np.ndarray, "2"]]:
    """Scores on the first two principal axes, and the share of the variance along each."""
    from scipy.linalg import eigh

    centered = z.astype(np.float64) - z.mean(axis=0, dtype=np.float64)
    n, dim = centered.shape
    wide = dim > n
    gram = centered @ centered.T if wide else centered.T @ centered
    first = max(0, len(gram) - 2)
    values, vectors = eigh(gram, subset_by_index=[first, len(gram) - 1])
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    # An eigenvector's sign is arbitrary; the same run should give the same picture everywhere.
    vectors *= np.where(vectors.sum(axis=0) < 0, -1.0, 1.0)
    scores, share = np.zeros((n, 2)), np.zeros(2)
    scores[:, : len(values)] = vectors * np.sqrt(values) if wide else centered @ vectors
    share[: len(values)] = values / max(float(np.trace(gram)), 1e-300)
    return scores, share


_MARKERS = {0: "o", 1: "^"}  # source, target
_POINTS: dict[str, Any] = {"s": 15, "alpha": 0.75, "linewidths": 0, "rasterized": True}


def _class_points(
    ax: Axes,
    points: Float[np.ndarray, "N 2"],
    y: Int[np.ndarray, " N"],
    domain: Int[np.ndarray, " N"],
    classes: Sequence[str],
) -> None:
    """A colour for each class; its name in the middle of its points, filled for the source."""
    colors = np.where(y < 0, INK, np.array(COLORS)[y % len(COLORS)])
    for value, marker in _MARKERS.items():
        chosen = domain == value
        x, y_ = points[chosen].T
        points_look = _POINTS | {"rasterized": len(points) > DRAWN}
        ax.scatter(x, y_, c=colors[chosen], marker=marker, **points_look)
    if len(np.unique(y)) > _NAMED_CLASSES:
        return
    for value, label in sorted({*zip(domain.tolist(), y.tolist(), strict=True)}, reverse=True):
        if label < 0:  # of no class that has a name here
            continue
        middle = np.median(points[(y == label) & (domain == value)], axis=0)
        name = _class_name(classes, label)
        ground, ink = COLORS[label % len(COLORS)], GROUND
        if value:
            ground, ink = ink, ground
        box = {"boxstyle": "round,pad=0.25", "fc": ground, "ec": ink, "lw": 0.8}
        look: dict[str, Any] = {"color": ink, "weight": "bold", "fontsize": 9, "bbox": box}
        ax.text(middle[0], middle[1], name, ha="center", va="center", **look)


def _value_points(
    figure: Figure,
    ax: Axes,
    points: Float[np.ndarray, "N 2"],
    y: Num[np.ndarray, " N"],
    domain: Int[np.ndarray, " N"],
) -> None:
    values = y.reshape(len(y), -1)[:, 0]
    span: dict[str, Any] = {"vmin": np.nanmin(values), "vmax": np.nanmax(values)}
    for value, marker in _MARKERS.items():
        x, y_ = points[domain == value].T
        colors = values[domain == value]
        drawn = ax.scatter(x, y_, c=colors, marker=marker, cmap="viridis", **span, **_POINTS)
    bar = figure.colorbar(drawn, cax=figure.add_axes((0.88, 0.08, 0.03, 0.85)))
    bar.set_label("value to predict")
    bar.ax.spines[:].set_visible(False)


def _domain_legend(ax: Axes, domain: Int[np.ndarray, " N"]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker=_MARKERS[value], label=name, linestyle="", color=INK, markersize=5)
        for value, name in _DOMAINS
        if (domain == value).any()
    ]
    ax.legend(handles=handles, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderpad=0)


def confusion_matrix(
    y: Int[np.ndarray, " N"], prediction: Int[np.ndarray, " N"], classes: Sequence[str] = ()
) -> Figure | None:
    """Counts of true class (down) against predicted class; shaded by the share of the row."""
    labelled = y >= 0
    y, prediction = y[labelled], prediction[labelled]
    if not len(y):
        return None
    k = int(max(y.max(), prediction.max(), len(classes) - 1)) + 1
    counts = np.zeros((k, k), dtype=np.int64)
    np.add.at(counts, (y, prediction.astype(np.int64)), 1)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = min(6.5, max(2.6, 0.43 * k))
    with style():
        from matplotlib.colors import LinearSegmentedColormap

        # From nothing to blue rather than from white, so that it also stands on dark ground.
        shades = LinearSegmentedColormap.from_list("shades", [COLORS[0] + "08", COLORS[0] + "ff"])
        # Room for the names on the left, and turned by 45 degrees below.
        names = [_class_name(classes, i) for i in range(k)] if k <= _NAMED_CLASSES else []
        longest = max((len(line) for name in names for line in name.split("\n")), default=0)
        left = 0.45 + LETTER * longest
        bottom = 0.5 if longest <= 3 else 0.55 + 0.06 * longest
        width, height = size + left, size + bottom
        figure, axes = axes_grid(width, height)
        ax = axes[0, 0]
        ax.imshow(share, cmap=shades, vmin=0, vmax=1)
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
        ax.set_xlabel("predicted class")
        ax.set_ylabel("true class")
        if names:
            turn = longest > 3
            ax.set_xticks(range(k), names, rotation=45 * turn, ha="right" if turn else "center")
            ax.set_yticks(range(k), names)
            _cell_counts(ax, counts, share)
        margins = {"left": left / width, "bottom": bottom / height}
        figure.subplots_adjust(right=1 - 0.05 / width, top=1 - 0.05 / height, **margins)
    return figure


def _class_name(classes: Sequence[str], label: int) -> str:
    return wrapped(classes[label] if 0 <= label < len(classes) else str(label), 16)


def _cell_counts(ax: Axes, counts: Int[np.ndarray, "K K"], share: Float[np.ndarray, "K K"]) -> None:
    for i, j in zip(*np.nonzero(counts), strict=True):
        color = "white" if share[i, j] > 0.5 else INK
        ax.text(j, i, str(counts[i, j]), ha="center", va="center", color=color, fontsize=9)


def predictions(y: Num[np.ndarray, " N"], prediction: Num[np.ndarray, " N"]) -> Figure | None:
    """Predicted against true value, with the line of no error."""
    finite = np.isfinite(y) & np.isfinite(prediction)
    if y.ndim != 1 or not finite.any():
        return None
    y, prediction = y[finite], prediction[finite]
    low, high = min(y.min(), prediction.min()), max(y.max(), prediction.max())
    with style():
        figure, axes = axes_grid(4.6, 4.4)
        ax = axes[0, 0]
        ax.plot([low, high], [low, high], color=INK, alpha=0.5, linewidth=1)
        ax.scatter(y, prediction, color=COLORS[0], **_POINTS)
        ax.set(xlabel="true value", ylabel="predicted value", aspect="equal")
        ax.grid()
        figure.subplots_adjust(left=0.17, right=0.97, bottom=0.13, top=0.97)
    return figure
