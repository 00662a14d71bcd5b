"""``aetl ls``: the options of config groups, or the runs in a folder, without torch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from aetl.arguments import Parser
from aetl.catalogue import options_by_group
from aetl.config import ConfigError, nearest
from aetl.terminal import print_table, table_of


def main(arguments: list[str]) -> int:
    """The options of the config groups, of one group, or the runs in a folder."""
    parser = Parser("aetl ls", description=main.__doc__)
    parser.add_argument(
        "what", nargs="?", help="a config group (autoencoder, transfer, ...) or a folder"
    )
    parser.add_argument(
        "--variants", action="store_true",
        help="with autoencoder: paper, default loss, what else fits, parameters",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args(arguments)
    if options.variants:
        return _print_variants(options.what, options.json)
    groups = options_by_group()
    if options.what is None:
        return _print_groups(groups, options.json)
    if options.what in groups or any(g.startswith(f"{options.what}/") for g in groups):
        chosen = {
            g: o for g, o in groups.items() if g == options.what or g.startswith(f"{options.what}/")
        }
        return _print_options(chosen, options.json)
    if Path(options.what).is_dir():
        return _print_runs(Path(options.what), options.json)
    raise ConfigError(
        f"ls {options.what}: neither a config group nor a folder; {nearest(options.what, groups)}"
    )


def _print_variants(what: str | None, as_json: bool) -> int:
    """The catalogue of autoencoders; losses that fit all of them are told once."""
    if what != "autoencoder":
        raise ConfigError(f"ls --variants {what or ''}: only of autoencoder")
    from aetl.catalogue import SHAPE, variants

    found = variants()
    if as_json:
        print(json.dumps([dataclasses.asdict(variant) for variant in found], indent=1))
        return 0
    common = set.intersection(*(set(variant.fits) for variant in found))
    table = table_of("variant", "what it is", "paper", "loss", "fits also", "parameters")
    table.columns[0].no_wrap = True  # names are copied
    for variant in found:
        own = [name for name in variant.fits if name not in common]
        table.add_row(
            *(variant.name, variant.what, variant.paper, ", ".join(variant.loss)),
            *(", ".join(own), f"{variant.parameters:,}"),
        )
    print_table(table)
    print(f"all fit: {', '.join(sorted(common))}")
    print(f"parameters on each variant's own backbone, for images of {SHAPE}")
    return 0


def _print_groups(groups: Mapping[str, Mapping[str, str]], as_json: bool) -> int:
    if as_json:
        print(json.dumps({group: sorted(options) for group, options in groups.items()}, indent=1))
        return 0
    table = table_of("group", "options")
    for group, options in groups.items():
        table.add_row(group, ", ".join(options))
    return print_table(table)


def _print_options(groups: Mapping[str, Mapping[str, str]], as_json: bool) -> int:
    if as_json:
        print(json.dumps(groups, indent=1))
        return 0
    table = table_of("option", "what it is")
    for group, options in groups.items():
        prefix = group.partition("/")[2]
        for name, headline in options.items():
            table.add_row(f"{prefix}/{name}" if prefix else name, headline)
    return print_table(table)


def _print_runs(folder: Path, as_json: bool) -> int:
    from aetl.comparison.run import find_runs

    runs = [{**r.record, "folder": str(r.folder)} for r in find_runs([folder]).runs]
    if as_json:
        print(json.dumps(runs, indent=1))
        return 0
    table = table_of(
        "run",
        "status",
        "source -> target",
        "autoencoder",
        "transfer",
        "budget",
        "seed",
        "score",
        "gain",
    )
    for run in runs:
        metric = run.get("metric", "")
        score, gain = (run.get(part, {}).get(metric) for part in ("scores", "gain"))
        table.add_row(
            run["folder"], run["status"], f"{run.get('source')} -> {run.get('target')}",
            str(run.get("autoencoder")), str(run.get("transfer")), str(run.get("budget")),
            str(run.get("seed")), "" if score is None else f"{metric} {score:.4f}",
            "" if gain is None else f"{gain:+.4f}",
        )  # fmt: skip
    return print_table(table)
