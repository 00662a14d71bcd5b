"""Samples of a model beside held-out examples, as an encoder of the user's choice sees both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from jaxtyping import Float
from omegaconf import DictConfig
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from aetl.autoencoder.base import Autoencoder
from aetl.config import load_saved, locate, resolved
from aetl.data.base import Examples
from aetl.files import read_json
from aetl.loss.base import LossTerm, Prior
from aetl.loss.objective import Objective
from aetl.metric.base import Metric
from aetl.metric.fid import frechet_distance
from aetl.metric.kid import kernel_distance
from aetl.rng import Rng
from aetl.stage.arm import mapped, starts_pretrained, strategies_of
from aetl.stage.checkpoint import bring, read_weights
from aetl.stage.domains import Domains
from aetl.stage.fitted import FittedArm, form_of
from aetl.stage.pretrain import build_autoencoder, objective_of
from aetl.store.store import Entry
from aetl.task.base import numpy
from aetl.task.density import DRAWN, FEATURES, OWN, RAW
from aetl.types import PLAIN, DoesNotFit, Entries, UserError

SIZE = 1024
"""Examples that are decoded or encoded at a time."""


@dataclass(frozen=True)
class Encoder:
    """What samples are compared by: an autoencoder's latent, or the values themselves (None)."""

    name: str
    autoencoder: Autoencoder | None

    def of_examples(self, examples: Examples) -> Float[np.ndarray, "N F"]:
        if self.autoencoder is None:
            rows = range(0, len(examples), SIZE)
            every = [torch.arange(i, min(i + SIZE, len(examples))) for i in rows]
            return np.concatenate([numpy(examples.inputs(i).flatten(1)) for i in every])
        return numpy(mapped(self.autoencoder, self._features, examples, SIZE))

    @torch.no_grad()
    def of_draws(self, x: Float[Tensor, "N ..."]) -> Float[np.ndarray, "N F"]:
        if self.autoencoder is None:
            return numpy(x.flatten(1))
        return np.concatenate([numpy(self._features(part)) for part in torch.split(x, SIZE)])

    def _features(self, x: Float[Tensor, "N ..."]) -> Float[Tensor, "N F"]:
        assert self.autoencoder is not None
        return self.autoencoder.features(x).flatten(1)


def encoder_of(
    cfg: DictConfig, name: str, own: Autoencoder | None, shape: tuple[int, ...],
    entries: Entries = PLAIN, classes: int = 0, key: str = "task.encoder",
) -> Encoder:  # fmt: skip
    """The encoder that ``name`` means, for examples of ``shape``; ``own`` is the pretrained one.

    Raises ``UserError`` where there is none, or where it is made for other examples.
    """
    if name == RAW:
        return Encoder(name, None)
    if name == OWN:
        if own is None:
            raise UserError(
                f"{key}=own: nothing is pretrained in this run; name another run's folder, or raw"
            )
        return Encoder(name, own.float().eval())
    path = Path(name).expanduser()
    if path.is_dir():
        return Encoder(name, _of_run(path, shape, key).eval())
    if not path.exists():
        raise UserError(f"{key}={name}: is no run's folder and no file, and neither raw nor own")
    built = build_autoencoder(cfg, shape, classes, entries)
    brought = bring(path, built, instantiate(cfg.representation), partial=False)
    built.load_state_dict(brought.state, strict=False)
    return Encoder(name, built.eval())


def _of_run(folder: Path, shape: tuple[int, ...], key: str) -> Autoencoder:
    """The autoencoder that another run pretrained."""
    if not (folder / "config.yaml").exists():
        raise UserError(f"{key}={folder}: is no run's folder (it has no config.yaml)")
    cfg, state = load_saved(folder / "config.yaml"), read_weights(folder)
    spec = read_json(folder / "model.json") if (folder / "model.json").exists() else {}
    entries = Entries.from_dict(spec["entries"]) if "entries" in spec else PLAIN
    try:
        built = build_autoencoder(cfg, shape, int(spec.get("source_classes", 0)), entries)
        built.load_state_dict(dict(state))
    except (RuntimeError, UserError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{key}={folder}: this encoder was made for other examples than those of shape {shape} "
            f"here ({reason})"
        ) from None
    return built


def sampler_of(autoencoder: Autoencoder) -> Callable[..., Tensor] | None:
    """A variant's own way to draw from its prior, where it has one."""
    return getattr(autoencoder, "prior_sample", None)


def prior_of(objective: Objective) -> Prior | None:
    """The one that the loss draws the codes to."""
    found = {term.prior for term in objective.terms.values() if isinstance(term, LossTerm)} - {None}
    return found.pop() if len(found) == 1 else None


@torch.no_grad()
def samples(
    autoencoder: Autoencoder, objective: Objective, number: int, rng: Rng
) -> Float[Tensor, "N ..."] | None:
    """The means of what is decoded from draws of the prior, the variant's own or the one that the
    loss names; None where there is neither."""
    own, prior = sampler_of(autoencoder), prior_of(objective)
    if own is not None:
        z = own(number, rng)
    elif prior is not None:
        like = next(autoencoder.parameters()).new_empty(number, *autoencoder.latent_shape)
        z = drawn(prior, autoencoder, like, rng).view(number, *autoencoder.latent_shape)
    else:
        return None
    return torch.cat([objective.mean(autoencoder.decode(part)) for part in torch.split(z, SIZE)])


def drawn(
    prior: Prior, autoencoder: Autoencoder, like: Float[Tensor, "N ..."], rng: Rng
) -> Float[Tensor, "N Z"]:
    """Latents of the prior."""
    normal = rng.normal(like).flatten(1)
    if prior == "normal":
        return normal
    if prior == "sphere":
        return normalize(normal, dim=1)
    logits = _shape_of_logits(autoencoder)
    uniform = rng.normal(normal.view(len(normal), *logits))
    return one_hot(uniform.argmax(2), logits[1]).flatten(1)


def _shape_of_logits(autoencoder: Autoencoder) -> tuple[int, int]:
    """Variables and classes of a categorical code."""
    with torch.no_grad():
        code: Any = autoencoder(torch.zeros(1, *autoencoder.shape)).code
    return int(code.logits.shape[1]), int(code.logits.shape[2])


def refuse_without_decoder(kind: type[Autoencoder], key: str) -> None:
    if kind.reconstruct is not Autoencoder.reconstruct:
        raise UserError(
            f"{key}: {kind.__name__} has no decoder from latents to examples: it fills in what is "
            "hidden beside what is seen"
        )


def distances(
    features: Float[np.ndarray, "N F"], others: Float[np.ndarray, "M F"]
) -> dict[str, float]:
    """``fid`` and ``kid``."""
    return {
        "fid": frechet_distance(features, others),
        "kid": kernel_distance(features, others),
    }


def judges_samples(metrics: Iterable[Metric]) -> bool:
    return any(metric.part == DRAWN for metric in metrics)


def refuse_unsampled(cfg: DictConfig, domains: Domains) -> None:
    """Raise ``UserError`` where the metrics ask for samples and something stands against it."""
    asked = {name: instantiate(node) for name, node in cfg.metric.items() if node}
    names = [str(name) for name, metric in asked.items() if metric.part == DRAWN]
    if not names:
        return
    plain, key = resolved(cfg), f"metric={names[0]}"
    pool = domains.target.pool
    kind = locate("autoencoder", plain["autoencoder"]["_target_"])
    if isinstance(kind, type) and issubclass(kind, Autoencoder):
        refuse_without_decoder(kind, key)
    if prior_of(objective_of(cfg, pool.entries)) is None and not hasattr(kind, "prior_sample"):
        raise DoesNotFit(f"{key}: the loss names no prior that samples could be drawn from")
    if next(iter(asked.values())).part == DRAWN and instantiate(cfg.selector).uses_metric:
        raise DoesNotFit(
            f"{key}: no state can be selected by samples; let another metric be the first: "
            f"metric=[nats,{','.join(names)}]"
        )
    arms = (plain["transfer"], {"control": plain["twin"]})
    warm = any(starts_pretrained(strategies_of(node)) for node in arms)
    if cfg.task.encoder == OWN and warm:
        return
    classes = len(domains.source.pool.classes)
    found = encoder_of(cfg, cfg.task.encoder, None, pool.shape, pool.entries, classes)
    found.of_examples(domains.target.test.subset(np.arange(1)))


def sampled(
    cfg: DictConfig, metrics: Mapping[str, Metric], domains: Domains, own: Autoencoder | None,
    arms: Mapping[str, Entry],
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, Any]]:  # fmt: skip
    """For each arm the features of the target's test examples and of as many draws of its network,
    both arms from the same noise; and what is told of it. Nothing where no metric asks."""
    if not judges_samples(metrics.values()):
        return {}, {}
    plain, test, pool = resolved(cfg), domains.target.test, domains.target.pool
    classes = len(domains.source.pool.classes)
    encoder = encoder_of(cfg, cfg.task.encoder, own, pool.shape, pool.entries, classes)
    features = encoder.of_examples(test)
    form = form_of(domains, instantiate(cfg.task))
    found = {}
    for name, node in (("transfer", plain["transfer"]), ("twin", {"control": plain["twin"]})):
        fitted = FittedArm.load(arms[name].path, cfg, strategies_of(node), form)
        objective = (fitted.objective or objective_of(cfg, pool.entries)).eval()
        autoencoder = fitted.network.float().eval().autoencoder
        x = samples(autoencoder, objective, len(test), Rng.of(cfg.seed, "sampled"))
        assert x is not None  # refused before any work
        shaped = x.view(len(test), *pool.shape)
        found[name] = {FEATURES: features, DRAWN: encoder.of_draws(shaped)}
    told = {"encoder": str(encoder.name), "features": features.shape[1], "number": len(test)}
    return found, told


def told_of(judged: Mapping[str, Any]) -> str:
    """Of how many draws, by whose features."""
    return f"{judged['number']} draws, {judged['features']} features of {judged['encoder']}"
