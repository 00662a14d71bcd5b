"""MNIST and Fashion-MNIST: their files, their absence, their damage."""

from __future__ import annotations

import gzip
import hashlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from torchvision.datasets import MNIST

from aetl.types import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 28, 28), dtype=np.uint8)
LABELS = np.arange(12, dtype=np.uint8) % 10


def write(raw: Path) -> None:
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        header = struct.pack(">iiii", 0x803, *IMAGES.shape)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(header + IMAGES.tobytes())
        header = struct.pack(">ii", 0x801, len(LABELS))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(header + LABELS.tobytes())


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of a server on this machine that has the files of ``folder``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    write(tmp_path / "MNIST" / "raw")
    return tmp_path / "MNIST" / "raw"


def test_images_and_labels_are_those_of_the_files(build, raw: Path) -> None:
    train, test = build("mnist", data_dir=str(raw.parent.parent)).load()
    np.testing.assert_array_equal(train.x[:, 0], IMAGES)
    np.testing.assert_array_equal(test.y, LABELS)
    assert train.classes == tuple("0123456789")


@pytest.mark.parametrize("length", [0, 3, 10, 1000])
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_a_truncated_file_is_named_in_one_line(build, raw: Path, name: str, length: int) -> None:
    path = raw / name
    path.write_bytes(path.read_bytes()[: min(length, path.stat().st_size - 1)])
    with pytest.raises(UserError, match=f"{name}: is cut off or corrupt") as caught:
        build("mnist", data_dir=str(raw.parent.parent)).load()
    assert "\n" not in str(caught.value)


def test_labels_that_are_too_few_are_refused(build, raw: Path) -> None:
    header = struct.pack(">ii", 0x801, 11)
    (raw / "train-labels-idx1-ubyte").write_bytes(header + LABELS[:11].tobytes())
    with pytest.raises(UserError, match="holds 11 labels for 12 images"):
        build("mnist", data_dir=str(raw.parent.parent)).load()


def test_a_label_that_is_no_class_is_refused(build, raw: Path) -> None:
    header = struct.pack(">ii", 0x801, 12)
    (raw / "train-labels-idx1-ubyte").write_bytes(header + (LABELS + 100).tobytes())
    with pytest.raises(UserError, match="labels-idx1-ubyte: is corrupt"):
        build("mnist", data_dir=str(raw.parent.parent)).load()


def test_a_missing_folder_says_which_file_and_where_it_looked(build, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        build("fashion_mnist", data_dir=str(tmp_path / "no"), download=False).load()
    message = str(caught.value)
    assert "train-images-idx3-ubyte is missing in" in message
    assert str(tmp_path / "no" / "FashionMNIST" / "raw") in message
    assert "\n" not in message


def test_without_a_network_nothing_is_left_behind(build, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(MNIST, "mirrors", [f"file://{tmp_path}/nowhere/"])
    with pytest.raises(UserError, match="is missing in .* and could not be downloaded") as caught:
        build("mnist", data_dir=str(tmp_path / "data"), download=True).load()
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_missing_files_are_fetched_and_put_in_place(
    build, tmp_path: Path, monkeypatch, capsys
) -> None:
    write(tmp_path / "server")
    resources = []
    for path in sorted((tmp_path / "server").iterdir()):
        packed = gzip.compress(path.read_bytes())
        path.with_suffix(".gz").write_bytes(packed)
        resources.append((f"{path.name}.gz", hashlib.md5(packed).hexdigest()))
    order = ["train-images", "train-labels", "t10k-images", "t10k-labels"]
    resources.sort(key=lambda item: [item[0].startswith(name) for name in order].index(True))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(MNIST, "resources", resources)
    with serving(tmp_path / "server") as address:
        monkeypatch.setattr(MNIST, "mirrors", [address])
        train, _ = build("mnist", data_dir=str(tmp_path / "data"), download=True).load()
    np.testing.assert_array_equal(train.x[:, 0], IMAGES)
    assert capsys.readouterr().out == ""
    found = sorted(p.name for p in (tmp_path / "data" / "MNIST" / "raw").iterdir())
    assert found == sorted(name.removesuffix(".gz") for name, _ in resources)


@pytest.mark.parametrize("name, first", [("mnist", 5), ("fashion_mnist", 9)])
def test_the_published_sets_have_their_sizes(build, real_data, name: str, first: int) -> None:
    train, test = build(name, data_dir=str(real_data), download=False).load()
    assert (len(train), len(test), train.shape) == (60_000, 10_000, (1, 28, 28))
    assert torch.bincount(test.y).sum() == 10_000
    assert train.y[0] == first
