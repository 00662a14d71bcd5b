"""Autoencoders side by side: a ranking over all that was measured, and their reconstructions.

Any comparison of more than one autoencoder gets it. A column is a reading of the code (a transfer
at a budget), or what pretraining itself gave: reconstruction error, bits per dimension, seconds.
"""

from __future__ import annotations

import base64
import io
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Num

from aetl.comparison.rows import Row
from aetl.comparison.run import Run
from aetl.comparison.statistics import Interval, interval
from aetl.foreign import refuse_endless
from aetl.report.markup import Cell, Html, breakable, join, live_table, section, tag
from aetl.report.panel import NO_VALUE, Panel, budget_text

Variants = dict[str, dict[int, Run]]
"""A run for each seed of each variant."""

TILES = 10
_DECIMALS = {"error": 4, "code": 0, "seconds": 0}
_SCALE = 2  # a pixel of the data is so many of the picture
_MAX_SIDE = 96

_NOTE = (
    "Mean ± 95 % interval (Student's t) over seeds; the best of each column is in bold. The rank "
    "is the mean of the ranks in the columns of scores. Error: mean squared error per element on "
    "held-out source data, in its own units. Bits/dim bound the code length of held-out data, "
    "where the objective is a likelihood with a bound{data}. Seconds are those of pretraining. "
    "Point at a score for what the same reading of its twin ({twin}) gives."
)
_OF_THE_DATA = {
    "binary": "images with every pixel set at random by its grey value",
    "dequantised": "images of 256 grey values",
    "levels": "grey levels",
    "density": "a density of the values",
    "counts": "counts",
}


@dataclass(frozen=True)
class Measure:
    """A column: its title, what is better, and each variant's value with its interval."""

    title: str
    higher_is_better: bool | None
    values: dict[str, Interval]
    notes: dict[str, str]
    decimals: int
    is_score: bool = False

    def rank(self, variant: str) -> float | None:
        """1 for the best; equal values share the mean of their ranks."""
        if self.higher_is_better is None or variant not in self.values:
            return None
        own = self.values[variant].mean
        means = [value.mean for value in self.values.values()]
        ahead = sum(m > own if self.higher_is_better else m < own for m in means)
        return 1 + ahead + 0.5 * (means.count(own) - 1)


def sections(panel: Panel) -> Iterable[Html | None]:
    """The ranking and the reconstructions; nothing where there is only one autoencoder."""
    rows = [row for row in panel.rows if not row.is_control]
    if len({row.autoencoder for row in rows}) < 2:
        return
    variants = _variants(rows)
    columns = [*_readings(panel, rows), *_of_pretraining(variants)]
    order = sorted(variants, key=lambda name: (_rank(columns, name) or math.inf, name))
    where = f"Autoencoders: {panel.title}"
    yield section(where, _table(panel, order, variants, columns), note=_note(rows))
    yield section("Reconstructions side by side", _pictures(order, variants, columns))


def _variants(rows: Iterable[Row]) -> Variants:
    """Each variant's name, with one run for each seed: its pretraining is shared by all."""
    rows = list(rows)
    name = _namer(rows)
    found: defaultdict[str, dict[int, Run]] = defaultdict(dict)
    for row in rows:
        for run in row.runs:
            found[name(row)].setdefault(run.seed, run)
    return {variant: dict(sorted(runs.items())) for variant, runs in found.items()}


def _namer(rows: Sequence[Row]) -> Callable[[Row], str]:
    """The autoencoder; its loss where it occurs with several; settings where those differ."""
    losses: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        losses[row.autoencoder].add(row.loss)

    def name(row: Row) -> str:
        settings = row.transfer.partition(" (")[2]
        parts = [row.autoencoder, row.loss if len(losses[row.autoencoder]) > 1 else ""]
        return " · ".join(filter(None, parts)) + (f" ({settings}" if settings else "")

    return name


def _readings(panel: Panel, rows: Sequence[Row]) -> list[Measure]:
    name = _namer(rows)
    arms = list(dict.fromkeys(row.transfer.partition(" (")[0] for row in rows))
    several = len({row.selector for row in rows}) > 1
    found = []
    for arm in arms:
        short = arm.rpartition("/")[2].replace("_", " ")
        for budget in panel.budgets:
            here = [r for r in rows if r.transfer.partition(" (")[0] == arm and r.budget == budget]
            if not here or (several and len({r.selector for r in here}) > 1):
                continue
            found.append(
                Measure(
                    title=f"{short}, {budget_text(budget, panel.counted)}",
                    higher_is_better=panel.higher_is_better,
                    values={name(r): Interval(r.mean, r.ci_low, r.ci_high) for r in here},
                    notes={name(r): _twin_note(panel, r) for r in here},
                    decimals=panel.decimals,
                    is_score=True,
                )
            )
    return found


def _twin_note(panel: Panel, row: Row) -> str:
    if row.gain_mean is None:
        return ""
    twins = [run.twin[row.metric] for run in row.runs if row.metric in run.twin]
    return f"{row.runs[0].baseline}: {panel.score(sum(twins) / len(twins))}" if twins else ""


def _of_pretraining(variants: Variants) -> list[Measure]:
    """What runs say of their pretraining, whichever way the code was read."""
    runs = [run for of_variant in variants.values() for run in of_variant.values()]
    kinds = sorted({kind for run in runs if (kind := _bits_data(run))})
    measures = [
        _measure("error", False, variants, partial(_number, part="reconstruction", key="source")),
        *(_bits_measure(variants, kind, alone=len(kinds) == 1) for kind in kinds),
        _measure("code", None, variants, _code_size),
        _measure("seconds", None, variants, partial(_number, part="seconds", key="pretrain")),
    ]
    return [measure for measure in measures if measure.values]


def _bits_measure(variants: Variants, kind: str, *, alone: bool) -> Measure:
    """Bits of one kind of data alone: those of different kinds do not compare."""

    def value(run: Run) -> float | None:
        return _number(run, "bits_per_dim", "value") if _bits_data(run) == kind else None

    return _measure("bits/dim" if alone else f"bits/dim ({kind})", False, variants, value)


def _measure(
    title: str,
    higher: bool | None,
    variants: Variants,
    value: Callable[[Run], float | None],
) -> Measure:
    values: dict[str, Interval] = {}
    for name, runs in variants.items():
        found = [v for run in runs.values() if (v := value(run)) is not None and math.isfinite(v)]
        if found:
            values[name] = interval(found)
    return Measure(title, higher, values, {}, _DECIMALS.get(title, 3))


def _number(run: Run, part: str, key: str) -> float | None:
    value = (run.record.get(part) or {}).get(key)
    return float(value) if isinstance(value, int | float) else None


def _bits_data(run: Run) -> str | None:
    data = (run.record.get("bits_per_dim") or {}).get("data")
    return None if data is None else str(data)


def _code_size(run: Run) -> float | None:
    latent = run.record.get("latent")
    return float(math.prod(latent)) if isinstance(latent, list) and latent else None


def _rank(columns: Sequence[Measure], variant: str) -> float | None:
    """The mean rank over the columns of scores."""
    ranks = [r for c in columns if c.is_score and (r := c.rank(variant)) is not None]
    return sum(ranks) / len(ranks) if ranks else None


def _note(rows: Sequence[Row]) -> str:
    data = {d for row in rows for run in row.runs if (d := _bits_data(run))}
    told = "; ".join(_OF_THE_DATA.get(name, name) for name in sorted(data))
    twins = sorted({run.baseline for row in rows for run in row.runs})
    return _NOTE.format(data=f" (of {told})" if told else "", twin=" or ".join(twins))


def _table(
    panel: Panel, order: Sequence[str], variants: Variants, columns: Sequence[Measure]
) -> Html:
    heads = [("autoencoder", False), ("rank", True), *((c.title, True) for c in columns)]
    body = []
    for name in order:
        rank = _rank(columns, name)
        cells = [Cell(join([tag("strong", breakable(name)), _warned(variants[name])]), name)]
        cells.append(
            Cell("" if rank is None else f"{rank:.1f}", "" if rank is None else rank, True)
        )
        cells += [_cell(column, name) for column in columns]
        body.append((cells, ""))
    identity = "ranking-" + "".join(c if c.isalnum() else "-" for c in panel.title + panel.metric)
    return tag("div", live_table(identity, heads, body), class_="ranking")


def _warned(runs: Mapping[int, Run]) -> Html | None:
    """A mark where runs warn of a latent that is hardly used; it says of what."""
    lines = [line for run in runs.values() for line in run.record.get("warnings") or ()]
    said = "; ".join(f"{line} ({n} of {len(runs)} seeds)" for line, n in Counter(lines).items())
    return tag("span", " ⚠", title=said, class_="worse") if lines else None


def _cell(column: Measure, name: str) -> Cell:
    value = column.values.get(name)
    if value is None:
        return Cell(NO_VALUE, "", number=True)
    text = f"{value.mean:.{column.decimals}f}"
    best = column.rank(name) is not None and text == f"{_best(column):.{column.decimals}f}"
    reach = None if value.high is None else f" ±{value.high - value.mean:.{column.decimals}f}"
    shown = tag("span", text, class_="best" if best else None)
    small = tag("small", reach) if reach and column.is_score else None
    share = f"--share: {_share(column, value.mean):.3f}" if column.is_score else None
    note = column.notes.get(name) or None
    content = tag("span", shown, small, class_="meter" if share else None, style=share, title=note)
    return Cell(content, value.mean, number=True)


def _best(column: Measure) -> float:
    means = [value.mean for value in column.values.values()]
    return max(means) if column.higher_is_better else min(means)


def _share(column: Measure, mean: float) -> float:
    """Where between the worst and the best of the column a value lies."""
    means = [value.mean for value in column.values.values()]
    low, high = min(means), max(means)
    share = (mean - low) / (high - low) if high > low else 1.0
    return share if column.higher_is_better else 1.0 - share


def _pictures(order: Sequence[str], variants: Variants, columns: Sequence[Measure]) -> Html | None:
    """A strip of inputs over the strips of all that reconstruct the same inputs."""
    groups: dict[bytes, list[tuple[str, np.ndarray]]] = defaultdict(list)
    originals: dict[bytes, np.ndarray] = {}
    for name in order:
        found = _strip(next(iter(variants[name].values())).folder)
        if found is not None:
            x, made = found
            originals.setdefault(x.tobytes(), x)
            groups[x.tobytes()].append((name, made))
    return join(_group(originals[key], group, columns) for key, group in groups.items()) or None


def _strip(folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """A run's first source images and what is made of them uncorrupted; None without pictures."""
    try:
        refuse_endless(folder / "reconstructions.npz")
        with np.load(folder / "reconstructions.npz", allow_pickle=False) as file:
            chosen = np.flatnonzero(file["domain"] == 0)[:TILES]
            if file["x"].ndim != 4:
                return None
            made = file["clean"] if "clean" in file.files else file["reconstruction"]
            return (file["x"][chosen], made[chosen]) if len(chosen) else None
    except (OSError, ValueError, KeyError, IndexError, BadZipFile):
        return None


def _group(
    x: np.ndarray, group: Sequence[tuple[str, np.ndarray]], columns: Sequence[Measure]
) -> Html:
    errors = next((column for column in columns if column.title == "error"), None)
    cells = [_strip_cell("original", "", x, "original")]
    for name, made in group:
        value = errors.values.get(name) if errors else None
        told = f"{value.mean:.4f}" if value and errors else ""
        cells.append(_strip_cell(name, told, made, None))
    return tag("div", *cells, class_="strips")


def _strip_cell(name: str, told: str, images: np.ndarray, look: str | None) -> Html:
    source = f"data:image/png;base64,{_png(images)}"
    picture = Html(f'<img src="{source}" alt="">')
    small = tag("small", f" error {told}") if told else None
    return tag("figure", tag("figcaption", name, small), picture, class_=look)


def _png(images: Num[np.ndarray, "N C H W"]) -> str:
    """Images in a row, in base64."""
    from PIL import Image

    step = max(1, math.ceil(max(images.shape[2:]) / _MAX_SIDE))
    grey = images.shape[1] < 3
    rows = np.clip(np.nan_to_num(images[:, : 1 if grey else 3, ::step, ::step]), 0.0, 1.0)
    gap = np.ones((*rows.shape[:3], 1))
    row = np.concatenate([part for image in rows for part in (image, gap[0])][:-1], axis=2)
    pixels = np.round(255 * row.transpose(1, 2, 0)).astype(np.uint8)
    picture = Image.fromarray(pixels[..., 0] if grey else pixels)
    size = picture.width * _SCALE, picture.height * _SCALE
    buffer = io.BytesIO()
    picture.resize(size, Image.Resampling.NEAREST).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
