"""Alternating updates through the real Trainer: both players, each in its turn."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from aetl.config import ConfigError, check, compose, resolved
from aetl.loss.adversarial import taken_for
from aetl.stage.pretrain import build_autoencoder
from aetl.types import UserError
from tests.stage.critic import CRITIC, KEEP, SCALED, Keep, moved
from tests.tiny import MLP, World, differing, history

SGD = ("optimizer=sgd", "optimizer.momentum=0.0", "pretrain.lr=0.02")
DISCRIMINATOR = "objective.terms.critic.discriminator"


def descend(module: nn.Module, loss: torch.Tensor, lr: float) -> None:
    parameters = list(module.parameters())
    with torch.no_grad():
        for p, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            p -= lr * gradient


def test_the_discriminator_steps_after_the_autoencoder_and_sees_it_moved(tmp_path: Path) -> None:
    """Two rounds of plain gradient descent by hand."""
    world = World(tmp_path, *MLP, *SGD, *CRITIC, KEEP, "pretrain.max_steps=2")
    world.pretrain()
    model = build_autoencoder(world.cfg, (1, 8, 8))
    critic = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.LeakyReLU(0.2), nn.Linear(5, 1))
    start = [t for name, t in Keep.start.items() if name.startswith(DISCRIMINATOR)]
    for parameter, tensor in zip(critic.parameters(), start, strict=True):
        parameter.data.copy_(tensor)
    for batch in Keep.batches:
        x, made = batch.x, model(batch.x).reconstruction
        fooled = taken_for(True, critic(made).flatten()).mean()
        descend(model, (made - x).square().sum((1, 2, 3)).mean() + 0.5 * fooled, 0.02)
        made = model(x).reconstruction.detach()
        told = taken_for(True, critic(x).flatten()) + taken_for(False, critic(made).flatten())
        descend(critic, told.mean(), 2.0 * 0.02)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(Keep.end[f"autoencoder.{name}"], tensor)
    end = [t for name, t in Keep.end.items() if name.startswith(DISCRIMINATOR)]
    for parameter, tensor in zip(critic.parameters(), end, strict=True):
        torch.testing.assert_close(tensor, parameter.data)
    assert moved(DISCRIMINATOR).abs().max() > 1e-4


def test_accumulation_of_two_equals_the_doubled_batch_for_both_players(tmp_path: Path) -> None:
    """144 examples: 4 batches of 36 in twos are 2 batches of 72; two epochs."""
    plain = (*MLP, *SGD, *CRITIC, KEEP, "pretrain.max_steps=4")
    World(tmp_path / "joint", *plain, "pretrain.batch_size=72").pretrain()
    joint = Keep.end
    World(
        tmp_path / "halves", *plain, "pretrain.batch_size=36", "trainer.accumulate_grad_batches=2"
    ).pretrain()
    for name, tensor in joint.items():
        torch.testing.assert_close(Keep.end[name], tensor, rtol=1e-4, atol=1e-6)
    assert moved(DISCRIMINATOR).abs().max() > 1e-4


def test_clipping_holds_for_each_player_by_itself(tmp_path: Path) -> None:
    clip = ("trainer.gradient_clip_val=0.001", "pretrain.max_steps=1")
    World(tmp_path, *MLP, *SGD, *CRITIC, KEEP, *clip).pretrain()
    assert float(moved("autoencoder").norm()) == pytest.approx(0.02 * 0.001, rel=1e-2)
    assert float(moved(DISCRIMINATOR).norm()) == pytest.approx(2.0 * 0.02 * 0.001, rel=1e-2)


def test_both_players_follow_the_schedule(tmp_path: Path) -> None:
    """A warm-up begins with a rate of zero."""
    warmup = ("scheduler=cosine", "scheduler.warmup=0.5", "pretrain.max_steps=1")
    World(tmp_path / "one", *MLP, *CRITIC, KEEP, *warmup).pretrain()
    assert moved("").abs().max() == 0
    World(tmp_path / "two", *MLP, *CRITIC, KEEP, *warmup, "pretrain.max_steps=2").pretrain()
    assert moved(DISCRIMINATOR).abs().max() > 0


def test_steps_of_the_run_are_those_of_the_autoencoder(tmp_path: Path) -> None:
    entry = World(tmp_path, *MLP, *CRITIC, KEEP, "pretrain.max_steps=7").pretrain().entry
    assert entry is not None
    assert Keep.module.global_step == len(Keep.batches) == 7
    state = Keep.module._adversary.optimizer.state_dict()["state"]
    assert {int(parameter["step"]) for parameter in state.values()} == {7}
    rows = {(row.split, row.step): row for row in history(entry) if row.name == "critic_adversary"}
    assert rows.keys() == {("train", 5), ("validation", 5), ("train", 7)}
    # At the start it cannot tell: two cross-entropies of a coin.
    assert 0.5 < rows["train", 5].value / (2 * 0.6931) < 1.5


def test_mixed_precision_holds_in_both_turns(tmp_path: Path) -> None:
    seen = []

    def note(*values: object) -> None:
        seen.append((torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")))

    hook = nn.modules.module.register_module_forward_hook(
        lambda module, given, out: note() if isinstance(module, nn.LeakyReLU) else None
    )
    try:
        bf16 = ("trainer.precision=bf16-mixed", "pretrain.max_steps=5")
        World(tmp_path / "mixed", *MLP, *CRITIC, KEEP, *bf16).pretrain()
    finally:
        hook.remove()
    mixed = Keep.end
    assert all(autocast for _, autocast in seen)
    World(tmp_path / "full", *MLP, *CRITIC, KEEP, "pretrain.max_steps=5").pretrain()
    for name, tensor in Keep.end.items():
        assert mixed[name].dtype == torch.float32
        torch.testing.assert_close(mixed[name], tensor, rtol=0.1, atol=0.01)
    assert differing(mixed, Keep.end) == set(mixed)


def test_the_gradient_scaler_scales_both_players_and_unscales_before_clipping(
    tmp_path: Path,
) -> None:
    clip = (*MLP, *SGD, *CRITIC, KEEP, "trainer.gradient_clip_val=0.001", "pretrain.max_steps=2")
    World(tmp_path / "scaled", *clip, *SCALED).pretrain()
    scaled = {part: moved(part) for part in ("autoencoder", DISCRIMINATOR)}
    World(tmp_path / "full", *clip).pretrain()
    for part, step in scaled.items():
        expected = moved(part)
        assert float((step - expected).norm()) < 0.05 * float(expected.norm())


def test_a_discriminator_that_diverges_stops_the_run_and_is_named(tmp_path: Path) -> None:
    world = World(tmp_path, *MLP, *SGD, *CRITIC, "loss.critic.lr_scale=1e30")
    with pytest.raises(FloatingPointError, match="pretrain: .*critic_adversary.* is not finite"):
        world.pretrain()
    (file,) = tmp_path.glob("store/pretrain-*/diverged.pt")
    assert "critic_adversary" in torch.load(file, weights_only=True)["terms"]


def test_the_discriminator_follows_from_the_seed_and_leaves_the_autoencoders_start(
    tmp_path: Path,
) -> None:
    still = (*MLP, KEEP, "pretrain.lr=0.0", "pretrain.max_steps=1")
    starts = []
    for name, more in (("a", CRITIC), ("b", CRITIC), ("c", (*CRITIC, "seed=1")), ("d", ())):
        torch.rand(7)
        World(tmp_path / name, *still, *more).pretrain()
        starts.append(Keep.start)
    assert differing(starts[0], starts[1]) == set()
    assert differing(starts[0], starts[2]) == set(starts[0])
    assert differing(starts[0], starts[3]) == {n for n in starts[0] if DISCRIMINATOR in n}


def test_a_closed_form_has_no_turns(tmp_path: Path) -> None:
    world = World(tmp_path, "autoencoder=pca", "bottleneck.latent_dim=4", *CRITIC)
    with pytest.raises(UserError, match=r"loss\.critic .* computed in closed form"):
        world.pretrain()


@pytest.mark.parametrize("transfer", ["parameter/keep_reconstructing", "feature/drcn"])
def test_the_game_does_not_go_on_in_transfer(transfer: str) -> None:
    cfg = compose(["autoencoder=aae", f"transfer={transfer}"])
    with pytest.raises(ConfigError, match=r"loss\.prior \(AdversarialPrior\)") as caught:
        check(resolved(cfg), cfg.hydra.runtime.choices)
    assert "\n" not in str(caught.value)
