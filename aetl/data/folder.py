"""What sets of files in folders have in common: classes, parts, domains, groups, labels beside."""

import csv
import os
import re
import warnings
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from aetl.data.arrays import shown
from aetl.data.base import Dataset, stats_of
from aetl.data.csv_file import SEPARATORS
from aetl.data.encoding import refused
from aetl.data.labels import labels_of, normal
from aetl.data.where import rows_where
from aetl.ranges import Text
from aetl.types import UserError

T = TypeVar("T")
Array = npt.NDArray[Any]

CLUTTER = {"thumbs.db", "desktop.ini", "icon\r"}
"""What systems leave in folders."""

PARTS: dict[str, Literal["train", "test", "validation"]] = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}
"""Names of folders, whatever their case, and which part of a set they hold."""


@dataclass(frozen=True)
class Wanted:
    """Which files a set is made of."""

    noun: str
    suffixes: frozenset[str]


@dataclass(frozen=True)
class Part:
    """The files of a part of a set, with what is asked of each and what it belongs to."""

    files: list[Path]
    y: Tensor
    group: Array | None


@dataclass(frozen=True)
class Read:
    """The parts of a set, the first of which is the training pool."""

    train: Part
    test: Part | None
    classes: tuple[str, ...]
    notes: list[str]


@dataclass(frozen=True, kw_only=True)
class Folder(Dataset):
    """``path/<class>/*``, or with an official test set ``path/{train,test}/<class>/*``.

    Files that lie in ``path`` itself have no labels; without class folders beside them the set
    can be a source only. ``Training``, ``Testing``, ``val`` and the like are known too: a
    validation part joins the training pool, which holds out its own, or is the test set where
    there is no other. Links are followed.

    Each file has columns: ``file`` (its path below ``path``), ``folder`` (its class folder), the
    fields of ``pattern`` (``{digit}_{speaker}_{index}`` of the name without its ending) and those
    of the table ``labels`` (csv: one column ``file``, and others). ``target`` is the one to be
    foretold (``label`` of a table, else the class folder), ``where`` chooses files by them,
    ``test_where`` those of the official test set, and no value of ``group`` is on both sides of a
    split.
    """

    wanted: ClassVar[Wanted]
    path: Text
    labels: Text | None
    pattern: Text | None
    target: Text | None
    where: Text | None
    test_where: Text | None
    group: Text | None

    @abstractmethod
    def format_keys(self) -> dict[str, Any]:
        """The keys that decide what becomes of a file (JSON values)."""

    def kept_by(self) -> Any:
        """Files are decoded once."""
        read = self.listed()
        parts = [part for part in (read.train, read.test) if part is not None]
        files = [path for part in parts for path in part.files]
        groups = [None if part.group is None else part.group.tolist() for part in parts]
        targets = [part.y.tolist() for part in parts]
        return {
            "files": stats_of(files, self.root()), "notes": read.notes, "groups": groups,
            "classes": read.classes, "targets": targets, **self.format_keys(),
        }  # fmt: skip

    def root(self) -> Path:
        root = Path(self.path).expanduser()
        if not root.is_dir():
            raise UserError(f"path={self.path}: is not a folder")
        return root

    def condition(self) -> str | None:
        """What ``where`` says."""
        return self.where

    def listed(self) -> Read:
        """The files of both parts, their labels and groups."""
        try:
            parts = _parts_of(self.root(), self.wanted)
        except OSError as error:
            raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from None
        listed = {"training": parts.train} | ({} if parts.test is None else {"test": parts.test})
        columns = {name: self._columns(part) for name, part in listed.items()}
        if (where := self.condition()) is not None:
            listed, columns = self._chosen(listed, columns, where)
        if self.test_where is not None:
            listed, columns = self._parted(listed, columns, self.test_where)
        y, classes, notes = self._targets(listed, columns)
        made = {n: Part(p.files, y[n], self._group(columns[n])) for n, p in listed.items()}
        notes = [*parts.notes, *notes]
        return Read(made["training"], made.get("test"), classes, notes)

    def _columns(self, listed: "Listed") -> dict[str, Array]:
        """What is known of each file, as text."""
        root = self.root()
        files = [file.relative_to(root).as_posix() for file in listed.files]
        columns = {"file": np.array(files, np.str_), "folder": np.array(listed.names, np.str_)}
        if self.pattern is not None:
            columns |= _by_pattern(self.pattern, files)
        if self.labels is not None:
            columns |= _by_table(Path(self.labels).expanduser(), root, files)
        return columns

    def _chosen(
        self, listed: dict[str, "Listed"], columns: dict[str, dict[str, Array]], where: str
    ) -> tuple[dict[str, "Listed"], dict[str, dict[str, Array]]]:
        kept = {n: rows_where(columns[n], where, str(self.path)) for n in listed}
        return (
            {n: part.of(kept[n]) for n, part in listed.items()},
            {n: {c: v[kept[n]] for c, v in columns[n].items()} for n in listed},
        )

    def _parted(
        self, listed: dict[str, "Listed"], columns: dict[str, dict[str, Array]], where: str
    ) -> tuple[dict[str, "Listed"], dict[str, dict[str, Array]]]:
        """The training files in two by a condition."""
        if "test" in listed:
            raise UserError(f"test_where={where}: {self.path} has a folder for the test set")
        whole, known = listed["training"], columns["training"]
        chosen = rows_where(known, where, str(self.path))
        if chosen.all():
            raise UserError(f"test_where={where}: leaves no file to train on")
        rows = {"training": ~chosen, "test": chosen}
        return (
            {n: whole.of(r) for n, r in rows.items()},
            {n: {c: v[r] for c, v in known.items()} for n, r in rows.items()},
        )

    def _targets(
        self, listed: dict[str, "Listed"], columns: dict[str, dict[str, Array]]
    ) -> tuple[dict[str, Tensor], tuple[str, ...], list[str]]:
        known = columns["training"]
        target = self.target or ("label" if self.labels is not None and "label" in known else None)
        if target is None:
            classes = listed["training"].classes
            targets = {n: torch.tensor(p.labelled_as(classes)) for n, p in listed.items()}
            return targets, classes, []
        if target not in known:
            raise UserError(f"target={target}: there is no such column; there are {shown(known)}")
        given = {n: typed(columns[n][target]) for n in listed}
        sizes = {n: len(p.files) for n, p in listed.items()}
        found = labels_of(str(self.path), given, sizes, "auto")
        return found.targets, found.classes, found.notes

    def _group(self, columns: dict[str, Array]) -> Array | None:
        if self.group is None:
            return None
        if self.group not in columns:
            raise UserError(f"group={self.group}: there is no such column; there are "
                            f"{shown(columns)}")  # fmt: skip
        named = np.unique(columns[self.group], return_inverse=True)[1]
        return named.reshape(-1).astype(np.int64)


def typed(values: Array) -> Array:
    """Texts as the whole numbers or numbers that all of them are; '' is none."""
    for kind in (np.int64, np.float64):
        try:
            if kind is np.int64:
                return values.astype(kind)
            return np.where(values == "", "nan", values).astype(kind)
        except (ValueError, OverflowError):
            continue
    return values


_FIELD = re.compile(r"\{(\w+)\}")


def _by_pattern(pattern: str, files: Sequence[str]) -> dict[str, Array]:
    """The fields of the names without their endings, of whole paths where the pattern has a /."""
    names = _FIELD.findall(pattern)
    if not names or len(set(names)) < len(names):
        raise UserError(f"pattern={pattern}: must have fields, each once, as {{class}}_{{speaker}}")
    pieces = _FIELD.split(pattern)
    regex = re.compile("".join(
        f"(?P<{piece}>[^/]+?)" if i % 2 else re.escape(piece) for i, piece in enumerate(pieces)
    ))  # fmt: skip
    rows = []
    for file in files:
        stem = file.rpartition(".")[0] or file
        found = regex.fullmatch(stem if "/" in pattern else stem.rpartition("/")[2])
        if found is None:
            raise UserError(f"pattern={pattern}: {file} is not called so")
        rows.append([normal(found[name]) for name in names])
    return {name: np.array([row[i] for row in rows], np.str_) for i, name in enumerate(names)}


def _by_table(path: Path, root: Path, files: Sequence[str]) -> dict[str, Array]:
    """The columns of a csv beside the files; a file that it does not name has '' in all."""
    header, rows = read_rows(path if path.is_absolute() or path.exists() else root / path)
    place = header.index("file") if "file" in header else 0
    position = {name: row for row, name in enumerate(files)}
    by_stem = {name.rpartition("/")[2]: row for name, row in position.items()}
    table = {name: np.full(len(files), "", dtype=object) for i, name in enumerate(header)
             if i != place}  # fmt: skip
    found: dict[int, int] = {}
    for line, row in rows:
        at = position.get(row[place], by_stem.get(row[place]))
        if at is None:
            continue  # of a part of the folder that is not looked at
        if at in found:
            raise UserError(f"labels={path}: line {line} names '{row[place]}', as line {found[at]}")
        found[at] = line
        for i, name in enumerate(header):
            if i != place:
                table[name][at] = normal(row[i].strip())
    if not found:
        first = rows[0][1][place]
        raise UserError(f"labels={path}: names none of the files of {root}; its first is '{first}'")
    return {name: values.astype(np.str_) for name, values in table.items()}


def read_rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header of a csv, and its rows with their lines; ``UserError`` names the line."""
    if not path.is_file():
        raise UserError(f"labels={path}: is not a file")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            separator = max(SEPARATORS, key=file.readline().count)
            file.seek(0)
            reader = csv.reader(file, delimiter=separator)
            lines = [(reader.line_num, row) for row in reader if row]
    except UnicodeDecodeError:
        raise refused(path, "utf-8", "save it in utf-8 (it may be in {})") from None
    except csv.Error as error:
        raise UserError(f"{path}: is no table ({error})") from None
    if len(lines) < 2:
        raise UserError(f"{path}: holds no header and rows")
    header = [name.strip() for name in lines[0][1]]
    if len(set(header)) < len(header):
        raise UserError(f"{path}: has two columns of one name ({shown(header)})")
    for number, row in lines[1:]:
        if len(row) != len(header):
            raise UserError(
                f"{path}: line {number} has {len(row)} fields, and the header has {len(header)}"
            )
    return header, lines[1:]


@dataclass
class Listed:
    """The files below one or more folders, and the class of each ('' where it has none)."""

    root: Path
    wanted: Wanted
    files: list[Path] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.names) - {""}))

    def labelled_as(self, classes: tuple[str, ...]) -> list[int]:
        """The row of ``classes`` of each image, -1 without one."""
        unknown = sorted(set(self.classes) - set(classes))
        if unknown and classes:
            raise UserError(
                f"{self.root}: has class '{unknown[0]}', which the training set has not "
                f"({shown(classes)})"
            )
        position = {name: row for row, name in enumerate(classes)}
        return [position.get(name, -1) for name in self.names]

    def of(self, rows: npt.NDArray[np.bool_]) -> "Listed":
        """Some of the files."""
        places = np.flatnonzero(rows).tolist()
        files, names = [self.files[i] for i in places], [self.names[i] for i in places]
        return replace(self, files=files, names=names)

    def joined(self, other: "Listed") -> "Listed":
        return Listed(
            self.root, self.wanted, self.files + other.files, self.names + other.names,
            self.left_out + other.left_out,
        )  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """Training pool and official test set, and what there is to tell of the folders."""

    train: Listed
    test: Listed | None
    notes: list[str]


def _parts_of(root: Path, wanted: Wanted) -> Parts:
    """Which folder is which part of the set."""
    found: dict[str, list[Path]] = {"train": [], "test": [], "validation": []}
    others: list[Path] = []
    for folder in _folders(root):
        part = PARTS.get(folder.name.casefold())
        (others if part is None else found[part]).append(folder)
    official = bool(found["train"]) and bool(found["test"] or found["validation"] or not others)
    if not official:
        listed = _listed(root, wanted)
        parts = [folder.name for folders in found.values() for folder in folders]
        said = [f"{name}: taken for a class, since {shown(f.name for f in others)} lie beside it"
                for name in parts]  # fmt: skip
        return Parts(listed, None, [*said, *_told(listed)])
    for folders in found.values():
        if len(folders) > 1:
            names = " and ".join(str(folder) for folder in folders)
            raise UserError(f"{names}: are the same part of a set; keep one, or rename one")
    listed_by = {part: _listed(folders[0], wanted) for part, folders in found.items() if folders}
    notes = [line for listed in listed_by.values() for line in _told(listed)]
    for folder in others:
        number = len(_walked(folder, wanted, Counter()))
        notes.append(
            f"{folder.name} beside {found['train'][0].name}: {number} {wanted.noun} left out"
        )
    if loose := _loose(root, wanted, Counter()):
        notes.append(
            f"{len(loose)} {wanted.noun} beside the folder {found['train'][0].name}: left out"
        )
    train, test = listed_by["train"], listed_by.get("test")
    if (held := listed_by.get("validation")) is not None:
        name, number = held.root.name, len(held.files)
        if test is None:
            test = held
            notes.append(f"{name} is the test set, for want of another ({number} {wanted.noun})")
        else:
            train = train.joined(held)
            notes.append(
                f"{name} joined the training pool ({number} {wanted.noun}), of which "
                "validation_fraction is held out"
            )
    if test is not None and bool(test.classes) != bool(train.classes):
        without = test.root if train.classes else train.root
        raise UserError(f"{without}: has no class folders, but the other part of the set has")
    return Parts(train, test, notes)


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _listed(root: Path, wanted: Wanted) -> Listed:
    """The files of every class below ``root``, and loose ones; refuses a class without any."""
    folders, listed = _folders(root), Listed(root, wanted)
    groups = [(normal(f.name), f, _walked(f, wanted, listed.left_out)) for f in folders]
    loose = _loose(root, wanted, listed.left_out)
    for _, folder, files in groups or [("", root, loose)]:
        if not files:
            kinds = " ".join(sorted(wanted.suffixes))
            raise UserError(f"{folder}: holds no {wanted.noun} ({kinds})")
    # In the order of their classes, also where two folders are one by Unicode's rules.
    by_class = sorted([*groups, ("", root, loose)], key=lambda group: (not group[0], group[0]))
    for name, _, files in by_class:
        listed.files += files
        listed.names += [name] * len(files)
    return listed


def _told(listed: Listed) -> list[str]:
    loose, notes = listed.names.count(""), []
    if loose and listed.classes:
        notes.append(
            f"{listed.root.name}: {loose} {listed.wanted.noun} lie beside the class folders and "
            "are without label"
        )
    for why, number in listed.left_out.items():
        notes.append(f"{listed.root.name}: {number} {why}")
    return notes


def _walked(folder: Path, wanted: Wanted, left_out: Counter[str]) -> list[Path]:
    """The files anywhere below, in order; links are followed, each folder but once."""
    found: list[Path] = []
    seen = {os.path.realpath(folder.parent)}  # a link back to the set leads round and round
    for base, names, files in os.walk(folder, followlinks=True, onerror=_raise):
        real = os.path.realpath(base)
        names[:] = [] if real in seen else sorted(n for n in names if not n.startswith("."))
        if real not in seen:
            found += _chosen([Path(base, name) for name in files], wanted, left_out)
        seen.add(real)
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def _loose(root: Path, wanted: Wanted, left_out: Counter[str]) -> list[Path]:
    return sorted(_chosen([p for p in root.iterdir() if not p.is_dir()], wanted, left_out))


def _chosen(files: Iterable[Path], wanted: Wanted, left_out: Counter[str]) -> list[Path]:
    """Those of the files that are wanted; why others are not is counted."""
    found = []
    for path in files:
        if path.name.startswith(".") or path.name.casefold() in CLUTTER:
            continue
        if path.is_symlink() and not path.exists():
            left_out["links lead nowhere and are left out"] += 1
        elif path.suffix.lower() not in wanted.suffixes:
            suffix = path.suffix or "no ending"
            left_out[f"files ({suffix}) are no {wanted.noun} by their name and are left out"] += 1
        elif path.is_file():
            found.append(path)
    return found


def threaded(work: Callable[[Path], T], paths: Sequence[Path]) -> list[T]:
    """Decoders release the interpreter's lock, so threads use all cores."""
    with warnings.catch_warnings(), ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as pool:
        warnings.filterwarnings("ignore", module="PIL")  # of tags that nobody asks for
        return list(pool.map(work, paths))
