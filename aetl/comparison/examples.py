"""``examples.safetensors``: what each test example says of an arm and of its twin, in each metric.

One compact file in a run's folder, whatever the task: thousands of runs are read before a table is
drawn. Tensors, of n test examples in the order of the run's ``predictions.npz``:

    identity                      uint64 [n], the example's hash (``aetl.data.base.identity_of``)
    group                         int64 [n], where the data has groups
    prediction.arm, .twin         [n, ...], in the smallest type that holds it
    value.METRIC.arm, .twin       uint8 or float32 [n], the example's loss or correctness; of a
                                  metric that is no mean (or of groups) [units], pseudo-values

run.json names the file, its digest and that of the identities (and groups), by which runs on the
same test examples are known without reading them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetl.foreign import refuse_endless

if TYPE_CHECKING:
    import numpy as np

NAME = "examples.safetensors"
OTHERS = "the test examples differ between seeds"


class Unusable(ValueError):
    """Why the values of test examples cannot be used, in a few words."""


def write_examples(folder: Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
    """Write the file; what run.json says of it."""
    from safetensors.numpy import save

    from aetl.files import atomic

    content = save({name: compact(values) for name, values in arrays.items()})
    with atomic(folder / NAME) as temporary:
        temporary.write_bytes(content)
    identity = arrays["identity"]
    group = arrays.get("group")
    grouped = {} if group is None else {"groups": len(set(group.tolist()))}
    return {
        "file": NAME,
        "digest": _digest(content),
        "count": len(identity),
        **grouped,
        "identity": _digest(identity.tobytes() + (b"" if group is None else group.tobytes())),
    }


def compact(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """In the smallest type that keeps it: floats as float32, or as uint8 where they are counts."""
    import numpy as np

    values = np.ascontiguousarray(values)
    if values.dtype == np.uint64:
        return values
    if np.issubdtype(values.dtype, np.floating):
        whole = np.isfinite(values).all() and (values == np.rint(values)).all()
        if not whole or not len(values) or values.min() < 0 or values.max() > 255:
            return values.astype(np.float32)
        return values.astype(np.uint8)
    if not values.size:
        return values.astype(np.uint8)
    low, high = int(values.min()), int(values.max())
    kinds: list[Any] = [np.uint8, np.int16, np.int32, np.int64]
    fits = (k for k in kinds if np.iinfo(k).min <= low and high <= np.iinfo(k).max)
    return values.astype(next(fits))


def read_examples(folder: Path, noted: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays; ``Unusable`` where the file is missing, damaged or another than was noted."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        # The name is ours and not the record's: a record of somebody else's names no other file.
        refuse_endless(folder / NAME)
        content = (folder / NAME).read_bytes()
    except OSError:
        raise Unusable(f"{NAME} is missing") from None
    if _digest(content) != noted.get("digest"):
        raise Unusable(f"{NAME} is not the file that run.json notes")
    try:
        return dict(load(content))
    except SafetensorError as error:
        raise Unusable(f"{NAME} cannot be read ({error})") from None


Part = tuple[Path, Mapping[str, Any]]
"""A run's folder and record."""


@dataclass(frozen=True)
class Values:
    """Of an arm and of its twin [seeds, units], and what the units are: equal keys, equal units."""

    arm: np.ndarray[Any, Any]
    twin: np.ndarray[Any, Any]
    key: Any

    @property
    def gains(self) -> np.ndarray[Any, Any]:
        return difference(self.arm, self.twin)


def difference(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    found: np.ndarray[Any, Any] = np.subtract(a, b, dtype=np.float32)
    return found


def values_of(parts: Sequence[Sequence[Part]], metric: str) -> Values:
    """The values of the runs of each seed, one for each fold; ``Unusable`` where a run has none or
    seeds were tested on different examples."""
    import numpy as np

    noted = [tuple(_identity(record) for _, record in seed) for seed in parts]
    read = [_of_seed([_read(*part, metric) for part in seed]) for seed in parts]
    key: Any = noted[0]
    if len(set(noted)) > 1:
        read, key = _in_one_order(read, several=len(parts[0]) > 1)
    arms, twins = ([values[side] for values in read] for side in range(2))
    if len({len(line) for line in (*arms, *twins)}) > 1 or len(arms[0]) < 2:
        raise Unusable(OTHERS)
    arm, twin = np.stack(arms), np.stack(twins)
    if not (np.isfinite(arm).all() and np.isfinite(twin).all()):
        raise Unusable(f"values of {metric} are not finite")
    return Values(arm, twin, (key, arm.shape[1]))


def _identity(record: Mapping[str, Any]) -> Any:
    return (record.get("examples") or {}).get("identity")


Read = tuple[Any, Any, Any]
"""The values of an arm and of its twin, and the examples' identities."""


def _read(folder: Path, record: Mapping[str, Any], metric: str) -> Read:
    noted = record.get("examples")
    if not isinstance(noted, Mapping):
        raise Unusable(f"runs without {NAME}")
    arrays = read_examples(folder, noted)
    try:
        arm, twin = (arrays[f"value.{metric}.{which}"] for which in ("arm", "twin"))
        identity = arrays["identity"]
    except KeyError:
        raise Unusable(f"{NAME} has no {metric}") from None
    if arm.shape != twin.shape or arm.ndim != 1:
        raise Unusable(f"{NAME}: arm and twin differ in shape")
    return arm, twin, identity


def _of_seed(folds: Sequence[Read]) -> Read:
    import numpy as np

    if len(folds) == 1:
        return folds[0]
    arm, twin, identity = (np.concatenate([fold[i] for fold in folds]) for i in range(3))
    return arm, twin, identity


def _in_one_order(read: Sequence[Read], several: bool) -> tuple[list[Read], str]:
    """Examples by their identity; the units of one test set are in one order already."""
    import numpy as np

    found = []
    for arm, twin, identity in read:
        order = np.argsort(identity, kind="stable")
        if len(arm) == len(identity):
            found.append((arm[order], twin[order], identity[order]))
        elif several:
            raise Unusable("folds differ between seeds")
        else:
            found.append((arm, twin, identity[order]))
    if not all(np.array_equal(found[0][2], other[2]) for other in found[1:]):
        raise Unusable(OTHERS)
    return found, _digest(found[0][2].tobytes())


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
