"""Pretraining: fit the autoencoder to the source's inputs, or take it from the store."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor
from torch.distributed.tensor import DTensor

from aetl import ranks
from aetl.autoencoder.base import Autoencoder
from aetl.autoencoder.closed_form import ClosedForm
from aetl.autoencoder.labelled import Labelled
from aetl.autoencoder.monitor import EXAMPLES, vitals
from aetl.config import resolved
from aetl.data.loader import Loader, smallest_batch
from aetl.files import file_digest, write_torch
from aetl.label import callbacks_that_count, engine_that_counts
from aetl.launched import sized
from aetl.loss.objective import Objective
from aetl.ranges import Count, Natural, NonNegative
from aetl.rng import Rng
from aetl.stage.callbacks import callbacks_of
from aetl.stage.checkpoint import Brought, bring, read_weights, weights_file
from aetl.stage.closed_form import fit_closed_form
from aetl.stage.domains import Domain
from aetl.stage.fit import Fit, Training, run_fit, seeded
from aetl.stage.labels import with_known_labels
from aetl.stage.probe import Probed, labelled_parts
from aetl.store.store import Entry, Store, content_digest, digest_of
from aetl.tracking.history import Listener, write_history
from aetl.types import PLAIN, Batch, DoesNotFit, Entries, UserError, field_values, told

log = logging.getLogger(__name__)

OBJECTIVE = "objective.pt"
VALIDATED = 10_000
"""At most so many validation examples, evenly spaced, are looked at after an epoch."""
EVERY = 100
"""Steps between two looks at the latent, at least."""


class Pretrained(NamedTuple):
    """Weights of an autoencoder by name, and where they came from."""

    state: Mapping[str, Tensor]
    entry: Entry | None
    warnings: tuple[str, ...] = ()


class PretrainingFit(Fit):
    """How long pretraining takes, and on whose inputs: the source's, or both domains' together.

    With ``both`` the target's unlabelled training inputs are learnt too, never its test set, and
    one pretraining serves one target.
    """

    def __init__(
        self,
        *,
        domains: Literal["source", "both"],
        epochs: Natural,
        min_steps: Natural,
        max_steps: Natural | None,
        batch_size: Count,
        lr: NonNegative,
    ) -> None:
        super().__init__(
            epochs=epochs, min_steps=min_steps, max_steps=max_steps, batch_size=batch_size, lr=lr
        )
        self.domains = domains


class Pretraining(Training):
    """Minimises the objective on batches of the source."""

    stage = "pretrain"
    can_be_sharded = True

    def __init__(
        self, autoencoder: Autoencoder, objective: Objective, loader: Loader, **settings: Any
    ):
        super().__init__(**settings)
        self.autoencoder = autoencoder
        build = partial(objective.build_discriminators, autoencoder)
        self.objective: Objective = seeded(build, self.seed, "adversary")
        self.trains_in_turns = autoencoder.trains_in_turns
        self.loader = loader
        self.validation_loader: Loader | None = None
        self.held_out: Tensor | None = None
        self.labelled: Callable[[int], Probed] | None = None
        self.source: Domain | None = None

    def losses(
        self, batch: Batch, rng: Rng, batch_index: int, progress: float
    ) -> dict[str, Tensor]:
        given, share = self._given(batch, rng, batch_index, progress)
        total, terms = self.objective(given, progress)
        if self.objective.adversaries:
            with torch.no_grad():
                against = self.objective.adversary_losses(given)
            terms = terms | {f"{name}_adversary": value for name, value in against.items()}
        values = {name: value.sum() * share for name, value in terms.items()}
        return {"loss": total.sum() * share} | {k: v.detach() for k, v in values.items()}

    def adversary_losses(
        self, batch: Batch, rng: Rng, batch_index: int, progress: float
    ) -> dict[str, Tensor]:
        with torch.no_grad():
            given, share = self._given(batch, rng, batch_index, progress)
        values = self.objective.adversary_losses(given)
        return {f"{name}_adversary": value.sum() * share for name, value in values.items()}

    def _given(
        self, batch: Batch, rng: Rng, batch_index: int, progress: float
    ) -> tuple[dict[str, object], float]:
        """What terms may ask for, and the share of an example in the joint batch's mean."""
        loader = self.loader if self.training else self.validation_loader
        assert loader is not None
        joint = loader.joint_size(batch_index)
        rng = Rng(rng.key, ranks.rank(), ranks.world(), joint, progress)
        labels = [batch.y] if isinstance(self.autoencoder, Labelled) else []
        output = self.autoencoder(batch.x, rng, *labels)
        given = field_values(output, output.code, batch) | {
            "autoencoder": self.autoencoder,
            "latent": output.latent,
            "rng": rng.fork("loss"),
            "progress": progress,
            "data_size": len(loader.rows),
        }
        return given, ranks.world() / joint

    def observed(self) -> dict[str, float]:
        """The vital signs of the latent on held-out examples, where ``EVERY`` steps went by.

        Where a callback monitors a value they are at every validation.
        """
        step, before = self.global_step, self.global_step - len(self.loader)
        due = step // EVERY > before // EVERY or step >= self.total_steps or self.monitors.given
        if self.held_out is None or not due:
            return {}
        x = self.held_out.to(next(self.autoencoder.parameters(), self.held_out))
        return vitals(self.autoencoder.eval(), x).values

    def awaited(self) -> tuple[str, ...]:
        came = any(row.split == "validation" for row in self.history.rows)
        return () if came or not self.validation_loader else (f"{self.stage}/validation/",)

    def parameter_groups(self) -> list[dict[str, Any]]:
        every = [*self.autoencoder.parameters(), *self.objective.parameters()]
        trained = [p for p in every if p.requires_grad]
        shared = [p for p in trained if isinstance(p, DTensor)]  # not in one kernel with the rest
        whole = [p for p in trained if not isinstance(p, DTensor)]
        return [{"params": group} for group in (whole, shared) if group]

    def adversary_groups(self) -> list[dict[str, Any]]:
        terms = self.objective.adversaries.values()
        return [
            {"params": [*term.discriminator.parameters()], "scale": term.lr_scale} for term in terms
        ]


def build_autoencoder(
    cfg: DictConfig, shape: tuple[int, ...], num_classes: int = 0, entries: Entries = PLAIN
) -> Autoencoder:
    """The autoencoder of a config with its initial weights, which follow from the seed alone.

    A loss that wants several outputs a value gets a decoder that has them. ``num_classes`` is that
    of the source, for autoencoders that ask for labels; ``entries`` for parts that ask for them.
    """
    make = told(instantiate(cfg.autoencoder), entries)
    if "num_classes" in inspect.signature(make).parameters:
        make = partial(make, num_classes=num_classes)
    outputs = objective_of(cfg, entries).outputs
    if outputs > 1:
        if "outputs" not in inspect.signature(make).parameters:
            raise DoesNotFit(
                f"loss: asks for {outputs} outputs a value, which "
                f"{cfg.autoencoder._target_} cannot give; use loss=mse, or another autoencoder"
            )
        make = partial(make, outputs=outputs)
    built: Autoencoder = seeded(lambda: make(shape), cfg.seed, "initial")
    return built


def _built(cfg: DictConfig, source: Domain) -> Autoencoder:
    pool = source.pool
    return build_autoencoder(cfg, pool.shape, len(pool.classes), pool.entries)


def _validated(source: Domain) -> np.ndarray:
    """The rows by which pretraining is validated: a large set is not passed through each time."""
    rows = source.split.validation
    if len(rows) <= VALIDATED:
        return rows
    return np.asarray(rows[np.linspace(0, len(rows) - 1, VALIDATED).round().astype(int)])


def pretrained_autoencoder(
    cfg: DictConfig,
    shape: tuple[int, ...],
    state: Mapping[str, Tensor],
    num_classes: int = 0,
    entries: Entries = PLAIN,
) -> Autoencoder:
    """The autoencoder with the weights that fit, in eval mode.

    A checkpoint of another architecture may fit in part: the receipt of a transfer says which.
    """
    autoencoder = build_autoencoder(cfg, shape, num_classes, entries)
    own = autoencoder.state_dict()
    fitting = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    autoencoder.load_state_dict(fitting, strict=False)
    return autoencoder.eval()


def objective_of(cfg: DictConfig, entries: Entries = PLAIN) -> Objective:
    """The sum of the config's loss terms."""
    terms = {name: told(instantiate(node), entries) for name, node in cfg.loss.items() if node}
    return Objective(terms)


def trained_objective(
    cfg: DictConfig, pretrained: Pretrained, entries: Entries = PLAIN
) -> Objective:
    """The objective with what it learned in pretraining (a likelihood's scale), where it did."""
    objective = objective_of(cfg, entries)
    if pretrained.entry is not None and (file := pretrained.entry.path / OBJECTIVE).exists():
        saved = torch.load(file, map_location="cpu", weights_only=True)
        # What only training needs (discriminators) is not in an objective that trains nothing.
        objective.load_state_dict(saved, strict=False)
    return objective


def pretraining_key(cfg: DictConfig, source: Domain) -> dict[str, Any]:
    """What the result of pretraining depends on."""
    plain = resolved(cfg)
    names = (
        "autoencoder",
        "loss",
        "pretrain",
        "optimizer",
        "scheduler",
        "trainer",
        "threads",
        "seed",
    )
    domain = {"fingerprint": source.fingerprint, "train": _digest_of_index(source)}
    callbacks = callbacks_that_count(plain["callback"], "pretrain")
    engine = engine_that_counts(plain["engine"])
    key = {name: plain[name] for name in names}
    key |= {"engine": engine, "callback": callbacks, "source": domain}
    return key | _start_key(cfg)


def _start_key(cfg: DictConfig) -> dict[str, Any]:
    """What a pretraining that goes on from brought weights depends on besides."""
    if not goes_on(cfg):
        return {}
    digest = file_digest(weights_file(Path(cfg.checkpoint)))
    return {"start": {"weights": digest, "map": dict(cfg.checkpoint_map)}}


def goes_on(cfg: DictConfig) -> bool:
    """Whether pretraining starts from the checkpoint, which else stands in its place."""
    return cfg.checkpoint is not None and bool(cfg.checkpoint_continue)


def pretraining_digest(cfg: DictConfig, source: Domain) -> str:
    """The name of this pretraining in the store."""
    return digest_of(pretraining_key(cfg, source), __name__)


def _digest_of_index(source: Domain) -> str:
    return content_digest(
        {"train": source.split.train.tolist(), "val": source.split.validation.tolist()}
    )


def pretrain(
    cfg: DictConfig,
    source: Domain,
    store: Store,
    folder: Path,
    digest: str,
    listener: Listener,
) -> Pretrained:
    """The pretrained autoencoder's weights."""
    brought = Brought({}, ())
    if cfg.checkpoint is not None:
        autoencoder = _built(cfg, source)
        brought = bring(
            Path(cfg.checkpoint), autoencoder, instantiate(cfg.representation),
            partial=cfg.checkpoint_partial, renames=dict(cfg.checkpoint_map),
        )  # fmt: skip
        if not goes_on(cfg):
            return Pretrained(brought.state, None, brought.warnings)
        if isinstance(autoencoder, ClosedForm):
            raise DoesNotFit(
                f"checkpoint_continue=true: {type(autoencoder).__name__} is fitted in closed form, "
                "and does not go on from other weights"
            )
    key = pretraining_key(cfg, source)
    entry = store.stage(
        "pretrain", digest, key, folder,
        lambda path: _compute(cfg, source, brought.state, path, listener),
    )  # fmt: skip
    return Pretrained(read_weights(entry.path / "autoencoder.pt"), entry, brought.warnings)


def _compute(
    cfg: DictConfig,
    source: Domain,
    start: Mapping[str, Tensor],
    path: Path,
    listener: Listener,
) -> None:
    probed, source = source, with_known_labels(cfg, source)
    autoencoder = _built(cfg, source)
    autoencoder.load_state_dict(dict(start), strict=False)
    objective = objective_of(cfg, source.pool.entries)
    settings = instantiate(cfg.pretrain)
    least = smallest_batch(autoencoder.modules())
    loaders = [
        Loader(
            source.pool,
            index,
            batch_size=settings.batch_size,
            rng=Rng.of(cfg.seed, "pretrain"),
            shuffle=shuffle,
            weight=None,
            smallest=least,
        )
        for index, shuffle in ((source.split.train, True), (_validated(source), False))
    ]
    if loaders[0].smallest_joint < least:
        raise UserError(
            f"pretrain.batch_size={settings.batch_size}: backbone.norm=batch needs at least "
            f"{least} examples in a batch; the source has {len(source.split.train)} in all"
        )
    for loader in loaders:
        loader.rank, loader.world = ranks.rank(), ranks.world()
    module = Pretraining(
        autoencoder,
        objective,
        loaders[0],
        seed=cfg.seed,
        fit=settings,
        optimizer=instantiate(cfg.optimizer),
        schedule=instantiate(cfg.scheduler),
        total_steps=settings.total_steps(len(loaders[0]), cfg.trainer.accumulate_grad_batches),
    )
    module.validation_loader, module.labelled = loaders[1], partial(labelled_parts, probed)
    module.source = probed
    module.held_out = source.pool.inputs(source.split.validation[:EXAMPLES])
    if isinstance(autoencoder, ClosedForm):
        rows = fit_closed_form(autoencoder, module, source, (loaders[0], loaders[1]), listener)
    else:
        rows = run_fit(
            module,
            loaders[0],
            loaders[1] if len(loaders[1]) else None,
            trainer=instantiate(cfg.trainer, **sized(cfg.trainer)),
            engine=instantiate(cfg.engine),
            callbacks=callbacks_of(cfg, module.stage),
            folder=path,
            listener=listener,
        ).rows
    if ranks.rank() == 0:
        write_history(path / "metrics.csv", rows)
        state = {name: tensor.cpu() for name, tensor in autoencoder.state_dict().items()}
        write_torch(path / "autoencoder.pt", state)
        if list(objective.parameters()):
            write_torch(path / OBJECTIVE, objective.cpu().state_dict())
