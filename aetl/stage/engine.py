"""How steps are computed: what is the same mathematics on every machine, and faster on some."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Literal

import torch
from torch import nn

from aetl.autoencoder.base import Layered
from aetl.data.loader import Loader
from aetl.ranges import Fraction
from aetl.stage.near import near
from aetl.stage.recomputed import recomputed
from aetl.types import UserError

Switch = bool | Literal["auto"]
Compiling = Switch | Literal["graphs"]
Products = Literal["highest", "high", "medium"]

WORTH_COMPILING = 5_000
"""Steps of a stage: compiling takes up to a minute."""


class Engine:
    """What a stage does to its module and its data while it trains; afterwards all is as before.

    ``compile``: encoders and decoders by torch.compile; ``auto``: on a GPU, from
    ``WORTH_COMPILING`` steps on; ``graphs``: their kernels as CUDA graphs, too, one launch each,
    which needs batches of few sizes (elsewhere than on a GPU as true). ``channels_last``: weights
    of convolutions with their channels last; ``auto``: on a GPU. ``matmul_precision`` is torch's
    for products of float32 (``high``: TF32, ``medium``: bfloat16); convolutions take TF32 unless it
    is ``highest``; null leaves both as torch has them. ``checkpointing`` computes each block's
    activations again in the backward pass. ``data_share`` is how much of a GPU's free memory
    training data may take; what does not fit is copied batch by batch. The last two change no bit.
    """

    def __init__(
        self,
        *,
        compile: Compiling,
        channels_last: Switch,
        matmul_precision: Products | None,
        checkpointing: bool,
        data_share: Fraction,
    ) -> None:
        self.compile, self.channels_last = compile, channels_last
        self.matmul_precision, self.checkpointing = matmul_precision, checkpointing
        self.data_share = data_share
        if compile not in (False, "auto") and checkpointing:
            raise UserError(
                "engine.checkpointing=true: torch does not compile it; set compile=false"
            )

    @contextmanager
    def running(
        self, module: nn.Module, loaders: Iterable[Loader], device: torch.device, steps: int
    ) -> Iterator[None]:
        """Around a stage of so many steps on the device."""
        on_gpu = device.type == "cuda"
        worth = on_gpu and steps >= WORTH_COMPILING and not self.checkpointing
        with ExitStack() as stack:
            stack.enter_context(unfilled())
            stack.enter_context(products(self.matmul_precision))
            stack.enter_context(near(loaders, device, self.data_share))
            if _decided(self.channels_last, on_gpu):
                stack.enter_context(channels_last(module))
            stack.enter_context(recomputed(module, self.checkpointing))
            if self.compile == "graphs":
                stack.enter_context(compiled(module, device, mode="reduce-overhead"))
                stack.enter_context(marking(module))
            elif _decided(self.compile, worth):
                stack.enter_context(compiled(module, device))
            yield


def _decided(asked: Compiling, otherwise: bool) -> bool:
    return otherwise if asked == "auto" else asked is True


@contextmanager
def unfilled() -> Iterator[None]:
    """Inside, new tensors are not filled with NaN before an operation writes into them.

    torch fills them where it is asked to be deterministic, a twentieth of a convolutional step; no
    operation of a training reads what it has not written.
    """
    switch: Any = torch.utils.deterministic
    before = switch.fill_uninitialized_memory
    switch.fill_uninitialized_memory = False
    try:
        yield
    finally:
        switch.fill_uninitialized_memory = before


@contextmanager
def products(precision: Products | None) -> Iterator[None]:
    """Inside, products of float32 are as precise as this; None leaves them alone."""
    if precision is None:
        yield
        return
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = precision != "highest"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


@contextmanager
def channels_last(module: nn.Module) -> Iterator[None]:
    """Inside, weights of convolutions lie with their channels last, as GPUs convolve faster."""
    module.to(memory_format=torch.channels_last)
    try:
        yield
    finally:
        module.to(memory_format=torch.contiguous_format)


@contextmanager
def compiled(
    module: nn.Module, device: torch.device, backend: str = "inductor", mode: str | None = None
) -> Iterator[None]:
    """Inside, encoders and decoders are compiled: what draws by key or gathers is left as it is.

    ``mode`` is torch's. ``UserError`` where torch finds no compiler.
    """
    _refuse_without_compiler(device, backend)
    layered = [part for part in module.modules() if isinstance(part, Layered)]
    parts = [side for part in layered for side in (part.encoder, part.decoder)]
    for part in parts:
        part.compile(backend=backend, mode=mode)
    try:
        yield
    finally:
        for part in parts:
            part._compiled_call_impl = None
        torch.compiler.reset()


@contextmanager
def marking(module: Any) -> Iterator[None]:
    """Inside, torch is told where a step begins: what graphs gave before may be overwritten.

    Batches whose gradients add up are one step.
    """
    module.begin_step = torch.compiler.cudagraph_mark_step_begin
    try:
        yield
    finally:
        del module.begin_step


def _refuse_without_compiler(device: torch.device, backend: str) -> None:
    probe = torch.compile(lambda x: x + 1, backend=backend)
    try:
        probe(torch.zeros(2, device=device))
    except Exception as error:
        said = str(error).strip().splitlines()
        raise UserError(
            f"engine.compile=true: torch cannot compile here ({said[0] if said else error}); "
            "install a C++ compiler (and for a GPU Triton), or set engine.compile=false"
        ) from None


def fused(
    optimizer: Callable[..., torch.optim.Optimizer], device: torch.device, *, clips_mixed: bool
) -> Callable[..., torch.optim.Optimizer]:
    """The optimiser with what ``fused=auto`` means on this device: one kernel a step on a GPU.

    Under mixed precision Lightning refuses to clip before such a step (``clips_mixed``).
    """
    asked = getattr(optimizer, "keywords", dict[str, Any]()).get("fused")
    if asked is True and clips_mixed:
        raise UserError(
            "optimizer.fused=true: does not go with trainer.gradient_clip_val under mixed "
            "precision; set optimizer.fused=auto"
        )
    if asked != "auto":
        return optimizer
    return partial(optimizer, fused=True if device.type == "cuda" and not clips_mixed else None)
