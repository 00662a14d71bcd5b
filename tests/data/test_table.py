"""Own tables: types, categories, holes, groups, domains, and what is refused by row and column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from aetl.data.split import make_split
from aetl.stage import read_once
from aetl.store.store import Store
from aetl.types import UserError

RNG = np.random.default_rng(0)
N = 60


def frame(number: int = N, **columns: Any) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame({
        "age": rng.integers(20, 90, number),
        "dose": rng.normal(3, 2, number).round(3),
        "colour": rng.choice(["red", "green", "blue"], number),
        "site": rng.choice(["A", "B", "C"], number),
        "patient": np.arange(number) // 3,
        "ill": rng.choice(["no", "yes"], number),
    } | columns)  # fmt: skip


@pytest.fixture
def load(build, tmp_path: Path) -> Any:
    """Write a table and load it as a data set; ``keys`` are those of the YAML."""

    def make(
        table: pd.DataFrame | str, suffix: str = ".csv", source: Any = None, **keys: Any
    ) -> Any:
        path = tmp_path / f"own{suffix}"
        if isinstance(table, str):
            path.write_text(table, encoding="utf-8")
        elif suffix == ".parquet":
            table.to_parquet(path)
        else:
            table.to_csv(path, index=False)
        defaults = {"target": "ill"} if "ill" in table else {}
        return build("table", path=str(path), **(defaults | keys)).load(source=source)

    return make


KEYS = {"ignore": ["patient", "site"]}


def test_numbers_and_categories_are_as_scikit_learn_has_them(load) -> None:
    table = frame()
    train, test = load(table, **KEYS)
    rows = {tuple(row): k for k, row in enumerate(table[["age", "dose", "colour"]].to_numpy())}
    assert len(rows) == N
    reference = ColumnTransformer(
        [("n", StandardScaler(), ["age", "dose"]), ("c", OneHotEncoder(), ["colour"])]
    )
    seen = _rows_of(train, table)
    reference.fit(table.iloc[seen])
    assert train.columns == (
        "age", "dose", "colour=blue", "colour=green", "colour=red", "colour=?"
    )  # fmt: skip
    for part in (train, test):
        wanted = reference.transform(table.iloc[_rows_of(part, table)])
        np.testing.assert_allclose(part.x[:, :5], wanted, atol=1e-5)
        assert (part.x[:, 5] == 0).all()
    assert (len(train), len(test)) == (48, 12)


def _rows_of(part: Any, table: pd.DataFrame) -> list[int]:
    """The rows of the table that the examples are, by their identity."""
    features = table[["age", "colour", "dose"]].astype({"age": float})
    identity = pd.util.hash_pandas_object(features, index=False).to_numpy()
    position = {value: row for row, value in enumerate(identity)}
    return [position[value] for value in part.identity]


def test_holes_take_the_mean_of_the_training_rows_and_are_marked(load) -> None:
    dose = np.where(np.arange(N) % 5 == 0, np.nan, np.arange(N) / 7)
    colour = np.where(np.arange(N) % 7 == 0, None, "red")
    train, test = load(frame(dose=dose, colour=colour), **KEYS, scale="none")
    place = {name: k for k, name in enumerate(train.columns)}
    for part in (train, test):
        assert not part.x.isnan().any()
        hole = part.x[:, place["dose=?"]] == 1
        there = train.x[train.x[:, place["dose=?"]] == 0][:, place["dose"]]
        np.testing.assert_allclose(part.x[hole][:, place["dose"]], there.mean(), rtol=1e-5)
        assert (part.x[:, place["colour=red"]] + part.x[:, place["colour=?"]] == 1).all()
    assert test.x[:, place["dose=?"]].sum() + train.x[:, place["dose=?"]].sum() == 12


def test_a_category_that_training_never_saw_has_a_place_of_its_own(build, tmp_path) -> None:
    frame(20, colour="red").to_csv(tmp_path / "a.csv", index=False)
    frame(10, colour="gold").to_csv(tmp_path / "b.csv", index=False)
    paths = {"path": str(tmp_path / "a.csv"), "test_path": str(tmp_path / "b.csv")}
    train, test = build("table", **paths, target="ill", **KEYS).load()
    assert train.columns[-2:] == ("colour=red", "colour=?")
    assert (test.x[:, -2:].numpy() == [0, 1]).all()
    assert (len(train), len(test)) == (20, 10)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_all_formats_hold_the_same_data(load, suffix: str) -> None:
    table = frame()
    if suffix == ".tsv":
        train, _ = load(table.to_csv(index=False, sep="\t"), suffix, **KEYS, target="ill")
    else:
        train, _ = load(table, suffix, **KEYS)
    wanted, _ = load(table, **KEYS)
    assert train.fingerprint() == wanted.fingerprint()


@pytest.mark.parametrize(
    "values, keys, classes",
    [
        (np.arange(N) % 3, {}, ("0", "1", "2")),
        (np.arange(N) / 4, {}, ()),
        (np.arange(N) % 3, {"types": {"ill": "number"}}, ()),
        (np.where(np.arange(N) % 2, np.arange(N) % 3, np.nan), {}, ("0", "1", "2")),
        (np.where(np.arange(N) % 2, "a", np.where(np.arange(N) % 4, "b", None)), {}, ("a", "b")),
        (np.arange(N) % 2 == 0, {}, ("False", "True")),
        (np.where(np.arange(N) % 2, np.arange(N) / 4, np.nan), {}, ()),
        (np.arange(N) % 2 / 2, {"types": {"ill": "category"}}, ("0.0", "0.5")),
    ],
)
def test_the_target_is_classes_or_numbers(load, values: Any, keys: Any, classes: Any) -> None:
    train, test = load(frame(ill=values), **KEYS, **keys)
    assert train.classes == classes
    assert train.y.is_floating_point() == (classes == ())
    assert test.known.all()
    holes = pd.isna(pd.Series(values)).sum()
    assert (~train.known).sum() == holes
    assert bool(train.notes) == bool(holes)


def test_domains_are_taken_out_of_one_file(load) -> None:
    table = frame()
    source, _ = load(table, where="site=A", ignore=["patient"], test_fraction=0.1)
    target, _ = load(table, where="site!=A", ignore=["patient"], test_fraction=0.1)
    assert not set(source.identity) & set(target.identity)
    assert len(source) == (table.site == "A").sum() - round(0.1 * (table.site == "A").sum())
    assert not any(name.startswith("site") for name in source.columns)
    both, _ = load(table, where="site=A|B and age>=50", ignore=["patient"])
    chosen = table.site.isin(["A", "B"]) & (table.age >= 50)
    assert len(both) == chosen.sum() - round(0.2 * chosen.sum())


def test_no_group_is_on_both_sides_of_any_split(load) -> None:
    table = frame(300)
    train, test = load(table, group="patient")
    pairs = table.drop_duplicates(["age", "dose"])
    assert len(pairs) == 300
    assert train.group is not None
    assert not set(train.group) & set(test.group)
    assert abs(len(test) - 60) <= 3
    assert "patient" not in train.columns
    split = make_split(train, validation_fraction=0.2, budget=9, per_class=False, seed=0)
    here, there = (set(train.group[rows]) for rows in (split.train, split.validation))
    assert not here & there
    assert abs(len(split.validation) - 48) <= 3


@pytest.mark.parametrize("group", ["patient", None])
def test_every_example_is_in_the_test_set_of_one_fold(load, group: str | None) -> None:
    table, seen = frame(120), []
    for fold in range(5):
        train, test = load(table, group=group, folds=5, fold=fold)
        assert not set(train.identity) & set(test.identity)
        if group:
            assert not set(train.group) & set(test.group)
        assert 20 <= len(test) <= 28
        seen += test.identity.tolist()
    assert len(set(seen)) == len(seen) == 120


def test_a_target_has_the_sources_columns_by_name(load) -> None:
    source, _ = load(frame(), **KEYS)
    other = frame(colour="gold").rename(columns={"dose": "mass"})[
        ["colour", "ill", "mass", "age", "site", "patient"]
    ]
    target, _ = load(other, source=source, **KEYS)
    assert target.columns == source.columns
    place = {name: k for k, name in enumerate(target.columns)}
    assert (target.x[:, place["colour=?"]] == 1).all()
    assert target.x[:, place["dose"]].unique().numel() == 1
    text = " | ".join(target.notes)
    assert "1 of the source's 3 columns are not here and are filled as holes (dose)" in text
    assert "1 columns are not in the source and are left out (mass)" in text
    alone, _ = load(other, **KEYS)
    np.testing.assert_allclose(target.x[:, place["age"]], alone.x[:, alone.columns.index("age")])
    with pytest.raises(UserError, match="has 2 of the source's 3 columns .* min_overlap=0.9"):
        load(other, source=source, **KEYS, min_overlap=0.9)


def test_a_target_may_be_scaled_as_the_source_was(load) -> None:
    source, _ = load(frame(), **KEYS)
    shifted = frame()
    shifted["age"] += 1000
    own, _ = load(shifted, source=source, **KEYS)
    as_source, _ = load(shifted, source=source, **KEYS, scale_by="source")
    assert abs(own.x[:, 0].mean()) < 1e-5
    assert as_source.x[:, 0].mean() > 10


TEXT = "a,b,ill\n1,2,x\n3,4,y\n5,6,x\n7,8,y\n"


@pytest.mark.parametrize(
    "table, keys, text",
    [
        ("", {}, "is empty"),
        ("a,b,ill\n", {}, "has a header .* and no rows"),
        (TEXT + "1,2,3,4\n", {}, "line 6 has 4 fields, and the header has 3"),
        (TEXT, {"target": "sick"}, "target=sick: .* has no such column"),
        (TEXT, {"target": "il"}, "did you mean 'ill'"),
        (TEXT, {"ignore": ["c"]}, "ignore=c"),
        (TEXT, {"group": "c"}, "group=c"),
        (TEXT, {"where": "c=1"}, "has no column 'c'"),
        (TEXT, {"where": "a"}, "is no condition"),
        (TEXT, {"where": "a>x"}, "'x' is no number"),
        (TEXT, {"where": "a=99"}, "no row of .* fulfils it"),
        (TEXT + "?,4,x\n", {}, r"column a holds '\?' in row 4.*missing=\['\?'\]"),
        (TEXT + "u,4,x\n", {"types": {"a": "number"}}, "column a holds 'u' in row 4, which is no"),
        (TEXT + "inf,4,x\n", {}, "column a holds inf in row 4"),
        (TEXT + "1e99,4,x\n", {}, r"column a holds 1e\+99 in row 4"),
        ("ill\nx\ny\n", {}, "has no column to learn from"),
        (TEXT, {"encoding": "utf-16"}, "set encoding="),
        (TEXT, {"encoding": "klingon"}, "set encoding="),
        (TEXT.replace("x", "z").replace("y", "z"), {"group": "ill"}, "all 4 examples are of one"),
        (TEXT, {"folds": 3, "fold": 3}, "fold=3: there are folds 0 to 2"),
        (TEXT, {"folds": 9, "group": "a"}, "there are only 4 groups"),
        (TEXT.replace("1", "-1"), {"scale": "log1p"}, "is for counts"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_one_line(
    load, table: str, keys: Any, text: str
) -> None:
    with pytest.raises(UserError, match=text) as caught:
        load(table, **({"target": "ill"} | keys))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", b"a,b\n1,2\n"])
def test_a_parquet_that_is_none_is_refused(build, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "own.parquet").write_bytes(content)
    with pytest.raises(UserError, match=r"own\.parquet: is cut off or not a parquet"):
        build("table", path=str(tmp_path / "own.parquet")).load()


def test_other_separators_points_and_encodings_are_read(build, tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_bytes("größe;ill\n1,5;ä\n2,5;b\n3,5;ä\n".encode("latin-1"))
    path = str(tmp_path / "own.csv")
    with pytest.raises(UserError, match="set encoding=latin-1"):
        build("table", path=path).load()
    keys = {"encoding": "latin-1", "decimal": ",", "target": "ill"}
    train, test = build("table", path=path, **keys, scale="none").load()
    assert train.columns == ("größe",)
    assert sorted([*train.x[:, 0].tolist(), *test.x[:, 0].tolist()]) == [1.5, 2.5, 3.5]
    assert any("separated by ';'" in note for note in train.notes)


def test_a_text_may_run_over_lines_in_quotes_alone(load) -> None:
    rows = "".join(f'{k},"one\ntwo {k % 3}",{"yes" if k % 2 else "no"}\n' for k in range(N))
    train, test = load("x,note,ill\n" + rows)
    assert len(train) + len(test) == N
    assert "note=one\ntwo 2" in train.columns
    with pytest.raises(UserError, match="line 3 has 1 fields, and the header has 3"):
        load("x,note,ill\n1,a,no\none\n2,b,yes\n")


def test_columns_of_many_texts_and_of_times_are_left_out_and_told(load) -> None:
    table = frame(name=[f"n{i}" for i in range(N)], day=pd.date_range("2020", periods=N))
    train, _ = load(table, ".parquet", **KEYS, max_categories=20)
    assert not any(name.startswith(("name", "day")) for name in train.columns)
    text = " | ".join(train.notes)
    assert "column name has 60 different texts and is left out" in text
    assert "column day holds times and is left out" in text


def test_a_table_is_the_same_from_the_store(build, tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "own.csv", index=False)
    data = build("table", path=str(tmp_path / "own.csv"), target="ill", group="patient")
    store = Store(dir=str(tmp_path / "store"), reuse=True)
    for _ in range(2):
        train, test = read_once.load(data, store, tmp_path)
        plain, plain_test = data.load()
        assert train.fingerprint() == plain.fingerprint()
        assert test.fingerprint() == plain_test.fingerprint()
        assert train.reading == plain.reading
        assert train.scale.as_dict() == plain.scale.as_dict()


def test_a_condition_after_an_exclamation_mark_chooses_all_others(load) -> None:
    one, _ = load(frame(), **KEYS, where="site=A", test_fraction=0.1)
    others, _ = load(frame(), **KEYS, where="!site=A", test_fraction=0.1)
    same, _ = load(frame(), **KEYS, where="site!=A", test_fraction=0.1)
    assert len(one) + len(others) in range(50, 56)
    assert others.fingerprint() == same.fingerprint()
