"""The page of a sweep while its jobs run: where it stands, above the comparison so far.

It loads itself anew, so that no server is needed. Where it stands is written often, and put into
the page that is there; the comparison, which takes seconds to draw, seldom.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aetl.files import write_text
from aetl.report.markup import (
    Cell,
    Html,
    breakable,
    chips,
    document,
    join,
    live_table,
    section,
    tag,
)

PAGE = "report.html"
_TITLE = "A sweep, running"
_BEGIN, _END = Html("<!-- live -->"), Html("<!-- /live -->")


Standing = tuple[Path, Sequence[Mapping[str, Any]], int]
"""A sweep's folder, its manifest's jobs, and after how many seconds to load the page anew (0: no
more)."""


def write_whole_page(standing: Standing) -> None:
    """Write ``report.html`` into a sweep's folder, with the comparison of what has ended so far."""
    from aetl.report.sweep_page import content_below

    now, folder = _part(standing), standing[0]
    write_text(folder / PAGE, document(_TITLE, now, *content_below(folder), script=True))


def write_live_page(standing: Standing) -> None:
    """Say in it where the sweep stands; what is below that stays."""
    path, now = standing[0] / PAGE, _part(standing)
    try:
        before = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        before = ""
    begin, end = before.find(_BEGIN), before.find(_END)
    if 0 <= begin < end:
        write_text(path, before[:begin] + now + before[end + len(_END) :])
    else:
        write_text(path, document(_TITLE, now, script=True))


def _part(standing: Standing) -> Html:
    return join([_BEGIN, *_now(*standing[1:]), _END])


def _now(jobs: Sequence[Mapping[str, Any]], again: int) -> Iterable[Html | None]:
    counts = Counter(str(job["state"]) for job in jobs)
    made = datetime.now(UTC)
    told = [(state, count) for state, count in counts.items() if state != "done"]
    every = f"; this page brings itself up to date every {again} seconds" if again else ""
    yield tag(
        "header",
        tag("p", "aetl sweep", class_="eyebrow"),
        tag("h1", f"{counts['done']} of {len(jobs)} jobs done"),
        chips(told) if told else None,
        tag("p", tag("time", f"{made:%Y-%m-%d %H:%M:%S} UTC", datetime=made.isoformat()), every,
            class_="note"),
        Html(f'<noscript><meta http-equiv="refresh" content="{again}"></noscript>') if again
        else None,
        data_again=again or None,
    )  # fmt: skip
    yield section("Jobs", _table(jobs))


def _table(jobs: Sequence[Mapping[str, Any]]) -> Html:
    columns = [("job", False), ("state", False), ("number", True), ("metric", False)]
    columns += [("score", True), ("seconds", True), ("error", False)]
    body = [
        (
            [
                Cell(breakable(str(job["name"])), job["name"]),
                Cell(tag("span", job["state"], class_=f"badge {job['state']}"), job["state"]),
                Cell(job["number"], number=True),
                Cell(job["metric"] or ""),
                *(_number(job[name]) for name in ("score", "seconds")),
                Cell(job["error"] or ""),
            ],
            "",
        )
        for job in jobs
    ]
    return live_table("jobs", columns, body, choices=(1,))


def _number(value: float | None) -> Cell:
    return Cell("", "", number=True) if value is None else Cell(f"{value:.4g}", value, number=True)
