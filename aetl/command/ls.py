"""``aetl ls``: the options of config groups, one of them in full, or the runs in a folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from aetl.arguments import Parser
from aetl.catalogue import options_by_group
from aetl.comparison.run import find_runs
from aetl.config import ConfigError, nearest
from aetl.printable import one_line
from aetl.terminal import print_fitted, print_markdown, print_table, table_of


def main(arguments: list[str]) -> int:
    """The options of the groups, of one group, one option in full, or the runs in a folder."""
    parser = Parser("aetl ls", description=main.__doc__)
    parser.add_argument(
        "what",
        nargs="?",
        help="a config group (autoencoder), one of its options (autoencoder/vae), or a folder",
    )
    parser.add_argument(
        "--variants", action="store_true",
        help="with autoencoder: paper, default loss, what else fits, parameters",
    )  # fmt: skip
    parser.add_argument(
        "--where", action="append", default=[], metavar="KEY=VALUE",
        help="of runs: only these (a name as source, status or seed, or a key of the config)",
    )  # fmt: skip
    parser.add_argument("--sort", metavar="METRIC|KEY", help="of runs: by a metric, gain, or key")
    parser.add_argument("--config-dir", "-cd", action="append", default=[], metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args(arguments)
    if options.variants:
        return _print_variants(options.what, options.json)
    groups = options_by_group(options.config_dir)
    if options.what is None:
        return _print_groups(groups, options.json)
    if options.what in groups or any(g.startswith(f"{options.what}/") for g in groups):
        chosen = {
            g: o for g, o in groups.items() if g == options.what or g.startswith(f"{options.what}/")
        }
        return _print_options(chosen, options.json)
    if Path(options.what).is_dir():
        return _print_runs(Path(options.what), options.where, options.sort, options.json)
    if options.what.rpartition("/")[0] in groups:
        return _print_option(options.what, options.config_dir, options.json)
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


def _print_option(title: str, config_dirs: Sequence[str], as_json: bool) -> int:
    from aetl.reference import markdown, option

    found = option(title, config_dirs)
    if as_json:
        print(json.dumps(dataclasses.asdict(found), indent=1))
        return 0
    return print_markdown(markdown(found))


def _print_runs(folder: Path, where: Sequence[str], sort: str | None, as_json: bool) -> int:
    from aetl.comparison.listing import chosen_runs, listed, sorted_runs

    runs = chosen_runs(find_runs([folder]).runs, where)
    if sort is not None:
        runs = sorted_runs(runs, sort)
    if as_json:
        print(json.dumps([{**r.record, "folder": str(r.folder)} for r in runs], indent=1))
        return 0
    if not runs:
        print(f"no run below {folder}" + (f" with {', '.join(where)}" if where else ""))
        return 0
    common, columns = listed(runs, folder)
    if common:
        print(one_line(f"all: {', '.join(f'{name} {value}' for name, value in common.items())}"))
    return print_fitted(columns)
