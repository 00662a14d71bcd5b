"""The two domains of a run: one shape, own splits, and no target test image in pretraining."""

from __future__ import annotations

import bz2
import errno
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from PIL import Image

from aetl.data.align import with_channels
from aetl.data.digits import Digits
from aetl.data.image_folder import ImageFolder
from aetl.data.usps import Usps
from aetl.stage.arm import parts_of, strategies_of
from aetl.stage.domains import load_domains, pretraining_domain
from aetl.stage.fits import refuse_misfit
from aetl.stage.read_once import write_array
from aetl.store.store import Store
from aetl.task.classification import Classification
from aetl.types import Batch, DoesNotFit, UserError
from tests.tiny import MLP, WATCH, Watch, World, tiny_config


def load(folder: Path, *overrides: str) -> Any:
    return load_domains(tiny_config(folder, *overrides), Store(dir=str(folder), reuse=True), folder)


def images(seed: int, number: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (number, 1, 8, 8), dtype=np.uint8)


def save(path: Path, train: np.ndarray, test: np.ndarray) -> str:
    """An own data set with an official test set, of alternating labels."""
    labels = {"y_train": np.arange(len(train)) % 2, "y_test": np.arange(len(test)) % 2}
    np.savez(path, x_train=train, x_test=test, **labels)
    return str(path)


def overlapping(folder: Path, copies: int) -> list[str]:
    """A source of 200 images that holds ``copies`` of the 200 target test images."""
    test = images(1, 200)
    source = np.concatenate([images(0, 200 - copies), test[:copies]])
    return [
        "dataset@source=npz", f"source.path={save(folder / 'source.npz', source, images(2, 10))}",
        "dataset@target=npz", f"target.path={save(folder / 'target.npz', images(3, 200), test)}",
        "source.size=null", "target.size=null", "source.validation_fraction=0.0",
    ]  # fmt: skip


def test_target_test_images_among_the_source_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="source: holds 20 of the 200 test examples of the target"):
        load(tmp_path, *overlapping(tmp_path, 20))


def test_another_split_of_the_same_digits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="same split_seed and test_fraction"):
        load(tmp_path, "source.split_seed=1", "source.size=null")


def test_a_source_may_be_used_whole_and_a_target_may_not(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).random((40, 6)), np.arange(40) % 4
    source, target = {"x": x, "y": y}, {"x": x + 2.0, "y": y}
    domains = pair(
        tmp_path, source, target, "source.test_fraction=0.0", "source.validation_fraction=0.0"
    )
    assert len(domains.source.split.train) == len(domains.source.split.labelled) == 40
    assert (len(domains.source.test), len(domains.target.test)) == (0, 8)
    with pytest.raises(UserError, match=r"target.test_fraction=0.0: leaves no test example"):
        pair(tmp_path, source, target, "target.test_fraction=0.0")


def test_a_few_copies_are_left_out_of_pretraining(tmp_path: Path) -> None:
    """They are counted, and no batch holds them."""
    Watch.steps.clear()
    world = World(tmp_path, *MLP, *overlapping(tmp_path, 2), WATCH, "pretrain.max_steps=14")
    assert world.domains.dropped == 2
    assert set(range(200)) - set(world.domains.source.split.train) == {198, 199}
    world.pretrain()
    batches: list[Batch] = [step["batch"] for step in Watch.steps]
    seen = {row for batch in batches for row in batch.index.tolist()}
    assert seen == set(range(198))
    test = world.domains.target.test.inputs()[:2].flatten(1)
    inputs = torch.cat([batch.x for batch in batches]).flatten(1)
    assert torch.cdist(test, inputs).min() > 0


@pytest.mark.parametrize("part", ["train", "validation"])
def test_the_guard_takes_test_images_out_of_every_part_of_the_source(
    tmp_path: Path, part: str
) -> None:
    """Each is left with its own rows less the copies, also the one that may stop pretraining."""
    half = "source.validation_fraction=0.5"
    plain = load(tmp_path / "plain", *overlapping(tmp_path, 20), half, "duplicates=keep")
    rows = getattr(plain.source.split, part)
    copies = set(range(180, 200)) & set(rows.tolist())
    assert copies  # some lie in either part
    found = load(tmp_path / "found", *overlapping(tmp_path, 20), half, "duplicates=drop")
    assert getattr(found.source.split, part).tolist() == [r for r in rows if r not in copies]
    assert found.dropped == 20


@pytest.mark.parametrize("part", ["train", "validation"])
def test_pretraining_on_both_domains_leaves_test_images_out_of_every_part(
    tmp_path: Path, part: str
) -> None:
    """Those that the target's own pool holds, and those of the source."""
    test = images(1, 200)
    pool = np.concatenate([images(3, 180), test[:20]])
    domains = load(
        tmp_path, *overlapping(tmp_path, 2), "duplicates=drop",
        f"target.path={save(tmp_path / 'pool.npz', pool, test)}", "target.budget=all",
        "target.validation_fraction=0.5", "source.validation_fraction=0.5",
    )  # fmt: skip
    both = pretraining_domain(domains, "both")
    rows = getattr(both.split, part)
    assert not np.isin(both.pool.identity[rows], domains.target.test.identity).any()
    own = getattr(domains.target.split, part)
    there = rows[rows >= len(domains.source.pool)] - len(domains.source.pool)
    clean = [r for r in own if r < 180]
    assert len(clean) < len(own)  # there were some to leave out
    assert sorted(there.tolist()) == sorted(clean)


def test_copies_of_test_examples_in_the_targets_own_pool_are_told(tmp_path: Path) -> None:
    pool, test = images(0, 100), images(1, 50)
    for copies in (0, 7):
        own = save(tmp_path / f"{copies}.npz", np.concatenate([pool, test[:copies]]), test)
        data = ["dataset@target=npz", f"target.path={own}", "target.size=null"]
        domains = load(tmp_path, *data)
        said = [line[:56] for line in domains.warnings]
        assert said == ["target: 7 of its 50 test examples are also among its tra"] * bool(copies)


def test_a_shifted_copy_is_a_copy(tmp_path: Path) -> None:
    overrides = [*overlapping(tmp_path, 20), "source.shift.invert=true"]
    with pytest.raises(UserError, match="holds 20 of the 200"):
        load(tmp_path, *overrides)


def test_the_target_takes_the_shape_of_the_source(tmp_path: Path) -> None:
    domains = load(tmp_path, "source.shift.resize=12")
    assert domains.source.pool.shape == (1, 12, 12)
    assert domains.target.pool.shape == domains.target.test.shape == (1, 12, 12)


def test_a_source_may_have_fewer_examples_than_the_targets_budget(tmp_path: Path) -> None:
    domains = load(tmp_path, "source.size=20", "source.budget=100", "target.budget=140")
    assert len(domains.source.split.train) == 18
    assert len(domains.target.split.labelled) == 140


def test_the_same_data_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    read = Digits.read
    monkeypatch.setattr(Digits, "read", lambda self: reads.append(1) or read(self))
    neutral = "target.shift.rotation=0.0"
    one = load(tmp_path, neutral)
    assert len(reads) == 1
    assert one.source.fingerprint == one.target.fingerprint
    load(tmp_path)
    assert len(reads) == 3  # rotated, it is another domain


def test_splits_follow_from_the_seed_and_budgets_are_nested(tmp_path: Path) -> None:
    small, large = (load(tmp_path, f"target.budget={n}").target.split for n in (20, 60))
    assert large.labelled[:20].tolist() == small.labelled.tolist()
    assert np.array_equal(small.validation, large.validation)
    other = load(tmp_path, "seed=1", "target.budget=20").target.split
    assert set(other.labelled) != set(small.labelled)
    again = load(tmp_path / "elsewhere", "target.budget=20").target.split
    assert again.labelled.tolist() == small.labelled.tolist()


def test_targets_of_a_regression_are_the_numbers_of_the_classes(tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path, "task=regression")
    domains = load(tmp_path)
    regressed = domains.target.with_targets(instantiate(cfg.task))
    assert regressed.pool.y.dtype == torch.float32
    assert regressed.pool.y.tolist() == domains.target.pool.y.tolist()
    assert regressed.test.y.tolist() == domains.target.test.y.tolist()


def test_pretraining_on_both_learns_from_the_training_rows_of_both_without_labels(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, *MLP, "target.shift.invert=true")
    source, target = world.domains.source, world.domains.target
    both = pretraining_domain(world.domains, "both")
    for part in ("train", "validation"):
        rows = [getattr(domain.split, part) for domain in (source, target)]
        expected = torch.cat([source.pool.x[rows[0]], target.pool.x[rows[1]]])
        assert torch.equal(both.pool.x[torch.as_tensor(getattr(both.split, part))], expected)
    assert not both.pool.labelled
    assert (both.pool.y == -1).all()


def test_no_batch_of_pretraining_on_both_holds_a_target_test_image(tmp_path: Path) -> None:
    """Copies planted among the target's own training images are left out."""
    test = images(1, 200)
    planted = np.concatenate([images(3, 150), test[:50]])
    own = save(tmp_path / "s.npz", images(0, 100), images(2, 10))
    overrides = [
        "dataset@source=npz", f"source.path={own}", "target.shift.rotation=0.0",
        "dataset@target=npz", f"target.path={save(tmp_path / 't.npz', planted, test)}",
        "source.size=null", "target.size=null", "pretrain.domains=both", "pretrain.max_steps=20",
        "source.validation_fraction=0.0", "target.validation_fraction=0.0", WATCH,
    ]  # fmt: skip
    Watch.steps.clear()
    World(tmp_path, *MLP, *overrides).pretrain()
    seen = {x.numpy().tobytes() for step in Watch.steps for x in step["batch"].x}
    known = [torch.from_numpy(part).float().div(255) for part in (images(0, 100), planted, test)]
    source, target, held = ({x.numpy().tobytes() for x in part} for part in known)
    assert seen == source | (target - held)


def test_pretraining_on_both_is_one_for_all_budgets_and_another_for_another_target(
    tmp_path: Path,
) -> None:
    both = (*MLP, "pretrain.domains=both")
    digests = {}
    for name, override in {
        "plain": "pretrain.domains=both",
        "budget": "target.budget=10",
        "target": "target.shift.rotation=45.0",
        "source": "pretrain.domains=source",
    }.items():
        entry = World(tmp_path, *both, override).pretrain().entry
        assert entry is not None
        digests[name] = entry.digest
    assert digests["plain"] == digests["budget"]
    assert len(set(digests.values())) == 3


def test_pca_of_both_domains_is_that_of_their_inputs_together(tmp_path: Path) -> None:
    world = World(tmp_path, "autoencoder=pca", "pretrain.domains=both", "target.shift.invert=true")
    x = torch.cat(
        [
            domain.pool.inputs(domain.split.train)
            for domain in (world.domains.source, world.domains.target)
        ]
    )
    mean = world.pretrain().state["decoder.bias"]
    torch.testing.assert_close(mean, x.flatten(1).mean(0))


def write_usps(folder: Path, seed: int) -> Path:
    """Files of USPS's format with 30 random examples each."""
    rng = np.random.default_rng(seed)
    (folder / "USPS").mkdir(exist_ok=True)
    for name in ("usps.bz2", "usps.t.bz2"):
        rows = [(i % 10 + 1, rng.uniform(-1, 1, 256).round(3)) for i in range(30)]
        lines = [f"{y} " + " ".join(f"{i}:{v:g}" for i, v in enumerate(x, 1)) for y, x in rows]
        (folder / "USPS" / name).write_bytes(bz2.compress("\n".join(lines).encode()))
    return folder


def test_files_that_are_slow_to_read_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ["dataset@source=usps", "dataset@target=usps", "source.shift.invert=true"]
    data += ["source.size=null", "target.size=null", "target.budget=10"]
    data += [f"data_dir={write_usps(tmp_path, 0)}"]
    read = []
    original = Usps.read
    monkeypatch.setattr(Usps, "read", lambda self: read.append(1) or original(self))
    first, second = load(tmp_path, *data), load(tmp_path, *data)
    assert len(read) == 1
    for one, other in ((first.source, second.source), (first.target, second.target)):
        assert one.fingerprint == other.fingerprint
        assert (one.pool.identity == other.pool.identity).all()
        assert one.pool.classes == other.pool.classes
    plain = original(instantiate(tiny_config(tmp_path, *data).target))[0]
    assert torch.equal(second.source.pool.x, 255 - plain.x)
    write_usps(tmp_path, 1)  # other files are other data
    assert load(tmp_path, *data).target.fingerprint != first.target.fingerprint


def write_photos(folder: Path) -> Path:
    """Two classes of 20 random images each, of 9 x 6."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(0, 256, (9, 6), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


def test_own_images_are_decoded_once_in_each_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = write_photos(tmp_path / "photos")
    data = ["dataset@source=image_folder", "dataset@target=image_folder", "target.budget=10"]
    data += [f"{side}.path={photos}" for side in ("source", "target")]
    data += ["source.size=null", "target.size=null"]
    read = []
    original = ImageFolder.read
    monkeypatch.setattr(ImageFolder, "read", lambda self: read.append(1) or original(self))
    first, second = load(tmp_path, *data), load(tmp_path, *data)
    assert len(read) == 1
    pool, test = instantiate(tiny_config(tmp_path, *data).target).load()
    for found in (first.target, second.target):
        assert torch.equal(found.pool.x, pool.x)
        assert torch.equal(found.test.x, test.x)
        assert (found.pool.identity == pool.identity).all()
        assert found.pool.classes == ("cat", "dog")
    read.clear()
    sized = load(tmp_path, *data, "source.image_size=4", "target.image_size=4")
    assert sized.target.pool.shape == (1, 4, 4)
    (photos / "cat" / "0.png").rename(photos / "dog" / "20.png")  # another label
    assert load(tmp_path, *data).target.fingerprint != first.target.fingerprint
    assert len(read) == 2


def test_data_that_the_disk_does_not_hold_is_an_error_of_the_disk(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError) as caught:
            write_array(tmp_path / "x.npy", np.zeros(1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("opacity", [0, 51, 128, 255])
def test_half_transparent_pixels_are_laid_on_white(opacity: int) -> None:
    """``a x + (1 - a) 255``, and the same in grey by the luminance of the result."""
    colour = torch.tensor([10, 120, 250], dtype=torch.uint8)
    x = torch.cat([colour, torch.tensor([opacity], dtype=torch.uint8)]).view(1, 4, 1, 1)
    a = opacity / 255
    expected = [round(a * int(c) + (1 - a) * 255) for c in colour]
    assert with_channels(x, 3).flatten().tolist() == expected
    grey = sum(w * c for w, c in zip((0.2989, 0.587, 0.114), expected, strict=True))
    assert abs(int(with_channels(x, 1)) - grey) <= 1
    back = with_channels(with_channels(x, 3), 4)
    assert back.flatten().tolist() == [*expected, 255]


def own(path: Path, seed: int, **arrays: Any) -> str:
    """An own set of 120 images; ``arrays`` stand in for x or y."""
    x = np.random.default_rng(seed).integers(0, 256, (120, 1, 8, 8), dtype=np.uint8)
    np.savez(path, **({"x": x, "y": np.arange(120) % 3} | arrays))
    return str(path)


def pair(folder: Path, source: dict[str, Any], target: dict[str, Any], *overrides: str) -> Any:
    paths = [own(folder / f"{n}.npz", s, **a) for n, s, a in (("s", 0, source), ("t", 1, target))]
    return load(
        folder, "dataset@source=npz", f"source.path={paths[0]}", "dataset@target=npz",
        f"target.path={paths[1]}", "source.size=null", "target.size=null", "target.budget=12",
        "target.shift.rotation=0.0", *overrides,
    )  # fmt: skip


V = np.random.default_rng(7).normal(size=(120, 3)).astype(np.float32)
SOURCE_ONLY = "aetl.transfer.control.source_only.SourceOnly"
COLOUR = np.random.default_rng(5).integers(0, 256, (120, 3, 8, 8), dtype=np.uint8)
OPAQUE = np.concatenate([COLOUR, np.full((120, 1, 8, 8), 255, np.uint8)], 1)
LUMA = (COLOUR * np.array([0.2989, 0.587, 0.114])[:, None, None]).sum(1, keepdims=True)


@pytest.mark.parametrize(
    "source, target, seen",
    [
        (COLOUR, OPAQUE, COLOUR),
        (OPAQUE, COLOUR, OPAQUE),
        (LUMA.astype(np.uint8), OPAQUE, LUMA),
        (COLOUR, COLOUR[:, :1], COLOUR[:, :1].repeat(3, 1)),
        (OPAQUE, COLOUR[:, :1], np.concatenate([COLOUR[:, :1].repeat(3, 1), OPAQUE[:, 3:]], 1)),
        (COLOUR, OPAQUE * np.array([1, 1, 1, 0], np.uint8)[:, None, None], COLOUR * 0 + 255),
    ],
    ids=["4 as 3", "3 as 4", "4 as 1", "1 as 3", "1 as 4", "nothing opaque"],
)
def test_channels_become_the_other_domains_and_it_is_told(
    tmp_path: Path, source: Any, target: Any, seen: Any
) -> None:
    domains = pair(tmp_path, {"x": np.roll(source, 1, 0) ^ 1}, {"x": target})
    found = sorted(map(bytes, domains.target.pool.x.numpy()))
    wanted = [bytes(x) for x in np.asarray(seen).astype(np.uint8)]
    if target is not source and not np.issubdtype(np.asarray(seen).dtype, np.floating):
        assert set(found) <= set(wanted)
    else:  # rounded or cut off
        total = np.asarray(seen).mean()
        assert abs(float(domains.target.pool.x.float().mean()) - total) < 8
    assert any("channels" in line and "target: " in line for line in domains.warnings)


@pytest.mark.parametrize("channels", [(2, 1), (3, 2), (2, 4), (7, 3)])
def test_channels_of_unknown_meaning_are_refused(tmp_path: Path, channels: Any) -> None:
    source, target = ({"x": np.zeros((120, c, 8, 8), np.uint8)} for c in channels)
    with pytest.raises(UserError, match="save both with the same channels"):
        pair(tmp_path, source, target, "source.layout=first", "target.layout=first")


@pytest.mark.parametrize("names", [np.array(["0", "1", "2"]), np.array(["2", "10", "1"])])
def test_classes_in_another_order_or_type_are_the_same_ones(tmp_path: Path, names: Any) -> None:
    labels = np.arange(120) % 3
    domains = pair(tmp_path, {"y": names.astype(int)[labels]}, {"y": names[labels]})
    source, target = domains.source.pool, domains.target.pool
    assert source.classes == target.classes == tuple(sorted(names, key=int))
    with np.load(tmp_path / "t.npz") as arrays:
        truth = {x.tobytes(): y for x, y in zip(arrays["x"], arrays["y"], strict=True)}
    for x, y in zip(target.x.numpy(), target.y, strict=True):
        assert target.classes[y] == truth[x.tobytes()]


def test_a_budget_counts_labelled_examples_alone(tmp_path: Path) -> None:
    """The others serve as inputs; none of them is in the test set or learnt from as a class."""
    y = np.where(np.arange(120) % 4 == 0, np.arange(120) % 3, -1)
    domains = pair(tmp_path, {"y": y}, {"y": y})
    target = domains.target
    assert target.test.known.all()
    assert len(target.test) == 6  # a fifth of the 30 that have a label
    assert target.pool.known[target.split.labelled].all()
    assert len(target.split.labelled) == 12
    assert len(target.split.train) + len(target.split.validation) == 114
    assert any("90 of 120 are '-1'" in line for line in domains.warnings)
    assert domains.data["target"]["without_label"] == 90
    with pytest.raises(UserError, match=r"budget=99: there are only 2\d training examples with a"):
        pair(tmp_path, {"y": y}, {"y": y}, "target.budget=99")


def test_sources_labels_are_those_that_are_known(tmp_path: Path) -> None:
    y = np.where(np.arange(120) % 4 == 0, np.arange(120) % 3, -1)
    domains = pair(tmp_path, {"y": y}, {})
    strategies = strategies_of({"control": {"_target_": SOURCE_ONLY}})
    task = Classification()
    training = domains.target.with_targets(task).pool
    parts = parts_of(domains, training, task, strategies)
    assert parts["source_labels"].known.all()
    assert 0 < len(parts["source_labels"]) < 30


COPIES = {"x": np.random.default_rng(0).integers(0, 2, (120, 2)).astype(np.float32)}


@pytest.mark.parametrize("way", ["drop", "keep"])
def test_data_with_copies_of_its_own_has_a_way_on(tmp_path: Path, way: str) -> None:
    with pytest.raises(UserError, match="duplicates=drop"):
        pair(tmp_path, COPIES, COPIES)
    if way == "drop":  # of 4 different rows none is left
        with pytest.raises(UserError, match="so none is left"):
            pair(tmp_path, COPIES, COPIES, "duplicates=drop")
        return
    domains = pair(tmp_path, COPIES, COPIES, "duplicates=keep")
    assert domains.dropped == 0
    assert any("pretraining sees them (duplicates=keep)" in line for line in domains.warnings)


def test_many_copies_are_dropped_where_that_is_asked_for(tmp_path: Path) -> None:
    domains = load(tmp_path, *overlapping(tmp_path, 20), "duplicates=drop")
    assert domains.dropped == 20
    seen = domains.source.pool.identity[domains.source.split.train]
    assert not np.isin(seen, domains.target.test.identity).any()
    assert any("20 examples equal test examples" in line for line in domains.warnings)


def test_a_class_without_test_examples_is_told(tmp_path: Path) -> None:
    y = np.where(np.arange(120) < 3, np.arange(120), 0)
    domains = pair(tmp_path, {"y": y}, {"y": y}, "target.test_fraction=0.05")
    assert any("2 of 3 classes (1, 2) have no test example" in line for line in domains.warnings)


def test_a_class_without_training_examples_is_told(tmp_path: Path) -> None:
    """One example of each of 30 classes: those that were held out for the test are of no other."""
    few = {"x": COLOUR[:30, :1], "y": np.arange(30)}
    domains = pair(tmp_path, few, few)
    held = set(domains.target.test.y.tolist()) - set(domains.target.pool.y.tolist())
    assert held
    (line,) = [line for line in domains.warnings if "no training example" in line]
    assert line.startswith(f"target: {len(held)} of 30 classes (")
    assert "no training example" not in " ".join(pair(tmp_path, {}, {}).warnings)


def test_labels_that_no_test_example_has_or_all_are_told(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((60, 2)).astype(np.float32)
    some = np.arange(60) % 2
    y = np.stack([some, 0 * some, 0 * some + 1], axis=1)
    arrays = {"x": x, "y": y}
    domains = pair(tmp_path, arrays, arrays, "task=multilabel", "duplicates=drop")
    told = [line for line in domains.warnings if "labels" in line]
    assert len(told) == 2, domains.warnings
    assert "1 of 3 labels (1) have no test example" in told[0]
    assert "every test example has 1 of 3 labels (2)" in told[1]


def test_labels_that_are_all_the_same_are_refused(tmp_path: Path) -> None:
    arrays = {"y": np.zeros(120, int)}
    with pytest.raises(DoesNotFit, match="every label is '0'"):
        pair(tmp_path, arrays, arrays, "duplicates=keep")


@pytest.mark.parametrize(
    "arrays, overrides, text",
    [
        ({"x": V}, ["loss=bernoulli"], "is for values \\[0, 1\\], and the source holds"),
        ({"x": V}, ["loss=multinomial"], "is for values from 0 on"),
        ({"x": V}, ["backbone=conv"], "takes field or image data, and this data is vector"),
        ({"x": V}, ["corruption=patch_masking", "autoencoder=denoising"], "PatchMasking.*takes f"),
        ({}, ["backbone=conv1d"], "takes series or vector data, and this data is image"),
        ({"y": np.arange(120) // 119}, ["metric=auroc"], "metric=auroc: is undefined"),
        ({"x": V, "y": V[:, 0]}, ["task=regression", "metric=r2", "target.test_fraction=0.001"],
         "metric=r2: is undefined.*no pair of different targets among the 1 test"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_data_is_refused_before_any_work(
    tmp_path: Path, arrays: Any, overrides: list[str], text: str
) -> None:
    overrides = [*overrides, "target.budget=12", "duplicates=keep"]
    domains = pair(tmp_path, arrays, arrays, *overrides)
    cfg = tiny_config(tmp_path, *overrides)
    with pytest.raises(UserError, match=text) as caught:
        refuse_misfit(cfg, domains, domains.source)
    assert "\n" not in str(caught.value)


def test_vectors_in_0_to_1_fit_a_bernoulli_loss(tmp_path: Path) -> None:
    unit = {"x": np.random.default_rng(0).random((120, 3)).astype(np.float32)}
    domains = pair(tmp_path, unit, {"x": V}, "duplicates=keep")
    refuse_misfit(tiny_config(tmp_path, "loss=bernoulli"), domains, domains.source)


def test_what_has_kinds_of_tasks_takes_any_examples(tmp_path: Path) -> None:
    """A head names tasks by the attribute by which a backbone names examples."""
    overrides = ["transfer=feature/linear_probe", "target.budget=12"]
    domains = pair(tmp_path, {}, {}, *overrides)
    refuse_misfit(tiny_config(tmp_path, *overrides), domains, domains.source)
