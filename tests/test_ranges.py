"""Every number that a config can set has a range, and what lies outside is refused in a line."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import pytest
from annotated_types import Ge, Gt, Interval, Le, Lt
from typing_extensions import Doc

from aetl.backbone.conv import Conv
from aetl.backbone.conv1d import Conv1d
from aetl.backbone.conv_pool import ConvPool
from aetl.config import (
    ROOT,
    ConfigError,
    check,
    check_target,
    compose,
    conf_dir,
    resolved,
)
from aetl.mistakes import explain
from aetl.multirun.plugin import register
from aetl.ranges import STAGES_SET, Count, Probability, Size, Text, described, foreign
from aetl.types import DoesNotFit

# ruff: noqa: E501  (a case is read on one line)

TARGET = re.compile(r"^[^#\n]*_target_:\s*(\S+)|^backend:\s*(\S+)", re.M)


def targets() -> list[str]:
    """What the YAMLs name, and what stands beside it: every class that a folder of nouns offers."""
    found = {
        name
        for file in conf_dir().rglob("*.yaml")
        for pair in TARGET.findall(file.read_text())
        for name in pair
        if name
    }
    return sorted(found | {"aetl.loss.weight.Cyclic"})


def unranged(hint: Any) -> bool:
    """Whether a number within the hint stands without a constraint."""
    if hint in (int, float, complex):
        return True
    if get_origin(hint) is Annotated:
        inner, *metadata = get_args(hint)
        bounds = (Ge, Gt, Interval, Le, Lt)
        return not any(isinstance(m, bounds) for m in metadata) and unranged(inner)
    if get_origin(hint) is Literal:
        return False
    return any(unranged(part) for part in get_args(hint))


def parameters(target: str) -> Iterator[tuple[str, Any]]:
    """Names and hints of what a config sets: by keyword, unlike what the code hands over."""
    module, _, name = target.rpartition(".")
    built = getattr(importlib.import_module(module), name)
    hints = get_type_hints(built.__init__, include_extras=True)
    launcher = target.startswith("hydra_plugins")
    for key, parameter in inspect.signature(built).parameters.items():
        if (
            launcher
            or parameter.kind is parameter.KEYWORD_ONLY
            or parameter.default is not parameter.empty
        ):
            yield key, hints.get(key, Any)


@pytest.fixture(scope="module", autouse=True)
def plugins() -> None:
    register()


@pytest.mark.parametrize(
    "target", [name for name in targets() if name.startswith(("aetl", "hydra"))]
)
def test_every_number_of_a_constructor_has_a_range(target: str) -> None:
    bare = [f"{key}: {hint}" for key, hint in parameters(target) if unranged(hint)]
    assert not bare


FOREIGN = [name for name in targets() if not name.startswith(("aetl", "hydra"))]


@pytest.mark.parametrize("target", FOREIGN)
def test_every_number_of_a_librarys_constructor_has_a_range(target: str) -> None:
    module, _, name = target.rpartition(".")
    built = getattr(importlib.import_module(module), name)
    try:
        hints = get_type_hints(built.__init__)
    except (NameError, TypeError):
        hints = {}
    known = foreign(target)
    numbers = {
        key
        for key, p in inspect.signature(built).parameters.items()
        if unranged(hints.get(key, Any)) or type(p.default) in (int, float)
    }
    left = numbers - known.keys() - STAGES_SET.keys() - {"max_time", "interpolation"}
    assert not left
    assert not [key for key, hint in known.items() if unranged(hint)]


def test_every_number_of_the_root_has_a_range() -> None:
    assert not [key for key, hint in ROOT.items() if unranged(hint)]


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (Count, "integer from 1 to 1000000000"),
        (Count | Literal["all"] | None, "integer from 1 to 1000000000 or 'all' or null"),
        (Probability, "number from 0 to less than 1"),
        (Annotated[int, Ge(3)], "integer from 3 on"),
        (list[Size], "list, each integer from 1 to 65536"),
        (
            Annotated[float, Interval(gt=0, le=1), Doc("no epochs")],
            "number above 0 to 1 (no epochs)",
        ),
        (Text, "string (not empty)"),
    ],
)
def test_a_range_is_told_in_words(hint: Any, words: str) -> None:
    assert described(hint) == words


OUTSIDE = [
    ("seed=-1", "seed=-1: expected integer from 0 to less than 4294967296"),
    ("seed=true", "seed=True: expected integer from 0"),
    ("threads=0", "threads=0: expected integer from 1 to "),
    ("threads=10000", "threads=10000: expected integer from 1 to "),
    ("output_dir=''", "output_dir='': expected string (not empty)"),
    ("pretrain.epochs=-1", "pretrain.epochs=-1: expected integer from 0 "),
    ("finetune.max_steps=-1", "finetune.max_steps=-1: expected integer from 0 to 1000000000 or null"),
    ("pretrain.batch_size=0", "pretrain.batch_size=0: expected integer from 1 "),
    ("optimizer.lr=-1", "optimizer.lr=-1: expected number from 0 on"),
    ("optimizer.lr=nan", "optimizer.lr=nan: expected a finite number"),
    ("optimizer.lr=inf", "optimizer.lr=inf: expected a finite number"),
    ("optimizer=sgd optimizer.momentum=1.5", "optimizer.momentum=1.5: expected number from 0 to less"),
    ("+optimizer.betas=[0.9]", "optimizer.betas=[0.9]: expected list, each number"),
    ("trainer.gradient_clip_val=-1", "trainer.gradient_clip_val=-1: expected number from 0 on or null"),
    ("trainer.devices=0", "trainer.devices=0: expected integer from 1 to 1024"),
    ("+trainer.max_steps=5", "trainer.max_steps: each stage sets it itself; set pretrain.max_steps"),
    ("bottleneck.latent_dim=0", "bottleneck.latent_dim=0: expected integer from 1 to 65536"),
    ("backbone.hidden=[64,0]", "backbone.hidden=[64, 0]: expected list, each integer from 1"),
    ("loss.reconstruction.weight=-1.0", "loss.reconstruction.weight=-1.0: expected number from 0 on"),
    ("target.shift.contrast=inf", "target.shift.contrast=inf: expected a finite number"),
    ("target.budget=-1", "target.budget=-1: expected integer from 0 to 1000000000 or 'all'"),
    ("target.test_fraction=1.0", "target.test_fraction=1.0: expected number from 0 to less than 1"),
    ("scheduler=cosine scheduler.warmup=10", "less than 1 (a fraction of the steps, not epochs)"),
    ("scheduler=cosine scheduler.warmup=1", "less than 1 (a fraction of the steps, not epochs)"),
    ("corruption=masking corruption.fraction=1.5", "corruption.fraction=1.5: expected number from 0 to 1"),
    ("corruption=augmentation corruption.transforms.1.p=2", "corruption.transforms.1.p=2: expected"),
    ("callback.resume_point.every_n_steps=0", "callback.resume_point.every_n_steps=0: expected integer"),
    ("project=''", "project='': expected string (not empty)"),
]  # fmt: skip


def refusal(*overrides: str) -> str | None:
    cfg = compose(overrides)
    try:
        check(resolved(cfg), dict(cfg.hydra.runtime.choices))
    except ConfigError as error:
        return str(error)
    return None


@pytest.mark.parametrize(("overrides", "line"), OUTSIDE, ids=[o for o, _ in OUTSIDE])
def test_a_value_out_of_range_is_refused_before_any_work(overrides: str, line: str) -> None:
    assert line in (refusal(*overrides.split()) or "accepted")


@pytest.mark.parametrize("key", ["jobs", "retries"])
def test_the_launcher_has_ranges_too(key: str) -> None:
    node = {"_target_": "hydra_plugins.aetl_process.ProcessLauncher", "jobs": 1, "retries": 0}
    check_target("hydra.launcher", node)
    with pytest.raises(ConfigError, match=f"hydra.launcher.{key}=-1: expected integer from"):
        check_target("hydra.launcher", node | {key: -1})


EMPTY = [
    ("loss=null", "null: no choice of loss, metric, transfer or score"),
    ("transfer=null", "and the others need at least one"),
    ("metric=[]", "metric: at least one is needed"),
    ("score=null", "score=[] is none"),
    ("~task", "task: empty, and every run has one; choose task=..."),
    (
        "task._target_=aetl.metric.accuracy.Accuracy",
        "task._target_=aetl.metric.accuracy.Accuracy: is no Task",
    ),
]


@pytest.mark.parametrize(("override", "line"), EMPTY, ids=[o for o, _ in EMPTY])
def test_a_part_that_is_missing_or_another_is_told(override: str, line: str) -> None:
    try:
        found = refusal(override)
    except Exception as error:
        found = explain(error)
    assert line in (found or "accepted")


@pytest.mark.parametrize(
    ("backbone", "shape"), [(Conv, (1, 8, 8)), (ConvPool, (1, 8, 8)), (Conv1d, (1, 9))]
)
def test_a_kernel_larger_than_the_examples_does_not_fit(backbone: Any, shape: Any) -> None:
    settings: dict[str, Any] = {"upsample": "nearest"} if backbone is ConvPool else {}
    settings |= {} if backbone is not Conv else {"tied": False}
    settings |= {} if backbone is not Conv1d else {"stride": 2, "dilation": 1}
    built = backbone(
        channels=[4], kernel_size=99, activation="relu", norm="none", dropout=0.0,
        spectral_norm="none", **settings,
    )  # fmt: skip
    with pytest.raises(DoesNotFit, match="kernel_size=99: too large for examples of"):
        built.encoder(shape)
