"""How arms stand over several pairs and budgets: mean ranks and their critical difference.

Each cell (source, target, budget) ranks the arms by their mean over seeds. Cells of one target
share its test set, and so are no independent data sets: an arm has one rank for each target, that
of its mean rank over the target's cells. Demsar (2006, JMLR 7:1-30) recommends Friedman's test
and, after it, Nemenyi's: two arms differ where their mean ranks are further apart than the critical
difference.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from aetl.comparison.rows import Arm, Row, arm_labels, transfer_order
from aetl.comparison.statistics import CONFIDENCE

MIN_CELLS = 3
"""Fewer cells say nothing about ranks over cells."""
MIN_TARGETS = 3
"""Fewer targets make no test."""
MIN_SEEDS = 2
"""Fewer seeds in any cell make none either."""


@dataclass(frozen=True)
class Place:
    """An arm's mean rank over the targets (1 is best), and how often it had which outcome in the
    cells."""

    arm: Arm
    label: str
    rank: float
    outcomes: Counter[str]
    beaten: int


@dataclass(frozen=True)
class Standing:
    """The arms that have a result in every cell, best first."""

    metric: str
    cells: int
    targets: int
    places: list[Place]
    p_value: float | None
    """Of Friedman's test over targets that all arms rank alike; None with fewer than three, and
    from one seed, by whose chance alone arms would have their ranks."""
    seeds: int
    """How many the cell with the fewest has."""
    critical_difference: float | None
    left_out: list[str]
    """Arms that lack a cell."""

    @property
    def tied(self) -> list[tuple[int, int]]:
        """The longest runs of places within one critical difference: first and last index."""
        if self.critical_difference is None:
            return []
        ranks = [place.rank for place in self.places]
        runs: list[tuple[int, int]] = []
        for first, rank in enumerate(ranks):
            last = max(i for i, r in enumerate(ranks) if r - rank <= self.critical_difference)
            if last > first and (not runs or last > runs[-1][1]):
                runs.append((first, last))
        return runs


def standings(table: Sequence[Row]) -> list[Standing]:
    """One for each metric that has two pairs, three cells, and two arms in all of them."""
    metrics = dict.fromkeys(row.metric for row in table)
    found = [
        _standing(metric, [row for row in table if row.metric == metric]) for metric in metrics
    ]
    return [standing for standing in found if standing]


def _standing(metric: str, table: Sequence[Row]) -> Standing | None:
    cells: dict[tuple[str, str, int | str], dict[Arm, Row]] = defaultdict(dict)
    for row in table:
        cells[row.source, row.target, row.budget][row.arm] = row
    arms = sorted({row.arm for row in table}, key=lambda arm: (transfer_order(arm[0]), arm))
    whole = [arm for arm in arms if all(arm in cell for cell in cells.values())]
    pairs = {(source, target) for source, target, _ in cells}
    if len(pairs) < 2 or len(cells) < MIN_CELLS or len(whole) < 2:
        return None
    labels = arm_labels(table)
    of_target: dict[str, list[list[float]]] = defaultdict(list)
    for (_, target, _), cell in cells.items():
        of_target[target].append(_ranks([cell[arm] for arm in whole]))
    ranks = [
        ranked([math.fsum(r) for r in zip(*lines, strict=True)]) for lines in of_target.values()
    ]
    seeds = min(cell[arm].n for cell in cells.values() for arm in whole)
    tested = len(ranks) >= MIN_TARGETS and seeds >= MIN_SEEDS
    places = [
        _place(arm, labels[arm], [r[i] for r in ranks], [cell[arm] for cell in cells.values()])
        for i, arm in enumerate(whole)
    ]
    return Standing(
        metric=metric,
        cells=len(cells),
        targets=len(ranks),
        places=sorted(places, key=lambda place: place.rank),
        p_value=friedman_p_value(ranks) if tested else None,
        seeds=seeds,
        critical_difference=critical_difference(len(whole), len(ranks)) if tested else None,
        left_out=[labels[arm] for arm in arms if arm not in whole],
    )


def _place(arm: Arm, label: str, ranks: Sequence[float], rows: Sequence[Row]) -> Place:
    outcomes = Counter(row.outcome for row in rows if not row.is_baseline)
    return Place(arm, label, math.fsum(ranks) / len(ranks), outcomes, sum(r.beaten for r in rows))


def _ranks(rows: Sequence[Row]) -> list[float]:
    """Ranks of the rows of one cell by their means, 1 the best."""
    sign = -1.0 if rows[0].higher_is_better else 1.0
    return ranked([sign * row.mean for row in rows])


def ranked(values: Sequence[float]) -> list[float]:
    """Ranks from the smallest on; ties share their mean rank."""
    return [
        1.0 + sum(v < value for v in values) + 0.5 * (sum(v == value for v in values) - 1)
        for value in values
    ]


def standing_text(standing: Standing) -> str:
    """``11 arms over 9 targets (27 pairs and budgets); Friedman p < 0.001; ...``."""
    targets = f"{standing.targets} target{'s' if standing.targets > 1 else ''}"
    said = f"{len(standing.places)} arms over {targets} ({standing.cells} pairs and budgets); "
    if standing.targets >= MIN_TARGETS and standing.seeds < MIN_SEEDS:
        said += "no test of the ranks from one seed"
    elif standing.p_value is None or standing.critical_difference is None:
        said += (
            f"no test of the ranks with fewer than {MIN_TARGETS} targets, which share no test set"
        )
    else:
        p = "p < 0.001" if standing.p_value < 0.001 else f"p = {standing.p_value:.3f}"
        said += f"Friedman {p}; "
        said += f"critical difference {standing.critical_difference:.2f} (Nemenyi, 5 %)"
    if standing.left_out:
        said += f"; without a result everywhere: {', '.join(standing.left_out)}"
    return said


def friedman_p_value(ranks: Sequence[Sequence[float]]) -> float:
    """Of Friedman's test in Iman and Davenport's form (Demsar 2006, equation 7).

    ``ranks`` has a list of the arms' ranks for each cell. All cells alike: 0, no difference: 1.
    """
    from scipy.stats import f

    n, k = len(ranks), len(ranks[0])
    means = [math.fsum(column) / n for column in zip(*ranks, strict=True)]
    # The variance of a cell's ranks, which ties lower, in place of k (k + 1) / 12.
    spread = math.fsum((r - (k + 1) / 2) ** 2 for row in ranks for r in row) / (n * (k - 1))
    if spread == 0.0:
        return 1.0
    chi = n * math.fsum((mean - (k + 1) / 2) ** 2 for mean in means) / spread
    rest = n * (k - 1) - chi
    if rest <= 1e-9:
        return 0.0
    return float(f.sf((n - 1) * chi / rest, k - 1, (k - 1) * (n - 1)))


def critical_difference(arms: int, cells: int) -> float:
    """Nemenyi's: ``q sqrt(k (k + 1) / (6 N))``, q the studentised range over sqrt 2."""
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(CONFIDENCE, arms, math.inf)) / math.sqrt(2.0)
    return q * math.sqrt(arms * (arms + 1) / (6.0 * cells))
