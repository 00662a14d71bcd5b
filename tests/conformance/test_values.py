"""Any value for any key of any YAML: one line refuses it, or it runs."""

from __future__ import annotations

import copy
import math
import os
import random
import signal
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest
from annotated_types import Ge, GroupedMetadata, Gt, Le, Lt
from omegaconf import OmegaConf

from aetl.config import (
    HYDRA_KEYS,
    ROOT,
    ConfigError,
    check,
    compose,
    locate,
    parameters_of,
    resolved,
)
from aetl.ending import told
from aetl.pipeline import run
from aetl.tracking.record import Job
from aetl.types import UserError
from tests.conformance.test_configs import FILES, contexts, overrides_of

JUNK: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2, -0.5, 0.5, 1.0, 10**12, -(10**12), 1e300,
    math.inf, -math.inf, math.nan, "", "text", "[/red]", "a.b.C", [], [0], [[]], ["text"],
    {}, {"a": 1}, {"a": {}}, {"_target_": "no.such"}, {"_target_": "aetl.stage.fit.Fit"},
    {"_target_": None}, ...,
)  # fmt: skip
EXCEPTION = ("Error", "Exception", "Traceback", "NoneType", "\n")
NOT_CONFIGS = {"experiment", "sweep", "debug", "paper", "hydra"}


def composed(overrides: list[str]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    cfg = compose(overrides)
    plain, choices = resolved(cfg), dict(cfg.hydra.runtime.choices)
    try:
        check(plain, choices)
    except (ConfigError, UserError):
        return None
    return plain, choices


def leaves(node: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in node.items():
        if key in HYDRA_KEYS:
            continue
        yield (*path, key)
        if isinstance(value, Mapping):
            yield from leaves(value, (*path, key))


def at(node: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        node = node[key]
    return node


def edges(hint: Any) -> Iterator[Any]:
    """The bounds of the numbers in a hint, and the nearest values beyond them."""
    if get_origin(hint) is Annotated:
        whole = int in (get_args(hint)[0], *get_args(get_args(hint)[0]))
        for metadata in get_args(hint)[1:]:
            for c in metadata if isinstance(metadata, GroupedMetadata) else (metadata,):
                for bound in (Ge, Gt, Le, Lt):
                    if isinstance(c, bound):
                        edge = getattr(c, bound.__name__.lower())
                        step = (edge - 1, edge, edge + 1)
                        near = (math.nextafter(edge, d) for d in (-math.inf, edge, math.inf))
                        yield from step if whole else near
    for part in get_args(hint):
        yield from edges(part)


def hint_of(plain: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    if len(path) == 1:
        return ROOT.get(path[0], Any)
    node = at(plain, path[:-1])
    if "_target_" not in node:
        return Any
    return parameters_of(node["_target_"], locate("", node["_target_"])).get(path[-1], Any)


@cache
def worlds(
    share: int = 1,
) -> list[tuple[str, dict[str, Any], dict[str, Any], list[tuple[str, ...]]]]:
    """A valid config for each option, and the keys that no config before it has."""
    seen: set[tuple[str, ...]] = set()
    found = []
    files = [Path("config"), *(f for f in FILES if f.parts[0] not in NOT_CONFIGS)]
    for file in files[::share]:
        own = [] if file.name == "config" else overrides_of(file)
        for context in contexts(file):
            world = composed([*own, *context])
            if world:
                break
        else:
            continue
        plain, choices = world
        fresh = []
        for path in leaves(plain):
            node = at(plain, path[:-1])
            key = (str(node.get("_target_", path[:-1])), path[-1])
            if key not in seen:
                seen.add(key)
                fresh.append(path)
        found.append((" ".join(own), plain, choices, fresh))
    return found


def answer(plain: Mapping[str, Any], choices: Mapping[str, Any]) -> str | None:
    """The line that refuses a config, or nothing; any other exception goes on."""
    try:
        check(plain, choices)
    except (ConfigError, UserError) as error:
        return str(error)
    return None


def changed(plain: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    other = copy.deepcopy(dict(plain))
    if value is ...:  # as by ~key
        del at(other, path[:-1])[path[-1]]
    else:
        at(other, path[:-1])[path[-1]] = value
    return other


def all_cases(
    share: int = 1,
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any], tuple[str, ...], Any]]:
    for name, plain, choices, paths in worlds(share):
        for path in paths:
            for value in (*JUNK, *edges(hint_of(plain, path))):
                yield name, plain, choices, path, value


def refused_badly(cases: Any) -> list[str]:
    bad = []
    for name, plain, choices, path, value in cases:
        start = time.perf_counter()
        try:
            line = answer(changed(plain, path, value), choices)
        except Exception as error:  # what a user must not see
            bad.append(f"{name} {'.'.join(path)}={value!r}: {type(error).__name__}: {error}")
            continue
        if line is not None and any(word in line for word in EXCEPTION):
            bad.append(f"{name} {'.'.join(path)}={value!r}: {line}")
        if time.perf_counter() - start > 10:
            bad.append(f"{name} {'.'.join(path)}={value!r}: takes too long")
    return bad


@pytest.mark.slow
def test_any_value_of_any_key_is_refused_in_one_line_or_accepted() -> None:
    cases = list(all_cases())
    assert len(cases) > 10_000, len(cases)
    bad = refused_badly(cases)
    assert not bad, "\n".join(bad)


def test_a_share_of_the_values_is_refused_in_one_line_or_accepted() -> None:
    cases = list(all_cases(share=40))
    assert len(cases) > 400
    bad = refused_badly(random.Random(0).sample(cases, 1000))
    assert not bad, "\n".join(bad)


SMALL_STEPS: dict[str, dict[str, Any]] = {
    "pretrain": {"max_steps": 1, "min_steps": 0}, "finetune": {"max_steps": 1, "min_steps": 0},
}  # fmt: skip
SECONDS = 60


def one_step(plain: Mapping[str, Any], path: tuple[str, ...], folder: Path) -> str | None:
    """How a run of one step of each stage fails; None where it is done, or refused in a line."""
    cfg = copy.deepcopy(dict(plain))
    cfg["output_dir"], cfg["logger"], cfg["threads"] = str(folder), {}, 1
    cfg["store"]["dir"] = str(folder / "store")
    for stage, few in SMALL_STEPS.items():
        cfg[stage] |= {key: n for key, n in few.items() if path != (stage, key)}
    for part in ("source", "target"):
        cfg[part] |= {"size": 200} if "size" in cfg[part] and path != (part, "size") else {}
    log = folder / "log"
    child = os.fork()
    if child == 0:
        code = 70
        try:
            handle = os.open(log, os.O_WRONLY | os.O_CREAT)
            for stream in (1, 2):
                os.dup2(handle, stream)
            run(Job(OmegaConf.create(cfg), folder / "run", {}, [], ["aetl"]))
            code = 0
        except Exception as error:
            line, code = told(error)
            os.write(2, f"TOLD {line}".encode(errors="replace"))
        finally:
            os._exit(code)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            said = log.read_text(errors="replace").rpartition("TOLD ")[2]
            code = os.waitstatus_to_exitcode(status)
            if code in (0, 2) and "--debug" not in said:
                return None
            return f"exit {code}: {said[-300:]}"
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return f"not within {SECONDS} s"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_share_of_what_is_accepted_takes_a_step_of_every_stage(tmp_path: Path) -> None:
    """Values at the bounds of numbers: of those that a check lets pass, some are run."""
    accepted = []
    for name, plain, choices, paths in worlds(share=3):
        for path in paths:
            for value in edges(hint_of(plain, path)):
                if answer(changed(plain, path, value), choices) is None:
                    accepted.append((name, plain, path, value))
    chosen = random.Random(0).sample(accepted, 40)
    bad = []
    for number, (name, plain, path, value) in enumerate(chosen):
        folder = tmp_path / str(number)
        folder.mkdir()
        failed = one_step(changed(plain, path, value), path, folder)
        if failed:
            bad.append(f"{name} {'.'.join(path)}={value!r}: {failed}")
    assert not bad, "\n".join(bad)
