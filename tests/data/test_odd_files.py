"""Files as people have them, which are read rightly, and what is told of them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra.utils import instantiate
from PIL import Image

from aetl.config import compose
from aetl.data.base import Dataset, Examples
from aetl.types import UserError
from tests.cli.test_bad_data import LINES, LONG, TABLE, X, say, text, ts, write


def dataset(kind: str, path: Path, *keys: str) -> Dataset:
    said = [f"dataset@source={kind}", f"source.path={path}"]
    said += ["+" * key.startswith("+") + f"source.{key.removeprefix('+')}" for key in keys]
    made: Dataset = instantiate(compose(said).source)
    return made


def read(kind: str, path: Path, *keys: str) -> Examples:
    return dataset(kind, path, *keys).load()[0]


def of_table(path: Path, content: str | bytes, *keys: str) -> Examples:
    return read("table", write(path / "own.csv", content), "target=ill", "ignore=[who]", *keys)


PLAIN = text(TABLE)


@pytest.mark.parametrize(
    "content",
    [
        ("\ufeff" + PLAIN).encode(),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.replace("\n", "\n\n").encode(),
        PLAIN.replace(",", ", ").encode(),
        PLAIN.replace("red", '"red"').encode(),
    ],
    ids=["mark", "windows", "old mac", "empty lines", "blanks", "quotes"],
)
def test_the_same_table_in_other_writing_is_the_same(content: bytes, tmp_path: Path) -> None:
    found, plain = of_table(tmp_path / "a", content), of_table(tmp_path / "b", PLAIN)
    assert found.columns == plain.columns
    assert found.classes == plain.classes
    assert np.array_equal(found.x, plain.x)


def test_rows_that_are_counted_and_columns_without_a_value_are_left_out(tmp_path: Path) -> None:
    plain = of_table(tmp_path / "a", PLAIN)
    found = of_table(tmp_path / "b", TABLE.assign(empty=np.nan).to_csv())
    assert found.columns == plain.columns
    assert np.array_equal(found.x, plain.x)
    assert any("Unnamed: 0 has no name and counts the rows" in line for line in found.notes)
    assert any("column empty has no value in any row" in line for line in found.notes)
    named = TABLE.to_csv(index_label="turn")
    assert "turn" in of_table(tmp_path / "c", named).columns


@pytest.mark.parametrize("form", ["2020-03-{:02d}", "{:02d}.03.2020", "{:d}/3/20", "{:02d}:30"])
def test_times_are_left_out_and_told(form: str, tmp_path: Path) -> None:
    days = [form.format(1 + n % 20) for n in range(len(TABLE))]
    found = of_table(tmp_path, text(TABLE.assign(day=days)))
    assert found.columns == ("age", "dose", "colour=blue", "colour=red", "colour=?")
    assert any("column day holds times and is left out" in line for line in found.notes)
    kept = of_table(tmp_path, text(TABLE.assign(day=days)), "+types.day=category")
    assert sum(name.startswith("day=") for name in kept.columns) > 5


def test_classes_that_differ_in_case_are_told(tmp_path: Path) -> None:
    mixed = TABLE.assign(ill=np.where(np.arange(len(TABLE)) % 4 == 0, "Yes", TABLE.ill))
    assert (
        of_table(tmp_path, text(mixed)).notes[-1].startswith("the classes 'Yes' and 'yes' differ")
    )


def test_columns_of_parquet_that_are_no_values_are_left_out(tmp_path: Path) -> None:
    import datetime
    from decimal import Decimal

    plain = of_table(tmp_path / "a", PLAIN)
    odd = TABLE.assign(
        dose=[Decimal(f"{value:.3f}") for value in TABLE.dose],
        list=[[1.0, 2.0]] * len(TABLE), struct=[{"a": 1}] * len(TABLE), raw=[b"\xff"] * len(TABLE),
        day=[datetime.date(2020, 1, 1)] * len(TABLE),
    )  # fmt: skip
    odd.to_parquet(tmp_path / "own.parquet")
    found = read("table", tmp_path / "own.parquet", "target=ill", "ignore=[who]")
    assert found.columns == plain.columns
    assert np.array_equal(found.x, plain.x)
    for name, said in (("list", "of type list"), ("struct", "of type struct"),
                       ("raw", "of type binary"), ("day", "times")):  # fmt: skip
        assert any(f"column {name} holds" in line and said in line for line in found.notes)


def test_classes_that_are_numbers_and_more_stay_classes(tmp_path: Path) -> None:
    years = np.array(["0", "1+", "2+", "3+"])[np.arange(len(TABLE)) % 4]
    found = of_table(tmp_path, text(TABLE.assign(years=years)))
    assert [n for n in found.columns if n.startswith("years")] == [
        "years=0", "years=1+", "years=2+", "years=3+", "years=?",
    ]  # fmt: skip


def test_svmlight_with_queries_from_zero_on_and_with_a_mark(tmp_path: Path) -> None:
    lines = [line.replace(" 1:", " qid:3 1:") for line in LINES]
    plain = read("svmlight", write(tmp_path / "a.svm", "\n".join(LINES)))
    for content in ("\n".join(lines), "\ufeff" + "\n".join(LINES)):
        found = read("svmlight", write(tmp_path / "b.svm", content))
        assert np.array_equal(found.x.to_dense(), plain.x.to_dense())
    zero = [line.replace(" 1:", " 0:") for line in LINES]
    assert read("svmlight", write(tmp_path / "c.svm", "\n".join(zero))).shape == (4,)


def test_series_with_a_mark_and_with_moments_out_of_order(tmp_path: Path) -> None:
    found = read("series", write(tmp_path / "s.ts", "\ufeff" + ts()))
    assert found.classes == ("0", "1")
    keys = ("id=id", "time=t", "target=kind")
    plain = read("series", write(tmp_path / "a.csv", text(LONG)), *keys)
    mixed = LONG.sample(frac=1, random_state=0)
    times = mixed.assign(t=[f"2020-01-{1 + t:02d}" for t in mixed.t])
    for frame in (mixed, times):
        other = read("series", write(tmp_path / "b.csv", text(frame)), *keys)
        assert np.array_equal(other.x, plain.x)
    equal = read("series", write(tmp_path / "c.csv", text(LONG.assign(t=0))), *keys)
    assert "stay in the order of the file" in equal.notes[0]
    assert np.array_equal(equal.x, plain.x)
    assert X.shape[1:] == plain.shape


@pytest.mark.parametrize("kind", ["PCM_U8", "PCM_24", "FLOAT", "DOUBLE", "ULAW"])
def test_recordings_of_every_width_are_the_same_sound(kind: str, tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    wave = 0.5 * np.sin(np.arange(400) * 0.1)
    for name in "ab":
        (tmp_path / name).mkdir()
        for k in range(4):
            form = "PCM_16" if k else kind
            both = np.stack([2 * wave, 0 * wave], 1) if k == 1 else wave
            soundfile.write(tmp_path / name / f"{k}.wav", both * (name == "a") + 0.01, 8000, form)
    found = read("audio_folder", tmp_path, "features=raw", "test_fraction=0.25")
    x = found.x[found.y.numpy() == 0].numpy()
    assert np.abs(x - x[0]).max() < 0.1  # of 16 bits, standardised


def test_folders_of_pictures_that_lead_back_to_themselves_end(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in "ab":
        for k in range(4):
            path = tmp_path / name / "deep" / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (8, 9), dtype=np.uint8)).save(path)
    os.symlink(tmp_path, tmp_path / "a" / "again")
    os.symlink(tmp_path / "a" / "self.png", tmp_path / "a" / "self.png")
    pool, test = dataset("image_folder", tmp_path).load()
    assert len(pool) + len(test) == 8
    assert any("lead nowhere" in line for line in pool.notes)


def test_a_picture_beyond_all_sizes_is_named(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.new("L", (9, 8)).save(tmp_path / name / "0.png")
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\0\0\0\1\0\0\x08\0\0\0\0"
    (tmp_path / "a" / "huge.png").write_bytes(header + bytes(60))
    with pytest.raises(UserError, match=r"huge\.png: is not a readable image"):
        read("image_folder", tmp_path)


def test_texts_in_folders_in_folders_and_with_marks_are_read(tmp_path: Path) -> None:
    for name in "ab":
        for k in range(6):
            write(
                tmp_path / name / "deep" / f"{k}.txt", ("\ufeff" if k == 1 else "") + say(k, name)
            )
    pool, test = dataset("text_folder", tmp_path).load()
    assert len(pool) + len(test) == 12
    assert not any("\ufeff" in name for name in pool.columns)
    rows = pd.DataFrame({"text": [f"one\n{say(k, 'a')}" for k in range(24)], "ill": TABLE.ill})
    found = read("text_csv", write(tmp_path / "t.csv", rows.to_csv(index=False)), "target=ill")
    assert "alpha" in found.columns


def test_a_row_that_is_longer_than_a_block_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = of_table(tmp_path / "a", PLAIN)
    monkeypatch.setattr("aetl.data.csv_file.BLOCK", 100)
    long = TABLE.assign(said=["word " * (200 if n == 7 else 1) for n in range(len(TABLE))])
    found = of_table(tmp_path / "b", text(long), "ignore=[who,said]")
    assert np.array_equal(found.x, plain.x)
