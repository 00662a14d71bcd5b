"""Made-up examples: the statistics of their latents, their labels, their number, their key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aetl.data.base import Examples
from aetl.loss.objective import Objective
from aetl.rng import Rng
from aetl.transfer.base import Undeclared, View
from aetl.transfer.codec import Codec
from aetl.transfer.instance.generated import Generated, sampled
from aetl.transfer.instance.latent_augmentation import LatentAugmentation
from aetl.transfer.instance.synthetic import Synthetic
from tests.tiny import CONV, MLP, WATCH, Watch, World, receipt
from tests.transfer.build import normal, small_network

MANY = 40_000
GAUSSIAN: dict[str, Any] = {"weight": 0.5, "components": 1, "prior": 5.0, "steps": 0, "lr": 1e-3,
                            "batch_size": 8}  # fmt: skip

pytestmark = pytest.mark.usefixtures("float64")


def latents() -> tuple[Tensor, Tensor]:
    """Eight latents of class 0, four of class 2, of different shape and place."""
    z = torch.cat([normal(8, 3) * torch.tensor([1.0, 2.0, 0.5]), normal(4, 3, seed=1) + 5.0])
    return z, torch.tensor([0] * 8 + [2] * 4)


def test_a_class_is_a_gaussian_drawn_towards_the_covariance_within_classes() -> None:
    z, y = latents()
    found, label = Generated(per_class=MANY, **GAUSSIAN).draw(z, y, Rng.of("test"))
    assert label.tolist() == [0] * MANY + [2] * MANY
    own = [z[:8] - z[:8].mean(0), z[8:] - z[8:].mean(0)]
    within = sum(part.T @ part for part in own) / 12
    for part, drawn, members in zip(own, found.split(MANY), (z[:8], z[8:]), strict=True):
        expected = (part.T @ part + 5.0 * within) / (len(part) + 5.0)
        scale = float(expected.diagonal().max())
        torch.testing.assert_close(drawn.mean(0), members.mean(0), atol=0.02 * scale, rtol=0)
        torch.testing.assert_close(torch.cov(drawn.T), expected, atol=0.03 * scale, rtol=0)


def test_one_label_of_each_class_gives_its_own_latent() -> None:
    z, y = normal(3, 4), torch.arange(3)
    found, label = Generated(per_class=2, **GAUSSIAN).draw(z, y, Rng.of("test"))
    torch.testing.assert_close(found, z[label])


def test_a_mixture_has_its_components_shares_means_and_covariances() -> None:
    shares = torch.tensor([0.3, 0.7])
    means = torch.tensor([[0.0, 0.0], [8.0, 0.0]])
    covariances = torch.stack([torch.eye(2), torch.tensor([[1.0, 0.9], [0.9, 1.0]])])
    found = sampled(shares, means, covariances, MANY, Rng.of("test"))
    second = found[:, 0] > 4.0
    assert float(second.double().mean()) == pytest.approx(0.7, abs=0.01)
    torch.testing.assert_close(found[second].mean(0), means[1], atol=0.03, rtol=0)
    torch.testing.assert_close(torch.cov(found[second].T), covariances[1], atol=0.03, rtol=0)


def test_a_class_of_two_clusters_is_generated_in_both() -> None:
    z = torch.cat([normal(30, 2) - 5.0, normal(30, 2, seed=1) + 5.0])
    settings = GAUSSIAN | {"components": 2}
    found, _ = Generated(per_class=2000, **settings).draw(
        z, torch.zeros(60, dtype=torch.int64), Rng.of("test")
    )
    low = found[:, 0] < 0
    assert float(low.double().mean()) == pytest.approx(0.5, abs=0.05)
    assert float(found.abs().min(1).values.quantile(0.01)) > 1.5  # nothing between them


def test_interpolation_stays_on_the_way_between_two_of_a_class() -> None:
    z = torch.tensor([[0.0, 0.0], [1.0, 2.0], [10.0, 0.0], [10.0, 4.0]])
    y = torch.tensor([1, 1, 3, 3])
    strategy = LatentAugmentation(per_class=4000, weight=1.0, reach=0.5, noise=0.0)
    found, label = strategy.draw(z, y, Rng.of("test"))
    assert label.tolist() == [1] * 4000 + [3] * 4000
    first, second = found.split(4000)
    torch.testing.assert_close(first[:, 1], 2 * first[:, 0])
    assert (second[:, 0] == 10.0).all()
    # From one of two ends (the same as the other half of the time) up to half of the way.
    way = torch.minimum(first[:, 0], 1 - first[:, 0])
    assert float(way.max()) <= 0.5
    assert float((way == 0).double().mean()) == pytest.approx(0.5, abs=0.03)
    assert float(way[way > 0].mean()) == pytest.approx(0.25, abs=0.01)


def test_noise_is_scaled_by_the_spread_of_each_dimension() -> None:
    z, y = latents()
    settings: dict[str, Any] = {"per_class": MANY, "weight": 1.0, "reach": 0.0}
    still, _ = LatentAugmentation(**settings, noise=0.0).draw(z, y, Rng.of("test"))
    found, _ = LatentAugmentation(**settings, noise=0.3).draw(z, y, Rng.of("test"))
    expected = 0.3 * z.std(0, correction=0)
    torch.testing.assert_close((found - still).std(0), expected, rtol=0.02, atol=0)


STRATEGIES: list[Synthetic] = [
    Generated(per_class=7, **GAUSSIAN),
    Generated(per_class=7, **(GAUSSIAN | {"components": 2})),
    LatentAugmentation(per_class=7, weight=0.5, reach=0.5, noise=0.1),
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=["gaussian", "mixture", "between"])
def test_the_same_key_makes_the_same_examples_and_another_others(strategy: Synthetic) -> None:
    z, y = latents()
    one, again, other = (strategy.draw(z, y, Rng.of(key))[0] for key in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.isclose(one, other).all(1).any()
    assert not torch.allclose(one[:7] - one[:7].mean(0), one[7:] - one[7:].mean(0))


def view_of(own: Examples, uses: Any = frozenset({"target_labels"})) -> View:
    network = small_network()
    return View(
        "me", uses, {"target_labels": own}, lambda e, layer: e.x, Rng.of(0),
        lambda: Codec(network.autoencoder, Objective({})),
    )  # fmt: skip


@pytest.mark.parametrize("strategy", STRATEGIES, ids=["gaussian", "mixture", "between"])
def test_examples_are_decoded_labelled_and_weighted(strategy: Synthetic) -> None:
    """A class without a label gets no example. Images have 256 levels."""
    torch.set_default_dtype(torch.float32)
    x = torch.randint(0, 256, (9, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    own = Examples.of(x.to(torch.uint8), torch.tensor([0, 2] * 4 + [2]), tuple("abc"))
    added = strategy.augment(view_of(own))
    assert added is not None
    assert added.examples.y.tolist() == [0] * 7 + [2] * 7
    assert added.examples.classes == own.classes
    assert added.weight.tolist() == [0.5] * 14
    codec = view_of(own).codec()
    z, _ = strategy.draw(codec.encode(own.inputs()), own.y, Rng.of(0, "draw"))
    expected = (codec.decode(z).clamp(0, 1) * 255).round()
    assert torch.equal(added.examples.x.float(), expected)
    assert expected.std() > 1


def test_only_the_declared_parts_may_be_used() -> None:
    own = Examples.of(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1]), ("a", "b"))
    tuned = Generated(per_class=1, **(GAUSSIAN | {"steps": 1}))
    with pytest.raises(Undeclared, match="target_inputs"):
        tuned.augment(view_of(own))
    with pytest.raises(Undeclared, match="target_labels"):
        tuned.augment(view_of(own, frozenset({"target_inputs"})))
    plain = View(
        "me", frozenset({"target_labels"}), {"target_labels": own}, lambda e, layer: e.x, Rng.of(0)
    )
    with pytest.raises(Undeclared, match="uses_codec"):
        STRATEGIES[0].augment(plain)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("synthetic"), *MLP)


@pytest.mark.parametrize("name", ["generated", "latent_augmentation"])
@pytest.mark.parametrize("backbone", ["mlp", "conv"])
def test_made_up_examples_train_beside_the_labelled_ones(
    tmp_path: Path, name: str, backbone: str
) -> None:
    torch.set_default_dtype(torch.float32)
    shape = MLP if backbone == "mlp" else CONV
    arm = World(
        tmp_path, *shape, f"transfer=instance/{name}", "transfer.instance.per_class=3", WATCH
    )
    arm.pretrain()
    Watch.steps.clear()
    found = receipt(arm.transfer())
    assert found["examples_added"] == 30
    assert not any("decoder" in tensor for tensor in found["changed"])
    batches = [step["batch"]["labelled"] for step in Watch.steps]
    index = torch.cat([b.index for b in batches])
    weight = torch.cat([b.weight for b in batches])
    assert int(index.max()) < 70
    assert torch.equal(weight == 0.5, index >= 40)
    assert set((index >= 40).tolist()) == {True, False}


def test_made_up_examples_reach_a_head_in_closed_form(world: World) -> None:
    torch.set_default_dtype(torch.float32)
    alone = world.but("transfer=feature/linear_probe").transfer()
    both = world.but("transfer=[instance/generated,feature/linear_probe]").transfer()
    assert receipt(both)["examples_added"] == 1000
    probability = [(entry.path / "predictions.npz").read_bytes() for entry in (alone, both)]
    assert probability[0] != probability[1]
