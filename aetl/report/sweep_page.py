"""The page of a sweep: comparison, curves over budgets, gains and runs, in one offline file."""

from __future__ import annotations

import base64
import io
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from aetl.comparison.aggregate import aggregates
from aetl.comparison.label_efficiency import learning_curves
from aetl.comparison.rows import Row, rows
from aetl.comparison.run import RECORD, Found, Run, find_runs
from aetl.comparison.search import MIN_R2, importance, searches
from aetl.comparison.standing import Standing, standing_text, standings
from aetl.files import write_text
from aetl.report import autoencoders, details_page
from aetl.report.aggregate_table import AGGREGATED, aggregate_texts
from aetl.report.canvas import svg
from aetl.report.markup import (
    Cell,
    Html,
    breakable,
    bullets,
    chips,
    document,
    figure,
    join,
    live_table,
    scrolled,
    section,
    tag,
)
from aetl.report.page import PAGE, write_run_page
from aetl.report.panel import (
    NO_VALUE,
    Panel,
    baseline_text,
    budget_text,
    needed,
    p_text,
    panels,
    said,
    signed,
    symbol,
    symbols,
)
from aetl.report.remarks import interval_text, remarks
from aetl.report.search_figures import importance_bars, parallel_coordinates
from aetl.report.sweep_figures import budget_curves, gain_forest

DEFAULT_NAME = "comparison.html"

_DRAWN_PANELS = 30
_DRAWN_ARMS = 30  # more curves than that cannot be told apart
_PICTURED_ROWS = 60
_DRAWN_RUNS = 12
_NAMES = ("source", "target", "metric", "autoencoder", "loss", "selector")
_THUMBNAILS = ("reconstructions", "latent_map", "confusion_matrix", "predictions")
_THUMBNAIL_HEIGHT = 160

_HOW_TO_READ = (
    "Mean and 95 % interval (Student's t) over seeds. The gain is the score less that of its twin "
    "({twin}) on the same split, budget and seed; positive is better. Its 95 % interval is over "
    "{over}. The verdict is positive or negative where that leaves out zero, equivalent where it "
    "lies within the region of practical equivalence (in accuracy ±0.01, if the config says "
    "nothing else), else undecided, with the number of further seeds or test examples that would "
    "decide, and unknown with fewer than three seeds. p is of the same t distribution, adjusted "
    "for the arms of the same source, target and budget (Holm). Where that p is not below 0.05, "
    "the symbol is hollow: this one arm's interval leaves out zero, but so many arms were tried "
    "that chance may have done it. † marks an arm that the strongest control surely surpasses: "
    "transfer may help it, but a simpler way does better."
)
_CURVES = (
    "Mean over seeds with its 95 % interval (bars stand a little beside each other), and the gains "
    "with theirs; controls dashed. Each arm on the seeds that it has at every budget."
)
_FOREST = (
    "Gain over the twin with its 95 % interval: blue triangles are positive, orange ones negative "
    "(hollow: not after Holm's correction), squares equivalent, grey dots undecided, hollow ones "
    "unknown. A dotted "
    "line is the strongest control, where it is one for all arms."
)


_MAP = (
    "A line for each arm, a column for each source and target. Blue helps, orange hurts. "
    "Faint where the 95 % interval holds zero, bold where the verdict stands "
    "after Holm's correction for the arms."
)
_RANKS = (
    "Mean rank over the targets, best on the left; controls grey. A bar joins arms whose "
    "mean ranks do not differ (Nemenyi, 5 %)."
)


_PROFILES = (
    "The share of runs that gain more than what the axis says: a curve that lies above another one "
    "everywhere belongs to the better arm."
)
_AGGREGATES = (
    "Interquartile mean of the gains of all runs, and the probability that a run scores more than "
    "a run of the twin, the mean over pairs and budgets; in brackets the 95 % interval of a "
    "bootstrap over seeds within each of them (Agarwal et al. 2021), on these test sets."
)
_PICTURES = "aetl report RUN makes the page and the pictures of a run that has none yet."
_PARALLEL = "A line for each trial, yellow the best; mean over seeds."
_IMPORTANCE = (
    "How much worse a random forest tells the score when one hyper-parameter is shuffled; it tells "
    "trials that it has not seen"
)
_NO_IMPORTANCE = (
    "Which hyper-parameter mattered cannot be said from these trials: a random forest of them "
    "tells trials that it has not seen with an R² of {:.2f}, and below {} it means nothing."
)


def write_sweep_page(
    paths: Sequence[str | Path], output: str | Path | None = None, metric: str | None = None
) -> Path:
    """Compare the runs below the paths on one page, also where some or all have no result.

    Raises FileNotFoundError for a missing path and ValueError for an unknown metric.
    """
    found = find_runs(paths)
    path = Path(output) if output else default_path(paths)
    write_comparison(found, rows(found.done, metric), path)
    return path


def draw_runs(table: Sequence[Row]) -> None:
    """The page and the pictures of the first run of the first rows, where its job made none."""
    for row in table[:_DRAWN_RUNS]:
        if not (row.runs[0].folder / PAGE).exists():
            write_run_page(row.runs[0].folder)


def write_comparison(found: Found, table: Sequence[Row], path: Path) -> None:
    """The page of runs that were read and grouped already."""
    content = _content(found, table, path.parent)
    write_text(path, document("Comparison of transfers", *content, script=True))


def content_below(folder: Path) -> Iterable[Html | None]:
    """What a sweep's page shows of the runs that have ended so far."""
    found = find_runs([folder])
    table = rows(found.done)
    return _content(found, table, folder) if table else ()


def default_path(paths: Sequence[str | Path]) -> Path:
    """``report.html`` in the one folder that is given, or else ``comparison.html`` here."""
    only = Path(paths[0])
    is_sweep = len(paths) == 1 and only.is_dir() and not (only / RECORD).exists()
    return only / PAGE if is_sweep else Path(DEFAULT_NAME)


def _content(found: Found, table: Sequence[Row], home: Path) -> Iterable[Html | None]:
    cut = panels(table)
    yield _header(found, table)
    yield from _overview(table)
    yield from _aggregates(table)
    yield from _searches(found, table)
    for number, panel in enumerate(cut[:_DRAWN_PANELS]):
        yield from autoencoders.sections(panel)
        yield _panel(panel, number)
    how = _HOW_TO_READ.format(twin=_twin(table), over=interval_text(table))
    yield section("All rows", _comparison(cut), bullets(remarks(table)), note=how)
    yield from details_page.sections(table)
    yield section("Runs", _runs(table, home), note=_PICTURES)
    yield section("Without a result", _unfinished(found, home))


def _header(found: Found, table: Sequence[Row]) -> Html:
    arms = [row for row in table if not row.is_control]
    counts = Counter(row.outcome for row in arms)
    looks = {row.outcome: _look(row) for row in arms}
    badges = [
        tag("li", tag("span", f"{mark} {counts[outcome]} {outcome}", class_=looks[outcome]))
        for outcome, mark in symbols(counts).items()
    ]
    told: list[tuple[str, object]] = [("finished runs", len(found.done)), ("rows", len(table))]
    if left_out := found.left_out():
        told.append(("without a result", left_out))
    if beaten := sum(row.beaten for row in table):
        told.append(("arms that a simpler control beats", beaten))
    return tag(
        "header",
        tag("p", "aetl compare", class_="eyebrow"),
        tag("h1", _question(table)),
        tag("ul", *badges, class_="chips verdicts") if badges else None,
        chips(told),
    )


def _overview(table: Sequence[Row]) -> Iterable[Html | None]:
    """What a sweep over several pairs says as a whole."""
    from aetl.report.standing_figures import gain_map, rank_diagram

    for number, metric in enumerate(dict.fromkeys(row.metric for row in table)):
        drawing = gain_map([row for row in table if row.metric == metric])
        title = f"Gain in {metric} over {baseline_text(table)}"
        yield section(title, _drawing(drawing, f"gain map {number}", _MAP))
    for number, standing in enumerate(standings(table)):
        drawing = rank_diagram(standing)
        yield section(
            f"Ranks by {standing.metric}",
            tag("p", standing_text(standing), class_="note"),
            _drawing(drawing, f"mean ranks {number}", _RANKS),
            _places(standing, number),
        )


def _aggregates(table: Sequence[Row]) -> Iterable[Html | None]:
    """Arms over all pairs and budgets, beside their ranks."""
    from aetl.report.standing_figures import profiles

    for number, (metric, found) in enumerate(aggregates(table).items()):
        columns = [("arm", False), *((name, True) for name in AGGREGATED)]
        body = [
            (
                [
                    Cell(breakable(one.label), one.label),
                    *(
                        Cell(text, value, number=True)
                        for text, value in zip(
                            aggregate_texts(one),
                            (one.gain.mean, one.improvement.mean, one.cells, one.runs),
                            strict=True,
                        )
                    ),
                ],
                "control" if one.arm[0].startswith("control/") else "",
            )
            for one in found
        ]
        yield section(
            f"Over all pairs and budgets, by {metric}",
            _drawing(profiles(metric, found), f"profiles {number}", _PROFILES),
            live_table(f"aggregates-{number}", columns, body),
            note=_AGGREGATES,
        )


def _searches(found: Found, table: Sequence[Row]) -> Iterable[Html | None]:
    """What was tried in a search over hyper-parameters, and what mattered."""
    for number, metric in enumerate(dict.fromkeys(row.metric for row in table)):
        for part, search in enumerate(searches(found.done, metric)):
            mattered = importance(search)
            lines = parallel_coordinates(search)
            bars: Html | None = tag("p", _NO_IMPORTANCE.format(mattered.r2, MIN_R2), class_="note")
            if mattered.tells:
                note = f"{len(search.trials)} trials. {_IMPORTANCE} (R² {mattered.r2:.2f})."
                bars = _drawing(importance_bars(mattered), f"importance {number} {part}", note)
            yield section(
                f"Search on {search.title}, by {search.metric}",
                _drawing(lines, f"trials {number} {part}", _PARALLEL),
                bars,
            )


def _places(standing: Standing, number: int) -> Html:
    outcomes = symbols(outcome for place in standing.places for outcome in place.outcomes)
    columns = [("arm", False), ("mean rank", True)]
    columns += [(mark, True) for mark in outcomes.values()]
    columns.append(("a control is better", True))
    body = [
        (
            [
                Cell(breakable(place.label), place.label),
                Cell(f"{place.rank:.2f}", place.rank, number=True),
                *(Cell(place.outcomes[outcome], number=True) for outcome in outcomes),
                Cell(place.beaten, number=True),
            ],
            "control" if place.arm[0].startswith("control/") else "",
        )
        for place in standing.places
    ]
    return live_table(f"ranks-{number}", columns, body)


def _question(table: Sequence[Row]) -> str:
    several = len({row.autoencoder for row in table if not row.is_control}) > 1
    return "Which autoencoder, and does transfer help?" if several else "Does transfer help?"


def _twin(table: Sequence[Row]) -> str:
    name = baseline_text(table)
    return "the same network trained from scratch" if name == "scratch" else name


def _badge(row: Row) -> Html:
    return tag("span", said(row), class_=_look(row))


def _told(row: Row) -> str:
    """``undecided transfer, +4 seeds would decide``, for who points at it."""
    more = f", {needed(row)} would decide" if needed(row) else ""
    return f"{row.outcome} transfer{more}"


def _look(row: Row) -> str:
    """The classes of a badge."""
    return f"badge {row.verdict}{' hollow' if row.uncorrected else ''}"


def _comparison(cut: Sequence[Panel]) -> Html | None:
    """Every row; of the names only those that differ."""
    pairs = [(panel, row) for panel in cut for row in panel.rows]
    if not pairs:
        return None
    columns = [("arm", False), ("verdict", False), *((name, False) for name in _NAMES)]
    columns.append((_counted(cut), True))
    choices = range(len(columns))
    columns += [("seeds", True), ("mean", True), ("± 95 %", True), ("gain", True)]
    columns += [("95 % of gain", True), ("over seeds alone", True), ("p", True)]
    columns += [("better on a new seed", True), ("effect size", True)]
    columns += [("strongest control", False)]
    body = [(_cells(panel, row), "control" if row.is_control else "") for panel, row in pairs]
    return live_table("comparison", columns, body, choices)


def _counted(cut: Sequence[Panel]) -> str:
    return " or ".join(sorted({panel.counted for panel in cut}))


def _cells(panel: Panel, row: Row) -> list[Cell]:
    reach = None if row.ci_high is None else row.ci_high - row.mean
    gain = "" if row.gain_mean is None or row.is_baseline else row.gain_mean
    arm = join([breakable(row.transfer), _dagger(panel, row), _warning(panel, row)])
    return [
        Cell(arm, row.transfer),
        Cell("" if row.is_baseline else _badge(row), "" if row.is_baseline else row.verdict),
        *(Cell(getattr(row, name)) for name in _NAMES),
        Cell(row.budget, number=True),
        Cell(row.n, number=True),
        Cell(panel.score(row.mean), row.mean, number=True),
        Cell("" if reach is None else panel.score(reach), "" if reach is None else reach, True),
        Cell(panel.gain(row), gain, number=True),
        Cell(panel.gain_interval(row), "" if row.gain_ci_low is None else row.gain_ci_low, True),
        Cell(panel.seeds_interval(row), "" if row.gain_ci_low is None else row.gain_ci_low, True),
        Cell(p_text(row.p_value), "" if row.p_value is None else row.p_value, number=True),
        *_numbers([None, None] if row.is_baseline else [row.better_on_a_new_seed, row.effect_size]),
        Cell(_strongest(panel, row)),
    ]


def _numbers(values: Sequence[float | None]) -> list[Cell]:
    return [Cell("" if v is None else f"{v:.2f}", "" if v is None else v, True) for v in values]


def _dagger(panel: Panel, row: Row) -> Html | None:
    """The mark of an arm that a control surpasses, which says which one."""
    said = f"{_strongest(panel, row)} is better"
    return tag("span", "†", title=said) if row.beaten else None


def _warning(panel: Panel, row: Row) -> Html | None:
    """The mark of a row whose runs warn of something, which says of what."""
    mark = panel.warning(row)
    return tag("span", mark, title=row.warnings) if mark else None


def _strongest(panel: Panel, row: Row) -> str:
    if row.control is None or row.control_mean is None:
        return ""
    return f"{row.control.removeprefix('control/')} {panel.score(row.control_mean)}"


def _panel(panel: Panel, number: int) -> Html | None:
    """Arms x budgets as a table, as curves and as gains."""
    legible = len(panel.arms) <= _DRAWN_ARMS
    curves, forest = (draw(panel) if legible else None for draw in (budget_curves, gain_forest))
    over = _drawing(curves, f"scores over budgets {number}", _CURVES)
    gains = _drawing(forest, f"gains {number}", _FOREST)
    return section(
        panel.title,
        tag("p", panel.subtitle(), class_="note"),
        # Whichever picture there is stands beside the table; a second one goes below.
        tag("div", _matrix(panel), *([over] if over else [gains]), class_="side"),
        _ends(panel),
        gains if over else None,
    )  # fmt: skip


def _ends(panel: Panel) -> Html | None:
    """From what budget on each arm gains nothing, and what the curves leave out."""
    curves = learning_curves(panel.rows)
    told = [f"{panel.arms[arm]} {curve.ends.text()}" for arm, curve in curves.items() if curve.ends]
    if not told:
        return None
    text = (
        f"Transfer stops to pay, the gain being a curve that falls with the {panel.counted}, at "
        f"(95 % over seeds): {'; '.join(told)}."
    )
    if left := sum(curve.left_out for curve in curves.values()):
        text += f" Curves leave out {left} seeds that are not at every number of {panel.counted}."
    return tag("p", text, class_="note")


def _matrix(panel: Panel) -> Html:
    budgets = (budget_text(budget, panel.counted) for budget in panel.budgets)
    head = [tag("th", text, scope="col") for text in ("arm", *budgets)]
    body: list[Html | None] = [
        tag(
            "tr",
            tag("th", breakable(label), scope="row"),
            *(_matrix_cell(panel, panel.cells.get((arm, budget))) for budget in panel.budgets),
            class_="control" if arm[0].startswith("control/") else None,
        )
        for arm, label in panel.arms.items()
    ]
    body.append(_strongest_controls(panel))
    table = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *body), class_="matrix")
    return scrolled(table)


def _strongest_controls(panel: Panel) -> Html | None:
    """One for all arms; nothing where each has its own, which stands in its row."""
    name = "strongest control"
    if any(row.beaten for row in panel.rows):
        name += " († is below it)"
    found = [panel.control(budget) for budget in panel.budgets]
    if not any(found):
        return None
    cells = (f"{c[0].removeprefix('control/')} {panel.score(c[1])}" if c else "" for c in found)
    row = (tag("td", tag("small", cell)) for cell in cells)
    return tag("tr", tag("th", tag("small", name), scope="row"), *row, class_="control")


def _matrix_cell(panel: Panel, row: Row | None) -> Html:
    if row is None:
        return tag("td", NO_VALUE)
    reach = None if row.ci_high is None else f" ±{panel.score(row.ci_high - row.mean)}"
    look = "best" if row.mean == panel.best(row.budget) else None
    mean = [tag("span", panel.score(row.mean), class_=look), tag("small", reach)]
    if row.is_baseline or row.gain_mean is None:
        return tag("td", *mean, Html("<br>"), tag("small", panel.gain(row)))
    gain = f"{symbol(row)} {panel.gain(row)}"
    badge = tag("span", gain, class_=_look(row), title=_told(row))
    return tag("td", *mean, _dagger(panel, row), Html("<br>"), badge)


def _drawing(drawing: object, label: str, caption: str) -> Html | None:
    from matplotlib.figure import Figure

    return figure(Html(svg(drawing, label)), caption) if isinstance(drawing, Figure) else None


def _runs(table: Sequence[Row], home: Path) -> Html | None:
    """Every run of every row with a link to its page, and pictures of each row's first seed."""
    columns = [("run", False), *((name, False) for name in _NAMES), ("arm", False)]
    columns += [(_counted(panels(table)), True), ("seed", True), ("score", True), ("twin", True)]
    columns += [("gain", True), ("pictures", False)]
    pictured = {id(row.runs[0]) for row in table[:_PICTURED_ROWS]}
    body = [
        (
            [
                Cell(_link(run.folder, home)),
                *(Cell(getattr(row, name)) for name in _NAMES),
                *_run_cells(panel, row, run),
                Cell(_thumbnails(run, home) or "" if id(run) in pictured else ""),
            ],
            "",
        )
        for panel in panels(table)
        for row in panel.rows
        for run in row.runs
    ]
    return live_table("runs", columns, body, choices=range(1, len(_NAMES) + 4)) if body else None


def _run_cells(panel: Panel, row: Row, run: Run) -> list[Cell]:
    score, twin, gain = run.scores[row.metric], run.twin.get(row.metric), run.gain(row.metric)
    return [
        Cell(row.transfer),
        Cell(row.budget, number=True),
        Cell(run.seed, number=True),
        Cell(panel.score(score), score, number=True),
        Cell(NO_VALUE if twin is None else panel.score(twin), "" if twin is None else twin, True),
        Cell(*_gain_cell(panel, gain), number=True),
    ]


def _gain_cell(panel: Panel, gain: float | None) -> tuple[str, float | str]:
    return (NO_VALUE, "") if gain is None else (signed(gain, panel.decimals), gain)


def _link(folder: Path, home: Path) -> object:
    """The run's folder; a link to its page where it has one."""
    name = os.path.relpath(folder, home)
    if not (folder / PAGE).exists():
        return breakable(name)
    return tag("a", breakable(name), href=quote(f"{name}/{PAGE}"))


def _thumbnails(run: Run, home: Path) -> Html | None:
    images = [_thumbnail(run.folder / "figures" / f"{name}.png") for name in _THUMBNAILS]
    found = [
        tag("a", Html(f'<img src="data:image/png;base64,{data}" alt="{name}">'),
            href=quote(f"{os.path.relpath(run.folder, home)}/figures/{name}.png"))
        for name, data in zip(_THUMBNAILS, images, strict=True)
        if data
    ]  # fmt: skip
    return tag("div", *found, class_="thumbnails") if found else None


def _thumbnail(path: Path) -> str | None:
    """A small copy of a picture in base64; None where there is none."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            factor = max(1, image.height // _THUMBNAIL_HEIGHT)
            small = image.convert("RGB").reduce(factor).quantize(64)
    except (OSError, UnidentifiedImageError):
        return None
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _unfinished(found: Found, home: Path) -> Html | None:
    columns = [("run", False), ("status", False), ("what it was", False), ("why", False)]
    body = [
        ([Cell(_link(run.folder, home)), Cell(tag("span", run.status, class_=f"badge {run.status}"),
          run.status), Cell(_what(run)), Cell(run.record.get("error") or "")], "")
        for run in found.unfinished
    ]  # fmt: skip
    for path, reason in found.unreadable:
        name = os.path.relpath(path.parent, home)
        body.append(([Cell(name), Cell("unreadable"), Cell(""), Cell(reason)], ""))
    return live_table("unfinished", columns, body, choices=(1,)) if body else None


def _what(run: Run) -> str:
    if run.transfer == "?":
        return ""
    return f"{run.source} → {run.target}, {run.transfer}, {run.budget}, seed {run.seed}"
