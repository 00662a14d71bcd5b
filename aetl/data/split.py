"""Which examples are trained on, held out and labelled: stratified, nested, saved by index."""

import zipfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int

from aetl.data.base import Examples
from aetl.data.stratify import Rows, held_groups, rank_within, stratified_order
from aetl.files import atomic
from aetl.rng import Rng
from aetl.types import UserError


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of a training pool.

    ``train`` and ``validation`` part the pool (ascending); ``labelled`` and ``unlabelled`` part
    ``train``. ``labelled`` is in the order of the budget: with the same seed and validation
    fraction, a smaller budget is a prefix of a larger one.
    """

    train: Int[np.ndarray, " T"]
    validation: Int[np.ndarray, " V"]
    labelled: Int[np.ndarray, " L"]
    unlabelled: Int[np.ndarray, " U"]

    def save(self, path: Path) -> None:
        """Written whole or not at all; the same split gives the same bytes."""
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **asdict(self))

    @staticmethod
    def load(path: Path) -> "Split":
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return Split(**{field.name: arrays[field.name] for field in fields(Split)})
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: is not a saved split ({error})") from error


def make_split(
    examples: Examples,
    *,
    validation_fraction: float,
    budget: int | Literal["all"],
    per_class: bool,
    stratified: bool = True,
    seed: int,
) -> Split:
    """Split a training pool: hold out ``validation``, then label ``budget`` of the rest.

    The order of the rows follows from ``seed`` and the labels alone. Examples without a label are
    never ``labelled``: the budget counts those that have one. With ``stratified`` false these are
    drawn at random whatever their class, as if somebody labelled what came: some classes may have
    none. Raises ``UserError`` where the budget is more than there is.
    """
    if per_class and not stratified:
        raise UserError(
            "stratified=false: with per_class=true every class has its labels; set one of the two"
        )
    order = stratified_order(examples.y, Rng.of(seed, "split"), examples.classes)
    held = round(validation_fraction * len(order))
    if held >= len(order):
        raise UserError(
            f"validation_fraction={validation_fraction}: leaves no training example of {len(order)}"
        )
    if examples.group is None or not held:
        # The end of the order and not its start: a class with one example has to be trained on.
        rest, validation = order[: len(order) - held], order[len(order) - held :]
    else:
        chosen = held_groups(examples.group[order], validation_fraction)
        rest, validation = order[~chosen], order[chosen]
    if not stratified:
        drawn = Rng.of(seed, "labels").permutation(len(examples)).numpy()
        rest = drawn[np.isin(drawn, rest)]
    labelled = _labelled(examples, rest, budget, per_class)
    return Split(
        train=np.sort(rest),
        validation=np.sort(validation),
        labelled=labelled,
        unlabelled=np.setdiff1d(rest, labelled),
    )


def _labelled(
    examples: Examples, rest: Rows, budget: int | Literal["all"], per_class: bool
) -> Rows:
    total = len(rest)
    rest = rest[examples.known[rest]] if examples.labelled else rest[:0]
    if not examples.labelled:
        return rest
    if budget == "all":
        return rest
    if per_class:
        return _labelled_per_class(examples, rest, budget)
    if budget > len(rest):
        have = "" if len(rest) == total else f" with a label (of {total})"
        raise UserError(
            f"budget={budget}: there are only {len(rest)} training examples{have}; "
            f"use at most {len(rest)}, or 'all'"
        )
    return rest[:budget]


def _labelled_per_class(examples: Examples, rest: Rows, budget: int) -> Rows:
    if not examples.classes or examples.y.dim() == 2:
        given = "sets of labels" if examples.classes else "numbers"
        raise UserError(f"per_class=true: needs classes, and these targets are {given}")
    label = examples.y.numpy()[rest]
    counts = np.bincount(label, minlength=len(examples.classes))
    if counts.min() < budget:
        scarcest = examples.classes[int(counts.argmin())]
        raise UserError(
            f"budget={budget} per class: class '{scarcest}' has only {counts.min()} training "
            f"examples; use at most {counts.min()}, or 'all'"
        )
    grouped = np.argsort(label, kind="stable")
    turn = rank_within(label[grouped], counts)
    # By turns (the first of every class, then the second), so that budgets are nested.
    rounds = grouped[np.lexsort((grouped, turn))]
    return rest[rounds[: budget * len(examples.classes)]]
