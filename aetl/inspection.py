"""``aetl ls``, ``aetl show`` and ``aetl diff``: look at variants and runs without torch."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aetl.config import ConfigError, conf_dir, nearest
from aetl.terminal import console

GROUP_ORDER = (
    "dataset",
    "autoencoder",
    "loss",
    "transfer",
    "task",
    "backbone",
    "corruption",
    "bottleneck",
)


def ls_command(arguments: list[str]) -> int:
    """The options of the config groups, of one group, or the runs in a folder."""
    parser = argparse.ArgumentParser("aetl ls", description=ls_command.__doc__)
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
    table = _table("variant", "what it is", "paper", "loss", "fits also", "parameters")
    table.columns[0].no_wrap = True  # names are copied
    for variant in found:
        own = [name for name in variant.fits if name not in common]
        table.add_row(
            *(variant.name, variant.what, variant.paper, ", ".join(variant.loss)),
            *(", ".join(own), f"{variant.parameters:,}"),
        )
    _print(table)
    print(f"all fit: {', '.join(sorted(common))}")
    print(f"parameters on each variant's own backbone, for images of {SHAPE}")
    return 0


def options_by_group() -> dict[str, dict[str, str]]:
    """Every group's options with the first comment line of each file."""
    root = conf_dir()
    found: dict[str, dict[str, str]] = {}
    for file in sorted(root.rglob("*.yaml")):
        group = file.parent.relative_to(root).as_posix()
        if group == "." or group.startswith(("hydra/job", "hydra/hydra")):
            continue
        if not file.stem.startswith("_"):
            found.setdefault(group, {})[file.stem] = _headline(file)
    rank = {name: i for i, name in enumerate(GROUP_ORDER)}
    return dict(sorted(found.items(), key=lambda g: (rank.get(g[0].split("/")[0], 99), g[0])))


def _headline(file: Path) -> str:
    """The first comment of a config, or the first line of its class's docstring file."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and not line.startswith("# @package"):
            return line.lstrip("# ").strip()
        if line.startswith("_target_: aetl."):
            return _module_headline(line.split()[1])
    return ""


def _module_headline(target: str) -> str:
    """The first line of a module's docstring, read as text so that nothing is imported."""
    path = Path(__file__).parent.joinpath(*target.split(".")[1:-1]).with_suffix(".py")
    if not path.is_file():
        return ""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.strip('"').strip()


def _print_groups(groups: Mapping[str, Mapping[str, str]], as_json: bool) -> int:
    if as_json:
        print(json.dumps({group: sorted(options) for group, options in groups.items()}, indent=1))
        return 0
    table = _table("group", "options")
    for group, options in groups.items():
        table.add_row(group, ", ".join(options))
    return _print(table)


def _print_options(groups: Mapping[str, Mapping[str, str]], as_json: bool) -> int:
    if as_json:
        print(json.dumps(groups, indent=1))
        return 0
    table = _table("option", "what it is")
    for group, options in groups.items():
        prefix = group.partition("/")[2]
        for name, headline in options.items():
            table.add_row(f"{prefix}/{name}" if prefix else name, headline)
    return _print(table)


def _print_runs(folder: Path, as_json: bool) -> int:
    from aetl.report.run import find_runs

    runs = [{**r.record, "folder": str(r.folder)} for r in find_runs([folder]).runs]
    if as_json:
        print(json.dumps(runs, indent=1))
        return 0
    table = _table(
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
    return _print(table)


def show_command(arguments: list[str]) -> int:
    """A run's record: what it was, what moved, what came out."""
    parser = argparse.ArgumentParser("aetl show", description=show_command.__doc__)
    parser.add_argument("run", type=Path, help="a run's folder")
    parser.add_argument("--json", action="store_true", help="print run.json alone")
    options = parser.parse_args(arguments)
    record = load_record(options.run)
    if options.json:
        print(json.dumps(record, indent=1))
        return 0
    table = _table("", "")
    table.show_header = False
    for key, value in _shown(record):
        table.add_row(key, value)
    return _print(table)


def _shown(record: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for key in ("status", "error", "source", "target", "autoencoder", "loss", "transfer", "budget",
                "selector", "seed"):  # fmt: skip
        if record.get(key) is not None:
            yield key, str(record[key])
    for name, score in record.get("scores", {}).items():
        twin, gain = record["twin"].get(name), record["gain"].get(name)
        baseline = record.get("baseline", "control/scratch").rpartition("/")[2]
        yield name, f"{score:.4f}   {baseline} twin {twin:.4f}   gain {gain:+.4f}"
    for name, score in (record.get("oracle") or {}).items():
        yield f"oracle {name}", f"{score:.4f} (the best state by test labels, never chosen by)"
    for domain, error in record.get("reconstruction", {}).items():
        yield f"reconstruction {domain}", f"{error:.5f} (mean squared error per element)"
    if bits := record.get("bits_per_dim"):
        yield "bits/dim", f"{bits['value']:.4f} ({bits['bound']}, {bits['data']})"
    for name, value in (record.get("monitor") or {}).items():
        yield name.replace("_", " "), f"{value:.4g}"
    for line in record.get("warnings") or ():
        yield "warning", line
    kept = record.get("retention") or {}
    for what in ("reconstruction", "score"):
        if kept.get(what):
            before, after = kept[what]["before"], kept[what]["after"]
            yield f"source {what} kept", f"{before:.5g} before, {after:.5g} after the transfer"
    for name, value in (record.get("transferability") or {}).get("scores", {}).items():
        yield f"score {name}", f"{value:.4g} (of the untrained transfer, on its labels)"
    receipt = record.get("receipt") or {}
    for part in ("matched", "missing", "skipped", "frozen", "trainable", "changed"):
        if receipt.get(part):
            yield f"receipt: {part}", f"{len(receipt[part])} tensors"
    if receipt.get("effective_sample_size"):
        yield "effective sample size", f"{receipt['effective_sample_size']:.1f}"
    yield "seconds", ", ".join(f"{k} {v:.1f}" for k, v in record.get("seconds", {}).items())
    for part in ("git", "versions", "hardware"):
        if record.get(part):
            yield part, ", ".join(f"{k} {v}" for k, v in (record.get(part) or {}).items())
    yield "command", " ".join(record.get("command", []))


def diff_command(arguments: list[str]) -> int:
    """What differs between two runs: config, code, versions, hardware, scores."""
    parser = argparse.ArgumentParser("aetl diff", description=diff_command.__doc__)
    parser.add_argument("runs", type=Path, nargs=2, metavar="RUN")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args(arguments)
    left, right = (_comparable(folder) for folder in options.runs)
    rows = {key: (left.get(key), right.get(key)) for key in sorted({**left, **right})}
    different = {key: pair for key, pair in rows.items() if pair[0] != pair[1]}
    if options.json:
        print(json.dumps(different, indent=1))
        return 0
    if not different:
        print("no difference in config, code, versions, hardware or scores")
        return 0
    table = _table("key", *(str(folder) for folder in options.runs))
    for key, pair in different.items():
        table.add_row(key, *("-" if value is None else str(value) for value in pair))
    return _print(table)


def load_record(folder: Path) -> dict[str, Any]:
    """The record in a run's folder, without importing what wrote it."""
    path = folder / "run.json" if folder.is_dir() else folder
    if path.name != "run.json" or not path.exists():
        raise ConfigError(f"{folder}: not a run's folder (it has no run.json)")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise ConfigError(f"{path}: cannot be read as JSON") from None
    assert isinstance(record, dict)
    return record


def _comparable(folder: Path) -> dict[str, Any]:
    import yaml

    record = load_record(folder)
    kept = (
        "git",
        "versions",
        "hardware",
        "fingerprints",
        "scores",
        "twin",
        "gain",
        "reconstruction",
        "status",
    )
    values = {key: record.get(key) for key in kept}
    config = folder / "config.yaml"
    if config.exists():
        values["config"] = yaml.safe_load(config.read_text(encoding="utf-8"))
    return dict(_flat(values))


def _flat(value: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _flat(child, f"{path}.{key}" if path else str(key))
    else:
        yield path.removeprefix("config."), value


def _table(*columns: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print(table: Any) -> int:
    console().print(table)
    return 0
