"""Public sets, in files generated in their formats: what is read, and what is said of damage."""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from aetl.types import UserError

RNG = np.random.default_rng(0)
N = 12
GREY = RNG.integers(0, 256, (N, 28, 28), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (N, 3, 32, 32), dtype=np.uint8)
LARGE = RNG.integers(0, 256, (N, 3, 96, 96), dtype=np.uint8)
Y = np.arange(N) % 10


def write_idx(folder: Path, prefix: str, x: np.ndarray, y: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">iiii", 0x803, *x.shape)
    (folder / f"{prefix}-images-idx3-ubyte").write_bytes(header + x.tobytes())
    header = struct.pack(">ii", 0x801, len(y))
    (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(header + y.astype(np.uint8).tobytes())


def write_kmnist(root: Path) -> None:
    for part in ("train", "t10k"):
        write_idx(root / "KMNIST" / "raw", part, GREY, Y)


def write_emnist(root: Path) -> None:
    for part in ("train", "test"):
        x = np.ascontiguousarray(GREY.transpose(0, 2, 1))
        write_idx(root / "EMNIST" / "raw", f"emnist-letters-{part}", x, Y + 1)


def write_svhn(root: Path) -> None:
    (root / "SVHN").mkdir()
    y = np.where(Y == 0, 10, Y)[:, None]
    for part in ("train", "test", "extra"):
        savemat(root / "SVHN" / f"{part}_32x32.mat", {"X": COLOUR.transpose(2, 3, 1, 0), "y": y})


def dump(path: Path, value: Any) -> None:
    path.write_bytes(pickle.dumps(value, protocol=2))


def write_cifar10(root: Path) -> None:
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    dump(folder / "batches.meta", {"label_names": [f"c{k}" for k in range(10)]})
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"):
        dump(folder / name, {"data": COLOUR.reshape(N, -1), "labels": Y.tolist()})


def write_cifar100(root: Path) -> None:
    folder = root / "cifar-100-python"
    folder.mkdir()
    dump(folder / "meta", {"fine_label_names": [f"c{k}" for k in range(100)]})
    for name in ("train", "test"):
        dump(folder / name, {"data": COLOUR.reshape(N, -1), "fine_labels": Y.tolist()})


def write_stl10(root: Path) -> None:
    folder = root / "stl10_binary"
    folder.mkdir()
    (folder / "class_names.txt").write_text("\n".join(f"c{k}" for k in range(10)))
    for part in ("train", "test", "unlabeled"):
        (folder / f"{part}_X.bin").write_bytes(LARGE.transpose(0, 1, 3, 2).tobytes())
        (folder / f"{part}_y.bin").write_bytes((Y + 1).astype(np.uint8).tobytes())


def write_omniglot(root: Path) -> None:
    for k in range(N):
        folder = root / "omniglot-py" / "images_background" / "AB"[k % 2] / f"character0{k % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(GREY[k]).save(folder / f"{k:04d}_{k % 4:02d}.png")


def write_celeba(root: Path) -> None:
    folder = root / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    attributes, parts = [str(N), "Bald Young"], []
    for k in range(N):
        pixels = np.ascontiguousarray(COLOUR[k].transpose(1, 2, 0))
        Image.fromarray(pixels).resize((64, 64)).save(folder / "img_align_celeba" / f"{k}.png")
        attributes.append(f"{k}.png {'-1' if k % 2 else ' 1'} {' 1' if k % 3 else '-1'}")
        parts.append(f"{k}.png {0 if k < 6 else 1 if k < 8 else 2}")
    (folder / "list_attr_celeba.txt").write_text("\n".join(attributes))
    (folder / "list_eval_partition.txt").write_text("\n".join(parts))


SETS: dict[str, tuple[Any, dict[str, Any], np.ndarray, int]] = {
    # how it is written, keys, the first training images, how many there are
    "kmnist": (write_kmnist, {}, GREY[:, None], N),
    "emnist": (write_emnist, {"selection": "letters"}, GREY[:, None], N),
    "svhn": (write_svhn, {"extra": True}, COLOUR, 2 * N),
    "cifar10": (write_cifar10, {}, COLOUR, 5 * N),
    "cifar100": (write_cifar100, {}, COLOUR, N),
    "stl10": (write_stl10, {}, LARGE, 2 * N),
}


@pytest.mark.parametrize("name", SETS)
def test_images_and_labels_are_those_of_the_files(build, tmp_path: Path, name: str) -> None:
    write, keys, images, number = SETS[name]
    write(tmp_path)
    train, test = build(name, data_dir=str(tmp_path), download=False, **keys).read()
    assert len(train) == number
    np.testing.assert_array_equal(train.x[:N], images)
    np.testing.assert_array_equal(test.x, images)
    np.testing.assert_array_equal(test.y, Y)
    np.testing.assert_array_equal(train.y[:N], Y)
    assert len(train.classes) == {"cifar100": 100, "emnist": 26}.get(name, 10)


def test_pictures_without_a_label_are_a_part_of_stl10(build, tmp_path: Path) -> None:
    write_stl10(tmp_path)
    keys = {"data_dir": str(tmp_path), "download": False}
    both, _ = build("stl10", **keys).read()
    assert both.known.tolist() == [True] * N + [False] * N
    bare, _ = build("stl10", part="unlabelled", **keys).read()
    assert not bare.known.any()
    labelled, _ = build("stl10", part="train", **keys).read()
    assert len(labelled) == N


def test_alphabets_and_drawers_are_known_of_omniglot(build, tmp_path: Path) -> None:
    write_omniglot(tmp_path)
    path = str(tmp_path / "omniglot-py" / "images_background")
    pool, _ = build("omniglot", path=path, group="drawer").read()
    assert pool.classes == ("A", "B")
    assert len(set(pool.group.tolist())) == 4
    one, _ = build("omniglot", path=path, where="alphabet=A", target="character").read()
    assert len(one) == N // 2
    rows = [int(name.rpartition("/")[2][:4]) for name in one.files]
    np.testing.assert_array_equal(one.x[:, 0], GREY[rows])


def test_faces_have_attributes_and_the_official_parts(build, tmp_path: Path) -> None:
    write_celeba(tmp_path)
    train, test = build("celeba", path=str(tmp_path / "celeba")).load()
    assert train.classes == ("Bald", "Young")
    assert (len(train), len(test)) == (8, 4)
    assert test.y.tolist() == [[1 - k % 2, int(k % 3 > 0)] for k in range(8, N)]
    assert train.shape == (3, 64, 64)
    list_ = tmp_path / "celeba" / "list_attr_celeba.txt"
    list_.write_text(list_.read_text().replace("3.png -1", "3.png 0"))
    with pytest.raises(UserError, match=r"list_attr_celeba\.txt: line 6 is no file and 2 times"):
        build("celeba", path=str(tmp_path / "celeba")).read()


@pytest.mark.parametrize(
    "name, file, keys",
    [
        ("emnist", "EMNIST/raw/emnist-letters-train-images-idx3-ubyte", {"selection": "letters"}),
        ("svhn", "SVHN/train_32x32.mat", {}),
        ("cifar10", "cifar-10-batches-py/data_batch_3", {}),
        ("cifar100", "cifar-100-python/train", {}),
        ("stl10", "stl10_binary/train_X.bin", {}),
    ],
)
def test_files_that_are_cut_off_or_missing_are_named(
    build, tmp_path: Path, name: str, file: str, keys: Any
) -> None:
    SETS[name][0](tmp_path)
    data = build(name, data_dir=str(tmp_path), download=False, **keys)
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 1])
    with pytest.raises(UserError, match=f"{path.name}: is cut off or corrupt") as caught:
        data.read()
    assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(UserError, match=f"{path.name} is missing in .*AETL_DATA_DIR"):
        data.read()


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("evil",)


def test_a_pickle_runs_no_code(build, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_cifar10(tmp_path)
    dump(tmp_path / "cifar-10-batches-py" / "data_batch_1", {"data": Evil(), "labels": []})
    with pytest.raises(UserError, match="data_batch_1: is cut off or corrupt .*mkdir"):
        build("cifar10", data_dir=str(tmp_path), download=False).read()
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("name, folder", [("omniglot", "images_background"), ("celeba", "celeba")])
def test_a_folder_that_is_missing_is_told(build, tmp_path: Path, name: str, folder: str) -> None:
    with pytest.raises(UserError, match=r"is missing in .*AETL_DATA_DIR") as caught:
        build(name, path=str(tmp_path / folder)).read()
    assert "\n" not in str(caught.value)
