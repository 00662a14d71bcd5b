"""Own images: sizes, colours, depths and damage."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aetl.types import UserError

RNG = np.random.default_rng(0)


def save(path: Path, *shape: int) -> np.ndarray:
    pixels = RNG.integers(0, 256, shape, dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def test_grey_images_keep_their_pixels_and_odd_size(build, tmp_path: Path) -> None:
    cats = [save(tmp_path / "cat" / f"{i}.png", 7, 5) for i in range(4)]
    dogs = [save(tmp_path / "dog" / "deep" / f"{i}.png", 7, 5) for i in range(4)]
    pool, test = build("image_folder", path=str(tmp_path)).read()
    assert test is None
    assert pool.classes == ("cat", "dog")
    assert pool.y.tolist() == [0] * 4 + [1] * 4
    np.testing.assert_array_equal(pool.x[:, 0], np.stack(cats + dogs))


def test_colour_images_keep_their_channels_in_order(build, tmp_path: Path) -> None:
    colour = save(tmp_path / "a" / "0.png", 6, 9, 3)
    grey = save(tmp_path / "a" / "1.png", 6, 9)
    pool, _ = build("image_folder", path=str(tmp_path)).read()
    np.testing.assert_array_equal(pool.x[0], colour.transpose(2, 0, 1))
    np.testing.assert_array_equal(pool.x[1], np.stack([grey] * 3))


def test_channels_can_be_chosen(build, tmp_path: Path) -> None:
    colour = save(tmp_path / "a" / "0.png", 6, 9, 3)
    pool, _ = build("image_folder", path=str(tmp_path), channels=1).read()
    luma = colour @ np.array([0.299, 0.587, 0.114])  # ITU-R 601-2
    np.testing.assert_allclose(pool.x[0, 0], luma, atol=1)


def test_the_most_frequent_size_is_taken_and_the_others_are_scaled(build, tmp_path: Path) -> None:
    save(tmp_path / "a" / "0.png", 30, 40)
    kept = save(tmp_path / "a" / "1.png", 7, 5)
    save(tmp_path / "b" / "2.png", 7, 5)
    pool, _ = build("image_folder", path=str(tmp_path)).read()
    assert pool.shape == (1, 7, 5)
    np.testing.assert_array_equal(pool.x[1, 0], kept)


def halves(path: Path, width: int, height: int) -> None:
    """Left red, right blue."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = pixels[:, width // 2 :, 2] = 200
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_images_of_other_proportions_are_padded_cropped_or_stretched(
    build, tmp_path: Path, fit: str
) -> None:
    halves(tmp_path / "a" / "wide.png", 40, 20)
    halves(tmp_path / "a" / "square.png", 30, 30)
    pool, _ = build("image_folder", path=str(tmp_path), image_size=20, fit=fit).read()
    square, wide = pool.x.numpy()  # in the order of their names
    assert pool.shape == (3, 20, 20)
    middle = wide[:, 10]
    red, blue = (middle[0] > 100), (middle[2] > 100)
    assert red[:9].all()
    assert blue[11:].all()
    # A padded image of two to one covers the middle half of the rows, in its own proportion.
    rows = [y for y in range(20) if (wide[0, y, 2], wide[2, y, 17]) == (200, 200)]
    rim = {tuple(wide[:, y, 5]) for y in (0, 19)}
    if fit == "pad":
        assert rows == list(range(5, 15))
        assert len(rim) == 1  # of one colour, the median of the image's own rim
    else:
        assert rows == list(range(20))
    (told,) = pool.notes
    assert "1 of 2 images are in other proportions than 20x20" in told
    assert {"pad": "padded", "crop": "cropped", "stretch": "stretched"}[fit] in told
    assert (square[0, :, :9] > 100).all()


def test_what_is_cropped_is_the_middle(build, tmp_path: Path) -> None:
    pixels = np.zeros((10, 30), np.uint8)
    pixels[:, 10:20] = 255
    (tmp_path / "a").mkdir()
    Image.fromarray(pixels).save(tmp_path / "a" / "0.png")
    save(tmp_path / "a" / "1.png", 10, 10)
    pool, _ = build("image_folder", path=str(tmp_path), image_size=10, fit="crop").read()
    assert (pool.x[0] == 255).all()


def test_images_of_one_proportion_are_scaled_without_a_word(build, tmp_path: Path) -> None:
    for i in range(1, 4):
        save(tmp_path / "a" / f"{i}.png", 8 * i, 8 * i)
    for fit in ("pad", "crop", "stretch"):
        pool, _ = build("image_folder", path=str(tmp_path), image_size=8, fit=fit).read()
        assert pool.notes == ()


def test_where_every_image_has_a_size_of_its_own_the_median_sides_are_taken(
    build, tmp_path: Path
) -> None:
    for number, size in enumerate([(9, 30), (30, 9), (12, 11), (10, 12), (14, 14)]):
        Image.new("L", size, number).save(tmp_path / f"{number}.png")
    pool, _ = build("image_folder", path=str(tmp_path)).read()
    assert pool.x.shape[1:] == (1, 12, 12)


def test_an_image_size_makes_squares_and_keeps_the_identity(build, tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / "a" / f"{i}.png", 20 + i, 30)
    small, _ = build("image_folder", path=str(tmp_path), image_size=8).read()
    other, _ = build("image_folder", path=str(tmp_path), image_size=9, channels=3).read()
    assert small.shape == (1, 8, 8)
    assert other.shape == (3, 9, 9)
    assert small.identity.tolist() == other.identity.tolist()
    assert len(set(small.identity.tolist())) == 3


def test_sixteen_bits_keep_the_upper_eight(build, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    deep = RNG.integers(0, 65536, (5, 6), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "a" / "0.png")
    pool, _ = build("image_folder", path=str(tmp_path)).read()
    np.testing.assert_array_equal(pool.x[0, 0], deep >> 8)


def test_transparent_parts_are_white_and_palettes_are_colours(build, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2] = [200, 10, 20, 255]
    Image.fromarray(pixels, "RGBA").save(tmp_path / "a" / "0.png")
    Image.fromarray(pixels[:, :, :3]).quantize(4).save(tmp_path / "a" / "1.gif")
    pool, _ = build("image_folder", path=str(tmp_path)).read()
    assert pool.x[0, :, 0, 0].tolist() == pool.x[1, :, 0, 0].tolist() == [200, 10, 20]
    assert pool.x[0, :, 3, 3].tolist() == [255, 255, 255]
    assert pool.x[1, :, 3, 3].tolist() == [0, 0, 0]


def test_the_camera_orientation_is_applied(build, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    pixels = RNG.integers(0, 256, (4, 6), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter clockwise
    Image.fromarray(pixels).save(tmp_path / "a" / "0.png", exif=exif)
    pool, _ = build("image_folder", path=str(tmp_path)).read()
    np.testing.assert_array_equal(pool.x[0, 0], np.rot90(pixels, -1))


def test_train_and_test_folders_are_the_official_sets(build, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for i in range(3):
            save(tmp_path / "train" / name / f"{i}.png", 5, 5)
    save(tmp_path / "test" / "dog" / "0.png", 9, 9)
    train, test = build("image_folder", path=str(tmp_path)).load()
    assert (len(train), len(test)) == (6, 1)
    assert test.shape == (1, 5, 5)
    assert test.classes[test.y[0]] == "dog"


def test_train_may_be_a_class_among_others(build, tmp_path: Path) -> None:
    save(tmp_path / "train" / "0.png", 5, 5)
    save(tmp_path / "car" / "0.png", 5, 5)
    pool, test = build("image_folder", path=str(tmp_path)).read()
    assert (pool.classes, test) == (("car", "train"), None)


def test_images_without_class_folders_have_no_labels(build, tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / f"{i}.png", 5, 5)
    pool, _ = build("image_folder", path=str(tmp_path)).read()
    assert not pool.labelled
    assert pool.y.tolist() == [-1] * 3


def test_hidden_and_other_files_are_no_images(build, tmp_path: Path) -> None:
    save(tmp_path / "a" / "0.png", 5, 5)
    save(tmp_path / ".thumbnails" / "0.png", 5, 5)
    (tmp_path / "a" / "._0.png").write_text("of another system")
    (tmp_path / "a" / "notes.txt").write_text("text")
    pool, _ = build("image_folder", path=str(tmp_path)).read()
    assert (len(pool), pool.classes) == (1, ("a",))


@pytest.mark.parametrize("length", [0, 20, 150])
def test_a_damaged_image_is_named_in_one_line(build, tmp_path: Path, length: int) -> None:
    save(tmp_path / "a" / "good.png", 20, 20)
    save(tmp_path / "a" / "bad.png", 20, 20)
    whole = (tmp_path / "a" / "bad.png").read_bytes()
    (tmp_path / "a" / "bad.png").write_bytes(whole[:length])
    with pytest.raises(UserError, match=r"a/bad\.png: is (cut off|not a readable)") as caught:
        build("image_folder", path=str(tmp_path)).load()
    assert "\n" not in str(caught.value)


def test_folders_that_cannot_be_used_are_named(build, tmp_path: Path) -> None:
    def refused(text: str, **keys: object) -> None:
        with pytest.raises(UserError, match=text):
            build("image_folder", path=str(tmp_path / "x"), **keys).load()

    refused("x: is not a folder")
    (tmp_path / "x").mkdir()
    refused("x: holds no images")
    save(tmp_path / "x" / "a" / "0.png", 5, 5)
    (tmp_path / "x" / "b").mkdir()
    refused("x/b: holds no images")
    save(tmp_path / "x" / "b" / "0.png", 5, 5)
    refused("image_size=0: must be at least 1", image_size=0)
    refused(r"image_size: images of 9999999x9999999 need .* GiB", image_size=9999999)


def test_an_unexpected_test_class_is_refused(build, tmp_path: Path) -> None:
    save(tmp_path / "train" / "a" / "0.png", 5, 5)
    save(tmp_path / "test" / "b" / "0.png", 5, 5)
    with pytest.raises(UserError, match="has class 'b'"):
        build("image_folder", path=str(tmp_path)).load()


def test_the_order_does_not_depend_on_the_threads(build, tmp_path: Path) -> None:
    for i in range(40):
        save(tmp_path / "ab"[i % 2] / f"{i:02}.png", 5, 5)
    one, two = (build("image_folder", path=str(tmp_path)).read()[0] for _ in range(2))
    assert torch.equal(one.x, two.x)
    assert one.fingerprint() == two.fingerprint()


def test_folders_that_agree_in_names_sizes_and_times_are_two(build, tmp_path: Path) -> None:
    """As two archives unpack that were made with one fixed time."""
    kept = []
    for folder, value in ((tmp_path / "a", 10), (tmp_path / "b", 200), (tmp_path / "a", 90)):
        for name in ("left", "right"):
            file = folder / name / "0.bmp"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4), value).save(file)
            os.utime(file, (1_000_000_000, 1_000_000_000))
        kept.append(build("image_folder", path=str(folder)).kept_by())
    assert kept[0] != kept[1], "another folder"
    assert kept[0] != kept[2], "other pixels in the same one"
    assert kept[2] == build("image_folder", path=str(tmp_path / "a")).kept_by()


def labelled(folder: Path) -> Path:
    """Twelve loose images, and a csv that says whose they are and what is on them."""
    folder.mkdir()
    lines = ["file,label,patient,site"]
    for i in range(12):
        pixels = np.full((4, 4, 3), (i, 20 * i, 9), np.uint8)
        Image.fromarray(pixels).save(folder / f"i{i}.png")
        lines.append(f"i{i}.png,{'ill' if i % 2 else 'well'},p{i // 3},{'A' if i < 6 else 'B'}")
    (folder / "about.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_labels_groups_and_domains_come_from_a_table_beside(build, tmp_path: Path) -> None:
    folder = labelled(tmp_path / "own")
    keys = {"path": str(folder), "labels": "about.csv"}
    pool, _ = build("image_folder", **keys).read()
    assert pool.classes == ("ill", "well")
    for name, y in zip(pool.files.tolist(), pool.y.tolist(), strict=True):
        assert pool.classes[y] == ("ill" if int(name[1:-4]) % 2 else "well")
    train, test = build("image_folder", group="patient", test_fraction=0.25, **keys).load()
    patients = [{int(n[1:-4]) // 3 for n in part.files.tolist()} for part in (train, test)]
    assert not patients[0] & patients[1]
    site, _ = build("image_folder", where="site=B", **keys).read()
    assert sorted(site.files.tolist()) == sorted(f"i{i}.png" for i in range(6, 12))
    person, _ = build("image_folder", target="patient", **keys).read()
    assert person.classes == ("p0", "p1", "p2", "p3")
    (folder / "i12.png").write_bytes((folder / "i0.png").read_bytes())
    bare, _ = build("image_folder", **keys).read()
    assert (~bare.known).sum() == 1


@pytest.mark.parametrize(
    "text, said",
    [
        ("file,label\n", "holds no header and rows"),
        ("file,label\ni0.png\n", r"about\.csv: line 2 has 1 fields, and the header has 2"),
        ("file,label\nx.png,a\n", "names none of the files of .* its first is 'x.png'"),
        ("file,label,label\ni0.png,a,b\n", "two columns of one name"),
        ("file,label\ni0.png,a\ni1.png,a\n", ""),
    ],
)
def test_a_table_beside_that_cannot_be_used_is_refused(
    build, tmp_path: Path, text: str, said: str
) -> None:
    folder = labelled(tmp_path / "own")
    (folder / "about.csv").write_text(text)
    data = build("image_folder", path=str(folder), labels="about.csv")
    if not said:
        assert data.read()[0].known.sum() == 2
        return
    with pytest.raises(UserError, match=said) as caught:
        data.read()
    assert "\n" not in str(caught.value)
