"""Evaluation: scores of the arm and of its twin, and what the report shows."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from aetl.autoencoder.base import Autoencoder
from aetl.autoencoder.monitor import EXAMPLES, vitals
from aetl.comparison.examples import write_examples
from aetl.comparison.run import oriented
from aetl.config import resolved
from aetl.files import atomic, read_json
from aetl.loss.bound import bits_per_dim
from aetl.loss.objective import Objective
from aetl.metric.base import Metric
from aetl.metric.pseudo_values import Layout, parts
from aetl.rng import Rng
from aetl.stage.arm import Strategies, strategies_of
from aetl.stage.checkpoint import in_use
from aetl.stage.domains import Domains
from aetl.stage.fitted import FittedArm, form_of
from aetl.stage.floor import floor_of
from aetl.stage.generate import Generator
from aetl.stage.pretrain import (
    Pretrained,
    objective_of,
    pretrained_autoencoder,
    trained_objective,
)
from aetl.stage.reconstructions import of_all_classes
from aetl.stage.retention import retention
from aetl.stage.sampled import sampled
from aetl.stage.time_limit import out_of_time
from aetl.stage.transferability import transferability
from aetl.store.store import Entry
from aetl.task.base import Task, numpy
from aetl.task.density import DRAWN
from aetl.tracking.history import read_history
from aetl.types import Prediction, UserError

log = logging.getLogger(__name__)

SHOWN = 10
"""Examples of each domain in the picture of reconstructions, of as many classes."""
MAPPED = 1000
"""Examples of each domain in the latent map."""


def metrics_of(cfg: DictConfig) -> dict[str, Metric]:
    """The config's metrics by name; the first one is what verdicts are about."""
    return {str(name): instantiate(node) for name, node in cfg.metric.items() if node}


def ropes_of(cfg: DictConfig) -> dict[str, float | None]:
    """Up to which gain arm and twin are equivalent in each metric (None: no gain is too small)."""
    asked = cfg.rope or {}
    return {name: asked.get(name, metric.rope) for name, metric in metrics_of(cfg).items()}


Parts = Mapping[str, np.ndarray]
"""Of a prediction, beside what the arm has saved."""


def predictions(arm: Entry, more: Parts | None = None) -> tuple[Prediction, np.ndarray]:
    """An arm's predictions for the target's test examples, and their targets."""
    with np.load(arm.path / "predictions.npz", allow_pickle=False) as saved:
        found = Prediction.of(saved)
        return dataclasses.replace(found, parts={**found.parts, **(more or {})}), saved["y"]


def scores(metrics: dict[str, Metric], arm: Entry, more: Parts | None = None) -> dict[str, float]:
    """The scores of an arm's predictions on the target's test examples."""
    return {name: metric(*predictions(arm, more)) for name, metric in metrics.items()}


def example_values(
    metrics: Mapping[str, Metric],
    arms: Mapping[str, Entry],
    layout: Layout,
    more: Mapping[str, Parts] | None = None,
) -> dict[str, np.ndarray]:
    """What ``examples.safetensors`` holds: predictions and values of arm and twin."""
    arrays = {"identity": layout.identity}
    if layout.group is not None:
        arrays["group"] = np.unique(layout.group, return_inverse=True)[1]
    for which, stage in (("arm", "transfer"), ("twin", "twin")):
        prediction, y = predictions(arms[stage], (more or {}).get(stage))
        arrays[f"prediction.{which}"] = prediction.value
        for name, metric in metrics.items():
            arrays[f"value.{name}.{which}"] = parts(metric, prediction, y, layout)
    return arrays


def oracle(metrics: dict[str, Metric], arm: Entry, chosen: Mapping[str, float]) -> dict[str, float]:
    """What the best of the arm's candidate states would have scored; empty for a closed form.

    Only the target's test labels say which one that is, so no arm may choose by it. Where the
    candidates predicted a part of the test set, the lead over the chosen state on that part is
    added to the score that this one has on the whole.
    """
    if not (arm.path / "candidates.npz").exists():
        return {}
    with np.load(arm.path / "predictions.npz") as saved:
        y = saved["y"]
    with np.load(arm.path / "candidates.npz") as saved:
        seen = dict(saved)
    y, index = y[seen["row"]], int(seen["chosen"])
    steps = range(len(seen["step"]))
    given = {name: seen[name] for name in seen if name not in ("step", "chosen", "row")}
    states = [Prediction.of({name: every[i] for name, every in given.items()}) for i in steps]
    found = {}
    for name, metric in metrics.items():
        if metric.part == DRAWN:  # candidates draw nothing
            continue
        reached = [metric(state, y) for state in states]
        best = max(reached) if metric.higher_is_better else min(reached)
        found[name] = chosen[name] + best - reached[index]
    return found


def evaluate(
    cfg: DictConfig,
    domains: Domains,
    pretrained: Pretrained | None,
    arms: Mapping[str, Entry],
    folder: Path,
) -> dict[str, Any]:
    """The results for the record; ``predictions.npz`` and the pictures' data go to the folder."""
    metrics, task = metrics_of(cfg), instantiate(cfg.task)
    autoencoder = _pretrained(cfg, domains, pretrained)
    draws, judged = sampled(cfg, metrics, domains, autoencoder, arms)
    arm, twin = (scores(metrics, arms[name], draws.get(name, {})) for name in ("transfer", "twin"))
    with np.load(arms["transfer"].path / "predictions.npz") as own:
        arrays = dict(own)
    with np.load(arms["twin"].path / "predictions.npz") as other:
        arrays["twin_prediction"] = other["prediction"]
    test = domains.target.test
    arrays |= {"row": test.rows} if test.rows is not None else {}
    arrays |= {"path": test.files} if test.files is not None else {}
    _save(folder / "predictions.npz", arrays)
    _save(folder / "splits.npz", splits(domains))
    budget = domains.target.pool.subset(domains.target.split.labelled)
    if shown := task.show(Prediction.of(arrays), test, budget):
        _save(folder / "shown.npz", shown)
    if task.generates and len(test.shape) == 3:
        _generated(cfg, domains, arms["transfer"], folder)
    receipt = read_json(arms["transfer"].path / "receipt.json")
    layout = Layout(domains.target.test.identity, domains.target.test.group)
    said = [line for entry in arms.values() for line in _head(entry)["warnings"]]
    if task.supervised and not len(domains.target.split.labelled):
        plain = resolved(cfg)
        twin_of = strategies_of({"control": plain["twin"]})
        said += unlike(strategies_of(plain["transfer"]), twin_of, task)
    said += _unreached(cfg, autoencoder)
    said += out_of_time({"pretrain": pretrained.entry if pretrained else None, **arms})
    for line in said:
        log.warning("%s", line)
    as_pretrained = domains.in_columns_of_source
    learnt = _of_pretraining(cfg, as_pretrained, pretrained, autoencoder, folder)
    return {
        "task": task.kind,
        "metric": next(iter(metrics)),
        "rope": ropes_of(cfg),
        "examples": write_examples(folder, example_values(metrics, arms, layout, draws)),
        "higher_is_better": {name: metric.higher_is_better for name, metric in metrics.items()},
        "scores": arm,
        "twin": twin,
        "oracle": oracle(metrics, arms["transfer"], arm),
        "gain": {
            name: oriented(arm[name], twin[name], metric.higher_is_better)
            for name, metric in metrics.items()
        },
        "receipt": receipt,
        "cost": {
            "parameters_trained": receipt["parameters_trained"],
            "seconds": arms["transfer"].seconds,
            "steps": _steps(arms["transfer"]),
            "twin_steps": _steps(arms["twin"]),
        },
        "labels": len(domains.target.split.labelled),
        "selection": _selection(arms["transfer"]),
        "head": {name: told for name in arms if (told := _head(arms[name])["head"])},
        "classes": list(domains.target.pool.classes),
        **({"sampled": judged} if judged else {}),
        **learnt,
        "warnings": [*learnt["warnings"], *said],
        "retention": _retention(cfg, domains, pretrained, autoencoder, arms["transfer"], receipt),
    }


def _pretrained(
    cfg: DictConfig, domains: Domains, pretrained: Pretrained | None
) -> Autoencoder | None:
    if pretrained is None:
        return None
    pool = domains.source.pool
    return pretrained_autoencoder(
        cfg, pool.shape, pretrained.state, len(pool.classes), pool.entries
    )


def _generated(cfg: DictConfig, domains: Domains, arm: Entry, folder: Path) -> None:
    """What the arm's network draws, for the page."""
    strategies = strategies_of(resolved(cfg)["transfer"])
    fitted = FittedArm.load(arm.path, cfg, strategies, form_of(domains, instantiate(cfg.task)))
    objective = fitted.objective or objective_of(cfg, domains.target.pool.entries)
    rng = Rng.of(cfg.seed, "generate")
    try:
        generator = Generator(fitted.network.float().autoencoder, objective, domains.target, rng)
    except UserError:  # this one has no decoder from latents
        return
    _save(folder / "generated.npz", generator.arrays())


def _steps(arm: Entry) -> int:
    """Optimiser steps; 0 of a closed form."""
    rows = read_history(arm.path / "metrics.csv")
    return max((row.step for row in rows if row.split == "train"), default=0)


def splits(domains: Domains) -> dict[str, Any]:
    """The rows of each domain's pool that are for training, validation and labels."""
    return {
        f"{name}_{field.name}": getattr(domain.split, field.name)
        for name, domain in (("source", domains.source), ("target", domains.target))
        for field in dataclasses.fields(domain.split)
    }


def _of_pretraining(
    cfg: DictConfig,
    domains: Domains,
    pretrained: Pretrained | None,
    autoencoder: Autoencoder | None,
    folder: Path,
) -> dict[str, Any]:
    if pretrained is None or autoencoder is None:
        return {"reconstruction": {}, "transferability": {}, "warnings": []}
    return {
        **picture(cfg, domains, pretrained, autoencoder, folder),
        "transferability": transferability(cfg, domains, autoencoder),
    }


def _retention(
    cfg: DictConfig, domains: Domains, pretrained: Pretrained | None,
    autoencoder: Autoencoder | None, arm: Entry, receipt: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    if pretrained is None or autoencoder is None:
        return {}
    objective = trained_objective(cfg, pretrained, domains.source.pool.entries)
    return retention(cfg, domains, autoencoder, objective, arm, receipt, metrics_of(cfg))


LIKE = {
    "trains its network": "source_only",
    "fits a head on frozen features": "source_probe",
    "fits a head on the raw input": "source_raw_features",
}
"""What an arm without target labels does, and the control that does the same without adaptation."""


def unlike(arm: Strategies, twin: Strategies, task: Task) -> list[str]:
    """A line where the twin is not as deep as the arm."""
    does, twin_does = _does(arm, task), _does(twin, task)
    if does == twin_does:
        return []
    return [
        f"twin: the arm {does} and the twin {twin_does}, so the gain is not of the adaptation "
        f"alone; set transfer/control@twin={LIKE[does]}"
    ]


def _does(strategies: Strategies, task: Task) -> str:
    starts = {s.initial for s in strategies.values() if s.head(task) is not None}
    trains, frozen, raw = LIKE
    return (raw if "random" in starts else frozen) if starts else trains


def _unreached(cfg: DictConfig, autoencoder: Autoencoder | None) -> list[str]:
    """A line where the representation is taken before the first weight of the encoder."""
    if autoencoder is None or not any(p.requires_grad for p in autoencoder.parameters()):
        return []
    if in_use(autoencoder, instantiate(cfg.representation)):
        return []
    return [
        f"representation.layer={cfg.representation.layer}: no weight of the encoder lies below it, "
        "so the features are the inputs and not what was pretrained"
    ]


def _head(arm: Entry) -> dict[str, Any]:
    """What a head in closed form became, and what is to be known of it."""
    path = arm.path / "head.json"
    return dict(read_json(path)) if path.exists() else {"head": {}, "warnings": []}


def _selection(arm: Entry) -> dict[str, Any] | None:
    """The score on the labels that the selector held out, where it holds any out."""
    path = arm.path / "selection.json"
    return dict(read_json(path)) if path.exists() else None


@torch.no_grad()
def picture(
    cfg: DictConfig,
    domains: Domains,
    pretrained: Pretrained,
    autoencoder: Autoencoder,
    folder: Path,
) -> dict[str, Any]:
    """Write ``reconstructions.npz`` and ``latents.npz``; what the pretraining gave, for the record.

    ``reconstruction`` is the mean squared error per element of each domain, in the units of the
    data (of tokens the share that is wrong, of hidden parts where a variant predicts those: see its
    ``reconstruct``);
    ``bits_per_dim`` a bound on held-out source data, where the objective is one; ``monitor`` and
    ``warnings`` the vital signs of the latent there, and the error of as many principal
    components; ``parameters`` and ``latent`` the size of the autoencoder. From at most ``MAPPED``
    examples of each domain.
    """
    objective = trained_objective(cfg, pretrained, domains.source.pool.entries)
    held_out = domains.source.split.validation
    source = domains.source.pool.subset(held_out if len(held_out) else domains.source.split.train)
    sets = {"source": source, "target": domains.target.test}
    errors, latents, shown = {}, [], []
    for number, (name, examples) in enumerate(sets.items()):
        x = examples.inputs(torch.arange(min(MAPPED, len(examples))))
        errors[name] = float(objective.error(autoencoder.reconstruct(x), x).mean())
        y = examples.y[: len(x)]
        y = y if y.dim() == 1 else torch.full((len(x),), -1)  # several labels are no colour
        # Of other classes than the target's, whose names are the run's, it has no class here.
        foreign = examples.classes != domains.target.test.classes
        of_class = torch.full_like(y, -1) if foreign else y
        latents.append((autoencoder.features(x).flatten(1), of_class, number))
        if x.is_floating_point() and x.dim() in (2, 3, 4):
            few = x[of_all_classes(y, SHOWN)]
            shown.append(_reconstructions(autoencoder, objective, few, cfg.seed) | {
                "domain": np.full(len(few), number)
            })  # fmt: skip
    _save(folder / "latents.npz", {
        "z": np.concatenate([numpy(z).astype(np.float32) for z, _, _ in latents]),
        "y": np.concatenate([numpy(y) for _, y, _ in latents]),
        "domain": np.concatenate([np.full(len(z), number) for z, _, number in latents]),
    })  # fmt: skip
    if shown:
        _save(
            folder / "reconstructions.npz",
            {k: np.concatenate([s[k] for s in shown]) for k in shown[0]}
            | ({"columns": np.array(source.columns)} if source.columns else {}),
        )
    x = source.inputs(torch.arange(min(MAPPED, len(source))))
    rng = Rng.of(cfg.seed, "bits_per_dim")
    signs = vitals(autoencoder, x[:EXAMPLES])
    for line in signs.warnings:
        log.warning("%s", line)
    bits = bits_per_dim(autoencoder, objective, x, images=source.is_image, rng=rng)
    floor, below = dict[str, float](), None
    if source.kind != "tokens":  # numbers of words have no principal components
        floor, below = floor_of(domains.source, pretrained, autoencoder, objective, x)
    if below:
        log.warning("%s", below)
    return {
        "reconstruction": errors,
        "bits_per_dim": dataclasses.asdict(bits) if bits else None,
        "monitor": signs.values | floor,
        "warnings": [*signs.warnings, *([below] if below else [])],
        "parameters": sum(p.numel() for p in autoencoder.parameters()),
        "latent": list(autoencoder.latent_shape),
    }


def _reconstructions(
    autoencoder: Autoencoder, objective: Objective, x: torch.Tensor, seed: int
) -> dict[str, Any]:
    """Of corrupted inputs, where there is a corruption, and of clean ones."""
    clean = objective.mean(autoencoder.reconstruct(x))
    output = autoencoder(x, Rng.of(seed, "picture"))
    repaired = objective.mean(output.reconstruction)
    # A variant that reports in its own way predicts something else than the data in training.
    own_way = type(autoencoder).reconstruct is not Autoencoder.reconstruct
    images = {
        "x": x,
        "corrupted": output.corrupted,
        "reconstruction": clean if own_way or torch.equal(output.corrupted, x) else repaired,
        "clean": clean,
    }
    if x.dim() == 4:
        images = {name: image.clamp(0, 1) for name, image in images.items()}
    return {name: numpy(image).astype(np.float32) for name, image in images.items()}


def _save(path: Path, arrays: dict[str, Any]) -> None:
    with atomic(path) as temporary:
        np.savez_compressed(temporary, **arrays)
