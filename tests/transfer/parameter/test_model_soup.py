"""Soups: averages of the trainings that the trainer really made, and the greedy recipe by hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from aetl.files import read_json
from aetl.stage.transferring import Transferring
from aetl.store import sealed
from aetl.transfer.parameter.model_soup import ModelSoup, average
from aetl.types import UserError
from tests.tiny import MLP, PowerCut, World, differing, history, weights

SOUP = (*MLP, "backbone.norm=batch", "transfer=parameter/model_soup", "finetune.max_steps=12")


class Kitchen(pl.Callback):
    """Keeps what every training ends with and its first batch; dies at a step of one of them."""

    ends: ClassVar[list[dict[str, Tensor]]] = []
    begins: ClassVar[list[Tensor]] = []
    dies_in: ClassVar[tuple[int, int] | None] = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, index: int
    ) -> None:
        if isinstance(module, Transferring):
            if trainer.global_step == 1:
                Kitchen.begins.append(batch["labelled"].index)
            if Kitchen.dies_in == (len(Kitchen.begins), trainer.global_step):
                raise PowerCut("in the soup")

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        if isinstance(module, Transferring):
            Kitchen.ends.append({n: t.clone() for n, t in module.network.state_dict().items()})


KITCHEN = "+callback.kitchen._target_=tests.transfer.parameter.test_model_soup.Kitchen"


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    Kitchen.ends, Kitchen.begins, Kitchen.dies_in = [], [], None
    yield
    Kitchen.dies_in = None


def test_a_soup_is_the_average_of_its_trainings_of_which_the_first_is_fine_tuning(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, *SOUP, KITCHEN)
    entry = world.transfer()
    found = weights(entry)
    assert len(Kitchen.ends) == 3
    for name, tensor in found.items():
        members = [end[name] for end in Kitchen.ends]
        expected = sum(members) / 3 if tensor.is_floating_point() else members[0]
        torch.testing.assert_close(tensor, expected, rtol=1e-5, atol=1e-7)
    assert not torch.equal(Kitchen.begins[0], Kitchen.begins[1])
    assert differing(Kitchen.ends[0], Kitchen.ends[1])
    plain = weights(world.but("transfer=parameter/finetune").transfer())
    assert differing(plain, Kitchen.ends[0]) == set()
    steps = {row.step for row in history(entry) if row.name == "loss"}
    assert max(steps) == 36
    assert not list(entry.path.glob("member-*.pt"))


class Payload:
    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return os.system, ("touch executed",)


def test_a_member_that_holds_code_is_set_aside_and_trained_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = World(tmp_path / "plain", *SOUP).transfer()
    folder = tmp_path / "planted" / "store" / plain.path.name
    folder.mkdir(parents=True)
    torch.save(Payload(), folder / "member-0.pt")
    sealed.save_value(folder / "member-1.pt", Payload())
    found = World(tmp_path / "planted", *SOUP).transfer()
    assert found.path == folder
    assert differing(weights(plain), weights(found)) == set()
    assert not (tmp_path / "executed").exists()
    for name in ("member-0.pt", "member-1.pt"):
        assert any(str(folder / name) in line for line in caplog.messages)


def test_a_soup_that_was_cut_off_in_its_second_training_ends_the_same(tmp_path: Path) -> None:
    saving = "callback.resume_point.every_n_steps=3"
    plain = World(tmp_path / "plain", *SOUP, KITCHEN, saving).transfer()
    Kitchen.begins, Kitchen.ends = [], []
    world = World(tmp_path / "cut", *SOUP, KITCHEN, saving)
    pretrained = world.pretrain()
    Kitchen.dies_in = (2, 7)
    with pytest.raises(PowerCut):
        world.transfer(pretrained=pretrained)
    Kitchen.dies_in = None
    entry = world.transfer(pretrained=pretrained)
    assert len(Kitchen.ends) == 3  # the first training was not repeated
    assert differing(weights(entry), weights(plain)) == set()
    assert history(entry) == history(plain)


def scalar(value: float) -> dict[str, Tensor]:
    return {"w": torch.tensor([value]), "n": torch.tensor(int(value))}


@pytest.mark.parametrize("target", [0.0, 2.0, 3.3, 9.0])
def test_greedy_keeps_what_does_not_lower_the_score(target: float) -> None:
    values = [5.0, 1.0, 4.0, 3.0]
    found = ModelSoup(members=4, recipe="greedy").combine(
        [scalar(v) for v in values], lambda state: -abs(float(state["w"]) - target)
    )
    order = sorted(values, key=lambda v: abs(v - target))
    soup = order[:1]
    for value in order[1:]:
        if abs(sum([*soup, value]) / (len(soup) + 1) - target) <= abs(
            sum(soup) / len(soup) - target
        ):
            soup.append(value)
    assert float(found["w"]) == pytest.approx(sum(soup) / len(soup))


def test_counters_are_those_of_the_first() -> None:
    found = average([scalar(3.0), scalar(6.0)])
    assert float(found["w"]) == 4.5
    assert int(found["n"]) == 3


def test_what_no_training_touched_keeps_every_bit() -> None:
    same = {"w": torch.tensor([0.1, 0.7, 1e-8])}
    assert torch.equal(average([same, same, same])["w"], same["w"])


def test_greedy_soup_of_a_run_scores_no_lower_on_the_held_out_labels_than_any_member(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores as the stage gives them, for each member and for the soup in the end."""
    given: list[float] = []
    greedy = ModelSoup.combine

    def watched(self: ModelSoup, states: Any, score: Any) -> Any:
        soup = greedy(self, states, score)
        given.extend([*(score(dict(state)) for state in states), score(soup)])
        return soup

    monkeypatch.setattr(ModelSoup, "combine", watched)
    world = World(
        tmp_path,
        *SOUP,
        "transfer.parameter.recipe=greedy",
        "target.budget=all",
        "selector=target_validation",
        "selector.fraction=0.3",
    )
    entry = world.transfer()
    *members, soup = given
    assert len(members) == 3
    assert soup >= max(members)
    assert read_json(entry.path / "selection.json")["score"] == pytest.approx(soup)


def test_greedy_without_held_out_labels_is_refused_before_training(tmp_path: Path) -> None:
    world = World(tmp_path, *SOUP, KITCHEN, "transfer.parameter.recipe=greedy")
    with pytest.raises(UserError, match="transfer.parameter: needs a selector that judges"):
        world.transfer()
    assert not Kitchen.begins
    with pytest.raises(UserError, match="members=1: a soup has at least 2"):
        ModelSoup(members=1, recipe="uniform")
