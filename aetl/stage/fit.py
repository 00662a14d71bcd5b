"""Training by Lightning, the same for every stage: exact resume, keyed randomness, a history."""

from __future__ import annotations

import copy
import logging
import math
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities import registry
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.loops.utilities import _block_parallel_sync_behavior
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from aetl import ranks
from aetl.files import write_torch
from aetl.ranges import Count, Natural, NonNegative
from aetl.rng import Rng, key_seed, seed_global
from aetl.stage.adversary import Adversary
from aetl.stage.callbacks import (
    Monitors,
    Told,
    foreign,
    in_order,
    is_averaged,
    renew_norms,
    renew_schedulers,
)
from aetl.stage.engine import Engine, fused
from aetl.stage.joint_norms import joint_norms
from aetl.stage.packing import Pace, Pack, Packs, counts_batches, is_plain, limits_epochs
from aetl.stage.schedule import Schedule
from aetl.stage.sharded import Sharded
from aetl.stage.time_limit import note_out_of_time
from aetl.store import sealed
from aetl.tracking.history import History, Listener
from aetl.types import DoesNotFit, UserError

if hasattr(registry, "entry_points"):
    # Each Trainer looks for callbacks through all that is installed: 7 ms.
    registry.entry_points = cache(registry.entry_points)

log = logging.getLogger(__name__)

for _name in ("pytorch_lightning", "lightning_fabric"):
    logging.getLogger(_name).setLevel(logging.WARNING)  # no advertisements, no device inventory

if not torch.cuda.device_count():
    # Lightning has set it to 1, and without a driver torch looks for one at each optimiser step.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"

Optimizer = Callable[..., torch.optim.Optimizer]

EXPLODED = 1e6
"""A loss that is so many times its first value, or times 1 if that is smaller, has diverged."""


class Fit:
    """How long and how fast a stage trains.

    ``epochs`` over the data, but at least ``min_steps`` and at most ``max_steps`` optimiser steps,
    with joint batches of ``batch_size`` examples (over all ranks) and a base rate ``lr``.
    """

    def __init__(
        self,
        *,
        epochs: Natural,
        min_steps: Natural,
        max_steps: Natural | None,
        batch_size: Count,
        lr: NonNegative,
    ) -> None:
        self.epochs, self.min_steps, self.max_steps = epochs, min_steps, max_steps
        self.batch_size, self.lr = batch_size, lr

    def total_steps(self, batches_per_epoch: int, accumulate: int) -> int:
        per_epoch = max(1, math.ceil(batches_per_epoch / accumulate))
        steps = max(self.epochs * per_epoch, self.min_steps)
        return steps if self.max_steps is None else min(steps, self.max_steps)


class Training(pl.LightningModule):
    """What the stages' modules share: keyed randomness, the optimiser, a finite loss.

    ``losses(batch, rng)`` gives, for each named value, its mean over the joint batch's share that
    this rank holds, scaled so that the mean over ranks is the mean over the joint batch.
    """

    stage: str
    can_be_sharded = False
    trains_in_turns = False
    """Whether there are steps at which some parameters take no part."""
    history: History
    batches: Any
    """The loader of what is trained on."""
    first_loss: Tensor

    def __init__(
        self, *, seed: int, fit: Fit, optimizer: Optimizer, schedule: Schedule, total_steps: int
    ) -> None:
        super().__init__()
        self.automatic_optimization = False  # so that one round of the trainer's takes many steps
        self.seed, self.fit_settings, self.total_steps = seed, fit, total_steps
        self.accumulate, self.clip = 1, dict[str, Any]()
        self.batches_per_epoch = 0
        self.position = 0  # of the next batch in its epoch
        self.pace = Pace()
        self.plain = False
        self._optimizer, self._schedule = optimizer, schedule
        # A buffer, so that a resumed training judges by the same number.
        self.register_buffer("first_loss", torch.tensor(math.nan))
        self._adversary: Adversary | None = None
        self._adversary_state: dict[str, Any] | None = None
        self._saved_rates: list[float] = []
        self.monitors = Monitors([])

    def __deepcopy__(self, memo: dict[int, Any]) -> Training:
        """Of the weights alone, for callbacks that average them: data and history are shared."""
        new = copy.copy(self)
        for part in ("_parameters", "_buffers", "_modules"):
            new.__dict__[part] = copy.deepcopy(self.__dict__[part], memo)
        return new

    @property
    def title(self) -> str:
        """What a person sees that is trained."""
        return self.stage

    def losses(self, batch: Any, rng: Rng, batch_index: int, progress: float) -> dict[str, Tensor]:
        """The values of a batch by name; ``loss`` is what is minimised."""
        raise NotImplementedError

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups of parameters with their rates."""
        raise NotImplementedError

    def rate_scales(self) -> list[Callable[[float], float]]:
        """For each group a factor on its rate at the fraction of the steps done; none: all 1."""
        return []

    def adversary_groups(self) -> list[dict[str, Any]]:
        """Groups of parameters that are trained in turn with the others, with their ``scale``."""
        return []

    def adversary_losses(
        self, batch: Any, rng: Rng, batch_index: int, progress: float
    ) -> dict[str, Tensor]:
        """What those minimise, by name, each scaled as in ``losses``."""
        raise NotImplementedError

    @property
    def progress(self) -> float:
        """The fraction of the optimiser steps that are done."""
        return min(1.0, self._fraction(self.global_step))

    def _fraction(self, step: int) -> float:
        return step / max(1, self.total_steps)

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, Tensor]:
        """Train on one batch, or on a pack of them; the values of each."""
        pack = [batch]
        if isinstance(batch, Pack):  # which the trainer has left alone
            pack = [self.trainer.precision_plugin.convert_input(one) for one in batch.batches]
        start, step = time.perf_counter(), self.global_step
        found: list[dict[str, Tensor]] = []
        try:
            for one in pack:
                found.append(self._train_on(one))
        except Exception:
            # A loss may fail in its own way on weights that are no numbers any more.
            self._refuse_divergence(found, pack)
            raise
        self._refuse_divergence(found, pack)
        if self._adversary is not None:
            self._refuse_infinite_adversary(pack)
        self.pace.took(self.global_step - step, time.perf_counter() - start)
        names = dict.fromkeys(name for values in found for name in values)
        return {
            name: torch.stack([values[name] for values in found if name in values]).squeeze(0)
            for name in names
        }

    def _train_on(self, batch: Any) -> dict[str, Tensor]:
        """A batch's gradient, and the optimiser's step where it is due."""
        index, self.position = self.position, self.position + 1
        first = index % self.accumulate == 0
        last = self.position % self.accumulate == 0 or self.position == self.batches_per_epoch
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        self.begin_batch()
        if first:
            self.begin_step()
        values: dict[str, Tensor] = {}

        def closure() -> Any:
            values.update(self._values(batch, index))
            if first:
                optimizer.zero_grad()
            loss = values["loss"] / self.accumulate
            if self.plain:
                self.backward(loss)
            else:
                self.manual_backward(loss)
            return values["loss"].detach()  # an optimiser that searches along a line asks for it

        if self._adversary is not None:
            self._adversary.seen.append((batch, index))
        if not last:
            with _block_parallel_sync_behavior(self.trainer.strategy, block=True):
                closure()
        else:
            self._step(optimizer, closure)
            self._step_rates(self._scheduler)
            if self._adversary is not None:
                rate = self.fit_settings.lr * self._schedule.at(self._fraction(self.global_step))
                rates = [rate * group["scale"] for group in self._adversary.optimizer.param_groups]
                self._adversary.turn(self, rates, self.accumulate, self._adversary_step)
        return {name: value.detach() for name, value in values.items()}

    def _step(self, optimizer: LightningOptimizer, closure: Callable[[], Any]) -> None:
        """A step of the optimiser; where ``plain``, without the plugins, that call hooks alone."""
        if not self.plain:
            optimizer.step(closure)
            return

        def whole() -> Any:
            loss = closure()
            self.on_before_optimizer_step(optimizer)
            return loss

        optimizer._on_before_step()
        optimizer.optimizer.step(whole)
        optimizer._on_after_step()

    def begin_step(self) -> None:
        """Before an optimiser's step, or another look at a batch, is computed."""

    def _values(self, batch: Any, index: int) -> dict[str, Tensor]:
        key = (self.seed, self.stage, self.current_epoch, index)
        seed_global(key_seed(*key, ranks.rank()), self.device)  # dropout draws from there
        return self.losses(batch, Rng.of(*key), index, self.progress)

    def begin_batch(self) -> None:
        """Before a batch is trained on."""

    def _step_rates(self, scheduler: Any) -> None:
        """Our own schedule goes by steps; one that a callback has put in its place by epochs."""
        for config in self.trainer.lr_scheduler_configs:
            if config.scheduler is scheduler:
                scheduler.step()

    def on_train_batch_end(self, *_: Any) -> None:
        # The trainer calls this after the callbacks, so their states are those after the batch.
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, ResumePoint):
                callback.batch_done(self.trainer)

    def on_train_epoch_end(self) -> None:
        for config in self.trainer.lr_scheduler_configs:
            if config.scheduler is not self._scheduler:
                assert isinstance(config.scheduler, LRScheduler)
                config.scheduler.step()
        self.end_epoch()
        self.monitors.refuse_unknown(self)

    def end_epoch(self) -> None:
        """After an epoch, before callbacks judge it."""

    def awaited(self) -> tuple[str, ...]:
        """How values begin that have not come yet and will."""
        return ()

    def on_train_end(self) -> None:
        if isinstance(self.trainer.strategy, Sharded):
            self.trainer.strategy.gather()
        # After the callbacks, one of which may have put an average in the place of the weights.
        if is_averaged(self.trainer.callbacks):  # type: ignore[attr-defined]
            self.batches.epoch = self.batches.skip = 0
            renew_norms(self, self.batches)

    def look_at(self, batch: Any, index: int) -> None:
        """A batch's way through the network and the loss, for what they leave behind."""
        strategy, precision = self.trainer.strategy, self.trainer.precision_plugin
        self.begin_step()
        with precision.train_step_context():
            self._values(precision.convert_input(strategy.batch_to_device(batch)), index)

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        if self.clip:
            self.clip_gradients(optimizer, **self.clip)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Backward; a layer without a second derivative does not fit a penalty on the first."""
        try:
            super().backward(loss, *args, **kwargs)
        except RuntimeError as error:
            if not str(error).startswith("derivative for "):
                raise
            raise DoesNotFit(
                "loss: asks for second derivatives, and torch has none of a layer of this backbone "
                f"({str(error).splitlines()[0]}); choose another backbone"
            ) from None

    def _adversary_step(self, batch: Any, batch_idx: int) -> Tensor:
        key = (self.seed, self.stage, self.current_epoch, batch_idx, "adversary")
        seed_global(key_seed(*key, ranks.rank()), self.device)
        values = self.adversary_losses(batch, Rng.of(*key), batch_idx, self.progress)
        total = torch.stack(list(values.values())).sum()
        assert self._adversary is not None
        self._adversary.totals.append((total.detach(), {k: v.detach() for k, v in values.items()}))
        return total

    def validation_step(self, batch: Any, batch_idx: int) -> dict[str, Tensor]:
        rng = Rng.of(self.seed, self.stage, "validation", batch_idx)
        self.begin_step()
        return self.losses(batch, rng, batch_idx, self.progress)

    def configure_optimizers(self) -> Any:
        mixed = isinstance(self.trainer.precision_plugin, MixedPrecision)
        self._optimizer = fused(self._optimizer, self.device, clips_mixed=mixed and bool(self.clip))
        optimizer = self._optimizer(self.parameter_groups(), lr=self.fit_settings.lr)
        self._adversary = self._configured_adversary()
        factor = self._schedule

        def rate(scale: Callable[[float], float], step: int) -> float:
            progress = self._fraction(step)
            return factor.at(progress) * scale(min(1.0, progress))

        scales = self.rate_scales() or [lambda _: 1.0] * len(optimizer.param_groups)
        self._scheduler = LambdaLR(optimizer, [partial(rate, scale) for scale in scales])
        return {"optimizer": optimizer, "lr_scheduler": self._scheduler}

    def _configured_adversary(self) -> Adversary | None:
        groups = self.adversary_groups()
        if not groups:
            return None
        adversary = Adversary(self._optimizer(groups, lr=self.fit_settings.lr))
        if self._adversary_state is not None:
            adversary.optimizer.load_state_dict(self._adversary_state)
        return adversary

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["aetl_position"] = self.position
        if self._adversary is not None:
            checkpoint["aetl_adversary"] = self._adversary.optimizer.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # Lightning calls this before it asks for the optimisers.
        self._adversary_state = checkpoint.get("aetl_adversary")
        self._saved_rates = [g["lr"] for g in checkpoint["optimizer_states"][0]["param_groups"]]

    def on_train_start(self) -> None:
        """Where a callback's scheduler had taken the place of ours it is made anew at an epoch's
        start, and making it changes the rates: they are put back."""
        if self.trainer.lr_scheduler_configs:  # which it empties
            self._saved_rates = []
        if self.position:
            renew_schedulers(self.trainer, self)
            self._put_rates_back()

    def on_train_epoch_start(self) -> None:
        self._put_rates_back()

    def _put_rates_back(self) -> None:
        rates, self._saved_rates = self._saved_rates, []
        if rates:
            for group, rate in zip(self.trainer.optimizers[0].param_groups, rates, strict=True):
                group["lr"] = rate

    def observed(self) -> dict[str, float]:
        """More numbers at the end of a validation, by name: for the history alone."""
        return {}

    def _refuse_divergence(self, found: Sequence[Mapping[str, Tensor]], pack: list[Any]) -> None:
        """Raise for the first of the steps whose loss is no number or has exploded.

        Looked at once a pack: to look at each step would make the device wait for the host.
        """
        if not found:
            return
        losses = torch.stack([values["loss"] for values in found]).float().cpu()
        if torch.isnan(self.first_loss):
            self.first_loss.copy_(losses[0])
        limit = EXPLODED * max(1.0, float(self.first_loss.abs()))
        bad = ~torch.isfinite(losses) | (losses.abs() > limit)
        if not bad.any():
            return
        place = int(bad.nonzero()[0])
        values, batch = found[place], pack[place]
        told = {name: float(value) for name, value in values.items()}
        if math.isfinite(told["loss"]):
            terms = ", ".join(f"{name} {value:.3g}" for name, value in told.items())
            said = f"the loss is more than {EXPLODED:.0e} times its first value ({terms})"
        else:
            names = (name for name, value in told.items() if not math.isfinite(value))
            said = f"{', '.join(names)} is not finite"
        self._diverged(said, values, batch, len(found) - place)

    def _refuse_infinite_adversary(self, pack: list[Any]) -> None:
        assert self._adversary is not None
        totals, self._adversary.totals = self._adversary.totals, []
        bad = ~torch.isfinite(torch.stack([total for total, _ in totals])) if totals else None
        if bad is not None and bad.any():
            place = int(bad.nonzero()[0])
            values = totals[place][1]
            names = [name for name, value in values.items() if not torch.isfinite(value)]
            said = f"{', '.join(names)} is not finite"
            self._diverged(said, values, pack[min(place, len(pack) - 1)], len(totals) - place)

    def _diverged(self, what: str, values: Mapping[str, Tensor], batch: Any, ago: int) -> None:
        """Raise for a step so many batches ago (the last one is one ago)."""
        step = self.global_step - math.ceil(ago / self.accumulate)
        file = Path(self.trainer.default_root_dir) / "diverged.pt"
        terms = {name: value.detach() for name, value in values.items()}
        write_torch(file, {"step": step, "terms": terms, "batch": _by_name(batch)})
        raise Diverged(
            f"{self.stage}: {what} at step {step} (the batch is saved in {file}); "
            + ("lower the learning rate or clip the gradient" if step else _BEFORE_ANY_STEP)
        )


_BEFORE_ANY_STEP = (
    "no step was taken before it, so inputs or settings are out of range (scale=standard brings "
    "the columns of vectors to one scale)"
)


class Diverged(FloatingPointError):
    """A training whose loss is no number any more; told in its own words."""

    exit_code: Final = 1

    @property
    def recorded(self) -> str:
        return str(self)


class ResumePoint(pl.Callback):
    """Writes ``last.ckpt`` every ``every_n_steps`` optimiser steps, whole or not at all.

    After the last batch of an epoch it waits for the start of the next one. Lightning, resumed in
    between, would leave out the validation, or train on one batch too many. There it comes before
    other callbacks, which see the start again when the training goes on.
    """

    def __init__(self, *, every_n_steps: Count) -> None:
        self.every_n_steps = every_n_steps
        self._saved = -1
        self._at_epoch_start = False
        self._looked = False

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        # Not again before the next step: gradients that are being accumulated are not kept.
        self._saved = trainer.global_step

    def batch_done(self, trainer: pl.Trainer) -> None:
        """After every callback has had its say about a batch."""
        if not trainer.is_last_batch:
            self._save_when_due(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._at_epoch_start = True
        self._save_when_due(trainer)
        self._at_epoch_start = False

    def on_save_checkpoint(
        self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Between epochs, count the last one as over and no batch of the next one as begun."""
        if not self._looked:  # once: it takes a moment
            sealed.refuse_code(checkpoint.get("callbacks", {}))
            self._looked = True
        if not self._at_epoch_start:
            return
        epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]
        for counts in (epochs["total"], epochs["current"]):
            counts["ready"] = counts["completed"]
        batches = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        batches["current"] = dict.fromkeys(batches["current"], 0)
        batches["is_last_batch"] = False

    def _save_when_due(self, trainer: pl.Trainer) -> None:
        step = trainer.global_step
        if step % self.every_n_steps or step == self._saved or step == trainer.max_steps:
            return
        self._saved = step
        file = Path(trainer.default_root_dir) / "last.ckpt"
        # Every rank takes part in the collection of the state, rank 0 alone writes.
        if not trainer.is_global_zero:
            trainer.save_checkpoint(file)
            return
        sealed.save(file, trainer.save_checkpoint)


class _Signals(pl.Callback):
    """Leaves to the command what a signal does. Lightning would end with exit code 0 at SIGTERM."""

    def __init__(self) -> None:
        self.handler = signal.getsignal(signal.SIGTERM)

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self.handler)


class _Epochs(pl.Callback):
    """Tells the loader which epoch it is in: the order of examples is keyed by it."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, Training)
        self.loader.epoch, module.position = trainer.current_epoch, 0
        module.pace.agree()


def run_fit(
    module: Training,
    train: Any,
    validation: Any | None,
    *,
    trainer: Callable[..., pl.Trainer],
    engine: Engine,
    callbacks: Iterable[pl.Callback],
    folder: Path,
    listener: Listener,
) -> History:
    """Train ``module``, going on from the folder's ``last.ckpt`` where one is there."""
    callbacks = list(callbacks)
    others = foreign(callbacks)
    module.history = history = History(module.stage, listener)
    history.heard, module.monitors, module.batches = bool(others), Monitors(others), train
    checkpoint, start = _resume(folder / "last.ckpt", module, train)
    settings = dict(getattr(trainer, "keywords", {}))
    module.accumulate = settings.get("accumulate_grad_batches", 1)
    module.batches_per_epoch = len(train)
    if settings.get("gradient_clip_val"):
        module.clip = {
            "gradient_clip_val": settings["gradient_clip_val"],
            "gradient_clip_algorithm": settings.get("gradient_clip_algorithm"),
        }
    points = [c for c in callbacks if isinstance(c, ResumePoint)]
    rest = [c for c in in_order(callbacks) if c not in points]
    everyone = [_Epochs(train), history, *points, *rest, _Signals()]
    every = [point.every_n_steps for point in points]
    batches = train if counts_batches(everyone, settings) else Packs(
        train, module.pace, start=start, accumulate=module.accumulate, last=module.total_steps,
        every=min([*every, module.total_steps]),
    )  # fmt: skip
    bounded = bool(others) and not limits_epochs(settings)
    built = _trainer(trainer, module, everyone, folder, bounded=bounded)
    # Lightning does it too, but after it has put the checkpoint's weights into the old ones.
    built.precision_plugin.convert_module(module)
    module.plain = isinstance(batches, Packs) and is_plain(built)
    loaders = [
        *getattr(train, "loaders", {"": train}).values(),
        *([validation] if validation else []),
    ]
    device = built.strategy.root_device
    with (
        warnings.catch_warnings(), sealed.plain(), joint_norms(module),
        engine.running(module, loaders, device, module.total_steps),
    ):  # fmt: skip
        warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric|torch")
        try:
            built.fit(module, batches, validation, ckpt_path=checkpoint, weights_only=True)
        except SystemExit as end:
            # Lightning makes this of Ctrl-C.
            if isinstance(end.__context__, KeyboardInterrupt):
                raise end.__context__ from None
            raise
        except MisconfigurationException as error:
            raise UserError(f"callback or trainer: {_first_line(error)}") from None
    note_out_of_time(built, module.total_steps, folder)
    ranks.agree(None)
    if ranks.rank() == 0:
        sealed.remove(folder / "last.ckpt")
    return history


def _trainer(
    trainer: Callable[..., pl.Trainer], module: Training, callbacks: list[pl.Callback],
    folder: Path, *, bounded: bool,
) -> pl.Trainer:  # fmt: skip
    """The trainer of a stage; ``bounded`` tells callbacks how many epochs there will be."""
    logger = Told(module.history, str(folder)) if module.history.heard else None
    try:
        built = _built(trainer, module, callbacks, folder, logger, bounded)
    except (MisconfigurationException, ModuleNotFoundError, ValueError) as error:
        raise UserError(f"trainer: {_first_line(error)}") from None
    if logger is not None:
        logger.trainer = built
    return built


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def epochs_of(total_steps: int, batches: int, accumulate: int) -> int:
    """How many epochs it takes to do all the steps."""
    return math.ceil(total_steps / max(1, math.ceil(batches / accumulate)))


def _built(
    trainer: Callable[..., pl.Trainer], module: Training, callbacks: list[pl.Callback],
    folder: Path, logger: Told | None, bounded: bool,
) -> pl.Trainer:  # fmt: skip
    epochs = epochs_of(module.total_steps, module.batches_per_epoch, module.accumulate)
    more: dict[str, Any] = {}
    strategy = getattr(trainer, "keywords", {}).get("strategy")
    if isinstance(strategy, Sharded) and not module.can_be_sharded:
        more["strategy"] = strategy = "ddp"
    if module.trains_in_turns and ranks.world() > 1 and strategy in ("auto", "ddp"):
        more["strategy"] = "ddp_find_unused_parameters_true"
    return trainer(
        **more,
        max_epochs=epochs if bounded else -1,
        max_steps=module.total_steps,
        logger=logger or False,
        callbacks=callbacks,
        enable_checkpointing=any(isinstance(c, pl.callbacks.Checkpoint) for c in callbacks),
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(c, pl.callbacks.ProgressBar) for c in callbacks),
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=folder,
        accumulate_grad_batches=1,  # the module does both itself
        gradient_clip_val=None,
    )


def _resume(checkpoint: Path, module: Training, train: Any) -> tuple[Path | None, int]:
    """Point module and loader at the place where the checkpoint left off; the steps done."""
    # Rank 0 looks, and sets aside what is damaged, before the others do.
    state = sealed.load(checkpoint) if ranks.rank() == 0 else None
    if not ranks.agree(state is not None):
        return None, 0
    state = sealed.load(checkpoint) if state is None else state
    train.epoch, module.position = state["epoch"], state["aetl_position"]
    train.skip = module.position
    log.info("continuing %s from step %d", checkpoint.parent.name, state["global_step"])
    return checkpoint, int(state["global_step"])


def _by_name(batch: Any) -> Any:
    """A batch, or several by name, as dictionaries: a file that names no class needs none."""
    if isinstance(batch, Mapping):
        return {name: _by_name(part) for name, part in batch.items()}
    return batch._asdict() if hasattr(batch, "_asdict") else batch


def seeded(module: Callable[[], nn.Module], *key: int | str) -> Any:
    """Build a module with initial weights that follow from a key alone."""
    with torch.random.fork_rng(devices=[]):
        seed_global(key_seed(*key))
        return module()
