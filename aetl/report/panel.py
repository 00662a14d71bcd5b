"""A comparison cut into panels of one source, target and metric: arms down, budgets across."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from aetl.comparison.rows import Arm, Row, arm_labels, budget_order, names_of_arms
from aetl.comparison.run import Run
from aetl.label import LABELLED

SYMBOLS = {
    "positive": "▲",
    "positive uncorrected": "△",
    "negative": "▼",
    "negative uncorrected": "▽",
    "equivalent": "≈",
    "undecided": "○",
    "unknown": "?",
}
"""Of each outcome, in the order in which they are told."""
NO_VALUE = "–"


@dataclass(frozen=True)
class Panel:
    """The rows of one source, target and metric.

    ``arms`` maps each arm to its label, which names only what differs inside the panel;
    ``common`` is what does not differ and so belongs into a title.
    """

    source: str
    target: str
    metric: str
    higher_is_better: bool
    arms: dict[Arm, str]
    budgets: list[int | str]
    cells: dict[tuple[Arm, int | str], Row]
    common: dict[str, str]
    decimals: int

    @property
    def rows(self) -> Iterable[Row]:
        return self.cells.values()

    @property
    def counted(self) -> str:
        """What the budgets count."""
        return counted_in(run for row in self.rows for run in row.runs)

    @property
    def title(self) -> str:
        return f"{self.source} → {self.target}"

    def subtitle(self) -> str:
        """``accuracy (higher is better) · autoencoder vae · 3 seeds``."""
        better = "higher" if self.higher_is_better else "lower"
        parts = [f"{self.metric} ({better} is better)"]
        parts += [f"{what} {value}" for what, value in self.common.items()]
        if seeds := self.seeds():
            parts.append(f"{seeds} seed{'s' if seeds > 1 else ''}")
        return " · ".join(parts)

    @property
    def baseline(self) -> str:
        """What gains are over."""
        return baseline_text(self.rows)

    def seeds(self) -> int | None:
        """How many seeds every row has; None where they differ."""
        counts = {row.n for row in self.rows}
        return counts.pop() if len(counts) == 1 else None

    def control(self, budget: int | str) -> tuple[str, float] | None:
        """The strongest control at a budget with its mean; None where arms have different ones
        (each its own autoencoder's, or its own settings')."""
        known = {
            (row.control, row.control_mean)
            for row in self.rows
            if row.budget == budget and row.control_mean is not None and row.control
        }
        return known.pop() if len(known) == 1 else None

    def best(self, budget: int | str) -> float:
        """The best mean at a budget."""
        means = [row.mean for row in self.rows if row.budget == budget]
        return max(means) if self.higher_is_better else min(means)

    def score(self, value: float) -> str:
        return f"{value:.{self.decimals}f}"

    def mean(self, row: Row) -> str:
        """``0.812 ±0.010``, † where a control does better, ⚠ where its runs warn of something."""
        reach = "" if row.ci_high is None else f" ±{self.score(row.ci_high - row.mean)}"
        return self.score(row.mean) + reach + ("†" if row.beaten else "") + self.warning(row)

    def warning(self, row: Row) -> str:
        """The mark of a row whose runs warn of something that not every row's runs warn of, so that
        it tells rows apart; the remarks tell of what."""
        return "⚠" if kinds_of_warning(row) - self._shared else ""

    @cached_property
    def _shared(self) -> set[str]:
        found = [kinds_of_warning(row) for row in self.rows]
        return set.intersection(*found) if len(found) > 1 else set()

    def gain(self, row: Row) -> str:
        """``+0.031``, ``baseline`` for what gains are over; ‡ where it trained longer."""
        if row.is_baseline:
            return "baseline"
        if row.gain_mean is None:
            return NO_VALUE
        return signed(row.gain_mean, self.decimals) + ("‡" if row.longer else "")

    def gain_interval(self, row: Row) -> str:
        """Over seeds and test examples, where these are known."""
        return "" if row.is_baseline else self._bounds(row.gain_ci_low, row.gain_ci_high)

    def seeds_interval(self, row: Row) -> str:
        """Over seeds alone."""
        if row.is_baseline:
            return ""
        return self._bounds(row.gain_seeds_ci_low, row.gain_seeds_ci_high)

    def _bounds(self, *bounds: float | None) -> str:
        if None in bounds:
            return ""
        return (
            f"[{', '.join(signed(bound, self.decimals) for bound in bounds if bound is not None)}]"
        )


def panels(rows: Iterable[Row]) -> list[Panel]:
    """The rows cut by source, target and metric, in their order."""
    groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.source, row.target, row.metric].append(row)
    return [_panel(group) for group in groups.values()]


def baseline_text(rows: Iterable[Row]) -> str:
    """``scratch``, or the other controls that were chosen as twins."""
    return " or ".join(sorted({row.baseline.replace("_", " ") for row in rows})) or "scratch"


def kind_of_warning(line: str) -> str:
    """What lines share that differ in their numbers alone."""
    return _NUMBER.sub("#", line)


def kinds_of_warning(row: Row) -> set[str]:
    return {kind_of_warning(line) for line in row.warned}


_NUMBER = re.compile(r"\d[\d.,]*(?:e[+-]?\d+)?")


def symbol(row: Row) -> str:
    """Of the row's verdict, hollow where it does not stand after Holm's correction."""
    return SYMBOLS[row.outcome]


def needed(row: Row) -> str:
    """What would decide an undecided gain: ``+4 seeds``, ``+900 test examples``, ``+12 test
    groups``, or nothing."""
    numbers = {
        "seed": row.more_seeds, "test example": row.more_examples, "test group": row.more_groups,
    }  # fmt: skip
    for what, number in numbers.items():
        if number is not None:
            return f"+{number:,} {what}{'s' if number > 1 else ''}"
    return ""


def said(row: Row) -> str:
    """``▲ positive``, ``○ undecided, +4 seeds``."""
    return ", ".join(filter(None, [f"{symbol(row)} {row.verdict}", needed(row)]))


def symbols(outcomes: Iterable[str]) -> dict[str, str]:
    """The symbols of these outcomes, each once and in their order."""
    found = set(outcomes)
    return {outcome: mark for outcome, mark in SYMBOLS.items() if outcome in found}


def budget_text(budget: int | str, counted: str) -> str:
    """``10 labels``, ``all labels``; other words (``10 per class``) as they are."""
    if budget == 1:
        return f"1 {counted.removesuffix('s')}"
    return f"{budget} {counted}" if isinstance(budget, int) or budget == "all" else budget


def counted_in(runs: Iterable[Run]) -> str:
    """What a budget counts: labels, or examples where the task has no use for labels."""
    tasks = {run.record.get("task", "classification") for run in runs}
    return "labels" if tasks & LABELLED else "examples"


def signed(value: float, decimals: int) -> str:
    """With its sign, and without one where it rounds to zero."""
    text = f"{value:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text


def p_text(value: float | None) -> str:
    if value is None:
        return ""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _panel(group: Sequence[Row]) -> Panel:
    first = group[0]
    return Panel(
        source=first.source,
        target=first.target,
        metric=first.metric,
        higher_is_better=first.higher_is_better,
        arms=arm_labels(group),
        budgets=sorted({row.budget for row in group}, key=budget_order),
        cells={(row.arm, row.budget): row for row in group},
        common={
            name: values.pop() for name, values in names_of_arms(group).items() if len(values) == 1
        },
        decimals=_decimals([row.mean for row in group]),
    )


def _decimals(means: Sequence[float]) -> int:
    """Three significant digits of the largest score; scores up to one have three decimals."""
    largest = max(map(abs, means))
    if 0.1 <= largest <= 1.0 or largest == 0.0:
        return 3
    return min(9, max(0, 2 - math.floor(math.log10(largest))))
