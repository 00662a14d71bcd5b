"""A run or a sweep as one file, for another machine: and back, whoever the file came from.

A zip of plain files with ``archive.json``, which lists each with its size and digest. No path of
this machine matters in it: what lies below ``data_dir`` and ``output_dir`` is written as such, and
these two become the ones of whoever unpacks. The data itself and the user's own classes are no part
of it. Unpacking believes nothing: no path leads out, no link is made, nothing is written over, and
a file that is not as listed ends it before anything is there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from zlib import error as zlib_error

import yaml

from aetl.comparison.rows import rows
from aetl.comparison.run import Run, find_runs
from aetl.config import ConfigError, compose
from aetl.files import atomic, is_altered, sealed, write_json
from aetl.foreign import refuse_aliases, yaml_text
from aetl.model.card import card
from aetl.model.spec import SPEC, Spec
from aetl.report.table import render_table
from aetl.types import UserError
from aetl.version import __version__

LIST = "archive.json"
FORMAT = "aetl archive"
VERSION = 1
CARD = "README.md"
LEFT_OUT = frozenset({"store", "stages", "wandb", "export", "__pycache__"})
"""Folders that are made anew by whoever needs them."""
DAY_ONE = (1980, 1, 1, 0, 0, 0)
"""Of every file, so that the same run gives the same archive."""
LARGEST_LIST = 64 * 2**20
Renew = Callable[[str, str], str]
"""A config's digest as it is now, by its name and its digest before."""


def pack(path: Path, file: Path, *, weights: bool = True) -> Path:
    """Write the run or the sweep in ``path`` to ``file``; without ``weights`` it cannot predict."""
    path = path.resolve()
    try:
        runs = find_runs([path]).runs
    except FileNotFoundError as error:
        raise ConfigError(str(error)) from None
    if not runs:
        raise ConfigError(f"{path}: holds no run")
    if file.suffix != ".zip":
        raise UserError(f"{file}: an archive ends in .zip")
    kind = "run" if runs[0].folder == path else "sweep"
    with atomic(file) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as zipped:
        listed = {}
        for name, content in _contents(path, runs, kind, weights):
            zipped.writestr(zipfile.ZipInfo(name, DAY_ONE), content, zipfile.ZIP_DEFLATED)
            listed[name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        about = {
            "format": FORMAT, "version": VERSION, "kind": kind, "name": path.name,
            "aetl": __version__, "versions": runs[0].record.get("versions", {}),
            "weights": weights, "files": listed,
        }  # fmt: skip
        text = json.dumps(about, indent=1)
        zipped.writestr(zipfile.ZipInfo(LIST, DAY_ONE), text, zipfile.ZIP_DEFLATED)
    return file


def _contents(path: Path, runs: list[Run], kind: str, weights: bool) -> Iterator[tuple[str, bytes]]:
    cards = {_card_of(path, run): _card(run) for run in runs}
    if kind == "sweep":
        cards[CARD] = _sweep_card(path, runs)
    yield from ((name, text.encode()) for name, text in cards.items())
    for file in _files(path):
        name = file.relative_to(path).as_posix()
        if name in cards or name == LIST or (not weights and file.parent.name == "checkpoints"):
            continue
        yield name, _carried(path, file)


def _files(folder: Path) -> Iterator[Path]:
    """The regular files, in order; no link, nothing half-written, no lock."""
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink() or entry.suffix in (".lock", ".ckpt"):
            continue
        if entry.is_dir():
            if entry.name == ".hydra" or not (entry.name in LEFT_OUT or entry.name[0] == "."):
                yield from _files(entry)
        elif entry.is_file() and not entry.name.startswith("."):
            yield entry


def _carried(top: Path, file: Path) -> bytes:
    """A file's content without what is of this machine alone."""
    content = file.read_bytes()
    if _is_config(file.as_posix()):
        return _portable(top, content)
    if file.name in ("run.json", "manifest.json"):

        def changed(name: str, before: str) -> str:
            """The digest that a config has once it is packed; of one that was damaged, the old."""
            beside = file.parent / name
            here = beside.read_bytes() if beside.is_file() else b""
            return _digest(_portable(top, here)) if _digest(here) == before else before

        return _without_paths(content, changed)
    return content


def _portable(top: Path, content: bytes) -> bytes:
    """A config whose paths are told by ``data_dir`` and ``output_dir``, which are nobody's."""
    refuse_aliases(f"{top}: a config", content.decode(errors="replace"))
    values = yaml.safe_load(content)
    if not isinstance(values, dict):
        return content
    places = {}
    for key, anybodys in (("output_dir", "outputs"), ("data_dir", "data")):
        if os.path.isabs(str(values.get(key, ""))):
            places[str(values[key])] = f"${{{key}}}"
            values[key] = anybodys
    places[str(top)] = "."
    moved = {key: _moved(value, places) for key, value in values.items()}
    text: str = yaml.safe_dump(moved, sort_keys=False, allow_unicode=True)
    return text.encode()


def _moved(value: Any, places: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _moved(part, places) for key, part in value.items()}
    if isinstance(value, list):
        return [_moved(part, places) for part in value]
    if isinstance(value, str):
        for place in sorted(places, key=len, reverse=True):
            if value == place or value.startswith(f"{place}/"):
                return places[place] + value[len(place) :]
    return value


def _without_paths(content: bytes, changed: Renew) -> bytes:
    """A record without paths of this machine."""
    try:
        values = json.loads(content)
    except ValueError:
        return content
    if not isinstance(values, dict):
        return content
    if "paths" in values:
        values["paths"] = []
    if "cwd" in values:
        values["cwd"] = "."
    if "check" in values and not is_altered(json.loads(content)):
        values = _resealed(values, changed)
    return (json.dumps(values, indent=1) + "\n").encode()


def _resealed(record: dict[str, Any], changed: Renew) -> dict[str, Any]:
    """The record of a run or a sweep with the digests of configs that were changed for another
    place."""
    if "digests" in record:
        record = record | {"digests": _renewed(record["digests"], changed, "")}
    if isinstance(record.get("jobs"), list):
        jobs = [
            job | {"digests": _renewed(job.get("digests"), changed, f"{job['folder']}/")}
            for job in record["jobs"]
        ]
        record = record | {"jobs": jobs}
    return sealed(record)


def _renewed(digests: Mapping[str, str] | None, changed: Renew, folder: str) -> dict[str, str]:
    return {
        name: changed(f"{folder}{name}", digest) if _is_config(name) else digest
        for name, digest in (digests or {}).items()
    }


def _is_config(name: str) -> bool:
    path = PurePosixPath(name)
    return path.name == "config.yaml" or path.parent.name == ".hydra"


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _card_of(path: Path, run: Run) -> str:
    return (run.folder.relative_to(path) / CARD).as_posix()


def _card(run: Run) -> str:
    if run.status == "done" and (run.folder / SPEC).exists():
        return card(run.record, Spec.load(run.folder))
    return f"# {run.transfer}: {run.status}\n\nThis run has no model.\n"


def _sweep_card(path: Path, runs: list[Run]) -> str:
    done = [run for run in runs if run.status == "done"]
    table = render_table(rows(done)) if done else "nothing is done\n"
    lines = [f"- [{run.folder.relative_to(path)}]({_card_of(path, run)}): {run.source} -> "
             f"{run.target}, {run.transfer}, budget {run.budget}, seed {run.seed} ({run.status})"
             for run in runs]  # fmt: skip
    return f"# {path.name}\n\n```\n{table}```\n\n## Runs\n\n" + "\n".join(lines) + "\n"


def unpack(file: Path, folder: Path) -> Path:
    """Make ``folder`` of an archive; ``UserError`` where it is damaged, or would do more."""
    if folder.exists():
        raise UserError(f"{folder}: is there already; name another folder with -o")
    try:
        with zipfile.ZipFile(file) as zipped:
            listed = _listed(file, zipped)
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".aetl-") as temporary:
                whole = Path(temporary) / "whole"
                for name, about in listed.items():
                    _write(file, zipped, name, about, whole)
                _settle(whole)
                if folder.exists():
                    raise UserError(f"{folder}: is there already; name another folder with -o")
                shutil.move(whole, folder)
    except (OSError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        if isinstance(error, OSError) and error.errno is not None and file.exists():
            raise
        raise UserError(f"{file}: is no archive, or cut off ({error})") from None
    return folder


def _listed(file: Path, zipped: zipfile.ZipFile) -> dict[str, Mapping[str, Any]]:
    """What ``archive.json`` lists, which has to be what is in the file."""
    entries = zipped.infolist()
    names = [entry.filename for entry in entries]
    if LIST not in names:
        raise UserError(f"{file}: is no archive of aetl's (it has no {LIST})")
    if zipped.getinfo(LIST).file_size > LARGEST_LIST:
        raise UserError(f"{file}: its {LIST} is too large to be one")
    try:
        about = json.loads(zipped.read(LIST))
        listed = dict(about["files"])
        version = (about["format"], about["version"])
        sizes = {name: int(one["size"]) for name, one in listed.items()}
        digests = [str(one["sha256"]) for one in listed.values()]
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(f"{file}: its {LIST} cannot be read ({error})") from None
    if version != (FORMAT, VERSION):
        raise UserError(f"{file}: is of {version}, this aetl reads {(FORMAT, VERSION)}")
    if sorted(names) != sorted([LIST, *listed]) or len(digests) != len(listed):
        odd = sorted(set(names) ^ {LIST, *listed})
        raise UserError(
            f"{file}: holds other files than it lists ({', '.join(odd[:3]) or 'twice'})"
        )
    for entry in entries:
        _refuse_strange(file, entry)
        if entry.filename != LIST and entry.file_size != sizes[entry.filename]:
            raise UserError(f"{file}: {entry.filename} is not of the size that is listed")
    return listed


def _refuse_strange(file: Path, entry: zipfile.ZipInfo) -> None:
    """No path that leads out, no link, no device."""
    name = entry.filename
    parts = PurePosixPath(name).parts
    mode = stat.S_IFMT(entry.external_attr >> 16)
    if (
        not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]
        or "\0" in entry.orig_filename or PurePosixPath(name).as_posix() != name
    ):  # fmt: skip
        raise UserError(f"{file}: {name!r} would lie outside of the folder")
    if entry.is_dir() or mode not in (0, stat.S_IFREG):
        raise UserError(f"{file}: {name!r} is no plain file")


def _write(
    file: Path, zipped: zipfile.ZipFile, name: str, about: Mapping[str, Any], folder: Path
) -> None:
    """One file, in parts, at most as long as listed."""
    target = folder / name
    digest, left = hashlib.sha256(), int(about["size"])
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipped.open(name) as source, open(target, "xb") as out:
            while part := source.read(min(2**20, left + 1)):
                left -= len(part)
                if left < 0:
                    break
                digest.update(part)
                out.write(part)
    except (zipfile.BadZipFile, zlib_error, RuntimeError, NotImplementedError) as error:
        raise UserError(f"{file}: {name} is damaged ({error})") from None
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{file}: {name} is in it twice, or below another file") from None
    if left or digest.hexdigest() != about["sha256"]:
        raise UserError(f"{file}: {name} is not as it was packed")


def _settle(folder: Path) -> None:
    """The data and the outputs are those of whoever unpacks."""
    own, before = compose([]), {}
    for config in folder.rglob("config.yaml"):
        if config.parent.name == ".hydra":
            continue
        values = yaml.safe_load(yaml_text(config))
        if isinstance(values, dict) and values.get("data_dir") == "data":
            before[config] = _digest(config.read_bytes())
            values["data_dir"] = str(own.data_dir)
            config.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
    for name in ("run.json", "manifest.json"):
        for record in folder.rglob(name):
            _reseal(record, before)


def _reseal(record: Path, before: Mapping[Path, str]) -> None:
    """Bring a record's digests up to the configs that were changed and are what it says."""

    def changed(name: str, digest: str) -> str:
        file = record.parent / name
        return _digest(file.read_bytes()) if before.get(file) == digest else digest

    try:
        held = json.loads(record.read_bytes())
    except ValueError:  # whoever reads it says so
        return
    if isinstance(held, dict) and "check" in held and not is_altered(held):
        write_json(record, _resealed(held, changed))
