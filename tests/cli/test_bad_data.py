"""Data that cannot be used: exit code 2 and one line with the file, row or column, for every kind.

What is there of the run afterwards is whole: its record, and no entry of the store half-written.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

from aetl.cli import main
from aetl.config import compose
from aetl.files import read_json
from aetl.stage.domains import load_domains
from aetl.stage.fits import refuse_misfit
from aetl.store.store import Store
from aetl.types import UserError

N = 24
RNG = np.random.default_rng(0)
LABELS = np.where(np.arange(N) % 2, "yes", "no")
RARE = np.where(np.arange(N) == 3, "yes", "no")
X = RNG.normal(size=(N, 2, 9)).astype(np.float32).round(3)
V = RNG.normal(size=(N, 4)).astype(np.float32)
Y = np.arange(N) % 2
ONE = "so there is nothing to tell apart"
GROUP = "all 24 examples are of one group"
BY_LABELS = ("transfer=instance/density_ratio", "target.budget=6")
SCARCE = ("target.per_class=true", "target.budget=4")

Make = Callable[[Path], list[str]]
CASES: dict[str, tuple[Make, str]] = {}


def case(name: str, said: str, make: Make) -> None:
    assert name not in CASES
    CASES[name] = make, said


def own(kind: str, path: Path, *keys: str, other: Path | None = None) -> list[str]:
    """Both domains are ``path``, or the target is ``other``; keys without a domain are for both."""
    overrides = [f"dataset@source={kind}", f"dataset@target={kind}"]
    overrides += [f"source.path={path}", f"target.path={other or path}"]
    for key in keys:
        plus = "+" if key.startswith("+") else ""
        bare = key.removeprefix("+")
        whole = bare.startswith(("target.", "backbone", "loss", "transfer")) or bare.count("@")
        overrides += [key] if whole else [f"{plus}{d}.{bare}" for d in ("source", "target")]
    return overrides


def but(frame: pd.DataFrame, row: int, name: str, value: Any) -> pd.DataFrame:
    changed = frame.astype({name: object})
    changed.loc[row, name] = value
    return changed


def text(frame: pd.DataFrame, line: int = 0, instead: str = "", sep: str = ",") -> str:
    """A csv, with another text in one of its lines (from 1)."""
    lines = frame.to_csv(index=False, sep=sep).splitlines()
    if line:
        lines[line - 1] = instead
    return "\n".join(lines) + "\n"


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# Tables

TABLE = pd.DataFrame({
    "age": RNG.normal(50, 10, N).round(2), "dose": RNG.normal(3, 2, N).round(3),
    "colour": RNG.choice(["red", "blue"], N), "ill": LABELS, "who": np.arange(N) // 2,
})  # fmt: skip
OTHER = TABLE.assign(age=TABLE.age + 1, ill=np.where(Y, "sick", "well"))
KEYS = ("target=ill", "ignore=[who]")


def table(
    content: pd.DataFrame | str | bytes, *keys: str, suffix: str = ".csv",
    other: pd.DataFrame | None = None,
) -> Make:  # fmt: skip
    def saved(path: Path, content: pd.DataFrame | str | bytes) -> Path:
        if not isinstance(content, pd.DataFrame):
            return write(path, content)
        if suffix == ".csv":
            return write(path, text(content))
        content.to_parquet(path)
        return path

    def make(folder: Path) -> list[str]:
        there = None if other is None else saved(folder / f"other{suffix}", other)
        return own("table", saved(folder / f"own{suffix}", content), *keys or KEYS, other=there)

    return make


for suffix in (".csv", ".parquet"):
    for name, said, frame, keys, beside in (
        ("no row", "and no rows", TABLE.iloc[:0], (), None),
        ("one class", f"every label is 'yes', {ONE}", TABLE.assign(ill="yes"), (), None),
        ("text among numbers", "column dose holds 'lots' in row 5",
         but(TABLE, 5, "dose", "lots").astype({"dose": str}), (), None),
        ("text in a column of numbers", "column dose holds 'lots' in row 5, which is no number",
         but(TABLE, 5, "dose", "lots").astype({"dose": str}), (*KEYS, "+types.dose=number"), None),
        ("no target column", "target=ill: ", TABLE.drop(columns="ill"), (), None),
        ("infinity", "column dose holds inf in row 5", TABLE.assign(
            dose=np.where(np.arange(N) == 5, np.inf, TABLE.dose)), (), None),
        ("a scarce class", "class 'yes' has only 1 training examples", TABLE.assign(ill=RARE),
         (*KEYS, *SCARCE), None),
        ("a large budget", "budget=400: there are only 17", TABLE, (*KEYS, "target.budget=400"),
         None),
        ("one group", GROUP, TABLE.assign(who=1), ("target=ill", "group=who"), None),
        ("no overlap", "has 0 of the source's 3 columns", TABLE, (),
         TABLE.rename(columns={"age": "x", "dose": "y", "colour": "z"})),
        ("other labels", "(no, yes) are not the target's (sick, well)", TABLE, (*KEYS, *BY_LABELS),
         OTHER),
    ):  # fmt: skip
        case(f"{suffix}: {name}", said, table(frame, *keys, suffix=suffix, other=beside))

case("csv: empty", "own.csv: is empty", table(""))
case("csv: a long row", "line 7 has 7 fields, and the header has 5",
     table(text(TABLE, 7, "1,2,red,yes,3,4,5")))  # fmt: skip
case("csv: a short row", "line 7 has 2 fields", table(text(TABLE, 7, "1,2")))
case("csv: an open quote", "line 7 opens a quote", table(text(TABLE, 7, '1,2,"red,yes,3')))
case("csv: an open quote at the end", "opens a quote", table(text(TABLE, 24, '1,2,red,yes,"3')))
case("csv: latin-1", "(byte 0xfc in line 2); set encoding=latin-1",
     table(text(TABLE.assign(colour="grün")).encode("latin-1")))  # fmt: skip
case("csv: utf-16", "set encoding=utf-16", table(text(TABLE).encode("utf-16")))
case("csv: utf-16 without mark", "set encoding=utf-16-le", table(text(TABLE).encode("utf-16-le")))
case("csv: no encoding", "encoding=utf-99 is not known", table(TABLE, *KEYS, "encoding=utf-99"))
case("csv: another separator", "set separator=", table(text(TABLE, sep=":"), "target=ill"))
case("csv: commas in numbers", "set decimal=','",
     table(text(TABLE, sep=";").replace(".", ",")))  # fmt: skip


def as_text(name: str, form: str, *, sep: str = ",", factor: float = 1.0) -> str:
    """A column of numbers as people write them."""
    written = [form.format(value * factor) for value in TABLE[name].abs()]
    return TABLE.assign(**{name: written}).to_csv(index=False, sep=sep)


case(
    "csv: thousands",
    "and the like; write numbers without signs between their thousands; ",
    table(as_text("age", "{:,.2f}", factor=100)),
)
case("csv: thousands or fractions", "or set decimal=','",
     table(as_text("dose", "{:,.0f}", factor=1000)))  # fmt: skip
case("csv: thousands with points", "without signs between their thousands",
     table(as_text("dose", "1.{:03.0f}.000,5", sep=";", factor=100)))  # fmt: skip
case("csv: money", "signs of money or percent", table(as_text("dose", "${:.2f}")))
case("csv: percent", "signs of money or percent", table(as_text("dose", "{:.1f} %")))
case("csv: half of it text", "holds 'x' in row 1, and many others are numbers",
     table(TABLE.assign(dose=np.where(Y, "x", TABLE.dose.astype(str)))))  # fmt: skip
case("csv: no header", "holds numbers and no names; a table needs a header",
     table("".join(text(TABLE).splitlines(keepends=True)[1:])))  # fmt: skip
case("csv: two columns of a name", "two columns called 'age'",
     table(text(TABLE).replace("dose", "age", 1)))  # fmt: skip
case(
    "csv: Excel", "own.csv: is a zip archive (Excel's files are such)", table(b"PK\3\4" + bytes(99))
)
case("csv: old Excel", "is an old Excel file",
     table(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99)))  # fmt: skip
case("csv: gzip", "is compressed (gzip)", table(b"\x1f\x8b\x08\0" + bytes(range(99))))
case("csv: parquet", "own.csv: is a parquet file", table(b"PAR1" + bytes(range(200))))
case("csv: binary", "is no text: it holds bytes of zero",
     table(np.random.default_rng(0).bytes(400) + bytes(9)))  # fmt: skip
case("csv: cp1252", "(byte 0x80 in line 2); set encoding=cp1252",
     table(text(TABLE.assign(colour="\u20ac")).encode("cp1252")))  # fmt: skip
case(
    "parquet: a csv",
    "Parquet magic bytes not found",
    table(text(TABLE).encode(), suffix=".parquet"),
)
case("parquet: cut off", "own.parquet: is cut off", table(b"PAR1" + bytes(90), suffix=".parquet"))


# svmlight

LINES = [f"{k % 2} 1:{k + 0.5} 3:{k * k}" for k in range(N)]


def svm(*keys: str, row: int = 0, line: str = LINES[0], every: str = "", other: str = "") -> Make:
    def make(folder: Path) -> list[str]:
        lines = [*LINES[:row], line, *LINES[row + 1 :]]
        changed = "\n".join(every + line[1:] if every else line for line in lines)
        beside = write(folder / "b.svm", "\n".join(LINES).replace("\n1 ", other)) if other else None
        return own("svmlight", write(folder / "a.svm", changed + "\n"), *keys, other=beside)

    return make


case("svmlight: empty", "a.svm: is empty",
     lambda f: own("svmlight", write(f / "a.svm", "")))  # fmt: skip
case("svmlight: one class", ONE, svm(every="1"))
case("svmlight: text", "line 6 is no label and list", svm(row=5, line="1 1:abc 2:3"))
case("svmlight: infinity", "line 6 holds NaN or infinity", svm(row=5, line="1 1:inf 2:3"))
case("svmlight: cut off", "line 24 is no list of column:value", svm(row=23, line="1 1:"))
case("svmlight: utf-16", "save it in utf-8 (it may be in utf-16)",
     lambda f: own("svmlight", write(f / "a.svm", "\n".join(LINES).encode("utf-16"))))  # fmt: skip
case("svmlight: a column beyond all", "line 6 names column 3000000000",
     svm(row=5, line="1 1:2 3000000000:4"))  # fmt: skip
case("svmlight: several labels", "line 6 is no label", svm(row=5, line="0,1 1:2"))
case("svmlight: other labels", "(0, 1) are not the target's (0, 7)",
     svm(*BY_LABELS, other="\n7 "))  # fmt: skip
case("svmlight: a large budget", "budget=400", svm("target.budget=400"))


# Texts


def say(k: int, name: str) -> str:
    words = ("alpha", "beta", "gamma", "delta", "apple", "berry")
    return f"{name} {words[k % 6]} {words[(k * k + 1) % 6]} word{k}"


def folder_of_texts(root: Path, classes: str = "ab", number: int = 12) -> Path:
    for name in classes:
        for k in range(number):
            write(root / name / f"{k}.txt", say(k, name))
    return root


def texts(*keys: str, changed: bytes | None = None, classes: str = "ab", table: str = "",
          other: str = "") -> Make:  # fmt: skip
    def make(folder: Path) -> list[str]:
        root = folder_of_texts(folder / "texts", classes)
        if changed is not None:
            write(root / "a" / "3.txt", changed)
        if table:
            write(root / "l.csv", table)
        beside = folder_of_texts(folder / "other", other) if other else None
        return own("text_folder", root, *keys, other=beside)

    return make


NAMED = [(f"{name}/{k}.txt", name) for name in "ab" for k in range(12)]
BESIDE = "file,label,g\n" + "".join(f"{file},{name},1\n" for file, name in NAMED)
case("texts: an empty folder", "holds no texts",
     lambda f: own("text_folder", write(f / "t" / "x", "").parent))  # fmt: skip
case("texts: one class", f"every label is 'a', {ONE}", texts(classes="a"))
case("texts: no word", "a/3.txt: has no word", texts(changed=b"... !"))
case("texts: nothing", "set wordless=keep", texts(changed=b""))
case("texts: latin-1", "a/3.txt: is not in utf-8 (byte 0xfc in line 1); set encoding=latin-1",
     texts(changed="grün".encode("latin-1")))  # fmt: skip
case("texts: utf-16", "set encoding=utf-16", texts(changed="green".encode("utf-16-le")))
case("texts: one group", GROUP, texts("labels=l.csv", "group=g", table=BESIDE))
case("texts: no target", "target=kind: there is no such column", texts("target=kind"))
case("texts: a ragged csv beside", "l.csv: line 4 has 4 fields",
     texts("labels=l.csv", table=BESIDE.replace("a/2.txt,a", "a/2.txt,a,b")))  # fmt: skip
case("texts: other labels", "(a, b) are not the target's (c, d)", texts(*BY_LABELS, other="cd"))

SAID = pd.DataFrame({"text": [say(k, "ab"[k % 2]) for k in range(N)], "ill": LABELS, "who": 1})


def rows(content: str | bytes, *keys: str) -> Make:
    return lambda f: own("text_csv", write(f / "t.csv", content), *(keys or ("target=ill",)))


case("rows of text: empty", "t.csv: is empty", rows(""))
case("rows of text: none", "and no rows", rows("text,ill\n"))
case("rows of text: one class", ONE, rows(text(SAID.assign(ill="a"))))
case("rows of text: no target", "target=sick: ", rows(text(SAID), "target=sick"))
case("rows of text: no text", "text=body: ", rows(text(SAID), "target=ill", "text=body"))
case("rows of text: ragged", "line 5 has 1 fields", rows(text(SAID, 5, "a")))
case("rows of text: latin-1", "set encoding=latin-1",
     rows(text(SAID).replace("apple", "grün").encode("latin-1")))  # fmt: skip
case("rows of text: no word", "t.csv: row 3: has no word", rows(text(but(SAID, 3, "text", "..."))))
case("rows of text: one group", GROUP, rows(text(SAID), "target=ill", "group=who"))
case("rows of text: a separator", "set separator=", rows(text(SAID, sep=":")))


# Recordings


def sounds(*keys: str, classes: str = "ab", damage: Callable[[bytes], bytes] | None = None,
           rate: int = 8000, seconds: float = 0.05, value: float | None = None,
           other: str = "") -> Make:  # fmt: skip
    def recorded(root: Path, classes: str, shift: float) -> Path:
        soundfile = pytest.importorskip("soundfile")
        for name in classes:
            for k in range(8):
                (root / name).mkdir(parents=True, exist_ok=True)
                wave = np.sin(np.arange(round(8000 * seconds)) * (0.1 + 0.02 * k + shift))
                soundfile.write(root / name / f"{k}.wav", wave * (0.5 - 0.2 * (name > "a")), 8000)
        return root

    def make(folder: Path) -> list[str]:
        root = recorded(folder / "sounds", classes, 0.0)
        file = root / "a" / "3.wav"
        if rate != 8000 or value is not None:
            wave = np.full(600, 0.5 if value is None else value, np.float32)
            pytest.importorskip("soundfile").write(file, wave, rate, subtype="FLOAT")
        if damage is not None:
            file.write_bytes(damage(file.read_bytes()))
        beside = recorded(folder / "other", other, 0.013) if other else None
        return own("audio_folder", root, "backbone=conv", *keys, other=beside)

    return make


case("sounds: an empty folder", "holds no recordings",
     lambda f: own("audio_folder", write(f / "t" / "x", "").parent))  # fmt: skip
case("sounds: one class", ONE, sounds(classes="a"))
case("sounds: corrupt", "a/3.wav: is cut off or no recording", sounds(damage=lambda b: b"x" * 99))
case("sounds: cut off", "a/3.wav: is cut off (it has 200 of 844", sounds(damage=lambda b: b[:200]))
case("sounds: silence", "a/3.wav: holds no sound", sounds(damage=lambda b: (
    b[:4] + (36).to_bytes(4, "little") + b[8:40] + bytes(4))))  # fmt: skip
case("sounds: two rates", "a/3.wav 16000 samples a second); set rate=8000", sounds(rate=16000))
case("sounds: infinity", "a/3.wav: holds NaN or infinity", sounds(value=np.inf))
case("sounds: shorter than a frame", "window=256: is longer", sounds(seconds=0.01))
case("sounds: shorter than the kernel", "backbone.kernel_size=5: too large for examples of 2",
     sounds("features=raw", "backbone=conv1d", seconds=0.00025))  # fmt: skip
case("sounds: a scarce class", "class 'a' has only", sounds("target.per_class=true",
     "target.budget=9"))  # fmt: skip
case("sounds: no target", "target=kind: there is no such column", sounds("target=kind"))
case("sounds: other labels", "(a, b) are not the target's (c, d)", sounds(*BY_LABELS, other="cd"))


# Series


def series(name: str, content: Any, *keys: str, other: Any = None) -> Make:
    def saved(path: Path, content: Any) -> Path:
        if isinstance(content, str | bytes):
            return write(path, content)
        np.savez(path, **content)
        return path

    def make(folder: Path) -> list[str]:
        beside = None if other is None else saved(folder / f"other_{name}", other)
        path = saved(folder / name, content)
        return own("series", path, "backbone=conv1d", *keys, other=beside)

    return make


def inside(array: np.ndarray, value: float) -> np.ndarray:
    changed = array.copy()
    changed[5, 1] = value
    return changed


def ts(
    line: str | None = None, x: np.ndarray = X, label: Any = Y, head: str = "@classLabel true"
) -> str:
    lines = [":".join([*(",".join(map(str, c)) for c in s), str(y)])
             for s, y in zip(x, label, strict=True)]  # fmt: skip
    if line is not None:
        lines[5] = line
    return "\n".join([head, "@data", *lines]) + "\n"


case("ts: no labels", "line 3 has no label after its last colon", series("s.ts", "\n".join(
    line.rpartition(":")[0] if ":" in line else line for line in ts().splitlines())))  # fmt: skip
case("ts: no @data", "holds no series after @data", series("s.ts", ts().replace("@data\n", "")))
case("npz series: infinity", "in row 5", series("s.npz", {"x": inside(X, np.inf), "y": Y}))
case("npz series: none", "x is empty", series("s.npz", {"x": X[:0], "y": Y[:0]}))
case("npz series: one class", ONE, series("s.npz", {"x": X, "y": 0 * Y}))
case("npz series: short", "too large for examples of 2", series("s.npz", {"x": X[..., :2], "y": Y}))
case("npz series: a long window", "window=20: is longer than recording 0",
     series("s.npz", {"x": X, "y": Y}, "window=20"))  # fmt: skip
case("npz series: one group", GROUP, series("s.npz", {"x": X, "y": Y, "g": 0 * Y}, "group=g"))
case("npz series: other labels", "(0, 1) are not the target's (5, 6)",
     series("s.npz", {"x": X, "y": Y}, *BY_LABELS, other={"x": X + 1, "y": Y + 5}))  # fmt: skip
case("npz series: other channels", "only images, and series of as many channels",
     series("s.npz", {"x": X, "y": Y}, other={"x": X[:, :1], "y": Y}))  # fmt: skip
case("ts: empty", "holds no series", series("s.ts", ""))
case("ts: one class", ONE, series("s.ts", ts(label=0 * Y)))
case("ts: text", "line 8 holds what is no number", series("s.ts", ts("1,2,x:3,4,5:1")))
case("ts: channels", "line 8 has 1 channels", series("s.ts", ts("1,2,3:1")))
case("ts: infinity", "line 8 holds infinity", series("s.ts", ts("1,2,inf:3,4,5:1")))
case("ts: short", "too large for examples of 2", series("s.ts", ts(x=X[..., :2])))
case("ts: no target", "this data has no labels", series("s.ts", ts(head="# plain", label=Y / 2)))
case("ts: a target of text", "line 8 has the target 'b', which is no number",
     series("s.ts", ts("1,2:3,4:b", head="@targetLabel true")))  # fmt: skip
case("ts: latin-1", "set encoding=latin-1", series("s.ts", "# grün\n".encode("latin-1")))

LONG = pd.DataFrame([
    {"id": n, "t": t, "site": "A", "kind": "ab"[n % 2], "a": X[n, 0, t], "b": X[n, 1, t]}
    for n in range(N) for t in range(9)
])  # fmt: skip


def long(content: str | bytes, *keys: str, other: str | None = None) -> Make:
    said = ("id=id", "time=t", "target=kind")
    return series("s.csv", content, *said, *keys, other=other)


case("long csv: empty", "s.csv: is empty", long(""))
case("long csv: one class", ONE, long(text(LONG.assign(kind="a"))))
case("long csv: text", "column b holds 'lots' in row 20", long(text(but(LONG, 20, "b", "lots"))))
case("long csv: infinity", "column b holds inf in row 20", long(text(but(LONG, 20, "b", np.inf))))
case("long csv: no id", "column id has no value in row 20", long(text(but(LONG, 20, "id", None))))
case("long csv: no target", "target=kind: ", long(text(LONG.drop(columns="kind"))))
case("long csv: two targets", "column kind changes", long(text(but(LONG, 20, "kind", "c"))))
case("long csv: times without an order", "column t holds 't0', which is no number and no time",
     long(text(LONG.assign(t="t" + LONG.t.astype(str)))))  # fmt: skip
case("long csv: thousands", "without signs between their thousands",
     long(LONG.assign(a=[f"{10 + n % 7},{100 + n},000" for n in range(len(LONG))])
          .to_csv(index=False)))  # fmt: skip
case("long csv: ragged", "line 7 has 3 fields", long(text(LONG, 7, "1,2,3")))
case("long csv: latin-1", "set encoding=latin-1",
     long(text(LONG.assign(site="grün")).encode("latin-1")))  # fmt: skip
case("long csv: one group", GROUP, long(text(LONG), "group=site"))
case("long csv: other channels", "has the channels c, d, and the source has a, b",
     long(text(LONG), other=text(LONG.rename(columns={"a": "c", "b": "d"}))))  # fmt: skip


# Images, and arrays


def images(*keys: str, classes: str = "ab", damage: Callable[[bytes], bytes] | None = None,
           table: str | bytes = "", other: str = "") -> Make:  # fmt: skip
    def drawn(root: Path, classes: str, seed: int) -> Path:
        rng = np.random.default_rng(seed)
        for name in classes:
            (root / name).mkdir(parents=True)
            for k in range(12):
                pixels = rng.integers(0, 256, (6, 6), dtype=np.uint8)
                Image.fromarray(pixels).save(root / name / f"{k}.png")
        return root

    def make(folder: Path) -> list[str]:
        root = drawn(folder / "images", classes, 0)
        if damage is not None:
            file = root / "a" / "3.png"
            file.write_bytes(damage(file.read_bytes()))
        if table:
            write(root / "l.csv", table)
        beside = drawn(folder / "other", other, 1) if other else None
        return own("image_folder", root, *keys, other=beside)

    return make


IMAGED = BESIDE.replace(".txt", ".png")
LABELLED = "labels=l.csv"
case("images: an empty folder", "holds no images",
     lambda f: own("image_folder", write(f / "t" / "x", "").parent))  # fmt: skip
case("images: one class", ONE, images(classes="a"))
case("images: corrupt", "a/3.png: is not a readable image", images(damage=lambda b: b"hello"))
case("images: cut off", "a/3.png: is cut off or corrupt", images(damage=lambda b: b[:60]))
case("images: a scarce class", "class 'a' has only",
     images("target.per_class=true", "target.budget=13"))  # fmt: skip
case("images: other labels", "(a, b) are not the target's (c, d)", images(*BY_LABELS, other="cd"))
case("images: one group", GROUP, images(LABELLED, "group=g", table=IMAGED))
case("images: a ragged csv", "l.csv: line 5 has 2 fields",
     images(LABELLED, table=IMAGED.replace("a/3.png,a,1", "a/3.png,a")))  # fmt: skip
case("images: a csv of nothing", "holds no header and rows", images(LABELLED, table="file,label\n"))
case("images: a csv in latin-1", "save it in utf-8 (it may be in latin-1)",
     images(LABELLED, table=IMAGED.replace(",b,", ",grün,").encode("latin-1")))  # fmt: skip
case("images: one class in a csv", ONE, images(LABELLED, table=IMAGED.replace(",b,", ",a,")))
case("images: named twice", "line 26 names 'a/3.png', as line 5",
     images(LABELLED, table=IMAGED + "a/3.png,b,1\n"))  # fmt: skip
case("images: no target", "target=kind: there is no such column",
     images(LABELLED, "target=kind", table=IMAGED))  # fmt: skip


def zipped(path: Path, name: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "x")
    return path


def arrays(*keys: str, other: Any = None, **content: Any) -> Make:
    def make(folder: Path) -> list[str]:
        np.savez(folder / "own.npz", **content)
        beside = None
        if other is not None:
            beside = folder / "other.npz"
            np.savez(beside, **other)
        return own("npz", folder / "own.npz", *keys, other=beside)

    return make


case("npz: none", "x is empty", arrays(x=V[:0], y=Y[:0]))
case("npz: one class", ONE, arrays(x=V, y=0 * Y))
case("npz: infinity", "NaN or infinity in row 5", arrays(x=inside(V, np.inf), y=Y))
case("npz: text", "must be numbers", arrays(x=V.astype(str), y=Y))
case("npz: cut off", "own.npz: is cut off", lambda f: own("npz", write(f / "own.npz", b"PK\3\4xx")))
case("npz: a scarce class", "class 'yes' has only 1", arrays(*SCARCE, x=V, y=RARE))
case("npz: objects", "y is an array of objects", arrays(x=V, y=np.array([*LABELS], object)))
case("npz: a zip of pictures", "a/1.png is no array",
     lambda f: own("npz", zipped(f / "own.npz", "a/1.png")))  # fmt: skip
case("npz: HDF5", "own.npz: is an HDF5 file",
     lambda f: own("npz", write(f / "own.npz", b"\x89HDF\r\n\x1a\n" + bytes(99))))  # fmt: skip
case("npz: complex numbers", "of type complex", arrays(x=V + 1j, y=Y))
case("npz: other labels", "(0, 1) are not the target's (5, 6)",
     arrays(*BY_LABELS, x=V, y=Y, other={"x": V + 1, "y": Y + 5}))  # fmt: skip
case("npz: other columns", "vectors need as many columns",
     arrays(x=V, y=Y, other={"x": V[:, :3] + 1, "y": Y}))  # fmt: skip


def overrides_of(make: Make, folder: Path) -> list[str]:
    (folder / "data").mkdir()
    overrides = make(folder / "data")
    few = [] if any("budget" in key for key in overrides) else ["target.budget=4"]
    return ["logger=none", "callback.progress=null", *few, *overrides]


def begin(cfg: Any, folder: Path) -> None:
    """What a run does before any work, without its record."""
    domains = load_domains(cfg, Store(dir=str(folder / "store"), reuse=True), folder)
    refuse_misfit(cfg, domains, domains.source)
    instantiate(cfg.backbone).encoder(domains.source.pool.shape)


RARE_ONES = {
    *("thousands or fractions", "thousands with points", "money", "percent", "no header"),
    *("old Excel", "gzip", "parquet", "binary", "cp1252", "a csv", "a column beyond all"),
    *("several labels", "no @data", "a zip of pictures", "HDF5", "complex numbers"),
}


def everyday() -> set[str]:
    """A case of each kind of data, and one of each mistake."""
    first: dict[str, str] = {}
    for name in CASES:
        if name.rpartition(": ")[2] in RARE_ONES:
            continue
        for part in name.split(": "):
            first.setdefault(part, name)
    return set(first.values())


def all_but(slow: set[str]) -> list[Any]:
    return [pytest.param(n, marks=[pytest.mark.slow] * (n in slow)) for n in CASES]


@pytest.mark.parametrize("name", all_but(set(CASES) - everyday()))
def test_data_that_cannot_be_used_is_told_by_file_row_or_column(name: str, tmp_path: Path) -> None:
    make, said = CASES[name]
    cfg = compose([*overrides_of(make, tmp_path), f"output_dir={tmp_path / 'out'}"])
    cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    with pytest.raises(UserError) as caught:
        begin(cfg, tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", all_but(set(CASES) - {".csv: one class", "long csv: text"}))
def test_data_that_cannot_be_used_ends_in_one_line(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make, said = CASES[name]
    code = main([*overrides_of(make, tmp_path), f"output_dir={tmp_path / 'out'}"])
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("aetl: ")]
    assert code == 2
    assert len(lines) == 1, lines
    assert said in lines[0]
    for record in (tmp_path / "out").rglob("run.json"):
        assert read_json(record)["status"] in ("failed", "refused")
    store = tmp_path / "out" / "store"
    entries = [path for path in store.glob("*/*") if path.is_dir()] if store.is_dir() else []
    assert all((entry / "entry.json").is_file() for entry in entries), entries
