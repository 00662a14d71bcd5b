"""Own arrays: what they are taken for, and which are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aetl.types import UserError

RNG = np.random.default_rng(0)


@pytest.fixture
def load(build, tmp_path: Path) -> Any:
    """Save the arrays and load them as a data set; ``keys`` are those of the YAML."""

    def make(keys: dict[str, Any] | None = None, **arrays: Any) -> Any:
        np.savez(tmp_path / "own.npz", **arrays)
        return build("npz", path=str(tmp_path / "own.npz"), **(keys or {})).load()

    return make


LABELS = np.array([3, 1, 3, 1, 7, 7, 3, 1, 7, 7])


def byte_images(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def test_grey_images_get_one_channel_and_integers_are_classes(load) -> None:
    x = byte_images(10, 5, 7)
    train, test = load(x=x, y=LABELS)
    assert train.shape == (1, 5, 7)
    assert train.classes == ("1", "3", "7")
    assert len(train) + len(test) == 10
    position = {x[row].tobytes(): row for row in range(10)}
    for part in (train, test):
        for image, label in zip(part.x.numpy(), part.y, strict=True):
            assert part.classes[label] == str(LABELS[position[image[0].tobytes()]])


def test_integer_classes_are_in_the_order_of_their_numbers(load) -> None:
    train, _ = load(x=RNG.normal(size=(10, 2)), y=np.array([10, 9, 2, 10, 9, 2, 10, 9, 2, 2]))
    assert train.classes == ("2", "9", "10")


@pytest.mark.parametrize("shape", [(10, 5, 7, 3), (10, 3, 5, 7)])
def test_the_channels_are_found_on_either_side(load, shape: tuple[int, ...]) -> None:
    x = byte_images(*shape)
    train, test = load(x_train=x, y_train=LABELS, x_test=x, y_test=LABELS)
    first = x if shape[1] == 3 else x.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(train.x, first)
    np.testing.assert_array_equal(test.x, first)


def test_channels_that_could_be_either_axis_are_asked_for(load) -> None:
    x = byte_images(10, 3, 8, 3)
    with pytest.raises(UserError, match="set layout=first or layout=last"):
        load(x=x, y=LABELS)
    assert load({"layout": "last"}, x=x, y=LABELS)[0].shape == (3, 3, 8)


def test_floats_in_0_to_1_are_rounded_to_256_levels(load) -> None:
    x = byte_images(10, 4, 4)
    arrays = {"y_train": LABELS, "x_test": x, "y_test": LABELS}
    train, _ = load(x_train=(x / 255).astype(np.float32), **arrays)
    np.testing.assert_array_equal(train.x[:, 0], x)


def test_wide_integers_and_booleans_are_images_too(load) -> None:
    x = byte_images(10, 4, 4)
    arrays = {"y_train": LABELS, "x_test": x, "y_test": LABELS}
    np.testing.assert_array_equal(load(x_train=x.astype(np.int64), **arrays)[0].x[:, 0], x)
    found = load(x_train=x > 100, **arrays)[0].x[:, 0].numpy()
    np.testing.assert_array_equal(found, np.where(x > 100, 255, 0))


@pytest.mark.parametrize("factor, text", [(2.0, "0..1"), (-1.0, "0..1")])
def test_floats_beyond_1_are_no_images(load, factor: float, text: str) -> None:
    with pytest.raises(UserError, match=f"must lie in {text}"):
        load(x=RNG.random((10, 4, 4)) * factor, y=LABELS)


def test_vectors_with_numbers_are_a_regression(load) -> None:
    train, test = load(x=RNG.normal(size=(40, 3)), y=np.arange(40.0)[:, None])
    assert train.x.dtype == train.y.dtype == torch.float32
    assert train.classes == ()
    assert train.labelled
    assert sorted([*train.y.tolist(), *test.y.tolist()]) == list(range(40))


def test_without_y_nothing_is_labelled(load) -> None:
    train, _ = load(x=byte_images(10, 4, 4))
    assert not train.labelled
    assert train.y.unique().tolist() == [-1]


def test_standard_scaling_is_fitted_on_the_training_rows_alone(load) -> None:
    x = RNG.normal(3, 5, (50, 4))
    x[:, 2] = 8.0
    test_x = RNG.normal(100, 1, (20, 4))
    y, test_y = np.arange(50) % 2, np.arange(20) % 2
    train, test = load({"scale": "standard"}, x_train=x, y_train=y, x_test=test_x, y_test=test_y)
    mean, std = x.mean(0), x.std(0)
    std[2] = 1
    np.testing.assert_allclose(train.x, (x - mean) / std, atol=1e-5)
    np.testing.assert_allclose(test.x, (test_x - mean) / std, rtol=1e-5)


def test_unit_scaling_is_fitted_after_the_test_rows_and_the_size_are_taken(load) -> None:
    keys = {"scale": "unit", "size": 20}
    train, test = load(keys, x=RNG.normal(size=(100, 3)), y=np.arange(100) % 2)
    assert len(train) == 20
    np.testing.assert_allclose(train.x.amin(0), 0, atol=1e-7)
    np.testing.assert_allclose(train.x.amax(0), 1, atol=1e-6)
    assert test.x.max() > 1


def test_scaling_does_not_change_who_an_example_is(load) -> None:
    arrays = {"x": RNG.normal(size=(20, 3)), "y": np.arange(20) % 2}
    plain, _ = load(**arrays)
    scaled, _ = load({"scale": "standard"}, **arrays)
    assert plain.identity.tolist() == scaled.identity.tolist()


def test_a_test_class_that_training_lacks_is_named(load) -> None:
    x = byte_images(2, 4, 4)
    with pytest.raises(UserError, match="holds class 'c'"):
        load(x_train=x, y_train=np.array(["a", "b"]), x_test=x, y_test=np.array(["a", "c"]))


@pytest.mark.parametrize(
    "arrays, text",
    [
        ({"z": np.zeros(3)}, "no array x or x_train; it holds z"),
        ({"x": np.array([{}, {}], object)}, "x is an array of objects"),
        ({"x": np.array(["a", "b"])}, "must be numbers"),
        ({"x": np.zeros(4)}, r"is of shape \(4,\)"),
        ({"x": np.zeros((0, 4))}, "x is empty"),
        ({"x": np.zeros((4, 2)), "y": np.zeros(3)}, r"y is of shape \(3,\); must be \(4,\)"),
        ({"x": np.zeros((4, 2)), "y": 3 * np.eye(4)}, r"y is of shape \(4, 4\)"),
        ({"x": np.array([[1, 2], [np.nan, 1]])}, "x holds NaN or infinity in row 1"),
        ({"x": np.array([[1, 1e300], [1e300, 1]])}, "in 2 rows, the first is row 0"),
        ({"x": np.zeros((2, 2)), "y": np.array([0.0, np.inf])}, "y holds infinity in row 1"),
        ({"x": np.zeros((2, 2)), "y": np.full(2, np.nan)}, "y holds nothing but NaN"),
        ({"x": np.full((2, 4, 4), 300)}, r"must lie in 0\.\.255"),
        ({"x": np.full((2, 4, 4), np.nan)}, "x holds NaN"),
        ({"x_train": np.zeros((2, 3)), "x_test": np.zeros((2, 4))}, "x_train is of shape"),
        (
            {"x_train": np.zeros((2, 3)), "x_test": np.zeros((2, 3)), "y_train": np.arange(2)},
            "must both be classes",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(load, arrays: Any, text: str) -> None:
    with pytest.raises(UserError, match=text) as caught:
        load(**arrays)
    assert "own.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_scaling_images_is_refused(load) -> None:
    with pytest.raises(UserError, match="scale=unit: is for vectors"):
        load({"scale": "unit"}, x=byte_images(10, 4, 4), y=LABELS)


@pytest.mark.parametrize("content", [b"", b"hello", None])
def test_a_file_that_is_no_archive_is_refused(build, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "own.npz"
    if content is None:
        np.savez(path, x=np.zeros((100, 3)))
        content = path.read_bytes()[:1000]
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"own\.npz: is cut off or not an \.npz file") as caught:
        build("npz", path=str(path)).load()
    assert "\n" not in str(caught.value)


def test_one_array_and_no_file_are_refused(build, tmp_path: Path) -> None:
    np.save(tmp_path / "own.npy", np.zeros(3))
    with pytest.raises(UserError, match="is one array"):
        build("npz", path=str(tmp_path / "own.npy")).load()
    with pytest.raises(UserError, match="is not a file"):
        build("npz", path=str(tmp_path / "no.npz")).load()


def test_large_arrays_are_mapped_and_the_same(build, tmp_path: Path, monkeypatch) -> None:
    """With a size of large that is small: stored, moved and gathered in files."""
    from aetl.data import mapped, npz

    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (50, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "own.npz", x=x, y=np.arange(50) % 2)
    data = build("npz", path=str(tmp_path / "own.npz"))
    plain = data.load()
    monkeypatch.setattr(mapped, "LARGE", 1000)
    monkeypatch.setattr(npz, "LARGE", 1000)
    arrays = npz.load_arrays(tmp_path / "own.npz")
    assert isinstance(arrays["x"], np.memmap)
    np.testing.assert_array_equal(arrays["x"], x)
    with mapped.within(tmp_path):
        large = data.load()
    for one, other in zip(plain, large, strict=True):
        assert one.fingerprint() == other.fingerprint()
        assert (one.identity == other.identity).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own.npz"]


@pytest.mark.parametrize("damage", ["nothing", "cut off", "a wrong byte"])
def test_large_arrays_that_are_compressed_are_unpacked_into_a_mapped_one(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aetl.data import mapped, npz

    x = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), dtype=np.uint8)
    order = np.asfortranarray(x[0].astype(np.float64).repeat(20, 0))  # is read as always
    file = tmp_path / "own.npz"
    np.savez_compressed(file, x=x, y=np.arange(50) % 2, order=order)
    for module in (mapped, npz):
        monkeypatch.setattr(module, "LARGE", 1000)
    monkeypatch.setattr(npz, "BLOCK", 4096)
    content = bytearray(file.read_bytes())
    if damage == "cut off":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "a wrong byte":
        content[4000] ^= 1
        file.write_bytes(content)
    if damage != "nothing":
        with pytest.raises(UserError, match=r"own.npz: is cut off or not an .npz file"):
            npz.load_arrays(file)
        return
    arrays = npz.load_arrays(file)
    assert not arrays["x"].flags.owndata
    np.testing.assert_array_equal(arrays["x"], x)
    np.testing.assert_array_equal(arrays["order"], order)


def test_vectors_whose_columns_differ_by_orders_of_magnitude_are_told(
    build, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(50, 5)).astype(np.float32)
    x[:, 4] = 3.0  # constant: no range of its own

    def notes(x: np.ndarray, **more: object) -> str:
        np.savez(tmp_path / "own.npz", x=x, y=np.arange(50) % 2)
        return " | ".join(build("npz", path=str(tmp_path / "own.npz"), **more).read()[0].notes)

    assert notes(x) == ""
    x[:, 0] *= 0.001
    assert "fold in their ranges" in notes(x)
    assert "scale=standard" in notes(x)
    assert notes(x, scale="standard") == ""
    x[:, 1] *= 1000.0
    assert "x reaches" in notes(x)  # said once
    assert "ranges" not in notes(x)


def test_a_few_rare_columns_among_many_are_no_matter_of_scale(build, tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((50, 60)).astype(np.float32)
    x[:, :2] *= 1e-4
    np.savez(tmp_path / "own.npz", x=x, y=np.arange(50) % 2)
    assert build("npz", path=str(tmp_path / "own.npz")).read()[0].notes == ()
