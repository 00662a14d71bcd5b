"""The config: where it lies, how it is composed, and what is refused before any work.

A node with ``_target_`` is checked against that constructor: its parameters are the keys, its type
hints the types. So a YAML's schema is the class that it builds, also for users' own classes.
Nothing heavy is imported until a config is checked.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

from aetl.place import folder_of, writable
from aetl.ranges import STAGES_SET, NonNegative, Seed, Text, Threads, described, foreign
from aetl.trust import conf_dir as conf_dir
from aetl.trust import load_config, reach

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from pydantic import TypeAdapter

ROOT: dict[str, Any] = {
    "seed": Seed,
    "split_seed": Seed,
    "data_dir": Text,
    "output_dir": Text,
    "threads": Threads,
    "project": Text,
    "tags": list[str],
    "rope": dict[str, NonNegative | None] | None,
    "checkpoint": Text | None,
    "checkpoint_continue": bool,
    "checkpoint_partial": bool,
    "checkpoint_map": dict[str, str],
    "duplicates": Literal["refuse", "drop", "keep"],
}
"""The run-wide values of config.yaml; all other top-level keys are nodes."""

PARTS = {
    "store": "aetl.store.store.Store",
    "source": "aetl.data.base.Dataset",
    "target": "aetl.data.base.Dataset",
    "pretrain": "aetl.stage.pretrain.PretrainingFit",
    "representation": "aetl.transfer.network.Representation",
    "finetune": "aetl.stage.fit.Fit",
    "task": "aetl.task.base.Task",
    "autoencoder": "aetl.autoencoder.base.Autoencoder",
    "twin": "aetl.transfer.base.TransferStrategy",
    "selector": "aetl.selector.base.Selector",
    "optimizer": "torch.optim.Optimizer",
    "scheduler": "aetl.stage.schedule.Schedule",
    "trainer": "pytorch_lightning.Trainer",
    "engine": "aetl.stage.engine.Engine",
}
"""The nodes of which every run has one, and what each builds."""
SLOTS = {
    "loss": "aetl.loss.base.LossTerm",
    "metric": "aetl.metric.base.Metric",
    "transfer": "aetl.transfer.base.TransferStrategy",
    "score": "aetl.score.base.Score",
    "logger": "aetl.tracking.base.Tracker",
    "callback": "pytorch_lightning.Callback",
}
"""The nodes of named parts, which null leaves out; of the first three one is needed."""

HYDRA_KEYS = {"_target_", "_partial_", "_convert_", "_args_", "_recursive_"}


class ConfigError(Exception):
    """A mistake in the config, told in one line."""


class UnknownKey(ConfigError):
    """A key that the config does not have, with what it may have meant."""

    def __init__(self, key: str, way: str) -> None:
        super().__init__(f"{key}: unknown key; {way}")
        self.key = key


def register_resolvers() -> None:
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("aetl.folder", folder_of, replace=True)
    OmegaConf.register_new_resolver("aetl.writable", writable, replace=True)
    OmegaConf.register_new_resolver(
        "aetl.token", lambda: os.urandom(4).hex(), use_cache=True, replace=True
    )
    _forget_namesakes()


def _forget_namesakes() -> None:
    """Plugins of others may have stored options of the names that ours have (``joblib``): hydra
    would take them for the schema of our files."""
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    Plugins.instance()  # what is installed is stored now
    for group in ("launcher", "sweeper"):
        stored = ConfigStore.instance().repo["hydra"].get(group, {})
        for file in (conf_dir() / "hydra" / group).glob("*.yaml"):
            stored.pop(file.name, None)


def compose(overrides: Iterable[str], config_dirs: Iterable[str] = ()) -> DictConfig:
    """The composed config of a list of overrides, with hydra's own node in it."""
    import hydra
    from hydra.core.global_hydra import GlobalHydra

    from aetl.composed_once import composed_once

    register_resolvers()
    for folder in config_dirs:
        if not os.path.isdir(folder):
            raise ConfigError(f"--config-dir={folder}: no such folder")
    places = [json.dumps(f"file://{os.path.abspath(d)}", ensure_ascii=False) for d in config_dirs]
    extra = [f"hydra.searchpath=[{','.join(places)}]"]
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3", job_name="aetl"):
        program = GlobalHydra.instance().hydra
        assert program is not None
        program.config_loader = composed_once(program.config_loader)
        return hydra.compose(
            "config", [*overrides, *(extra if config_dirs else [])], return_hydra_config=True
        )


def load_saved(file: Path) -> DictConfig:
    """The config in a run's folder, which names no code but ours and what is trusted."""
    return with_new_nodes(load_config(file))


def with_new_nodes(saved: DictConfig) -> DictConfig:
    """A saved config; a node that has come to ours since is as it is there by default."""
    from omegaconf import OmegaConf

    ours = _ours()
    new = [str(key) for key in ours if key not in (*saved, "defaults", "hydra")]
    if not new:
        return saved
    return OmegaConf.merge(saved, OmegaConf.masked_copy(ours, new))  # type: ignore[return-value]


@cache
def _ours() -> DictConfig:
    from omegaconf import DictConfig, OmegaConf

    ours = OmegaConf.load(conf_dir() / "config.yaml")
    assert isinstance(ours, DictConfig)
    return ours


def nearest(word: str, known: Iterable[str]) -> str:
    """`` (did you mean ...?)`` or a list of what is known."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(known)}" if known else "nothing is known here"


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """The config as plain values without hydra's node; ``ConfigError`` for a hole in it."""
    from omegaconf import OmegaConf

    plain: dict[str, Any] = {}
    with holes_told():
        for key in cfg:
            if key != "hydra":
                value = cfg[key]
                if OmegaConf.is_config(value):
                    value = OmegaConf.to_container(value, resolve=True, throw_on_missing=True)
                plain[str(key)] = value
    return plain


@contextmanager
def holes_told() -> Iterator[None]:
    """``ConfigError`` for a value that is missing or cannot be worked out."""
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    try:
        yield
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key}: is missing; set {error.full_key}=...") from None
    except OmegaConfBaseException as error:
        raise ConfigError(_first_line(error)) from None


def check(plain: Mapping[str, Any], choices: Mapping[str, Any]) -> None:
    """Refuse a config with unknown keys, values of the wrong type, or parts that do not fit."""
    try:
        _check_keys(plain)
    except _Unknown as error:
        raise UnknownKey(error.key, _nearest_in(plain, error)) from None
    _check_whole(plain)
    _check_fit(plain, choices)


def _check_whole(plain: Mapping[str, Any]) -> None:
    """Refuse a config in which a part is missing."""
    for name in ROOT:
        if name not in plain:
            raise ConfigError(f"{name}: missing; set {name}=...")
    for part in PARTS:
        if not plain.get(part):
            raise ConfigError(f"{part}: empty, and every run has one; choose {part}=...")
        _refuse_other(part, plain[part], PARTS[part])
    for group in SLOTS:
        parts = _filled(plain.get(group))
        if not parts and group in ("loss", "metric", "transfer"):
            raise ConfigError(f"{group}: at least one is needed, e.g. {group}=...")
        for slot, node in parts.items():
            if slot == "_target_":
                raise ConfigError(
                    f"{group}: {node} has no name beside others of its kind; its YAML begins with "
                    f"'# @package {group}.NAME'"
                )
            _refuse_other(f"{group}.{slot}", node, SLOTS[group])
    if plain.get("callback") is None:
        raise ConfigError("callback: cannot be empty; callback.NAME=null leaves one out")


def _refuse_other(path: str, node: Any, base: str) -> None:
    """Refuse a class that is not what its place asks for; a function may be anything."""
    if "_target_" not in node:
        raise ConfigError(f"{path}: has no _target_, the class that it is built from")
    if str(node["_target_"]).startswith("lightning.pytorch."):
        here = str(node["_target_"]).replace("lightning.pytorch", "pytorch_lightning", 1)
        raise ConfigError(f"{path}._target_: is of another package than ours; write {here}")
    target = locate(path, node["_target_"])
    if inspect.isclass(target) and not issubclass(target, locate(path, base)):
        raise ConfigError(f"{path}._target_={node['_target_']}: is no {base.rpartition('.')[2]}")


def _filled(group: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: node for name, node in (group or {}).items() if node}


class _Unknown(Exception):
    """A key that its node does not have."""

    def __init__(self, key: str, known: Iterable[str]) -> None:
        super().__init__(key)
        self.key, self.known = key, list(known)


def _nearest_in(plain: Mapping[str, Any], error: _Unknown) -> str:
    """The nearest key in the same node, else the nearest one anywhere, by its dotted name."""
    last = error.key.rpartition(".")[2]
    if not difflib.get_close_matches(last, error.known, n=1, cutoff=0.5):
        names = {name.rpartition(".")[2]: name for name in reversed(list(_dotted(plain)))}
        names.pop(last, None)
        close = difflib.get_close_matches(last, names, n=1, cutoff=0.6)
        if close:
            return f"did you mean '{names[close[0]]}'?"
    return nearest(last, error.known)


def _dotted(node: Mapping[str, Any], path: str = "") -> Iterable[str]:
    for key, value in node.items():
        if key in HYDRA_KEYS:
            continue
        yield f"{path}{key}"
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{path}{key}.")


def _check_keys(plain: Mapping[str, Any]) -> None:
    for key, value in plain.items():
        if key in ROOT:
            _check_value(key, value, ROOT[key])
        elif isinstance(value, Mapping):
            _check_node(key, value)
        elif value is not None:
            raise _Unknown(key, plain.keys() - {key})


def _check_node(path: str, node: Mapping[str, Any]) -> None:
    if "_target_" in node:
        check_target(path, node)
        return
    for key, value in node.items():
        if isinstance(value, Mapping):
            _check_node(f"{path}.{key}", value)
        elif value is not None:
            raise _Unknown(f"{path}.{key}", node.keys() - {key})


def check_target(path: str, node: Mapping[str, Any]) -> None:
    """Refuse a node that does not fit the constructor that it names."""
    target = locate(path, node["_target_"])
    parameters = _signature(target)
    given = {str(key): value for key, value in node.items() if key not in HYDRA_KEYS}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for key in given:
        if key not in parameters and not takes_any:
            known = [
                n
                for n, p in parameters.items()
                if p.default is not p.empty or p.kind is p.KEYWORD_ONLY
            ]
            raise _Unknown(f"{path}.{key}", known)
    for name, p in parameters.items():
        required = p.kind is p.KEYWORD_ONLY and p.default is p.empty
        if required and name not in given:
            raise ConfigError(f"{path}.{name}: missing; set {path}.{name}=...")
    hints = parameters_of(node["_target_"], target)
    for key, value in given.items():
        if node["_target_"] == "pytorch_lightning.Trainer" and key in STAGES_SET:
            raise ConfigError(f"{path}.{key}: each stage sets it itself; {STAGES_SET[key]}")
        _check_part(f"{path}.{key}", value, hints.get(key, Any))


@cache
def _signature(target: Any) -> dict[str, inspect.Parameter]:
    return {n: p for n, p in inspect.signature(target).parameters.items() if n != "self"}


def _check_part(path: str, value: Any, hint: Any) -> None:
    """A value of a node, or the nodes within it."""
    if isinstance(value, Mapping) and "_target_" in value:
        check_target(path, value)
        if not _admits(hint, locate(path, value["_target_"])):
            raise ConfigError(f"{path}={value['_target_']}: expected {described(hint)}")
    elif _holds_nodes(value):
        for key, part in _parts(value):
            _check_part(f"{path}.{key}", part, Any)
    else:
        _refuse_infinite(path, value)
        _check_value(path, value, hint)


def _admits(hint: Any, target: Any) -> bool:
    """Whether what ``target`` builds may stand where the hint is: by its class, where both say."""
    kinds = set(_kinds(hint))
    if Any in kinds or not inspect.isclass(target):
        return Any in kinds or bool(kinds - SCALARS)
    classes = tuple(kind for kind in kinds - SCALARS if inspect.isclass(kind))
    return bool(kinds - SCALARS) and (not classes or issubclass(target, classes))


SCALARS = {int, float, bool, str, NoneType}


def _kinds(hint: Any) -> Iterable[Any]:
    """The types within a hint."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        yield str
    elif origin is Annotated:
        yield from _kinds(args[0])
    elif origin is Callable:
        yield Any  # a part that the code completes, which says itself what does not fit
    elif args:
        for arg in args:
            yield from _kinds(arg)
    else:
        yield hint


def _parts(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()


def _holds_nodes(value: Any) -> bool:
    return any(
        (isinstance(part, Mapping) and "_target_" in part) or _holds_nodes(part)
        for _, part in _parts(value)
    )


def _refuse_infinite(path: str, value: Any) -> None:
    for key, part in _parts(value):
        _refuse_infinite(f"{path}.{key}", part)
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{path}={value}: expected a finite number")


def locate(path: str, target: str) -> Any:
    """The class or function that a ``_target_`` names."""
    if not isinstance(target, str):
        raise ConfigError(f"{path}._target_={target}: expected the name of a class")
    module, _, name = target.rpartition(".")
    reach(target)
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, ValueError, AttributeError) as error:
        reason = _first_line(error)
        raise ConfigError(f"{path}._target_={target}: cannot be imported ({reason})") from None


@cache
def parameters_of(name: str, target: Any) -> Mapping[str, Any]:
    """The hints of what the constructor called ``name`` takes, with the ranges of its numbers."""
    from typing import get_type_hints

    constructor = target.__init__ if inspect.isclass(target) else target
    try:
        return get_type_hints(constructor, include_extras=True) | foreign(name)
    except Exception:  # a library's hints that cannot be resolved here check nothing
        return foreign(name)


@cache
def _adapter(hint: Any) -> TypeAdapter[Any] | None:
    from pydantic import ConfigDict, TypeAdapter
    from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

    settings = ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False)
    try:
        try:
            return TypeAdapter(hint, config=settings)
        except PydanticUserError:  # the type brings its own settings
            return TypeAdapter(hint)
    except PydanticSchemaGenerationError:
        return None


def _check_value(path: str, value: Any, hint: Any) -> None:
    from pydantic import ValidationError

    adapter = _adapter(hint)
    if adapter is None:
        return
    try:
        adapter.validate_python(value)
    except ValidationError:
        shown = repr(value) if len(repr(value)) < 60 else f"a {type(value).__name__}"
        wanted = described(hint)
        hintline = ""
        if isinstance(value, str) and "'" in wanted:
            hintline = "; " + nearest(value, re.findall(r"'([^']+)'", wanted))
        raise ConfigError(f"{path}={shown}: expected {wanted}{hintline}") from None


def _check_fit(plain: Mapping[str, Any], choices: Mapping[str, Any]) -> None:
    """Parts that do not fit: a loss that the autoencoder cannot feed, a metric of another task."""
    from aetl.autoencoder.fields import given_fields
    from aetl.label import strategy_name
    from aetl.loss.objective import refuse_misfit
    from aetl.types import UserError

    try:
        terms = {k: locate(f"loss.{k}", v["_target_"]) for k, v in plain["loss"].items() if v}
        refuse_misfit(
            terms, given_fields(plain["autoencoder"]), str(choices.get("autoencoder", "?"))
        )
    except UserError as error:
        raise ConfigError(str(error)) from None
    _check_adversaries(terms, plain["transfer"])
    if plain["checkpoint_continue"] and plain["checkpoint"] is None:
        raise ConfigError("checkpoint_continue=true: from where? set checkpoint=RUN or FILE")
    task = locate("task", plain["task"]["_target_"])
    kind = task.kind
    _check_asked(plain, task, terms, str(choices.get("autoencoder", "?")))
    given = given_fields(plain["autoencoder"])
    for family, node in plain["transfer"].items():
        if node:
            strategy = locate(f"transfer.{family}", node["_target_"])
            name = f"transfer={strategy_name(family, node['_target_'])}"
            _check_strategy(strategy, name, kind, given, str(choices.get("autoencoder", "?")))
    _check_heads(plain, kind)
    if plain["target"]["budget"] == 0:
        _check_unsupervised(plain)
    for name in plain.get("rope") or {}:
        if not plain["metric"].get(name):
            raise ConfigError(
                f"rope.{name}: no metric of this run; {nearest(name, _filled(plain['metric']))}"
            )
    for name, node in _filled(plain["metric"]).items():
        metric = locate(f"metric.{name}", node["_target_"])
        if kind not in metric.kinds:
            allowed = " or ".join(sorted(metric.kinds))
            raise ConfigError(f"metric={name}: is for {allowed}, and the task is {kind}")
    _check_monitors(plain)


def higher_is_better(metrics: Mapping[str, Any]) -> dict[str, bool]:
    """Of each of the config's metrics whether a higher score is better."""
    return {
        name: bool(locate(f"metric.{name}", node["_target_"]).higher_is_better)
        for name, node in _filled(metrics).items()
    }


def _check_monitors(plain: Mapping[str, Any]) -> None:
    """Refuse a callback that waits for a value to become worse (Lightning's ``mode`` is ``min``
    where it is not said)."""
    higher = {"loss": False} | higher_is_better(plain["metric"])
    for key, node in _filled(plain.get("callback") or {}).items():
        name = str(node.get("monitor")).rpartition("/")[2]
        if name not in higher:
            continue
        known = inspect.signature(locate(f"callback.{key}", node["_target_"])).parameters
        mode = node.get("mode", known["mode"].default if "mode" in known else None)
        wanted = "max" if higher[name] else "min"
        if mode in {"min", "max"} - {wanted}:
            raise ConfigError(
                f"callback.{key}: mode={mode}, and of {node['monitor']} "
                f"{'higher' if higher[name] else 'lower'} is better; set mode: {wanted}"
            )


def _check_asked(
    plain: Mapping[str, Any], task: Any, terms: Mapping[str, Any], autoencoder: str
) -> None:
    """Refuse a task that asks the autoencoder for what it does not give."""
    from aetl.autoencoder.fields import given_fields

    missing = sorted(task.asks(plain["task"]) - given_fields(plain["autoencoder"]))
    if missing:
        raise ConfigError(
            f"task={task.kind}: needs {', '.join(missing)}, which autoencoder={autoencoder} does "
            "not give (e.g. autoencoder=vae does)"
        )
    selector = locate("selector", plain["selector"]["_target_"])
    if task.kind not in selector.kinds:
        name = selector.__module__.rpartition(".")[2]
        allowed = " or ".join(sorted(selector.kinds))
        raise ConfigError(f"selector={name}: is for {allowed}, and the task is {task.kind}")
    _check_held_out(plain, selector)
    twin = plain["twin"]
    made = locate("twin", twin["_target_"])
    name = f"transfer/control@twin={made.__module__.rpartition('.')[2]}"
    _check_strategy(made, name, task.kind, given_fields(plain["autoencoder"]), autoencoder)


def _check_held_out(plain: Mapping[str, Any], selector: Any) -> None:
    """Refuse a budget of which a selector by held-out labels cannot hold any out."""
    from hydra.utils import instantiate

    budget, per_class = plain["target"]["budget"], plain["target"]["per_class"]
    if "target_labels" not in selector.uses or budget == "all" or per_class:
        return
    if instantiate(plain["selector"]).held_out(budget) <= 0:
        name = selector.__module__.rpartition(".")[2]
        raise ConfigError(
            f"selector={name}: a budget of {budget} has no label to hold out; "
            "raise target.budget, or choose another selector"
        )


def _check_heads(plain: Mapping[str, Any], kind: str) -> None:
    """Refuse heads that the task cannot have, where an arm or the twin is to fit one."""
    arms = {f"transfer.{family}": node for family, node in plain["transfer"].items()}
    for path, node in (arms | {"twin": plain["twin"]}).items():
        head = (node or {}).get("head")
        if not isinstance(head, Mapping) or "_target_" not in head:
            continue
        made = locate(f"{path}.head", head["_target_"])
        name = made.__module__.rpartition(".")[2]
        if kind not in made.kinds:
            allowed = " or ".join(sorted(made.kinds))
            raise ConfigError(f"head={name}: is for {allowed}, and the task is {kind}")
        if head.get("balanced") and kind != "classification":
            raise ConfigError(f"head.balanced: is for classification, and the task is {kind}")


def _check_unsupervised(plain: Mapping[str, Any]) -> None:
    """Without target labels neither the arm nor its twin may need some."""
    for family, node in plain["transfer"].items():
        if node and _needs_target_labels(f"transfer.{family}", node):
            stem = node["_target_"].split(".")[-2]
            raise ConfigError(
                f"target.budget=0: transfer={family}/{stem} learns from target labels; use "
                "what learns from the source's (control/source_only, feature/dann, ...)"
            )
    if _needs_target_labels("twin", plain["twin"]):
        stem = plain["twin"]["_target_"].split(".")[-2]
        raise ConfigError(
            f"target.budget=0: the twin control/{stem} learns from target labels; "
            f"set transfer/control@twin={_like_twin(plain['transfer'])}"
        )


def _like_twin(transfer: Mapping[str, Any]) -> str:
    """The control without target labels that is as deep as the arm: a head in closed form on the
    same features beside one, a network beside a network."""
    for family, node in transfer.items():
        if node and isinstance(node.get("head"), Mapping):
            start = locate(f"transfer.{family}", node["_target_"]).initial
            return "source_raw_features" if start == "random" else "source_probe"
    return "source_only"


def _needs_target_labels(path: str, node: Mapping[str, Any]) -> bool:
    uses = locate(path, node["_target_"]).uses
    return "target_labels" in uses and "source_labels" not in uses


def _check_strategy(strategy: Any, name: str, kind: str, given: set[str], autoencoder: str) -> None:
    if kind not in strategy.tasks:
        allowed = " or ".join(sorted(strategy.tasks))
        raise ConfigError(f"{name}: is for {allowed}, and the task is {kind}")
    if missing := sorted(strategy.needs - given):
        raise ConfigError(
            f"{name}: needs {', '.join(missing)}, which autoencoder={autoencoder} does not give "
            "(e.g. autoencoder=vae does)"
        )


def _check_adversaries(terms: Mapping[str, Any], transfer: Mapping[str, Any]) -> None:
    """Refuse a strategy that goes on with a loss whose discriminator ended with pretraining."""
    from aetl.loss.adversarial import Adversarial

    for family, node in transfer.items():
        if node and locate(f"transfer.{family}", node["_target_"]).reconstructs:
            for name, term in terms.items():
                if issubclass(term, Adversarial):
                    raise ConfigError(
                        f"transfer.{family} ({node['_target_'].rpartition('.')[2]}) goes on with "
                        f"the loss of pretraining, and loss.{name} ({term.__name__}) has its "
                        "discriminator there alone; choose another loss or strategy"
                    )


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
