"""``aetl rank``: which stored encoder, and which of its layers, suits a target; no training."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from aetl.arguments import Parser
from aetl.config import ConfigError, check, compose, resolved
from aetl.mistakes import typed
from aetl.terminal import console
from aetl.trust import add_options, believe_options, load_config

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from aetl.stage.encoders import Encoder, Ranked


EXAMPLES = """\
  aetl rank target=usps sources=[mnist,fashion_mnist] target.budget=100
  aetl rank target=usps sources=[mnist] autoencoder=vae,denoising seed=0,1,2 score=[logme,nleep]
  aetl rank outputs/2026-11-21 target=usps target.budget=10 target.per_class=true

Scores: aetl ls score. Every other KEY=VALUE is as for a run; values with commas are all tried.
"""


def main(arguments: list[str]) -> int:
    """Rank stored encoders and their layers for a target by transferability scores."""
    parser = Parser(
        "aetl rank",
        description=main.__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    said = "target=NAME, and sources=[...] (from the store) or folders with runs"
    parser.add_argument("what", nargs="+", metavar="KEY=VALUE | PATH", help=said)
    parser.add_argument("--by", metavar="SCORE", help="order by one score, not by the mean rank")
    parser.add_argument("--layer", action="append", help="only this layer (may be repeated)")
    add_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_intermixed_args(arguments)
    believe_options(options)
    paths = [Path(word) for word in options.what if "=" not in word]
    overrides = _overrides([word for word in options.what if "=" in word], bool(paths))
    cfgs = {told: _composed(one, options.config_dir) for told, one in _grid(overrides)}
    encoders = list(_in_runs(paths, [*cfgs.values()]) if paths else _in_store(cfgs))
    if len({(e.names["target"], e.names["budget"]) for e in encoders}) > 1:
        raise ConfigError("rank: one target and one budget at a time")
    from aetl.stage.encoders import rank_encoders

    ranked = rank_encoders(encoders, options.layer, options.by)
    if options.json:
        print(json.dumps([row.as_dict() for row in ranked], indent=1))
    else:
        _print(ranked)
    return 0


_NAMED = ("dataset@source", "dataset@target", "autoencoder", "loss", "seed")
"""What tables say anyway, or average over."""


def _overrides(given: Iterable[str], from_runs: bool) -> list[str]:
    """hydra's overrides: ``target`` and ``sources`` are short for the data sets' groups."""
    words = {"target": "dataset@target", "source": "dataset@source", "sources": "dataset@source"}
    found = []
    for override in typed(given):
        key, _, value = override.partition("=")
        if key == "sources":
            value = value.strip().removeprefix("[").removesuffix("]")
        found.append(f"{words.get(key, key)}={value}")
    keys = [override.partition("=")[0] for override in found]
    if "dataset@target" not in keys:
        raise ConfigError("rank: target=... is missing, e.g. aetl rank target=usps sources=[mnist]")
    if not from_runs and "dataset@source" not in keys:
        raise ConfigError("rank: sources=[...] or folders with runs are missing")
    return found


def _grid(overrides: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Every combination of the values with commas, as a multirun makes them, and what varies."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(list(overrides))
    choices = [
        [f"{o.get_key_element()}={value}" for value in o.sweep_string_iterator()]
        if o.is_sweep_override()
        else [str(o.input_line)]
        for o in parsed
    ]
    for combination in product(*choices):
        varied = [o for o, values in zip(combination, choices, strict=True) if len(values) > 1]
        yield ", ".join(varied), list(combination)


def _composed(overrides: list[str], config_dirs: list[str]) -> DictConfig:
    cfg = compose(overrides, config_dirs)
    check(resolved(cfg), cfg.hydra.runtime.choices)
    return cfg


def _in_store(cfgs: Mapping[str, DictConfig]) -> Iterator[Encoder]:
    """The configs' pretrainings, as far as the store has them; the others are told."""
    from hydra.utils import instantiate

    from aetl.label import names_of
    from aetl.stage.domains import load_domains, pretraining_domain
    from aetl.stage.encoders import Encoder
    from aetl.stage.pretrain import pretraining_digest

    found = 0
    for varied, cfg in cfgs.items():
        store = instantiate(cfg.store)
        names = names_of(resolved(cfg), cfg.hydra.runtime.choices)
        own = [o for o in varied.split(", ") if o and o.partition("=")[0] not in _NAMED]
        names["autoencoder"] += f" ({', '.join(own)})" if own else ""
        domains = load_domains(cfg, store, store.dir)
        digest = pretraining_digest(cfg, pretraining_domain(domains, cfg.pretrain.domains))
        entry = store.find("pretrain", digest)
        if entry is not None:
            found += 1
            yield Encoder(cfg, names, entry.path / "autoencoder.pt", digest)
        else:
            told = f"{names['autoencoder']} on {names['source']}, seed {cfg.seed}"
            print(f"aetl: not in the store: {told} (a run with it pretrains it)", file=sys.stderr)
    if not found:
        where = next(iter(cfgs.values())).store.dir
        raise ConfigError(f"rank: none of the {len(cfgs)} encoders is in {where}")


def _in_runs(paths: Sequence[Path], cfgs: Sequence[DictConfig]) -> Iterator[Encoder]:
    """The encoders that runs left, each once, on the target of the first config."""
    from omegaconf import DictConfig, OmegaConf

    from aetl.comparison.run import find_runs
    from aetl.label import names_of
    from aetl.stage.encoders import Encoder

    if len(cfgs) > 1:
        raise ConfigError("rank: values with commas are for the store; here are folders with runs")
    plain = resolved(cfgs[0])
    named = names_of(plain, cfgs[0].hydra.runtime.choices)
    keys = ("target", "task", "metric", "score", "store", "data_dir")
    asked = {key: plain.get(key) for key in keys}  # score=[] leaves no such node
    try:
        runs = find_runs(paths).runs
    except FileNotFoundError as error:
        raise ConfigError(str(error)) from None
    seen: set[str] = set()
    for run in runs:
        file = run.folder / "checkpoints" / "autoencoder.pt"
        digest = str((run.record.get("parents") or {}).get("pretrain") or file)
        if not file.exists() or digest in seen:
            continue
        seen.add(digest)
        own = load_config(run.folder / "config.yaml")
        kept = OmegaConf.masked_copy(own, [str(key) for key in own if key not in asked])
        cfg = OmegaConf.merge(kept, asked)
        assert isinstance(cfg, DictConfig)
        names = {"source": run.source, "autoencoder": run.autoencoder, "loss": run.loss}
        yield Encoder(cfg, {**named, **names}, file, digest)
    if not seen:
        where = ", ".join(map(str, paths))
        raise ConfigError(f"rank: no run below {where} has a pretrained autoencoder")


def _print(ranked: Sequence[Ranked]) -> None:
    from rich.table import Table

    rows = [row.as_dict() for row in ranked]
    scores = list(dict.fromkeys(name for row in ranked for name in row.scores))
    # One seed needs no column, which would take width from the names.
    seeds = ["seeds"] if any(row.seeds > 1 for row in ranked) else []
    title = f"encoders for {rows[0]['target']}, budget {rows[0]['budget']}"
    table = Table(box=None, padding=(0, 2, 0, 0), title=title, title_justify="left")
    for column in ("source", "autoencoder"):
        table.add_column(column, overflow="fold")
    table.add_column("layer", no_wrap=True)
    for column in (*seeds, *scores, "mean rank"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        values = [f"{row['scores'][name]:.3g}" if name in row["scores"] else "" for name in scores]
        names = (str(row[name]) for name in ("source", "autoencoder", "layer", *seeds))
        table.add_row(*names, *values, f"{row['mean_rank']:.1f}")
    console().print(table)
