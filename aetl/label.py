"""How a run is called in tables: names for its choices, and what must agree inside one row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

NOT_SETTINGS = {
    *("seed", "output_dir", "data_dir", "store", "logger", "callback", "project", "tags", "score"),
    *("rope", "ranks"),
}
"""Top-level keys that may differ between the seeds of one row: they change no result."""
LABELLED = frozenset({"classification", "regression", "multilabel"})
"""Tasks whose budgets are labels (``SUPERVISED``, without the libraries that its module needs)."""
STAGES = ("pretrain", "transfer")
"""What trains; their values are called ``pretrain/validation/loss``, ``transfer/train/loss``."""


def names_of(plain: Mapping[str, Any], choices: Mapping[str, Any]) -> dict[str, Any]:
    """``source``, ``target``, ``autoencoder``, ``loss``, ``transfer``, ``selector``, ``budget``.

    And ``baseline``: the control that gains are measured against; ``fold``: which part of the
    target is the test set, where it has folds.
    """
    target = plain["target"]
    return {
        "source": _domain(choices.get("dataset@source"), plain["source"], plain.get("data_dir")),
        "target": _domain(choices.get("dataset@target"), target, plain.get("data_dir")),
        "autoencoder": _autoencoder(choices.get("autoencoder"), plain["autoencoder"]),
        "loss": _several(choices.get("loss"), plain["loss"]),
        "transfer": _several(choices.get("transfer"), plain["transfer"], with_family=True),
        "baseline": _several(None, {"control": plain["twin"]}, with_family=True),
        "selector": choices.get("selector", "?"),
        "budget": _budget(target),
        "fold": target.get("fold") if target.get("folds") else None,
    }


def settings_digest(plain: Mapping[str, Any]) -> str:
    """A digest of everything but the seed, the fold, the budget and where things lie."""
    kept = {key: value for key, value in plain.items() if key not in NOT_SETTINGS}
    for domain in ("source", "target"):
        ignored = {"budget", "data_dir", "download", "per_class", "stratified"}
        # The source's fold follows the target's where both are cut alike; alone it is a setting.
        if plain[domain].get("folds") == plain["target"].get("folds"):
            ignored.add("fold")
        kept[domain] = {k: v for k, v in plain[domain].items() if k not in ignored}
    if counted := callbacks_that_count(plain.get("callback") or {}):
        kept["callback"] = counted
    if "engine" in kept:
        kept["engine"] = engine_that_counts(kept["engine"])
    text = json.dumps(_without_seeds_of_heads(kept), sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _without_seeds_of_heads(node: Any, name: str = "") -> Any:
    """What a head draws (k-means' starts, a forest's cuts) follows the run's seed."""
    if not isinstance(node, Mapping):
        return node
    return {
        key: _without_seeds_of_heads(value, str(key))
        for key, value in node.items()
        if (name, key) != ("head", "seed")
    }


QUIET = ("aetl.stage.fit.", "aetl.stage.progress.", "aetl.stage.reconstructions.")


def callbacks_that_count(node: Mapping[str, Any], stage: str | None = None) -> dict[str, Any]:
    """The callbacks that may change a result: all but those of ours that save and show."""
    return {
        name: callback
        for name, callback in node.items()
        if callback
        and not callback["_target_"].startswith(QUIET)
        and (stage is None or takes_part(callback, stage))
    }


def engine_that_counts(node: Mapping[str, Any]) -> dict[str, Any]:
    """What of it may change a result, if by rounding alone."""
    return {key: value for key, value in node.items() if key not in ("checkpointing", "data_share")}


def _budget(target: Mapping[str, Any]) -> int | str:
    """``20``, ``20 per class``, ``20 at random`` (whatever their class) or ``all``."""
    budget: int | str = target["budget"]
    if budget in ("all", 0):
        return budget
    if target["per_class"]:
        return f"{budget} per class"
    return budget if target.get("stratified", True) else f"{budget} at random"


def takes_part(callback: Mapping[str, Any], stage: str) -> bool:
    """Whether a callback is for this stage: one that monitors another's value is not."""
    of = str(callback.get("monitor")).partition("/")[0]
    return of == stage or of not in STAGES


def _several(choice: Any, node: Mapping[str, Any], with_family: bool = False) -> str:
    """The name of a group of which several options may be chosen.

    Hydra records no choice for a list of options: their names are then those of the files of the
    classes, which carry the options' names.
    """
    if isinstance(choice, str):
        return choice
    names = []
    for family, part in node.items():
        if part:
            target = str(part["_target_"])
            names.append(strategy_name(family, target) if with_family else target.split(".")[-2])
    return "+".join(names)


def strategy_name(family: str, target: str) -> str:
    """``instance/bbse``: our own strategies by their files, since a slot may have another name."""
    parts = target.split(".")
    return "/".join(parts[2:4] if parts[:2] == ["aetl", "transfer"] else (family, parts[-2]))


def _autoencoder(choice: Any, node: Mapping[str, Any]) -> str:
    """Its name, and how many source labels it learns from, where it does."""
    name, labels = str(choice or "?"), node.get("labels")
    return f"{name} ({labels} source labels)" if labels else name


WHICH = ("domain", "form", "name", "speaker", "where")
"""Keys of data sets that say which domain of several it is."""


def _domain(choice: Any, node: Mapping[str, Any], data_dir: str | None) -> str:
    name = str(choice or "?")
    path = node.get("path")
    if isinstance(path, str) and not (data_dir and path.startswith(f"{data_dir}/")):
        name = f"{name}:{path.rstrip('/').rpartition('/')[2]}"
    said = [str(node[key]) for key in WHICH if isinstance(node.get(key), str)]
    which = [value for value in said if value != choice]
    if which:
        name = f"{name}[{', '.join(which)}]"
    shift = node.get("shift") or {}
    neutral = {"contrast": 1.0}
    moved = [
        key
        if value is True
        else f"{key}={value:g}"
        if isinstance(value, float)
        else f"{key}={value}"
        for key, value in shift.items()
        if not key.startswith("_") and value not in (None, False) and value != neutral.get(key, 0)
    ]
    return f"{name} ({', '.join(moved)})" if moved else name
