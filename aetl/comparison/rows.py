"""Runs grouped over seeds: mean, interval, gain over scratch, verdict, and the strongest control.

Runs are one row when they agree in every name of the row and in their settings' digest. The
settings are no column, so where the same names appear with different ones, the keys in which
the configs differ are added to the name of the transfer.
"""

from __future__ import annotations

import json
import logging
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from aetl.comparison.gain import (
    Gain,
    Read,
    better_p_value,
    by_seed,
    gain_of,
    mean_over_folds,
    read_values,
    whole_seeds,
)
from aetl.comparison.run import Run
from aetl.comparison.search import SHOWN_AS_ARMS, overrides_of
from aetl.comparison.sources import changed
from aetl.comparison.statistics import ALPHA, holm, interval
from aetl.comparison.verdict import Verdict
from aetl.label import NOT_SETTINGS

logger = logging.getLogger(__name__)

BASELINE = "control/scratch"

Arm = tuple[str, str, str, str]
"""Transfer, autoencoder, loss and selector."""

JSON_KEYS = (
    *("source", "target", "autoencoder", "loss", "transfer", "budget", "metric", "selector"),
    *("n", "mean", "ci_low", "ci_high", "gain_mean", "gain_ci_low", "gain_ci_high", "verdict"),
    *("gain_seeds_ci_low", "gain_seeds_ci_high", "more_seeds"),
)
CSV_KEYS = (
    *JSON_KEYS,
    *("p_value", "interval_over", "rope", "more_examples", "better_on_a_new_seed", "effect_size"),
    *(
        "test_examples",
        "test_groups",
        "more_groups",
        "control",
        "control_mean",
        "control_p_value",
        "beaten",
    ),
    *("effective_sample_size", "steps", "twin_steps", "changed_code", "warnings"),
)

Family = Literal["budget", "page"]
"""What Holm's correction counts together: the arms of a pair and budget, or all rows."""

_CONTROLS = (BASELINE, "control/random_features", "control/raw_features", "control/source_only",
             "control/source_probe", "control/source_raw_features")  # fmt: skip
_FAMILIES = ("control", "feature", "parameter", "instance")
_SHOWN_KEYS = 4
_NOT_OF_THE_NAME = {
    *("target.budget", "target.per_class", "target.stratified", "target.fold", "source.fold"),
}


@dataclass(frozen=True)
class Row:
    """One arm at one budget, over its seeds. Gains are turned so that positive is better."""

    source: str
    target: str
    autoencoder: str
    loss: str
    transfer: str
    budget: int | str
    metric: str
    selector: str
    n: int
    mean: float
    ci_low: float | None
    ci_high: float | None
    gain: Gain | None
    """None where no run has a gain."""
    higher_is_better: bool
    runs: tuple[Run, ...] = field(repr=False, compare=False)
    p_value: float | None = None
    """That the gain is zero, Holm-adjusted for the arms of this pair and budget (or all rows)."""
    control: str | None = None
    """The strongest control of the same source, target and budget, the arm's own: of its
    autoencoder and settings, where it was run with several."""
    control_mean: float | None = None
    control_p_value: float | None = None
    """That the strongest control is no better, times the number of controls it is chosen from."""

    @cached_property
    def changed(self) -> tuple[str, ...]:
        """What of the code is not the same in all runs: a gain over them is told if asked for."""
        return changed(self.runs)

    @property
    def changed_code(self) -> str | None:
        return ", ".join(self.changed) or None

    @cached_property
    def warned(self) -> dict[str, int]:
        """What its runs warn of, and how many of them do."""
        return dict(Counter(line for run in self.runs for line in dict.fromkeys(run.warnings)))

    @property
    def warnings(self) -> str | None:
        return "; ".join(self.warned) or None

    @property
    def gain_mean(self) -> float | None:
        return self.gain.mean if self.gain else None

    @property
    def gain_ci_low(self) -> float | None:
        """Over seeds and test examples, as ``interval_over`` says."""
        return self.gain.interval.low if self.gain else None

    @property
    def gain_ci_high(self) -> float | None:
        return self.gain.interval.high if self.gain else None

    @property
    def gain_seeds_ci_low(self) -> float | None:
        """Over seeds alone, on this test set."""
        return self.gain.over_seeds.low if self.gain else None

    @property
    def gain_seeds_ci_high(self) -> float | None:
        return self.gain.over_seeds.high if self.gain else None

    @property
    def verdict(self) -> Verdict:
        return self.gain.verdict if self.gain else "unknown"

    @property
    def interval_over(self) -> str | None:
        """``seeds and examples``, or ``seeds`` where the examples' values are not there."""
        return self.gain.over if self.gain else None

    @property
    def rope(self) -> float | None:
        return self.gain.rope if self.gain else None

    @property
    def more_seeds(self) -> int | None:
        """How many further seeds would decide; None where it is decided, or none would."""
        return self.gain.more_seeds if self.gain else None

    @property
    def more_examples(self) -> int | None:
        """How many further test examples would, with the seeds that there are; None of grouped
        ones, of which ``more_groups`` says it."""
        return None if self.test_groups else self._more(self.test_examples)

    @property
    def more_groups(self) -> int | None:
        return self._more(self.test_groups)

    def _more(self, number: int | None) -> int | None:
        """In examples or groups, of which a unit of the interval may be several."""
        found = self.gain and self.gain.crossed
        if not number or not found or not self.gain or self.gain.more_units is None:
            return None
        return math.ceil(self.gain.more_units * number / found.units)

    @property
    def better_on_a_new_seed(self) -> float | None:
        return self.gain.better_on_a_new_seed if self.gain else None

    @property
    def effect_size(self) -> float | None:
        return self.gain.effect_size if self.gain else None

    @property
    def test_examples(self) -> int | None:
        """How many the test set has, or those of all folds."""
        return self._tested("count")

    @property
    def test_groups(self) -> int | None:
        """How many groups (patients, speakers) these are of, where the data says so."""
        return self._tested("groups")

    def _tested(self, what: str) -> int | None:
        noted = [run.record.get("examples") or {} for run in by_seed(self.runs)[0]]
        counts = [c for one in noted if isinstance(c := one.get(what), int)]
        return sum(counts) if counts and len(counts) == len(noted) else None

    @property
    def is_control(self) -> bool:
        return self.transfer.startswith("control/")

    @property
    def is_baseline(self) -> bool:
        return plain_name(self.transfer) == f"control/{self.baseline}"

    @property
    def baseline(self) -> str:
        """The control that gains are over: scratch, or what the config chose as twin."""
        return self.runs[0].baseline

    @property
    def beaten(self) -> bool:
        """Whether this is an arm (not a control) that the strongest control surely surpasses."""
        return self.control_p_value is not None and self.control_p_value < ALPHA

    @property
    def stands(self) -> bool:
        """Whether the verdict is positive or negative after Holm's correction, too."""
        return self._decided and self.p_value is not None and self.p_value < ALPHA

    @property
    def uncorrected(self) -> bool:
        """Whether the verdict is positive or negative by the arm's own interval alone."""
        return self._decided and not self.stands

    @property
    def outcome(self) -> str:
        """The verdict, and ``positive uncorrected`` where Holm's correction takes it away."""
        return f"{self.verdict} uncorrected" if self.uncorrected else self.verdict

    @property
    def _decided(self) -> bool:
        return self.verdict in ("positive", "negative")

    @property
    def effective_sample_size(self) -> float | None:
        """Of the source examples' weights, the mean over the runs that weigh them."""
        receipts = (run.record.get("receipt") or {} for run in self.runs)
        sizes = [size for receipt in receipts if (size := receipt.get("effective_sample_size"))]
        return sum(sizes) / len(sizes) if sizes else None

    @property
    def steps(self) -> float | None:
        """Optimiser steps of the transfer, the mean over runs."""
        return self._cost("steps")

    @property
    def twin_steps(self) -> float | None:
        return self._cost("twin_steps")

    @property
    def longer(self) -> bool:
        """Whether the arm trained more steps than its twin: what it gains may be of these."""
        return bool(self.steps and self.twin_steps and self.steps > 1.02 * self.twin_steps)

    def _cost(self, name: str) -> float | None:
        costs = (run.record.get("cost") or {} for run in self.runs)
        known = [v for cost in costs if isinstance(v := cost.get(name), int | float)]
        return sum(known) / len(known) if known else None

    @property
    def arm(self) -> Arm:
        """What makes an arm besides source, target, budget and metric."""
        return self.transfer, self.autoencoder, self.loss, self.selector

    def values(self, keys: Sequence[str] = JSON_KEYS) -> dict[str, Any]:
        return {key: getattr(self, key) for key in keys}


def rows(
    runs: Iterable[Run],
    metric: str | None = None,
    *,
    rope: float | None = None,
    family: Family = "budget",
    mixed_sources: bool = False,
) -> list[Row]:
    """The comparison's rows in reading order: pair, autoencoder, controls first, budget.

    ``metric`` None takes each run's own, ``rope`` None what the runs note. Runs between which the
    code changed have no gain together, and are beaten by no control, but with ``mixed_sources``.
    Raises ValueError where no run has the metric.
    """
    runs = list(runs)
    groups: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    for run in runs:
        name = metric or run.metric
        if name in run.scores:
            groups[(*_names(run), run.budget, name, run.settings)].append(run)
    if runs and not groups:
        known = ", ".join(sorted({name for run in runs for name in run.scores}))
        what = f"the metric '{metric}'" if metric else "a score by its own metric"
        raise ValueError(f"no run has {what}; known: {known or 'none'}")
    labels = _labels(groups)
    found = [_row(labels[key], key[-2], group) for key, group in groups.items()]
    table = _beside([row for row in found if row], rope, mixed_sources)
    return sorted(_corrected(table, family), key=_order)


def _names(run: Run) -> tuple[str, ...]:
    return run.source, run.target, run.autoencoder, run.loss, run.transfer, run.selector


def _row(transfer: str, metric: str, group: list[Run]) -> Row | None:
    """The row of a group, from the runs with a finite score; None where there is none."""
    latest = _latest(group, metric)
    runs = tuple(run for run in latest if math.isfinite(run.scores[metric]))
    if len(runs) < len(latest):
        logger.warning(
            "%s: left out %d of %d seeds without a finite %s",
            *(_title(group[0]), len(latest) - len(runs), len(latest), metric),
        )
    if not runs:
        return None
    if fewer := len(by_seed(runs)) - len(by_seed(whole := whole_seeds(runs))):
        logger.warning(
            "%s: left out %d of %d seeds without a result on every fold",
            *(_title(runs[0]), fewer, len(by_seed(runs))),
        )
    runs = tuple(whole)
    first = runs[0]
    score = interval([mean_over_folds(seed, metric) for seed in by_seed(runs)])
    return Row(
        source=first.source,
        target=first.target,
        autoencoder=first.autoencoder,
        loss=first.loss,
        transfer=transfer,
        budget=first.budget,
        metric=metric,
        selector=first.selector,
        n=len(by_seed(runs)),
        mean=score.mean,
        ci_low=score.low,
        ci_high=score.high,
        gain=None,
        higher_is_better=first.higher_is_better[metric],
        runs=runs,
    )


def _latest(group: list[Run], metric: str) -> list[Run]:
    """One run for each seed and fold, in their order: of reruns the one that was started last."""
    kept: dict[tuple[int, int], Run] = {}
    for run in sorted(group, key=lambda run: run.started):
        before = kept.get((run.seed, run.fold))
        if before and before.scores[metric] != run.scores[metric]:
            logger.warning(
                "%s, seed %d: two runs with the same settings differ (%s %g in %s, %g in %s); "
                "the later one counts",
                *(_title(run), run.seed, metric, before.scores[metric], before.folder),
                *(run.scores[metric], run.folder),
            )
        kept[run.seed, run.fold] = run
    return [kept[place] for place in sorted(kept)]


def _title(run: Run) -> str:
    return f"{run.source} -> {run.target}, {run.transfer}, budget {run.budget}"


def _labels(groups: Mapping[tuple[Any, ...], list[Run]]) -> dict[tuple[Any, ...], str]:
    """The name of each group's transfer, with the settings in which groups of one name differ."""
    same: dict[tuple[Any, ...], dict[str, Run]] = defaultdict(dict)
    for key, group in groups.items():
        *names, _, metric, settings = key  # budgets of one arm keep one name
        candidates = [*group, *filter(None, [same[(*names, metric)].get(settings)])]
        same[(*names, metric)][settings] = min(candidates, key=lambda run: run.seed)
    suffixes = {names: _differences(found) for names, found in same.items()}
    return {
        key: group[0].transfer + suffixes[(*key[:-3], key[-2])][key[-1]]
        for key, group in groups.items()
    }


def _differences(found: Mapping[str, Run]) -> dict[str, str]:
    """`` (key=value, ...)`` for each settings' digest, from the config of one run of each."""
    if len(found) == 1:
        return dict.fromkeys(found, "")
    asked = _differences_as_asked(found)
    if asked is not None:
        return asked
    configs = {settings: run.config() for settings, run in found.items()}
    keys = [
        key
        for key in dict.fromkeys(key for config in configs.values() for key in config)
        if key.partition(".")[0] not in NOT_SETTINGS
        and key not in _NOT_OF_THE_NAME
        and len({_short(config.get(key)) for config in configs.values()}) > 1
    ]
    # A preset takes its parts by interpolation: autoencoder.bottleneck.x repeats bottleneck.x.
    keys = [key for key in keys if not _repeats(key, keys, configs.values())]
    shown = {
        settings: ", ".join(f"{key}={_short(config.get(key))}" for key in keys[:_SHOWN_KEYS])
        for settings, config in configs.items()
    }
    # Where the keys that are shown do not tell groups apart, the digest does.
    count = Counter(shown.values())
    return {
        settings: f" ({text})" if count[text] == 1 and text else f" ({_both(text, settings)})"
        for settings, text in shown.items()
    }


def _differences_as_asked(found: Mapping[str, Run]) -> dict[str, str] | None:
    """The same in the words of the command lines; None where these do not tell all groups apart."""
    chosen = {settings: overrides_of(run) for settings, run in found.items()}
    keys = [
        key
        for key in dict.fromkeys(key for values in chosen.values() for key in values)
        if key not in SHOWN_AS_ARMS
        and len({_short(values.get(key)) for values in chosen.values()}) > 1
    ]
    shown = {
        settings: ", ".join(f"{key}={_short(values[key])}" for key in keys if key in values)
        for settings, values in chosen.items()
    }
    if not all(shown.values()) or len(set(shown.values())) < len(shown):
        return None
    return {settings: f" ({text})" for settings, text in shown.items()}


def _repeats(key: str, keys: Sequence[str], configs: Iterable[Mapping[str, Any]]) -> bool:
    original = key.partition(".")[2]
    return original in keys and all(c.get(key) == c.get(original) for c in configs)


def _both(text: str, settings: str) -> str:
    return f"{text}, {settings}" if text else settings


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(value) if isinstance(value, list | dict | None | bool) else str(value)


def _beside(table: list[Row], rope: float | None, mixed_sources: bool) -> list[Row]:
    """The rows with their gains and the strongest control of their pair and budget."""
    cells: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in table:
        cells[(row.source, row.target, row.budget, row.metric)].append(row)
    return [row for cell in cells.values() for row in _cell(cell, rope, mixed_sources)]


def _cell(cell: list[Row], rope: float | None, mixed_sources: bool) -> list[Row]:
    # One cell at a time: the values of all examples of all runs are not held at once.
    read = {id(row): read_values(row.runs, row.metric) for row in cell}
    controls = [row for row in cell if row.is_control]
    result = []
    for row in cell:
        gain = None
        if mixed_sources or row.is_baseline or not row.changed:
            gain = gain_of(row.runs, row.metric, read[id(row)], rope, of_itself=row.is_baseline)
        lead = _strongest(row, controls, read, mixed_sources)
        result.append(replace(row, gain=gain, p_value=gain.p_value if gain else None, **lead))
    return result


def _strongest(
    row: Row, controls: Sequence[Row], read: Mapping[int, Read], mixed_sources: bool
) -> dict[str, Any]:
    """The best control by its mean, and how sure it is that it surpasses the arm."""
    sign = 1 if row.higher_is_better else -1
    controls = _own_controls(row, controls)
    known: list[tuple[float, str, Row | None]] = [(c.mean, c.transfer, c) for c in controls]
    if not any(control.is_baseline for control in controls):
        # The twin is a control of every arm, also where it was only run as the arm's twin.
        known += [(mean, name, None) for mean, name in _twin(row)]
    if not known:
        return {}
    mean, name, control = max(known, key=lambda c: sign * c[0])
    p_value = None
    alike = mixed_sources or not changed([*row.runs, *(control.runs if control else ())])
    if alike and not row.is_control and sign * (mean - row.mean) > 0:
        theirs = None if control is None else (control.runs, read[id(control)])
        p_value = better_p_value(row.runs, read[id(row)], theirs, row.metric)
    adjusted = None if p_value is None else min(1.0, p_value * len(known))
    return {"control": name, "control_mean": mean, "control_p_value": adjusted}


def _own_controls(row: Row, controls: Sequence[Row]) -> list[Row]:
    """Of each control the rows that are most like the arm: in a zoo those of its autoencoder, in a
    search those of its settings. The best of all trials' controls would be no control of one."""

    def parts(of: Row) -> tuple[str, ...]:
        return of.autoencoder, of.loss, of.selector, of.transfer.partition(" (")[2]

    kinds: dict[str, dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for control in controls:
        alike = sum(a == b for a, b in zip(parts(row), parts(control), strict=True))
        kinds[plain_name(control.transfer)][alike].append(control)
    return [control for found in kinds.values() for control in found[max(found)]]


def _corrected(table: Sequence[Row], family: Family) -> list[Row]:
    """With the p values adjusted for the rows that count together."""
    families: dict[Any, list[Row]] = defaultdict(list)
    for row in table:
        cell = (row.source, row.target, row.budget, row.metric)
        families[cell if family == "budget" else row.metric].append(row)
    return [
        replace(row, p_value=p_value)
        for rows_ in families.values()
        for row, p_value in zip(
            rows_, holm([None if row.is_baseline else row.p_value for row in rows_]), strict=True
        )
    ]


def _twin(row: Row) -> list[tuple[float, str]]:
    scores = [run.twin[row.metric] for run in row.runs if row.metric in run.twin]
    finite = [score for score in scores if math.isfinite(score)]
    return [(interval(finite).mean, f"control/{row.baseline}")] if finite else []


def arm_labels(rows: Sequence[Row]) -> dict[Arm, str]:
    """The name of each arm: its transfer, and what else differs between these arms."""
    differ = [name for name, values in names_of_arms(rows).items() if len(values) > 1]
    return {row.arm: _label(row, differ) for row in rows}


def names_of_arms(rows: Sequence[Row]) -> dict[str, set[str]]:
    fields = ("autoencoder", "loss", "selector")
    return {name: {getattr(row, name) for row in rows} for name in fields}


def _label(row: Row, differ: Sequence[str]) -> str:
    return " · ".join([row.transfer, *(getattr(row, name) for name in differ)])


def plain_name(transfer: str) -> str:
    """Without the settings that tell rows of one name apart."""
    return transfer.split(" (", 1)[0]


def _order(row: Row) -> tuple[Any, ...]:
    return (
        *(row.source, row.target, row.metric, row.autoencoder, row.loss),
        *(transfer_order(row.transfer), row.selector, budget_order(row.budget)),
    )


def transfer_order(transfer: str) -> tuple[int, int, str]:
    """Controls first, from the plainest on, then the families."""
    plain, family = plain_name(transfer), transfer.split("/", 1)[0]
    rank = _FAMILIES.index(family) if family in _FAMILIES else len(_FAMILIES)
    return rank, _CONTROLS.index(plain) if plain in _CONTROLS else len(_CONTROLS), transfer


def budget_order(budget: int | str) -> tuple[int, float, str]:
    """Numbers by size, then words, ``all`` last."""
    if isinstance(budget, int):
        return 0, budget, ""
    number = budget.split()[0] if budget else ""
    return (1 if budget != "all" else 2), float(number) if number.isdigit() else math.inf, budget
