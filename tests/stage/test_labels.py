"""Which labels of the source pretraining sees: those that it is given, and no others."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from aetl.cli import main
from aetl.files import read_json
from aetl.stage.labels import known_rows, labels_seen, with_known_labels
from aetl.stage.pretrain import pretraining_digest
from aetl.types import UserError
from tests.tiny import MLP, SMALL, World, differing

M2 = ("autoencoder=m2", *MLP)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("labels"), *M2, "autoencoder.labels=20")


def rows(world: World, labels: int | str) -> list[int]:
    source = world.domains.source
    return known_rows(world.but(f"autoencoder.labels={labels}").cfg, source).tolist()


def test_known_labels_are_stratified_and_nested(world: World) -> None:
    ten, forty, everything = (rows(world, n) for n in (10, 40, "all"))
    assert forty[:10] == ten
    assert everything[:40] == forty
    y = world.domains.source.pool.y
    assert sorted(y[ten].tolist()) == list(range(10))
    assert torch.bincount(y[forty]).min() >= 3
    assert sorted(everything) == world.domains.source.split.train.tolist()


def test_every_other_label_is_hidden(world: World) -> None:
    source = world.domains.source
    y = with_known_labels(world.cfg, source).pool.y
    known = torch.zeros(len(y), dtype=torch.bool)
    known[rows(world, 20)] = True
    assert torch.equal(y[known], source.pool.y[known])
    assert (y[~known] == -1).all()
    assert int(known.sum()) == labels_seen(world.cfg, source) == 20


def test_an_autoencoder_that_does_not_ask_sees_no_label(world: World) -> None:
    vae = World(world.folder, "autoencoder=vae", *MLP)
    assert (with_known_labels(vae.cfg, vae.domains.source).pool.y == -1).all()
    assert labels_seen(vae.cfg, vae.domains.source) == 0


def test_wrong_labels_elsewhere_change_no_weight(world: World, tmp_path: Path) -> None:
    source = world.domains.source
    known = torch.zeros(len(source.pool), dtype=torch.bool)
    known[rows(world, 20)] = True

    def trained(name: str, wrong: torch.Tensor) -> dict[str, torch.Tensor]:
        other = World(tmp_path / name, *world.overrides)
        y = torch.where(wrong, (source.pool.y + 1) % 10, source.pool.y)
        changed = dataclasses.replace(source, pool=dataclasses.replace(source.pool, y=y))
        other.domains = dataclasses.replace(other.domains, source=changed)
        return dict(other.pretrain().state)

    plain = trained("plain", torch.zeros_like(known))
    assert differing(plain, trained("unknown", ~known)) == set()
    assert differing(plain, trained("known", known)) != set()


def test_their_number_is_part_of_the_stores_key(world: World) -> None:
    source = world.domains.source
    digests = {
        pretraining_digest(world.but(f"autoencoder.labels={n}").cfg, source)
        for n in (20, 21, "all")
    }
    assert len(digests) == 3


@pytest.mark.parametrize(
    "override, message",
    [
        ("autoencoder.labels=9999", "use 0 to 144, or all"),
        ("autoencoder.labels=-1", "use 0 to 144, or all"),
        ("pretrain.domains=both", "there are none"),
    ],
)
def test_labels_that_are_not_there_are_refused_in_a_line(
    world: World, override: str, message: str
) -> None:
    from aetl.stage.domains import pretraining_domain

    cfg = world.but(override).cfg
    with pytest.raises(UserError, match=message) as caught:
        labels_seen(cfg, pretraining_domain(world.domains, cfg.pretrain.domains))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "autoencoder, number", [(("m2", "autoencoder.labels=15"), 15), (("vae",), 0)]
)
def test_the_record_says_how_many_labels_pretraining_saw(
    autoencoder: tuple[str, ...], number: int, tmp_path: Path
) -> None:
    name, *more = autoencoder
    assert main([*SMALL, *MLP, f"autoencoder={name}", *more, f"output_dir={tmp_path}"]) == 0
    (file,) = tmp_path.glob("2*/*/run.json")
    record = read_json(file)
    assert record["pretraining_labels"] == number
    assert record["autoencoder"] == (f"{name} ({number} source labels)" if number else name)
