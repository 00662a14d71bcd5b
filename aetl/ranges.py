"""The ranges of the numbers that a config sets, as annotations of the constructors that take them.

A parameter says what it takes by its type (``lr: NonNegative``, or ``Annotated[int, Ge(2)]`` where
none of these fits), and ``aetl.config`` refuses the rest before any work. Infinity and NaN are
refused everywhere. A bound above stands where more would only exhaust the machine. ``Doc`` adds a
word that the refusal ends with.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import (
    Ge,
    GroupedMetadata,
    Gt,
    Interval,
    Le,
    Len,
    Lt,
    MaxLen,
    MinLen,
    Predicate,
)
from typing_extensions import Doc

Natural = Annotated[int, Interval(ge=0, le=10**9)]
Count = Annotated[int, Interval(ge=1, le=10**9)]
Size = Annotated[int, Interval(ge=1, le=65_536)]
"""Of a layer, a code or a codebook."""
Pixels = Annotated[int, Interval(ge=1, le=4_096)]
Depth = Annotated[int, Interval(ge=1, le=1_000)]
KernelSize = Annotated[int, Interval(ge=1, le=255)]
Draws = Annotated[int, Interval(ge=1, le=10_000)]
"""Samples of one example, all in memory at once."""
Folds = Annotated[int, Interval(ge=2, le=1_000)]
Seed = Annotated[int, Interval(ge=0, lt=2**32)]

Real = Annotated[float, Interval(ge=-1e12, le=1e12)]
NonNegative = Annotated[float, Ge(0)]
Positive = Annotated[float, Gt(0)]
Fraction = Annotated[float, Interval(ge=0, le=1)]
"""Both ends are meant: nothing and all."""
Inner = Annotated[float, Interval(gt=0, lt=1)]
Probability = Annotated[float, Interval(ge=0, lt=1)]
"""Of dropping something: with 1 nothing would be left."""
Share = Annotated[float, Interval(gt=0, le=1)]

Text = Annotated[str, MinLen(1)]

_CORES = max(64, os.cpu_count() or 1)
Threads = Annotated[int, Interval(ge=1, le=_CORES)]

Duration = Annotated[
    str,
    Predicate(re.compile(r"\d+:\d\d:\d\d:\d\d").fullmatch),
    Doc("days:hours:minutes:seconds"),
]
_Betas = Annotated[list[Probability], Len(2, 2)]
_Span = Annotated[list[NonNegative], Len(2, 2)]
_Limit = Natural | Fraction | None

OPTIMIZER: dict[str, Any] = {
    "lr": NonNegative,
    "fused": bool | Literal["auto"] | None,
    "foreach": bool | None,
    "weight_decay": NonNegative,
    "momentum": Probability,
    "dampening": Fraction,
    "betas": _Betas,
    "eps": NonNegative,
    "alpha": Fraction,
    "rho": Fraction,
    "lr_decay": NonNegative,
    "lambd": NonNegative,
    "t0": NonNegative,
    "momentum_decay": NonNegative,
    "initial_accumulator_value": NonNegative,
    "etas": _Span,
    "step_sizes": _Span,
}
TRAINER: dict[str, Any] = {
    "devices": Annotated[int, Interval(ge=1, le=1_024)] | Literal[-1, "auto"]
    | Annotated[list[Natural], Len(1)],
    "num_nodes": Annotated[int, Interval(ge=1, le=10_000)],
    "gradient_clip_val": NonNegative | None,
    "accumulate_grad_batches": Count,
    "limit_train_batches": Count | Share | None,
    "limit_val_batches": _Limit,
    "limit_test_batches": _Limit,
    "limit_predict_batches": _Limit,
    "overfit_batches": Natural | Fraction,
    "max_time": Duration | None,
    "val_check_interval": Count | Share | None,
    "check_val_every_n_epoch": Count | None,
    "log_every_n_steps": Natural | None,
    "fast_dev_run": Natural | bool,
    "reload_dataloaders_every_n_epochs": Natural,
    "precision": Literal[
        16, 32, 64, "16", "32", "64", "bf16", "16-mixed", "bf16-mixed", "16-true", "bf16-true",
        "32-true", "64-true", "transformer-engine", "transformer-engine-float16",
    ] | None,
}  # fmt: skip
TRANSFORM: dict[str, Any] = {
    "p": Fraction,
    "degrees": Annotated[float, Interval(ge=0, le=360)]
    | Annotated[list[Annotated[float, Interval(ge=-360, le=360)]], Len(2, 2)],
    "translate": Annotated[list[Fraction], Len(2, 2)] | None,
    "scale": _Span | None,
    "ratio": Annotated[list[Positive], Len(2, 2)],
    "shear": NonNegative | Annotated[list[Real], Len(2, 4)] | None,
    "fill": Real | list[Real],
    "value": Real,
    "center": Annotated[list[Real], Len(2, 2)] | None,
    "padding": Annotated[int, Interval(ge=0, le=4_096)] | list[Natural],
    "size": Pixels | list[Pixels],
    "kernel_size": KernelSize | list[KernelSize],
    "sigma": Positive | Annotated[list[Positive], Len(2, 2)],
}
OTHERS: dict[str, dict[str, Any]] = {
    "torch.optim.": OPTIMIZER,
    "pytorch_lightning.Trainer": TRAINER,
    "torchvision.transforms.": TRANSFORM,
}
"""What the parameters of other libraries' targets take, whose constructors we cannot annotate."""

STAGES_SET = {
    "max_steps": "set pretrain.max_steps and finetune.max_steps",
    "min_steps": "set pretrain.min_steps and finetune.min_steps",
    "max_epochs": "set pretrain.epochs and finetune.epochs",
    "min_epochs": "set pretrain.epochs and finetune.epochs",
    "logger": "choose logger=...",
    "callbacks": "add +callback.NAME._target_=...",
    "enable_checkpointing": "see callback.resume_point",
    "enable_model_summary": "it is never shown",
    "enable_progress_bar": "see callback.progress",
    "num_sanity_val_steps": "it is always 0",
    "use_distributed_sampler": "the order of examples is keyed by the seed",
    "default_root_dir": "set output_dir",
}
"""The trainer's arguments that each stage gives itself, and what to set instead."""


def foreign(target: str) -> dict[str, Any]:
    """The ranges of another library's target by parameter; none for an unknown one."""
    return next((table for start, table in OTHERS.items() if target.startswith(start)), {})


def described(hint: Any) -> str:
    """What a parameter takes, in words: ``integer from 1 to 64 or null``."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _bounded(described(args[0]), list(_constraints(args[1:])))
    if origin is Literal:
        return " or ".join(repr(value) for value in args)
    if origin in (Union, UnionType):
        return " or ".join(described(arg) for arg in args)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "mapping"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"list, each {described(args[0])}"
    names = {NoneType: "null", int: "integer", float: "number", str: "string", bool: "boolean"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def _constraints(metadata: Sequence[Any]) -> Iterator[Any]:
    for constraint in metadata:
        yield from constraint if isinstance(constraint, GroupedMetadata) else (constraint,)


def _bounded(what: str, constraints: Sequence[Any]) -> str:
    low = high = rest = length = word = ""
    for c in constraints:
        if isinstance(c, Ge):
            low, rest = f"from {c.ge}", "on"
        elif isinstance(c, Gt):
            low = f"above {c.gt}"
        elif isinstance(c, Le):
            high = f"to {c.le}"
        elif isinstance(c, Lt):
            high = f"to less than {c.lt}"
        elif isinstance(c, MinLen):
            length = "not empty" if c.min_length == 1 else f"{c.min_length} or more"
        elif isinstance(c, MaxLen):
            length = f"{c.max_length}" if length == f"{c.max_length} or more" else length
        elif isinstance(c, Doc):
            word = f" ({c.documentation})"
    if length:
        return f"{what} ({length}{'' if length == 'not empty' else ' of them'}){word}"
    return " ".join(part for part in (what, low, high or rest) if part) + word
