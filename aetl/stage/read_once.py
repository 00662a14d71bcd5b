"""Data whose files are slow to read, kept in the store as arrays that are mapped into memory.

Jobs on one machine then share the pages of one copy.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aetl.data import mapped
from aetl.data.arrays import Format
from aetl.data.base import PER_EXAMPLE, Dataset, Examples
from aetl.data.sparse import of_parts, parts_of
from aetl.files import atomic, read_json, write_json
from aetl.store.store import Store, content_digest, digest_of

KEPT = tuple(name for name in PER_EXAMPLE if name != "rows")


def load(
    dataset: Dataset, store: Store, folder: Path, source: Examples | None = None
) -> tuple[Examples, Examples]:
    """The training pool and the test set of ``dataset``, read from its files at most once.

    ``source`` is the training pool of the source, where this is the target.
    """
    with mapped.within(store.dir):
        return _load(dataset, store, folder, source)


def _load(
    dataset: Dataset, store: Store, folder: Path, source: Examples | None
) -> tuple[Examples, Examples]:
    decides = dataset.kept_by() if store.reuse else None
    if decides is None:
        return dataset.load(source=source)
    name = f"{type(dataset).__module__}.{type(dataset).__qualname__}"
    key = {"dataset": name, "files": content_digest(decides)}
    digest = digest_of({"_target_": name, **key}, __name__)
    entry = store.stage("data", digest, key, folder, lambda path: _write(path, *dataset.read()))
    return dataset.load(lambda: _read(entry.path), source)


def _write(folder: Path, pool: Examples, test: Examples | None) -> None:
    for name, part in (("pool", pool), ("test", test)):
        if part is not None:
            for place, tensor in enumerate(parts_of(part.x)):
                write_array(folder / f"{name}-x{place or ''}.npy", tensor.numpy())
            write_array(folder / f"{name}-y.npy", part.y.numpy())
            write_array(folder / f"{name}-identity.npy", part.identity)
            for array in KEPT:
                if (values := getattr(part, array)) is not None:
                    write_array(folder / f"{name}-{array}.npy", values)
            about: dict[str, Any] = {
                "classes": part.classes, "columns": part.columns, "notes": part.notes,
                "form": None if part.form is None else asdict(part.form),
                "reading": dict(part.reading),
                "sparse": list(part.x.shape) if part.x.is_sparse else [],
            }  # fmt: skip
            write_json(folder / f"{name}.json", about)


def _read(folder: Path) -> tuple[Examples, Examples | None]:
    test = _part(folder, "test") if (folder / "test.json").exists() else None
    return _part(folder, "pool"), test


def _part(folder: Path, name: str) -> Examples:
    x, y, identity = (
        np.load(folder / f"{name}-{array}.npy", mmap_mode="c") for array in ("x", "y", "identity")
    )
    plain = read_json(folder / f"{name}.json")
    form, reading, sparse = (plain.pop(key) for key in ("form", "reading", "sparse"))
    about: dict[str, Any] = {key: tuple(value) for key, value in plain.items()}
    about |= {"form": None if form is None else Format(**form), "reading": reading}
    beside = {
        array: np.load(file, allow_pickle=False)
        for array in KEPT
        if (file := folder / f"{name}-{array}.npy").exists()
    }
    y = torch.from_numpy(y)
    tensor = torch.from_numpy(x)
    if sparse:
        values = torch.from_numpy(np.load(folder / f"{name}-x1.npy", mmap_mode="c"))
        tensor = of_parts(tensor, values, sparse)
    return Examples(tensor, y, identity=np.asarray(identity), **beside, **about)


def write_array(path: Path, array: np.ndarray[Any, Any]) -> None:
    """As ``np.save`` does, whose error does not say that the disk is full."""
    array = np.ascontiguousarray(array)
    with atomic(path) as temporary, temporary.open("wb") as file:
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(file, header)
        file.write(array.data)
