"""Data as people bring it: read rightly, or told what was done, or refused with the way on."""

from __future__ import annotations

import os
import unicodedata
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from aetl.data.base import Examples
from aetl.types import UserError

RNG = np.random.default_rng(0)
N = 24
Y = np.arange(N) % 2
TWELVE = np.arange(N) % 12
U8 = RNG.integers(0, 256, (N, 6, 5), dtype=np.uint8)
UNIT = (U8 / 255).astype(np.float32)
V = RNG.normal(size=(N, 4)).astype(np.float32)
COLOUR = RNG.integers(0, 256, (N, 3, 6, 5), dtype=np.uint8)
ONE_HOT = np.eye(3, dtype=np.int64)[np.arange(N) % 3]
SEVERAL = (RNG.random((N, 3)) < 0.5).astype(np.int64)
SEVERAL[0] = [1, 1, 0]


def but(array: np.ndarray, row: int, value: Any) -> np.ndarray:
    """The array with one other row."""
    changed = array.copy()
    changed[row] = value
    return changed


def levels(top: float, dtype: Any = np.uint16) -> np.ndarray:
    return np.round(UNIT * top).astype(dtype)


RIGHT: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    # name, arrays, keys: read as the same examples as x=U8, y=Y
    ("plain", {"x": U8, "y": Y}, {}),
    ("float32", {"x": UNIT, "y": Y}, {}),
    ("float64", {"x": U8 / 255, "y": Y}, {}),
    ("float16", {"x": (U8 / 255).astype(np.float16), "y": Y}, {}),
    ("big-endian floats", {"x": UNIT.astype(">f4"), "y": Y}, {}),
    ("big-endian integers", {"x": U8.astype(">i4"), "y": Y.astype(">i8")}, {}),
    ("int64", {"x": U8.astype(np.int64), "y": Y}, {}),
    ("uint16", {"x": U8.astype(np.uint16), "y": Y}, {}),
    ("Fortran order", {"x": np.asfortranarray(U8), "y": Y}, {}),
    ("a view that runs backwards", {"x": U8[::-1][::-1], "y": Y[::-1][::-1]}, {}),
    ("one channel last", {"x": U8[..., None], "y": Y}, {}),
    ("one channel first", {"x": U8[:, None], "y": Y}, {}),
    ("white is 4095", {"x": levels(4095), "y": Y}, {"top": 4095}),
    ("white is 65535", {"x": levels(65535), "y": Y}, {"top": 65535}),
    ("floats up to 255", {"x": U8.astype(np.float32), "y": Y}, {"top": 255}),
    ("labels as a column", {"x": U8, "y": Y[:, None]}, {}),
    ("labels as small integers", {"x": U8, "y": Y.astype(np.int8)}, {}),
    ("labels as bytes", {"x": U8, "y": Y.astype("S1")}, {}),
    ("labels as text", {"x": U8, "y": Y.astype(str)}, {}),
    ("labels with blanks", {"x": U8, "y": np.array([f" {y} " for y in Y])}, {}),
    ("other arrays beside", {"x": U8, "y": Y, "ids": np.arange(N)}, {}),
]


def save(folder: Path, arrays: dict[str, Any]) -> str:
    np.savez(folder / "own.npz", **arrays)
    return str(folder / "own.npz")


def near(found: torch.Tensor, wanted: np.ndarray, atol: float = 0) -> None:
    np.testing.assert_allclose(found.numpy().astype(float), wanted.astype(float), atol=atol)


@pytest.mark.parametrize("arrays, keys", [c[1:] for c in RIGHT], ids=[c[0] for c in RIGHT])
def test_an_array_of_any_type_and_order_is_the_same_data(
    build, tmp_path: Path, arrays: Any, keys: Any
) -> None:
    pool, _ = build("npz", path=save(tmp_path, arrays), **keys).read()
    near(pool.x[:, 0], U8)
    assert pool.classes == ("0", "1")
    assert pool.y.tolist() == Y.tolist()
    assert pool.kind == "image"
    assert not pool.notes


Check = Callable[[Examples], bool]
TOLD: list[tuple[str, dict[str, Any], dict[str, Any], str, Check]] = [
    # name, arrays, keys, what is told, what is right of the training pool before the split
    ("binary integers", {"x": (U8 > 99).astype(int), "y": Y}, {}, "black and white",
     lambda e: e.x.unique().tolist() == [0, 255]),
    ("integers 0..16", {"x": levels(16), "y": Y}, {}, "set top=16", lambda e: e.x.max() == 16),
    ("integers 0..16 with top", {"x": levels(16), "y": Y}, {"top": 16}, "",
     lambda e: e.x.max() == 255),
    ("booleans", {"x": U8 > 99, "y": Y}, {}, "", lambda e: e.x.unique().tolist() == [0, 255]),
    ("overshoot", {"x": but(UNIT, 0, np.nextafter(np.float32(1), 2, dtype=np.float32)), "y": Y},
     {}, "goes beyond 0..1", lambda e: e.x[0].min() == 255),
    ("undershoot", {"x": but(UNIT, 0, -1e-9), "y": Y}, {}, "beyond", lambda e: e.x[0].max() == 0),
    ("all black", {"x": np.zeros_like(U8), "y": Y}, {}, "one single value", lambda e: True),
    ("-1 beside classes", {"x": U8, "y": np.where(Y == 0, -1, TWELVE)}, {},
     "12 of 24 are '-1'", lambda e: e.known.sum() == 12 and "-1" not in e.classes),
    ("-1 as a class", {"x": U8, "y": np.where(Y == 0, -1, TWELVE)}, {"unlabelled": None}, "",
     lambda e: e.known.all() and e.classes[0] == "-1"),
    ("-1 and 1", {"x": U8, "y": 2 * Y - 1}, {}, "", lambda e: e.classes == ("-1", "1")),
    ("99 means none", {"x": U8, "y": np.where(Y == 0, 99, TWELVE)}, {"unlabelled": 99},
     "12 of 24 are '99'", lambda e: e.known.sum() == 12),
    ("-1 as text", {"x": U8, "y": np.where(Y == 0, -1, TWELVE).astype(str)}, {}, "'-1'",
     lambda e: e.known.sum() == 12),
    ("empty text", {"x": U8, "y": np.where(Y == 0, "", TWELVE.astype(str))}, {}, "''",
     lambda e: e.known.sum() == 12),
    ("NaN targets", {"x": V, "y": np.where(Y == 0, np.nan, V[:, 0])}, {}, "12 of 24 are NaN",
     lambda e: e.known.sum() == 12 and e.classes == ()),
    ("one-hot integers", {"x": U8, "y": ONE_HOT}, {}, "one-hot",
     lambda e: e.y.tolist() == ONE_HOT.argmax(1).tolist()),
    ("one-hot floats", {"x": U8, "y": ONE_HOT.astype(float)}, {}, "one-hot",
     lambda e: e.y.dim() == 1),
    ("one-hot booleans", {"x": U8, "y": ONE_HOT > 0}, {}, "one-hot", lambda e: e.y.dim() == 1),
    ("several labels", {"x": U8, "y": SEVERAL}, {}, "", lambda e: e.y.tolist() == SEVERAL.tolist()),
    ("several labels as floats", {"x": U8, "y": SEVERAL.astype(float)}, {}, "",
     lambda e: e.y.tolist() == SEVERAL.tolist()),
    ("rows of -1 among several", {"x": U8, "y": but(SEVERAL, 3, -1)}, {}, "1 of 24 rows",
     lambda e: e.known.sum() == N - 1),
    ("rows of NaN among several", {"x": U8, "y": but(SEVERAL.astype(float), 3, np.nan)}, {},
     "1 of 24 rows", lambda e: e.known.sum() == N - 1),
    ("boolean labels", {"x": U8, "y": Y > 0}, {}, "", lambda e: e.classes == ("False", "True")),
    ("twelve classes", {"x": U8, "y": TWELVE}, {}, "", lambda e: e.classes[2] == "2"),
    ("accents in two forms", {"x": U8, "y": np.array(
        [unicodedata.normalize("NFC" if i % 4 else "NFD", "é" if y else "a")
         for i, y in enumerate(Y)])}, {}, "", lambda e: e.classes == ("a", "é")),
    ("boolean vectors", {"x": V > 0, "y": Y}, {}, "", lambda e: e.kind == "vector"),
    ("integer vectors", {"x": (9 * V).astype(int), "y": Y}, {}, "", lambda e: e.kind == "vector"),
    ("raw sensor units", {"x": 1e4 * V, "y": Y}, {}, "scale=standard", lambda e: True),
    ("raw units, scaled", {"x": 1e4 * V, "y": Y}, {"scale": "standard"}, "", lambda e: True),
    ("signals taken for images", {"x": RNG.random((N, 3, 64)), "y": Y}, {}, "kind=series",
     lambda e: e.shape == (1, 3, 64)),
    ("signals", {"x": RNG.normal(size=(N, 3, 64)), "y": Y}, {"kind": "series"}, "",
     lambda e: e.kind == "series" and e.shape == (3, 64)),
    ("signals, channels last", {"x": RNG.normal(size=(N, 64, 3)), "y": Y},
     {"kind": "series", "layout": "last"}, "", lambda e: e.shape == (3, 64)),
    ("signals of one channel", {"x": V, "y": Y}, {"kind": "series"}, "",
     lambda e: e.shape == (1, 4)),
    ("a field", {"x": RNG.normal(size=(N, 6, 5)), "y": Y}, {"kind": "field"}, "",
     lambda e: e.kind == "field" and e.shape == (1, 6, 5)),
    ("a field of channels", {"x": RNG.normal(size=(N, 6, 5, 2)), "y": Y}, {"kind": "field"}, "",
     lambda e: e.shape == (2, 6, 5)),
    ("seven channels", {"x": np.zeros((N, 7, 6, 5), np.uint8) + U8[:, None], "y": Y},
     {"layout": "first"}, "", lambda e: e.shape == (7, 6, 5)),
    ("colour", {"x": COLOUR, "y": Y}, {}, "", lambda e: e.shape == (3, 6, 5)),
    ("colour last", {"x": COLOUR.transpose(0, 2, 3, 1), "y": Y}, {}, "",
     lambda e: torch.equal(e.x, torch.from_numpy(COLOUR))),
    ("x_val with a test set", {"x_train": U8, "y_train": Y, "x_val": U8[:8], "y_val": Y[:8],
     "x_test": U8[:4], "y_test": Y[:4]}, {}, "x_val joined", lambda e: len(e) == N + 8),
    ("x_valid alone", {"x_train": U8, "y_train": Y, "x_valid": U8[:8], "y_valid": Y[:8]}, {},
     "x_valid is the test set", lambda e: len(e) == N),
    ("x_val beside x", {"x": U8, "y": Y, "x_val": U8}, {}, "x_val beside x", lambda e: len(e) == N),
    ("text in train, numbers in test", {"x_train": U8, "y_train": Y.astype(str), "x_test": U8,
     "y_test": Y}, {}, "", lambda e: e.classes == ("0", "1")),
]  # fmt: skip


@pytest.mark.parametrize(
    "arrays, keys, told, right", [c[1:] for c in TOLD], ids=[c[0] for c in TOLD]
)
def test_what_may_have_been_meant_otherwise_is_told(
    build, tmp_path: Path, arrays: Any, keys: Any, told: str, right: Check
) -> None:
    data = build("npz", path=save(tmp_path, arrays), **keys)
    pool, _ = data.read()
    assert right(pool)
    text = " | ".join(pool.notes)
    assert told in text
    assert bool(told) == bool(text)
    train, test = data.load()
    assert test.known.all()  # nothing else can be scored
    assert set(train.notes) >= set(pool.notes)


REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("objects", {"x": np.array([{}, {}], object)}, {}, "array of objects"),
    ("labels as objects", {"x": U8, "y": np.array(list("ab") * 12, object)}, {}, "array of object"),
    ("complex", {"x": V.astype(complex), "y": Y}, {}, "must be numbers"),
    ("dates", {"x": V, "y": np.arange(N).astype("datetime64[D]")}, {}, "must be integers, floats"),
    ("dates as inputs", {"x": np.zeros((4, 2), "datetime64[D]")}, {}, "must be numbers"),
    ("records", {"x": np.zeros(4, [("a", int)])}, {}, "must be numbers"),
    ("text", {"x": np.array([["a", "b"]] * N), "y": Y}, {}, "must be numbers"),
    ("a scalar", {"x": np.float32(3)}, {}, r"is of shape \(\)"),
    ("one axis", {"x": np.arange(N)}, {}, "must be"),
    ("five axes", {"x": np.zeros((2, 3, 4, 5, 6))}, {}, "must be"),
    ("empty", {"x": np.zeros((0, 4))}, {}, "is empty"),
    ("images of no width", {"x": np.zeros((4, 4, 0))}, {}, "is empty"),
    ("a scalar label", {"x": U8, "y": np.int64(1)}, {}, r"must be \(24,\)"),
    ("too few labels", {"x": U8, "y": Y[:5]}, {}, r"must be \(24,\)"),
    ("NaN in vectors", {"x": but(V, 3, np.nan), "y": Y}, {}, "NaN or infinity in row 3"),
    ("infinity in vectors", {"x": but(V, 3, np.inf), "y": Y}, {}, "row 3"),
    ("NaN in images", {"x": but(UNIT, 3, np.nan), "y": Y}, {}, "row 3"),
    ("beyond float32", {"x": but(V.astype(float), 3, 1e60), "y": Y}, {}, "row 3"),
    ("12 bits", {"x": levels(4095), "y": Y}, {}, "set top="),
    ("negative integers", {"x": levels(255, np.int16) - 9, "y": Y}, {}, "kind=field"),
    ("floats up to 255", {"x": 255 * UNIT, "y": Y}, {}, "set top="),
    ("signals", {"x": RNG.normal(size=(N, 3, 64)), "y": Y}, {}, "kind=series"),
    ("top below the values", {"x": levels(4095), "y": Y}, {"top": 1023}, "0..1023"),
    ("channels on either side", {"x": np.zeros((N, 3, 6, 3), np.uint8)}, {}, "layout=first or"),
    ("channels on neither", {"x": np.zeros((N, 6, 6, 6), np.uint8)}, {}, "layout=first or"),
    ("vectors as images", {"x": V, "y": Y}, {"kind": "image"}, "is of shape"),
    ("images as vectors", {"x": U8, "y": Y}, {"kind": "vector"}, r"must be \[N, D\]"),
    ("images as series", {"x": COLOUR, "y": Y}, {"kind": "series"}, "must be"),
    ("targets about 1e9", {"x": V, "y": 1e9 + V[:, 0].astype(float)}, {}, "subtract a constant"),
    ("targets beyond float32", {"x": V, "y": 1e60 * V[:, 0].astype(float)}, {}, "beyond float32"),
    ("infinite targets", {"x": V, "y": but(V[:, 0], 2, np.inf)}, {}, "infinity in row 2"),
    ("no target", {"x": V, "y": np.full(N, np.nan)}, {}, "nothing but NaN"),
    ("no label", {"x": V, "y": np.full(N, "")}, {}, "no label in any row"),
    ("a matrix of numbers", {"x": V, "y": V}, {}, "must be 0 or 1 each"),
    ("a matrix of text", {"x": V, "y": SEVERAL.astype(str)}, {}, "is of shape"),
    ("a new test class", {"x_train": U8, "y_train": Y, "x_test": U8, "y_test": Y + 1}, {},
     "class '2'"),
    ("test without labels", {"x_train": U8, "y_train": Y, "x_test": U8}, {}, "y_test is absent"),
    ("a test of -1", {"x_train": U8, "y_train": Y, "x_test": U8[:3], "y_test": [-1, -1, -1]}, {},
     "none of the 3 test examples has a label"),
    ("classes against numbers", {"x_train": U8, "y_train": Y, "x_test": U8, "y_test": Y / 1}, {},
     "must both be classes"),
    ("other widths of labels", {"x_train": U8, "y_train": SEVERAL, "x_test": U8,
     "y_test": SEVERAL[:, :2]}, {}, "equally many columns"),
    ("other sizes in test", {"x_train": U8, "y_train": Y, "x_test": U8[:, :4], "y_test": Y}, {},
     "x_train is of shape"),
    ("vectors in test", {"x_train": U8, "y_train": Y, "x_test": V, "y_test": Y}, {}, "axes"),
    ("x_val of another size", {"x_train": U8, "y_train": Y, "x_val": U8[:, :4], "y_val": Y,
     "x_test": U8, "y_test": Y}, {}, "does not fit"),
    ("x_val without labels", {"x_train": U8, "y_train": Y, "x_val": U8, "x_test": U8, "y_test": Y},
     {}, "must both be there, or neither"),
    ("y alone", {"y": Y}, {}, "no array x"),
    ("nothing", {}, {}, "it holds nothing"),
    ("scaled images", {"x": U8, "y": Y}, {"scale": "standard"}, "is for vectors"),
    ("more than there is", {"x": U8, "y": Y}, {"size": 99}, "size=99"),
    ("one example", {"x": U8[:1], "y": Y[:1]}, {}, "leaves no training example"),
]  # fmt: skip


def refused(load: Callable[[], Any], text: str, *names: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError, match=text) as caught:
            load()
    said = str(caught.value)
    assert "\n" not in said
    assert not any(word in said for word in ("Error", "Exception", "Traceback"))
    assert all(name in said for name in names)


@pytest.mark.parametrize(
    "arrays, keys, text", [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_what_cannot_be_read_is_refused_with_the_way_on(
    build, tmp_path: Path, arrays: Any, keys: Any, text: str
) -> None:
    path = save(tmp_path, {name: np.asarray(array) for name, array in arrays.items()})
    refused(build("npz", path=path, **keys).load, text)


@pytest.mark.parametrize("damage", ["cut", "flipped", "no archive", "an image", "a folder"])
def test_a_damaged_archive_is_named(build, tmp_path: Path, damage: str) -> None:
    path = Path(save(tmp_path, {"x": U8, "y": Y}))
    whole = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(whole[:-100])
    elif damage == "flipped":
        whole[300] ^= 255
        path.write_bytes(whole)
    elif damage == "a folder":
        path.unlink()
        path.mkdir()
    elif damage == "no archive":
        path.write_text("x,y\n1,2\n")
    else:
        Image.fromarray(U8[0]).save(path, format="PNG")
    refused(build("npz", path=str(path)).load, r"own\.npz")


def test_an_archive_of_anything_else_is_named(build, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "own.npz", "w") as archive:
        archive.writestr("x.npy", b"no array")
    refused(build("npz", path=str(tmp_path / "own.npz")).load, r"own\.npz")


# --- folders of images -----------------------------------------------------------------------

SIDE = 6
LEFT, RIGHT_HALF = (
    np.repeat([[200] * 3 + [20] * 3], SIDE, 0).astype(np.uint8)[:, ::step] for step in (1, -1)
)


def fill(folder: Path, number: int = 4, suffix: str = ".png", **keys: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    picture = RIGHT_HALF if "dog" in folder.name else LEFT
    for i in range(number):
        Image.fromarray(picture + np.uint8(i)).save(folder / f"{i}{suffix}", **keys)


def layout(root: Path, *parts: str) -> None:
    for part in parts:
        fill(root / part)


def linked(root: Path) -> None:
    layout(root / "set", "cat", "dog")
    fill(root / "elsewhere")
    os.symlink(root / "elsewhere", root / "set" / "cat" / "more")


def looped(root: Path) -> None:
    layout(root / "set", "cat", "dog")
    os.symlink(root / "set", root / "set" / "cat" / "round")
    os.symlink(root / "gone", root / "set" / "dog" / "gone.png")


def two_forms(root: Path) -> None:
    for form, part in (("NFC", "train"), ("NFD", "test")):
        layout(root, *(f"{part}/{unicodedata.normalize(form, name)}" for name in ("café", "thé")))


def loose(root: Path) -> None:
    layout(root, "cat", "dog")
    fill(root, 5)


def beside(root: Path) -> None:
    layout(root, "cat", "dog")
    (root / "cat" / "notes.txt").write_text("text")
    (root / "dog" / ".hidden.png").write_bytes(b"")
    (root / "dog" / "Thumbs.db").write_bytes(b"")


FOLDERS: list[tuple[str, Callable[[Path], Any], str, tuple[int, int | None], str]] = [
    # name, what is there, path, (training pool, official test), what is told
    ("classes", lambda r: layout(r, "cat", "dog"), ".", (8, None), ""),
    ("train and test", lambda r: layout(r, *_split("train", "test")), ".", (8, 8), ""),
    ("Train and Test", lambda r: layout(r, *_split("Train", "Test")), ".", (8, 8), ""),
    ("TRAIN and TEST", lambda r: layout(r, *_split("TRAIN", "TEST")), ".", (8, 8), ""),
    ("Training and Testing", lambda r: layout(r, *_split("Training", "Testing")), ".", (8, 8), ""),
    ("train and val", lambda r: layout(r, *_split("train", "val")), ".", (8, 8), "val is the test"),
    ("all three", lambda r: layout(r, *_split("train", "valid", "test")), ".", (16, 8),
     "valid joined the training pool"),
    ("train alone", lambda r: layout(r, *_split("train")), ".", (8, None), ""),
    ("an extra folder", lambda r: layout(r, *_split("train", "test"), "extra"), ".", (8, 8),
     "extra beside train: 4 images left out"),
    ("train as a class", lambda r: layout(r, "train", "bus"), ".", (8, None), "train: taken for a"),
    ("loose images", loose, ".", (13, None), "5 images lie beside the class folders"),
    ("links", linked, "set", (12, None), ""),
    ("links in a circle and into nothing", looped, "set", (8, None), "1 links lead nowhere"),
    ("accents in two forms", two_forms, ".", (8, 8), ""),
    ("other files", beside, ".", (8, None), r"1 files (.txt) are no images"),
    ("names with markup", lambda r: layout(r, "a [b]/cat", "a [b]/dog & <b>"), "a [b]", (8, None),
     ""),
    ("Japanese names", lambda r: layout(r, "猫", "犬"), ".", (8, None), ""),
    ("deep folders", lambda r: layout(r, "cat/a/b", "dog/dog"), ".", (8, None), ""),
]  # fmt: skip


def _split(*parts: str) -> list[str]:
    return [f"{part}/{name}" for part in parts for name in ("cat", "dog")]


@pytest.mark.parametrize(
    "make, path, sizes, told", [c[1:] for c in FOLDERS], ids=[c[0] for c in FOLDERS]
)
def test_a_folder_is_read_as_it_is_laid_out(
    build, tmp_path: Path, make: Any, path: str, sizes: Any, told: str
) -> None:
    make(tmp_path)
    data = build("image_folder", path=str(tmp_path / path))
    pool, test = data.read()
    assert (len(pool), None if test is None else len(test)) == sizes
    assert len(pool.classes) == 2
    text = " | ".join(pool.notes)
    assert told in text
    assert bool(told) == bool(text)
    for name, picture in (("cat", LEFT), ("dog", RIGHT_HALF)):
        for part in (pool, test):
            if part is not None and name in part.classes:
                rows = part.y == part.classes.index(name)
                assert (part.x[rows][0, 0].numpy() == picture).all()
    _, scored = data.load()
    assert scored.known.all()


RAMP = np.linspace(0, 1, 16)[None].repeat(16, 0)


def deep(top: float, dtype: Any = np.uint16) -> np.ndarray:
    return (RAMP * top).astype(dtype)


def portable(file: Path, top: int) -> None:
    file.with_suffix(".pgm").write_bytes(
        f"P5 16 16 {top}\n".encode() + deep(top).astype(">u2").tobytes()
    )


def picture(mode: str) -> Image.Image:
    grey = deep(255, np.uint8)
    return Image.fromarray(np.stack([grey] * 3, 2)).convert(mode)


def oriented(file: Path, array: np.ndarray, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(array[::-1, ::-1]).save(file.with_suffix(suffix), exif=exif)


def saved(array: Any, suffix: str, **keys: Any) -> Callable[[Path], None]:
    made = array if isinstance(array, Image.Image) else Image.fromarray(array)
    return lambda file: made.save(file.with_suffix(suffix), **keys)


def transparent() -> Image.Image:
    made = Image.fromarray((RAMP * 15).astype(np.uint8)).convert("P")
    made.putpalette([v * 17 for v in range(16) for _ in range(3)] + [0] * 720)
    return made


FORMATS: list[tuple[str, Callable[[Path], None], float, str]] = [
    # name, how it is saved, how far the ramp may be off, what is told
    ("png", saved(deep(255, np.uint8), ".png"), 1, ""),
    ("bmp", saved(deep(255, np.uint8), ".bmp"), 1, ""),
    ("gif", saved(deep(255, np.uint8), ".gif"), 1, ""),
    ("webp", saved(picture("RGB"), ".webp", lossless=True), 1, ""),
    ("jpeg", saved(deep(255, np.uint8), ".jpg", quality=100), 4, ""),
    ("jfif", saved(deep(255, np.uint8), ".jfif", format="JPEG", quality=100), 4, ""),
    ("jpe", saved(deep(255, np.uint8), ".jpe", format="JPEG", quality=100), 4, ""),
    ("upper case", saved(deep(255, np.uint8), ".PNG"), 1, ""),
    ("tga", saved(deep(255, np.uint8), ".tga"), 1, ""),
    ("jpeg 2000", saved(deep(255, np.uint8), ".jp2"), 1, ""),
    ("16-bit png", saved(deep(65535), ".png"), 1, ""),
    ("16-bit tiff", saved(deep(65535), ".tif"), 1, ""),
    ("16-bit tiff, big-endian", saved(deep(65535).astype(">u2"), ".tif"), 1, ""),
    ("16-bit pgm", lambda f: portable(f, 65535), 1, ""),
    ("12-bit pgm", lambda f: portable(f, 4095), 1, ""),
    ("12-bit tiff", saved(deep(4095), ".tif"), 1, "as of 12 bits"),
    ("14-bit png", saved(deep(16383), ".png"), 1, "as of 14 bits"),
    ("8 bits in 16", saved(deep(255), ".tif"), 1, "as of 8 bits"),
    ("8 bits in 32", saved(deep(255, np.int32), ".tif"), 1, "as of 8 bits"),
    ("floats in 0..1", saved(RAMP.astype(np.float32), ".tif"), 1, ""),
    ("cmyk", saved(picture("CMYK"), ".tif"), 1, ""),
    ("cmyk jpeg", saved(picture("CMYK"), ".jpg", quality=100), 4, ""),
    ("grey and opacity", saved(picture("LA"), ".png"), 1, ""),
    ("colour and opacity", saved(picture("RGBA"), ".png"), 1, ""),
    ("ycbcr", saved(picture("YCbCr"), ".tif"), 2, ""),
    ("grey palette", saved(transparent(), ".png"), 17, ""),
    ("palette with transparency", saved(transparent(), ".png", transparency=255), 17, ""),
    ("turned by the camera", lambda f: oriented(f, deep(255, np.uint8), ".png"), 1, ""),
    ("16 bits turned", lambda f: oriented(f, deep(65535), ".png"), 1, ""),
    ("pages", saved(deep(255, np.uint8), ".tif", save_all=True,
     append_images=[Image.fromarray(deep(9, np.uint8))]), 1, "hold several images"),
    ("an animation", saved(deep(255, np.uint8), ".gif", save_all=True,
     append_images=[Image.fromarray(deep(9, np.uint8))]), 1, "hold several images"),
    ("nothing to see", saved(np.zeros((16, 16), np.uint8), ".png"), 255, "one single value"),
    ("all transparent", saved(np.zeros((16, 16, 4), np.uint8), ".png"), 255, "one single value"),
]  # fmt: skip


@pytest.mark.parametrize("put, off, told", [c[1:] for c in FORMATS], ids=[c[0] for c in FORMATS])
def test_the_values_of_every_format_are_read(
    build, tmp_path: Path, put: Any, off: float, told: str
) -> None:
    for name in ("a/0", "a/1", "b/0", "b/1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        put(tmp_path / name)
    pool, _ = build("image_folder", path=str(tmp_path)).read()
    for channel in pool.x[0].numpy():
        np.testing.assert_allclose(channel, 255 * RAMP, atol=off)
    text = " | ".join(pool.notes)
    assert told in text
    assert bool(told) == bool(text)


def test_the_range_of_deep_images_can_be_given(build, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.fromarray(deep(4095)).save(tmp_path / name / "0.tif")
    pool, _ = build("image_folder", path=str(tmp_path), bits=16).read()
    near(pool.x[0, 0], np.floor(RAMP * 4095 / 256), atol=1)
    assert not any("bits" in note for note in pool.notes)


BAD: list[tuple[str, Callable[[Path], Any], str]] = [
    ("no folder", lambda r: None, "is not a folder"),
    ("an empty folder", lambda r: r.mkdir(), "holds no images"),
    ("an empty class", lambda r: [fill(r / "cat"), (r / "dog").mkdir()], "dog: holds no images"),
    ("only text", lambda r: [(r / "a").mkdir(parents=True), (r / "a" / "x.txt").write_text("")],
     "holds no images"),
    ("text called png", lambda r: [fill(r / "cat"), (r / "cat" / "x.png").write_text("text")],
     r"x\.png: is not a readable image"),
    ("an empty file", lambda r: [fill(r / "cat"), (r / "cat" / "x.png").write_bytes(b"")],
     r"x\.png: is not a readable"),
    ("floats beyond 1", lambda r: [fill(r / "cat"), Image.fromarray(
        (9 * RAMP).astype(np.float32)).save(r / "cat" / "x.tif")], "holds floats of 0 to 9"),
    ("NaN in floats", lambda r: [fill(r / "cat"), Image.fromarray(
        np.full((4, 4), np.nan, np.float32)).save(r / "cat" / "x.tif")], "holds NaN"),
    ("negative 32 bits", lambda r: [fill(r / "cat"), Image.fromarray(
        np.full((4, 4), -5, np.int32)).save(r / "cat" / "x.tif")], "32 bits a pixel"),
    ("two training parts", lambda r: layout(r, *_split("train", "Training", "test")),
     "are the same part"),
    ("a new test class", lambda r: layout(r, "train/cat", "train/dog", "test/cow"), "class 'cow'"),
    ("test without classes", lambda r: [layout(r, *_split("train")), fill(r / "test")],
     "has no class folders"),
]  # fmt: skip


@pytest.mark.parametrize("make, text", [c[1:] for c in BAD], ids=[c[0] for c in BAD])
def test_a_folder_that_cannot_be_read_is_refused(
    build, tmp_path: Path, make: Any, text: str
) -> None:
    make(tmp_path / "own")
    refused(build("image_folder", path=str(tmp_path / "own")).load, text, "own")


@pytest.mark.parametrize("each", [10, pytest.param(50, marks=pytest.mark.slow)])
def test_damage_anywhere_in_an_image_is_refused_or_harmless(
    build, each: int, tmp_path: Path
) -> None:
    """Files cut off, or with bytes of their own: never anything but a line or an image."""
    (tmp_path / "a").mkdir()
    file = tmp_path / "a" / "x"
    refusals: list[str] = []
    for suffix in (".png", ".jpg", ".gif", ".tif", ".bmp", ".webp", ".pgm", ".jp2"):
        path = file.with_suffix(suffix)
        Image.fromarray(U8[0].repeat(4, 0).repeat(4, 1)).save(path)
        whole = path.read_bytes()
        for trial in range(each):
            damaged = bytearray(whole)
            for place in RNG.integers(0, len(damaged), 1 + trial % 8):
                damaged[place] = RNG.integers(0, 256)
            path.write_bytes(damaged[: RNG.integers(1, len(damaged))] if trial % 3 else damaged)
            try:
                build("image_folder", path=str(tmp_path), image_size=8).read()
            except UserError as error:
                refusals.append(str(error))
        path.unlink()
    assert len(refusals) > 4 * each
    assert all("/a/x." in line and "\n" not in line for line in refusals)
