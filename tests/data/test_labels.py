"""Labels of any type as classes: texts that are known by their different ones, or row by row."""

from __future__ import annotations

import numpy as np
import pytest

from aetl.data.labels import Texts, labels_of
from aetl.types import UserError


def found(y: object, unlabelled: str | None = "auto") -> tuple[tuple[str, ...], list[int]]:
    labels = labels_of("set", {"y": y}, {"y": 5}, unlabelled)  # type: ignore[dict-item]
    return labels.classes, labels.targets["y"].tolist()


@pytest.mark.parametrize(
    "rows",
    [
        ["b", "a", "b", "c", "a"],
        [" b", "a ", "b", "c", "a"],  # blanks are nobody's meaning
        ["e\u0301", "\u00e9", "a", "", "a"],  # one letter in two forms, and a hole
        ["10", "9", "10", "-1", "9"],
        ["x"] * 5,
    ],
)
def test_coded_texts_are_the_same_as_the_rows_themselves(rows: list[str]) -> None:
    names = ["unused", *dict.fromkeys(rows), "\u00fcnused"]
    coded = Texts(np.array(names), np.array([names.index(row) for row in rows]))
    assert found(coded) == found(np.array(rows))


def test_whole_numbers_and_texts_are_one_class() -> None:
    parts = {"training": np.array([1, 2, 1]), "test": Texts(np.array(["2", "1"]), np.array([0]))}
    labels = labels_of("set", parts, {"training": 3, "test": 1}, "auto")
    assert labels.classes == ("1", "2")
    assert labels.targets["test"].tolist() == [1]


def test_texts_beside_numbers_are_refused() -> None:
    parts = {"training": np.array([0.5, 1.0]), "test": Texts(np.array(["a"]), np.array([0]))}
    with pytest.raises(UserError, match="must both be classes, or numbers"):
        labels_of("set", parts, {"training": 2, "test": 1}, "auto")
