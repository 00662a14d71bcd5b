"""The guard finds the target's test examples in the source, also when they were turned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from aetl.data.base import Examples
from aetl.data.guard import refuse_overlap
from aetl.types import UserError


def test_a_rotated_copy_of_the_test_set_is_refused(build) -> None:
    source, _ = build("digits", split_seed=1).load()
    _, test = build("digits", **{"shift.rotation": 45.0}).load()
    with pytest.raises(UserError, match=r"source: holds \d+ of the 359 test examples"):
        refuse_overlap(source, np.arange(len(source)), test)


def test_the_pool_of_the_same_split_passes_whole(build) -> None:
    source, _ = build("digits").load()
    _, test = build("digits", **{"shift.invert": True}).load()
    rows, dropped = refuse_overlap(source, np.arange(len(source)), test)
    assert dropped == 0
    assert rows.tolist() == list(range(len(source)))


def test_a_copy_in_a_folder_of_colour_images_of_another_size_is_refused(build, tmp_path) -> None:
    _, test = build("digits").load()
    (tmp_path / "a").mkdir()
    for row in range(20):
        image = Image.fromarray(test.x[row, 0].numpy()).convert("RGB")
        image.save(tmp_path / "a" / f"{row}.png")
    source, _ = build("image_folder", path=str(tmp_path), image_size=5).load()
    assert source.shape == (3, 5, 5)
    with pytest.raises(UserError, match="source: holds 16 of the 359"):
        refuse_overlap(source, np.arange(len(source)), test)


def vectors(values: list[int]) -> Examples:
    return Examples.of(torch.tensor(values).float()[:, None], torch.zeros(len(values)), ())


def test_up_to_one_percent_is_left_out_and_counted_row_by_row() -> None:
    test = vectors(list(range(200)))
    source = vectors([300, 0, 301, 0, 1, 302])  # two test examples, one of them twice
    rows, dropped = refuse_overlap(source, np.array([0, 1, 2, 3, 4]), test)
    assert (rows.tolist(), dropped) == ([0, 2], 3)


def test_more_than_one_percent_is_refused_and_only_used_rows_count() -> None:
    test = vectors(list(range(200)))
    source = vectors([300, 0, 1, 2])
    with pytest.raises(UserError, match="holds 3 of the 200"):
        refuse_overlap(source, np.arange(4), test)
    rows, dropped = refuse_overlap(source, np.array([0, 1]), test)
    assert (rows.tolist(), dropped) == ([0], 1)


def test_no_public_set_holds_its_own_test_examples(build, real_data) -> None:
    for name in ("mnist", "usps"):
        pool, test = build(name, data_dir=str(real_data), download=False).load()
        _, dropped = refuse_overlap(pool, np.arange(len(pool)), test)
        assert dropped == 0, name
