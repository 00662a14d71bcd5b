"""Options of the engine: the same mathematics, the same names and forms of weights."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from torch import nn

from aetl.label import engine_that_counts
from aetl.rng import Rng
from aetl.stage import engine
from aetl.stage.engine import channels_last, compiled, fused, products, unfilled
from aetl.stage.fit import Training
from aetl.stage.recomputed import recomputed
from aetl.types import DoesNotFit, UserError
from tests.conformance.test_autoencoders import (
    AUTOENCODERS,
    GREY,
    Case,
    backward,
    config,
    pretraining,
)
from tests.tiny import CONV, MLP, World, differing, history, same_bits, weights

CPU = torch.device("cpu")
CONVOLVING = ("conv", "resnet")
DEEP = ("resnet", "vit")
Found = tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict[str, torch.Tensor]]


def learnt(module: Any, batch: Any) -> Found:
    """A step's values, gradients and buffers."""
    module.zero_grad(set_to_none=True)
    torch.manual_seed(0)  # dropout
    values = module.losses(batch, Rng.of(0), 0, 0.5)
    backward(module, values["loss"])
    gradients = {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}
    return values, gradients, {n: b.clone() for n, b in module.named_buffers()}


def fresh(autoencoder: str, backbone: str) -> tuple[Any, Any]:
    return pretraining(Case(autoencoder, backbone, GREY))


def of_every_autoencoder(*everyday: str) -> pytest.MarkDecorator:
    cases = [
        pytest.param(name, marks=() if name in everyday else (pytest.mark.slow,))
        for name in AUTOENCODERS
        if name != "identity"  # has nothing to learn
    ]
    return pytest.mark.parametrize("autoencoder", cases)


@pytest.mark.parametrize("backbone", DEEP)
@of_every_autoencoder("mae", "factor_vae")
def test_recomputed_blocks_give_the_same_bits(autoencoder: str, backbone: str) -> None:
    if config(autoencoder, backbone) is None:
        pytest.skip("the autoencoder and the backbone do not go together")
    plain, twice = fresh(autoencoder, backbone), fresh(autoencoder, backbone)
    expected = learnt(*plain)
    names = list(twice[0].state_dict())
    try:
        with recomputed(twice[0], True):
            assert list(twice[0].state_dict()) == names
            found = learnt(*twice)
    except DoesNotFit as refusal:
        pytest.skip(str(refusal))
    for one, other in zip(expected, found, strict=True):
        assert differing(one, other) == set()
    assert not any("Recomputed" in type(part).__name__ for part in twice[0].modules())


def test_recomputing_keeps_fewer_activations() -> None:
    def kept(again: bool) -> int:
        module, batch = fresh("undercomplete", "resnet")
        sizes: list[int] = []

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes.append(tensor.nbytes)
            return tensor

        with recomputed(module, again), torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            module.losses(batch, Rng.of(0), 0, 0.5)
        return sum(sizes)

    assert kept(True) < kept(False) / 4


def test_a_spectral_norm_is_not_recomputed() -> None:
    cfg: Any = config("undercomplete", "conv")
    module, _ = fresh("undercomplete", "conv")
    from torch.nn.utils.parametrizations import spectral_norm

    spectral_norm(next(m for m in module.modules() if isinstance(m, nn.Conv2d)))
    with pytest.raises(DoesNotFit, match="spectral_norm=none"), recomputed(module, True):
        pass
    assert cfg is not None


@pytest.mark.parametrize("backbone", CONVOLVING)
@of_every_autoencoder("undercomplete", "vae", "vq")
def test_channels_last_change_no_more_than_rounding(autoencoder: str, backbone: str) -> None:
    if config(autoencoder, backbone) is None:
        pytest.skip("the autoencoder and the backbone do not go together")
    plain, last = fresh(autoencoder, backbone), fresh(autoencoder, backbone)
    before = {n: t.clone() for n, t in last[0].state_dict().items()}
    pair = [module.double() for module, _ in (plain, last)]
    batches = [batch._replace(x=batch.x.double()) for _, batch in (plain, last)]
    expected = learnt(pair[0], batches[0])
    with channels_last(pair[1]):
        kernels = [p for p in pair[1].parameters() if p.dim() == 4 and min(p.shape[1:]) > 1]
        assert all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)
        found = learnt(pair[1], batches[1])
    for one, other in zip(expected[:2], found[:2], strict=True):
        torch.testing.assert_close(other, one, rtol=1e-6, atol=1e-9)
    state = pair[1].state_dict()
    assert list(state) == list(before)
    assert all(t.is_contiguous() for t in state.values())


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("backbone", ["mlp", *CONVOLVING, "vit"])
@of_every_autoencoder("vae", "vq")
@pytest.mark.usefixtures("deterministic")
def test_no_step_reads_what_it_has_not_written(autoencoder: str, backbone: str) -> None:
    if config(autoencoder, backbone) is None:
        pytest.skip("the autoencoder and the backbone do not go together")
    assert torch.empty(2).isnan().all()  # what torch fills new memory with
    expected = learnt(*fresh(autoencoder, backbone))
    with unfilled():
        assert not torch.utils.deterministic.fill_uninitialized_memory
        torch.full((1 << 20,), 7.0)  # what is freed and given out again
        found = learnt(*fresh(autoencoder, backbone))
    assert torch.empty(2).isnan().all()
    assert all(value.isfinite().all() for part in expected[:2] for value in part.values())
    for one, other in zip(expected, found, strict=True):
        assert differing(one, other) == set()


class Sees(pl.Callback):
    """Whether torch is deterministic, and fills new memory, while a batch is worked on."""

    seen: ClassVar[set[tuple[bool, bool]]] = set()

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        filled = torch.utils.deterministic.fill_uninitialized_memory
        self.seen.add((torch.are_deterministic_algorithms_enabled(), bool(filled)))


def test_a_deterministic_training_fills_no_memory(tmp_path: Path) -> None:
    Sees.seen.clear()
    sees = "+callback.sees._target_=tests.stage.test_engine.Sees"
    World(tmp_path, *MLP, "trainer.deterministic=warn", sees).transfer()
    assert Sees.seen == {(True, False)}
    assert torch.utils.deterministic.fill_uninitialized_memory


def test_precision_of_products_is_put_back() -> None:
    def now() -> tuple[str, bool]:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32

    before = now()
    for asked, tf32 in (("highest", False), ("high", True), ("medium", True)):
        with products(asked):
            assert now() == (asked, tf32)
        assert now() == before
    with products(None):
        assert now() == before


class Counted:
    """A compiler that counts what it is given, and compiles nothing."""

    def __init__(self) -> None:
        self.graphs, self.modes = 0, set[str]()

    def __call__(self, graph: Any, inputs: Any, mode: str = "default") -> Any:
        self.graphs += 1
        self.modes.add(mode)
        return graph.forward


@pytest.mark.parametrize("backbone", [pytest.param("mlp", marks=pytest.mark.slow), "conv"])
def test_a_compiled_encoder_and_decoder_are_the_same(backbone: str) -> None:
    plain, fast = fresh("vae", backbone), fresh("vae", backbone)
    expected = learnt(*plain)
    names = list(fast[0].state_dict())
    backend = Counted()
    with compiled(fast[0], CPU, backend=backend):
        found = learnt(*fast)
        assert list(fast[0].state_dict()) == names
    assert backend.graphs >= 3  # the probe, the encoder, the decoder
    for one, other in zip(expected[:2], found[:2], strict=True):
        assert differing(one, other) == set()
    made = backend.graphs
    learnt(*fast)
    assert backend.graphs == made  # afterwards nothing is compiled


@pytest.mark.parametrize(
    "asked, mode", [("true", "default"), ("graphs", "reduce-overhead"), ("false", None)]
)
def test_graphs_are_told_where_each_step_begins(
    asked: str, mode: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, steps, validations = Counted(), list[int](), list[int]()
    validation_step = Training.validation_step

    def validated(self: Training, batch: Any, batch_idx: int) -> Any:
        validations.append(1)
        return validation_step(self, batch, batch_idx)

    monkeypatch.setattr(Training, "validation_step", validated)
    world = World(
        tmp_path, *MLP, f"engine.compile={asked}", "trainer.accumulate_grad_batches=2",
        "source.validation_fraction=0.2", "score=none",
    )  # fmt: skip
    monkeypatch.setattr(engine, "compiled", partial(compiled, backend=backend))
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: steps.append(1))
    trained = world.pretrain()
    assert trained.entry is not None
    probed = {"default"} if mode else set()  # whether torch can compile at all
    assert backend.modes - {mode} == probed - {mode}
    assert (mode in backend.modes) == bool(mode)
    assert len(validations) > 0
    assert len(steps) == (0 if asked != "graphs" else 6 + len(validations))


def test_where_torch_cannot_compile_a_line_says_so() -> None:
    def broken(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no compiler\nin many lines")

    module, _ = fresh("undercomplete", "mlp")
    with (
        pytest.raises(UserError, match="engine.compile=true: torch cannot compile here") as told,
        compiled(module, CPU, backend=broken),
    ):
        pass
    assert "\n" not in str(told.value)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("overrides", [MLP, CONV], ids=["mlp", "conv"])
def test_a_compiled_training_reaches_the_same_weights(
    overrides: tuple[str, ...], tmp_path: Path
) -> None:
    results = []
    for on in ("false", "true"):
        # Not Adam, which makes a step of full size of a gradient that is zero up to rounding (that
        # of a bias before batch normalisation).
        world = World(tmp_path / on, *overrides, "optimizer=sgd", f"engine.compile={on}")
        entry = world.pretrain().entry if overrides is CONV else world.transfer()
        assert entry is not None
        name = "autoencoder.pt" if overrides is CONV else "network.safetensors"
        results.append(weights(entry, name))
    assert results[0].keys() == results[1].keys()
    torch.testing.assert_close(results[1], results[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "asked, device, clips, expected",
    [
        ("auto", "cpu", False, None), ("auto", "cuda", False, True), ("auto", "cuda", True, None),
        (False, "cuda", False, False), (True, "cpu", False, True), (None, "cuda", False, None),
    ],
)  # fmt: skip
def test_fused_is_for_gpus_unless_it_is_asked_for(
    asked: Any, device: str, clips: bool, expected: Any
) -> None:
    made = fused(partial(torch.optim.Adam, fused=asked), torch.device(device), clips_mixed=clips)
    assert made.keywords["fused"] is expected  # type: ignore[attr-defined]


def test_fused_and_clipping_under_mixed_precision_are_refused_in_a_line(tmp_path: Path) -> None:
    world = World(
        tmp_path, *MLP, "optimizer.fused=true", "trainer.gradient_clip_val=1.0",
        "trainer.precision=bf16-mixed",
    )  # fmt: skip
    with pytest.raises(UserError, match="optimizer.fused=true"):
        world.pretrain()


def test_a_fused_step_on_a_cpu_is_the_same_up_to_rounding(tmp_path: Path) -> None:
    results = []
    for on in ("false", "true"):
        entry = World(tmp_path / on, *MLP, f"optimizer.fused={on}").pretrain().entry
        assert entry is not None
        results.append(weights(entry, "autoencoder.pt"))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("option", ["engine.checkpointing=true", "engine.data_share=0.1"])
def test_what_changes_no_bit_takes_no_part_in_a_digest(option: str, tmp_path: Path) -> None:
    world = World(tmp_path, *CONV)
    first = world.pretrain().entry
    again = world.but(option).pretrain().entry
    other = world.but("engine.channels_last=true").pretrain().entry
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.digest == again.digest != other.digest


def test_checkpointing_trains_to_the_same_bits(tmp_path: Path) -> None:
    found = []
    for on in ("false", "true"):
        world = World(
            tmp_path / on, *CONV, "backbone.norm=batch", "backbone.dropout=0.2",
            f"engine.checkpointing={on}",
        )  # fmt: skip
        entry = world.transfer()
        found.append((weights(entry), history(entry)))
    assert differing(found[0][0], found[1][0]) == set()
    assert found[0][1] == found[1][1]


def test_channels_last_save_the_same_form(tmp_path: Path) -> None:
    entry = World(tmp_path, *CONV, "engine.channels_last=true").pretrain().entry
    assert entry is not None
    assert all(t.is_contiguous() for t in weights(entry, "autoencoder.pt").values())


def test_checkpointing_and_compiling_are_refused_together() -> None:
    cfg: Any = config("undercomplete", "mlp")
    with pytest.raises(Exception, match="torch does not compile it"):
        instantiate(cfg.engine, checkpointing=True, compile=True)


def test_all_options_but_two_count() -> None:
    cfg: Any = config("undercomplete", "mlp")
    counted = engine_that_counts(cfg.engine)
    assert set(cfg.engine) - set(counted) == {"checkpointing", "data_share"}
    assert engine.WORTH_COMPILING > 0


def test_same_bits_sees_strides_as_no_difference() -> None:
    x = torch.rand(2, 3, 4, 5)
    assert same_bits(x, x.to(memory_format=torch.channels_last))
