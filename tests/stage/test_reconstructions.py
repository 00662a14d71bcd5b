"""Pictures of the same held-out examples while an autoencoder is pretrained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from aetl.cli import main
from aetl.report import by_step
from aetl.stage.pretrain import pretrained_autoencoder, trained_objective
from aetl.stage.reconstructions import FOLDER, bring_pictures, looks, of_all_classes
from aetl.types import UserError
from tests.tiny import CRASH, MLP, SMALL, Crash, PowerCut, World, differing, weights
from tests.tracking.offline import read

TAKE = ("callback=[default,reconstructions]", "callback.progress=null",
        "callback.reconstructions.every_n_epochs=1", "callback.reconstructions.examples=3",
        "pretrain.max_steps=13")  # fmt: skip


@pytest.mark.parametrize(
    "epochs, every, most, expected",
    [(7, 1, 20, 1), (100, 5, 20, 5), (101, 5, 20, 10), (9, 2, 1, 10)],
)
def test_no_more_pictures_are_taken_than_asked_for(
    epochs: int, every: int, most: int, expected: int
) -> None:
    found = looks(epochs, every, most)
    assert found == expected
    assert found % every == 0
    taken = {epoch for epoch in range(1, epochs + 1) if epoch % found == 0} | {epochs}
    assert len(taken) <= most


def test_the_first_of_each_class_come_first() -> None:
    y = torch.tensor([1, 1, 1, 0, 2, 0])
    assert of_all_classes(y, 5).tolist() == [3, 0, 4, 5, 1]
    assert of_all_classes(torch.tensor([0.3, 0.1, 0.2]), 2).tolist() == [0, 1]


def test_pictures_are_of_the_networks_state_and_change_nothing(tmp_path: Path) -> None:
    plain = World(tmp_path / "plain", *MLP, "pretrain.max_steps=13").pretrain()
    world = World(tmp_path / "own", *MLP, *TAKE)
    found = world.pretrain()
    assert plain.entry is not None
    assert found.entry is not None
    assert found.entry.digest == plain.entry.digest
    assert not differing(weights(plain.entry, "autoencoder.pt"),
                         weights(found.entry, "autoencoder.pt"))  # fmt: skip
    files = sorted((found.entry.path / FOLDER).glob("*.npz"))
    assert [int(file.stem[5:]) for file in files] == [5, 10, 13]
    with np.load(files[-1]) as saved:
        x, made = torch.from_numpy(saved["x"]), saved["made"]
    objective = trained_objective(world.cfg, found)
    with torch.no_grad():
        model = pretrained_autoencoder(world.cfg, (1, 8, 8), found.state)
        own = objective.mean(model.reconstruct(x)).numpy()
    np.testing.assert_array_equal(made, own)
    rows = world.domains.source.pool.subset(world.domains.source.split.validation).inputs()
    assert all(bool((rows == one).flatten(1).all(1).any()) for one in x)


@pytest.mark.slow
def test_a_training_that_was_cut_off_has_the_same_pictures(tmp_path: Path) -> None:
    often = (*MLP, *TAKE, CRASH, "callback.resume_point.every_n_steps=3")
    plain, cut = (World(tmp_path / name, *often) for name in ("plain", "cut"))
    one = plain.pretrain().entry
    try:
        for Crash.at in (7, 11):
            with pytest.raises(PowerCut):
                cut.pretrain()
    finally:
        Crash.at = None
    other = cut.pretrain().entry
    assert one is not None
    assert other is not None
    names = sorted(path.name for path in (one.path / FOLDER).iterdir())
    assert names == sorted(path.name for path in (other.path / FOLDER).iterdir())
    assert len(names) == 6
    for name in names[::2]:
        with np.load(one.path / FOLDER / name) as a, np.load(other.path / FOLDER / name) as b:
            for key in a.files:
                np.testing.assert_array_equal(a[key], b[key])


@pytest.mark.slow
@pytest.mark.usefixtures("pages")
def test_a_run_shows_them_and_a_stored_pretraining_without_any_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = [*SMALL, *MLP, *TAKE, f"output_dir={tmp_path}"]
    assert main([*tiny, "callback.reconstructions=null"]) == 0
    assert main(tiny) == 0
    assert "in the store without any; store.reuse=false" in capsys.readouterr().err
    assert main([*tiny, "store.reuse=false", "logger=tensorboard"]) == 0
    (run,) = (path.parent for path in tmp_path.glob("2*/*/reconstructions_by_step.npz"))
    assert len(list((run / "figures" / FOLDER).glob("*.png"))) == 3
    text = (run / "report.html").read_text()
    assert "callback=reconstructions" in text
    assert "step 10" in text
    assert b"pretrain/reconstructions" in next((run / "tensorboard").iterdir()).read_bytes()


def test_tokens_are_refused_in_a_line(tmp_path: Path) -> None:
    from tests.cli.test_bad_data import texts

    (tmp_path / "data").mkdir()
    keys = ("words=tokens", "length=8", "backbone=token_conv", "loss=token_nll")
    world = World(tmp_path, *TAKE, *texts(*keys)(tmp_path / "data"), "target.budget=4",
                  "source.size=null", "target.size=null", "target.shift=null")  # fmt: skip
    with pytest.raises(UserError, match="this data is tokens"):
        world.pretrain()


@pytest.mark.parametrize("shape", [(1, 9, 7), (2, 30), (5,)], ids=["images", "series", "vectors"])
def test_images_series_and_vectors_are_drawn(shape: tuple[int, ...], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, made = rng.uniform(size=(4, *shape)), rng.uniform(size=(12, 4, *shape))
    figure = by_step.by_step(x, made, np.arange(12) * 10, [f"c{i}" for i in range(5)])
    assert figure is not None
    (tmp_path / by_step.FILE).write_bytes(b"broken")
    assert by_step.drawn(tmp_path) is None


def test_nothing_trained_has_no_pictures(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert bring_pictures(None, tmp_path) == []
    assert "nothing was trained" in caplog.text


@pytest.mark.slow
def test_wandb_gets_them_with_their_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    tiny = [*SMALL, *MLP, *TAKE, "logger=wandb", f"output_dir={tmp_path}"]
    assert main(tiny) == 0
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    rows = read(folder)["history"]
    shown = [
        row for row in rows if any(name.startswith("pretrain/reconstructions") for name in row)
    ]
    assert [row["pretrain/step"] for row in shown] == [5, 10, 13]


def test_fields_are_shown_in_the_range_of_their_inputs(tmp_path: Path) -> None:
    from tests.cli.test_bad_data import sounds

    (tmp_path / "data").mkdir()
    world = World(tmp_path, *TAKE, "bottleneck.latent_dim=3", *sounds()(tmp_path / "data"),
                  "target.budget=4", "source.size=null", "target.size=null",
                  "target.shift=null")  # fmt: skip
    entry = world.pretrain().entry
    assert entry is not None
    with np.load(sorted((entry.path / FOLDER).glob("*.npz"))[-1]) as saved:
        assert saved["x"].min() == 0
        assert saved["x"].max() == 1
