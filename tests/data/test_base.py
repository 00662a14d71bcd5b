"""What holds for every data set: identities, fingerprints, sizes, the test split."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from aetl.config import conf_dir
from aetl.data.base import Examples, identity_of
from aetl.data.digits import Digits
from aetl.types import UserError


def test_identities_are_equal_exactly_where_the_pixels_are() -> None:
    x = torch.randint(0, 2, (200, 1, 2, 3), dtype=torch.uint8)
    same = (x[:, None] == x[None]).flatten(2).all(2).numpy()
    identity = identity_of(x)
    assert ((identity[:, None] == identity[None]) == same).all()
    assert same.sum() > 200


def test_a_grey_picture_stored_in_colour_keeps_its_identity_and_a_coloured_one_does_not() -> None:
    grey = torch.randint(0, 256, (5, 1, 4, 4), dtype=torch.uint8)
    colour = grey.repeat(1, 3, 1, 1)
    colour[2, 0, 0, 0] += 1
    assert (identity_of(colour) == identity_of(grey)).tolist() == [True, True, False, True, True]


def test_images_of_the_same_bytes_and_another_shape_are_others() -> None:
    x = torch.arange(12, dtype=torch.uint8)
    assert identity_of(x.reshape(1, 1, 3, 4)) != identity_of(x.reshape(1, 1, 4, 3))


def test_negative_zero_is_zero() -> None:
    assert identity_of(torch.tensor([[0.0, 1.0]])) == identity_of(torch.tensor([[-0.0, 1.0]]))


def test_inputs_are_images_in_0_to_1_and_vectors_as_they_are() -> None:
    images = torch.randint(0, 256, (6, 1, 2, 2), dtype=torch.uint8)
    index = torch.tensor([4, 0, 4])
    found = Examples.of(images, torch.zeros(6, dtype=torch.int64), ("a",)).inputs(index)
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), images[index].numpy().astype("f4") / 255)
    vectors = torch.randn(6, 3)
    assert torch.equal(Examples.of(vectors, torch.zeros(6), ()).inputs(), vectors)


def test_the_fingerprint_follows_from_the_pixels_the_labels_and_the_classes() -> None:
    x, y = torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 0, 1])
    plain = Examples.of(x, y, ("a", "b"))
    assert plain.fingerprint() == Examples.of(x.clone(), y.clone(), ("a", "b")).fingerprint()
    others = [
        replace(plain, x=x + 1),
        replace(plain, x=x.reshape(4, 1, 4, 1)),
        replace(plain, y=1 - y),
        replace(plain, classes=("a", "c")),
    ]
    assert len({plain.fingerprint(), *(other.fingerprint() for other in others)}) == 5


def test_a_subset_carries_labels_and_identities_along(build) -> None:
    pool, _ = build("digits").load()
    part = pool.subset(np.array([7, 3]))
    assert part.identity.tolist() == pool.identity[[7, 3]].tolist()
    assert part.y.tolist() == pool.y[[7, 3]].tolist()
    assert torch.equal(part.x, pool.x[[7, 3]])


def test_without_an_official_test_set_a_stratified_part_is_held_out(build) -> None:
    pool, test = build("digits", test_fraction=0.25).load()
    assert len(test) == round(0.25 * 1797)
    assert len(pool) + len(test) == 1797
    assert not np.isin(pool.identity, test.identity).any()
    whole = torch.bincount(torch.cat([pool.y, test.y]))
    np.testing.assert_allclose(torch.bincount(test.y), 0.25 * whole, atol=1.5)


def test_the_split_seed_changes_the_test_set_and_nothing_else_does(build) -> None:
    _, test = build("digits").load()
    assert build("digits", size=50, budget=7).load()[1].fingerprint() == test.fingerprint()
    assert build("digits", split_seed=1).load()[1].fingerprint() != test.fingerprint()


def test_smaller_sizes_are_parts_of_larger_ones_and_stratified(build) -> None:
    small, large = (build("digits", size=size).load()[0] for size in (50, 200))
    assert len(small) == 50
    assert np.isin(small.identity, large.identity).all()
    assert torch.bincount(small.y).min() >= 4


@pytest.mark.parametrize(
    "key, value",
    [
        ("test_fraction", -0.1),
        ("test_fraction", 1.0),
        ("validation_fraction", -0.1),
        ("size", 0),
        ("budget", -1),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_key(build, key: str, value: float) -> None:
    with pytest.raises(Exception, match=f"{key}={value}: must") as caught:
        build("digits", **{key: value})
    assert isinstance(caught.value.__cause__ or caught.value, UserError)


def test_a_size_beyond_the_pool_says_how_many_there_are(build) -> None:
    with pytest.raises(UserError, match="size=5000: there are only 1438"):
        build("digits", size=5000).load()


def keys_of(path: Path) -> set[str]:
    """The keys of a file and of those that it starts from."""
    node = OmegaConf.load(path)
    files = [path.with_name(f"{name}.yaml") for name in node.get("defaults", [])]
    own = {str(key) for key in node} - {"_target_", "defaults"}
    return own.union(*(keys_of(file) for file in files if file.stem != "_self_"))


@pytest.mark.parametrize("path", sorted((conf_dir() / "dataset").glob("[!_]*.yaml")))
def test_every_yaml_has_exactly_the_keys_of_its_class(path) -> None:
    from hydra.utils import get_class

    node = OmegaConf.load(path)
    keys = keys_of(path)
    parameters = inspect.signature(get_class(node["_target_"])).parameters.values()
    assert keys == {p.name for p in parameters}
    assert all(p.default is p.empty and p.kind is p.KEYWORD_ONLY for p in parameters)
    hints = inspect.signature(Digits).parameters
    assert not isinstance(hints["budget"].annotation, str)
