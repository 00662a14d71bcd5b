"""A search space: for each override key what it may be, as YAML or on the command line.

finetune.lr: {low: 1.0e-4, high: 1.0e-1, log: true}     a float
bottleneck.latent_dim: {low: 4, high: 64, step: 4}       whole numbers, ends included
transfer: [parameter/finetune, "[instance/kmm,parameter/lora]"]    a choice
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aetl.config import ConfigError, nearest

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from optuna.distributions import BaseDistribution

Value = None | bool | int | float | str


@dataclass(frozen=True)
class Choice:
    """One of some values; text as it is typed after ``KEY=``."""

    options: tuple[Value, ...]

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.options)

    def grid(self) -> Sequence[Value]:
        return self.options


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; whole ones where both of them are."""

    low: int | float
    high: int | float
    step: int | float | None = None
    log: bool = False

    @property
    def whole(self) -> bool:
        return all(isinstance(value, int) for value in (self.low, self.high))

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            return IntDistribution(int(self.low), int(self.high), self.log, int(self.step or 1))
        return FloatDistribution(float(self.low), float(self.high), self.log, self.step)

    def grid(self) -> Sequence[Value] | None:
        """All of its values, or ``None`` where they cannot be counted."""
        if not self.whole and self.step is None:
            return None
        step = self.step or 1
        count = int((self.high - self.low) / step + 1e-9) + 1
        return [self.low + i * step for i in range(count)]


Dimension = Choice | Range
Space = Mapping[str, Dimension]


def space_of(node: Mapping[str, Any]) -> dict[str, Dimension]:
    """The space that a config's node describes; ``ConfigError`` for one that cannot be."""
    return {str(key): _dimension(f"hydra.sweeper.space.{key}", node[key]) for key in node}


def _dimension(path: str, value: Any) -> Dimension:
    if isinstance(value, list | tuple):
        return _choice(path, list(value))
    if not isinstance(value, Mapping):
        raise ConfigError(f"{path}={value}: expected a list of choices, or low and high")
    known = ("low", "high", "step", "log")
    for key in value:
        if key not in known:
            raise ConfigError(f"{path}.{key}: unknown key; {nearest(str(key), known)}")
    for key in ("low", "high"):
        if key not in value:
            raise ConfigError(f"{path}.{key}: missing")
    return _range(path, Range(**value))


def _choice(path: str, options: list[Any]) -> Choice:
    if not options:
        raise ConfigError(f"{path}: has no choices")
    for option in options:
        if not isinstance(option, None | bool | int | float | str):
            raise ConfigError(
                f"{path}: {option}: a choice is a number or text; write a list in quotes: '[a,b]'"
            )
    return Choice(tuple(options))


def _range(path: str, found: Range) -> Range:
    for name in ("low", "high", "step"):
        value = getattr(found, name)
        if value is None and name == "step":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{path}.{name}={value!r}: expected a number")
    if found.high < found.low:
        raise ConfigError(f"{path}: high={found.high} is less than low={found.low}")
    if found.log and (found.low <= 0 or found.step is not None):
        raise ConfigError(f"{path}: log=true needs low > 0 and no step")
    if found.step is not None and found.step <= 0:
        raise ConfigError(f"{path}.step={found.step}: expected more than 0")
    return found


def from_overrides(overrides: Sequence[Override]) -> dict[str, Dimension]:
    """What stands on the command line: ``a,b``, ``range(4,64,4)``, ``interval(0.1,1.0)``,
    ``tag(log,interval(1e-4,1e-1))``."""
    from hydra.core.override_parser.types import IntervalSweep, RangeSweep, Transformer

    space: dict[str, Dimension] = {}
    for override in overrides:
        if not override.is_sweep_override():
            continue
        key, value = override.get_key_element(), override.value()
        if isinstance(value, IntervalSweep):
            space[key] = _range(
                key, Range(float(value.start or 0), float(value.end or 0), log="log" in value.tags)
            )
        elif isinstance(value, RangeSweep) and isinstance(value.start, int):
            stop, step = int(value.stop or 0), int(value.step)  # python's: the stop is left out
            space[key] = _range(key, Range(value.start, stop - 1, None if step == 1 else step))
        else:
            texts = override.sweep_iterator(transformer=Transformer.encode)
            space[key] = _choice(key, [_plain(text) for text in texts])
    return space


def _plain(text: Any) -> Value:
    """Numbers as numbers, so that importances see an order; anything else as it is typed."""
    if isinstance(text, str):
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
    return text if isinstance(text, bool | int | float) else str(text)


def override_of(key: str, value: Value) -> str:
    """``KEY=VALUE`` as it is typed."""
    if value is None:
        return f"{key}=null"
    return f"{key}={str(value).lower()}" if isinstance(value, bool) else f"{key}={value}"


def shown_override(key: str, value: Value) -> str:
    """The same for people: four digits are enough."""
    return f"{key}={value:.4g}" if isinstance(value, float) else override_of(key, value)


def points(space: Space) -> list[dict[str, Value]]:
    """Every point of the grid; ``ConfigError`` where a dimension is continuous."""
    grids = {key: dimension.grid() for key, dimension in space.items()}
    for key, grid in grids.items():
        if grid is None:
            raise ConfigError(f"hydra.sweeper.space.{key}: a grid needs a step, or choices")
    values = [grid for grid in grids.values() if grid is not None]
    return [dict(zip(grids, point, strict=True)) for point in itertools.product(*values)]
