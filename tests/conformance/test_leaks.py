"""Leaks are planted, and each is seen to be refused.

A strategy or a selector reaches for what it was not given: by asking, and by walking through
everything that its arguments refer to. And target test images are put into the source.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from aetl.rng import Rng
from aetl.selector.base import Candidate, Selector
from aetl.stage.domains import Domains, load_domains
from aetl.store.store import Store
from aetl.transfer.base import Part, Samples, Step, TransferStrategy, Undeclared, View
from aetl.types import UserError
from tests.tiny import MLP, WATCH, Watch, World

EVERYTHING: frozenset[Part] = frozenset(
    {"source_inputs", "source_labels", "target_inputs", "target_labels"}
)


def reachable(root: object) -> Iterator[np.ndarray]:
    """Every tensor and array that an object refers to, through attributes, closures, storage."""
    todo, seen = [root], set[int]()
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, (str, bytes, int, float, type, types.ModuleType)):
            continue
        seen.add(id(one))
        if isinstance(one, Tensor):
            whole = torch.empty(0, dtype=one.dtype).set_(one.detach().cpu().untyped_storage())
            yield whole.numpy()  # of a part of a tensor the rest is there too
        elif isinstance(one, np.ndarray):
            yield one
            todo.append(one.base)
        elif isinstance(one, Mapping):
            todo += [*one.keys(), *one.values()]
        elif isinstance(one, (list, tuple, set, frozenset)):
            todo += list(one)
        elif isinstance(one, functools.partial):
            todo += [one.func, one.args, one.keywords]
        elif isinstance(one, types.MethodType):
            todo += [one.__self__, one.__func__]
        elif isinstance(one, types.FunctionType):
            cells = [cell.cell_contents for cell in one.__closure__ or ()]
            todo += [*cells, one.__defaults__, one.__kwdefaults__]
        else:
            todo += list(getattr(one, "__dict__", {}).values())
            slots = [getattr(one, name, None) for name in getattr(type(one), "__slots__", ())]
            todo += slots


class Secrets:
    """What nobody may reach, by name, and who reached it all the same."""

    held: ClassVar[dict[str, np.ndarray]] = {}
    leaks: ClassVar[set[str]] = set()
    looks: ClassVar[int] = 0

    @classmethod
    def keep(cls, **held: Any) -> None:
        cls.held, cls.leaks, cls.looks = {k: np.asarray(v) for k, v in held.items()}, set(), 0

    @classmethod
    def look(cls, where: str, *roots: object) -> None:
        cls.looks += 1
        for found in reachable(roots):
            for name, secret in cls.held.items():
                if found.size == secret.size and np.array_equal(found.ravel(), secret.ravel()):
                    cls.leaks.add(f"{name} from {where}")


class Spy(TransferStrategy):
    """Declares everything, and walks through all that it is given."""

    uses: ClassVar[frozenset[Part]] = EVERYTHING
    uses_codec: ClassVar[bool] = True

    def adapt(self, network: Any) -> None:
        Secrets.look("adapt", network)

    def groups(self, network: Any) -> None:
        Secrets.look("groups", network)

    def weigh(self, view: View) -> None:
        for part in self.uses:
            view.features(part)  # what is kept of it must not be more
        Secrets.look("weigh", view, view.codec() if self.uses_codec else None)

    def augment(self, view: View) -> None:
        Secrets.look("augment", view)

    def module(self, network: Any, task: Any, view: View) -> None:
        Secrets.look("module", network, task, view)

    def penalty(self, step: Step, module: Any) -> None:
        Secrets.look("penalty", step, module)

    def settle(self, network: Any, view: View) -> None:
        Secrets.look("settle", network, view)


class ClosedSpy(Spy):
    """The same with a head in closed form."""

    def head(self, task: Any) -> Any:
        Secrets.look("head", task)
        return task.linear_head(1.0)

    def align(self, view: View) -> None:
        Secrets.look("align", view)

    def fit(self, estimator: Any, samples: Samples) -> Any:
        samples.unlabelled()
        Secrets.look("fit", samples)
        return super().fit(estimator, samples)


class BlindSpy(Spy):
    """Declares the target's inputs alone."""

    uses: ClassVar[frozenset[Part]] = frozenset({"target_inputs"})
    uses_codec: ClassVar[bool] = False


class Judge(Selector):
    """A selector that walks through what it is to judge by."""

    uses: ClassVar[frozenset[Part]] = EVERYTHING

    def held_out(self, labels: int) -> int:
        return 4

    def score(self, candidate: Candidate) -> float:
        for part in self.uses:
            candidate.features(part)
        Secrets.look("score", candidate)
        return 0.0


def node(kind: type) -> dict[str, Any]:
    return {"_target_": f"{__name__}.{kind.__name__}"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The source is larger than the target, so that its labels are not those of the target too."""
    more = ("selector=target_validation", "source.size=300")
    return World(tmp_path_factory.mktemp("leaks"), *MLP, *more)


def of_the_test(domains: Domains) -> dict[str, Any]:
    target = domains.target
    return {
        "test_labels": target.test.y,
        "test_inputs": target.test.x,
        "test_identity": target.test.identity,
        "pool_labels": target.pool.y,
        "labels_beyond_the_budget": target.pool.y[torch.as_tensor(target.split.train)],
    }


# Asking and walking


@pytest.mark.parametrize("kind", [Spy, ClosedSpy])
def test_no_strategy_reaches_test_data_or_labels_beyond_the_budget(
    world: World, kind: type
) -> None:
    Secrets.keep(**of_the_test(world.domains))
    world.transfer({"feature": node(kind)})
    assert Secrets.looks >= 6
    assert Secrets.leaks == set()


def test_a_strategy_reaches_nothing_of_the_parts_that_another_declares(world: World) -> None:
    source, target = world.domains.source, world.domains.target
    Secrets.keep(
        **of_the_test(world.domains),
        source_labels=source.pool.y[torch.as_tensor(source.split.train)],
        source_inputs=source.pool.x[torch.as_tensor(source.split.train)],
        target_labels=target.pool.y[torch.as_tensor(target.split.labelled)],
        labels_that_train=target.pool.y[torch.as_tensor(target.split.labelled[:-8])],
    )
    other = {"_target_": "tests.transfer.strategies.Both"}
    world.transfer({"feature": node(BlindSpy), "instance": other})
    assert Secrets.looks >= 6
    assert Secrets.leaks == set()


def test_no_selector_reaches_test_labels(world: World) -> None:
    arm = World(
        world.folder, *MLP, f"selector._target_={__name__}.Judge", "transfer=parameter/finetune"
    )
    Secrets.keep(**of_the_test(arm.domains))
    arm.transfer()
    assert Secrets.looks > 0
    assert Secrets.leaks == set()


@pytest.mark.parametrize("part", sorted(EVERYTHING - BlindSpy.uses))
def test_asking_for_an_undeclared_part_is_refused(world: World, part: Part) -> None:
    parts: Any = dict.fromkeys(EVERYTHING, world.domains.source.pool)
    view = View("me", BlindSpy.uses, parts, lambda e, layer: e.x, Rng.of(0))
    for ask in (view.examples, view.features):
        with pytest.raises(Undeclared, match=f"me uses {part} without declaring"):
            ask(part)
    with pytest.raises(Undeclared, match="codec"):
        view.codec()


class Rebuilds(TransferStrategy):
    """Uses the loss of pretraining without saying so."""

    def penalty(self, step: Step, module: Any) -> Tensor:
        return step.reconstruction_loss(step.streams["labelled"].x, step.rng).mean()


def test_the_loss_of_reconstruction_is_for_those_who_declare_it(world: World) -> None:
    with pytest.raises(Undeclared, match="feature uses the loss of reconstruction"):
        world.transfer({"feature": node(Rebuilds)})


def planted(domains: Domains) -> dict[str, object]:
    """Ways in which test data would be reachable, each of which has to be found."""
    test = domains.target.test

    class Slotted:
        __slots__ = ("hidden",)

        def __init__(self) -> None:
            self.hidden = test

    def closure(examples: Any, layer: Any) -> Any:
        return domains.target.test.x[: len(examples)]

    view = View("me", frozenset(), {}, closure, Rng.of(0))
    bound = Slotted()
    return {
        "a closure over the domains": view,
        "a partial": functools.partial(print, domains),
        "a bound method": types.MethodType(print, test),
        "a slot": bound,
        "a default": (lambda given=test: given),
        "a part of a tensor": test.y[:3],
        "a nest": {"a": [({"b": test},)]},
    }


@pytest.mark.parametrize(
    "way",
    [
        *("a closure over the domains", "a partial", "a bound method", "a slot", "a default"),
        *("a part of a tensor", "a nest"),
    ],
)
def test_a_planted_leak_is_found(world: World, way: str) -> None:
    Secrets.keep(**of_the_test(world.domains))
    Secrets.look(way, planted(world.domains)[way])
    assert f"test_labels from {way}" in Secrets.leaks


# Test images in the source


def arrays(world: World, leaked: int, copies: int = 1) -> tuple[dict[str, Any], np.ndarray]:
    """The source's pool, with so many of the target's test images put into it."""
    source, test = world.domains.source.pool, world.domains.target.test
    planted = np.repeat(np.arange(leaked), copies)
    x = np.concatenate([source.x[:, 0], test.x[planted, 0]])
    y = np.concatenate([source.y, test.y[planted]])
    return {"x": x, "y": y}, len(source) + np.arange(len(planted))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> World:
    overrides = ("target.shift.rotation=0.0", "source.size=300")
    return World(tmp_path_factory.mktemp("plain"), *MLP, *overrides)


def with_source(world: World, folder: Path, held: dict[str, Any], *more: str) -> World:
    np.savez(folder / "own.npz", x_train=held["x"], y_train=held["y"],
             x_test=held["x"][:9], y_test=held["y"][:9])  # fmt: skip
    own = ("dataset@source=npz", f"source.path={folder / 'own.npz'}", "source.size=null")
    return World(folder, *world.overrides[:2], *own, *more)


def nothing_was_pretrained(folder: Path) -> bool:
    return not any((folder / "store").glob("pretrain*/*"))


@pytest.mark.parametrize(
    "shift",
    ["target.shift.rotation=0.0", "target.shift.rotation=45.0", "target.shift.invert=true",
     "target.shift.noise=0.2"],
)  # fmt: skip
def test_test_images_in_the_source_are_refused_also_when_the_target_is_shifted(
    plain: World, tmp_path: Path, shift: str
) -> None:
    """The copies lie in the source as they were before the target's shift."""
    held, _ = arrays(plain, leaked=20)
    with pytest.raises(UserError, match=r"source: holds \d+ of the \d+ test examples"):
        with_source(plain, tmp_path, held, shift)
    assert nothing_was_pretrained(tmp_path)


def test_the_same_data_under_another_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="same split_seed"):
        World(tmp_path, *MLP, "source.split_seed=1", "source.size=null")
    assert nothing_was_pretrained(tmp_path)


def test_the_few_copies_that_published_sets_hold_never_train(plain: World, tmp_path: Path) -> None:
    """Neither in pretraining, nor in its validation part, nor in the transfer."""
    held, rows = arrays(plain, leaked=2, copies=8)
    world = with_source(plain, tmp_path, held, "target.shift.rotation=0.0",
                        "transfer=instance/ulsif", "source.validation_fraction=0.4",
                        "pretrain.max_steps=null", "pretrain.epochs=1", WATCH)  # fmt: skip
    split = world.domains.source.split
    assert world.domains.dropped == 16
    assert not np.isin(rows, np.concatenate([split.train, split.validation])).any()
    test = world.domains.target.test
    assert not np.isin(world.domains.source.pool.identity[split.train], test.identity).any()
    Watch.steps.clear()
    world.pretrain()
    seen = torch.cat([step["batch"].index for step in Watch.steps])
    assert set(seen.tolist()) == set(split.train.tolist())
    Watch.steps.clear()
    world.transfer()
    assert len(Watch.steps) == 6
    given = torch.cat([step["batch"]["source"].index for step in Watch.steps])
    assert int(given.max()) < len(split.train)


def test_loading_is_where_the_guard_stands(plain: World, tmp_path: Path) -> None:
    """Whatever a caller does next, no domains come out."""
    held, _ = arrays(plain, leaked=20)
    np.savez(tmp_path / "own.npz", **held)
    own = ("dataset@source=npz", f"source.path={tmp_path / 'own.npz'}", "source.size=null")
    cfg = plain.but(*own).cfg
    with pytest.raises(UserError, match="which pretraining would see"):
        load_domains(cfg, Store(dir=str(tmp_path / "store"), reuse=True), tmp_path)
