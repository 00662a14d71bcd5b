"""Weights that somebody brings: read without running anything, and told how far they fit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from aetl.autoencoder.base import Autoencoder
from aetl.files import read_tensors
from aetl.foreign import refuse_endless
from aetl.rng import seed_global
from aetl.transfer.network import Network, Representation
from aetl.types import UserError

WRAPPERS = ("state_dict", "model_state_dict", "model", "weights")
"""Under these keys others keep what ``torch.save(model.state_dict())`` keeps bare."""
SHARE = 0.8
"""Of the tensors that the features depend on: with fewer it is another architecture's."""


class Brought(NamedTuple):
    """The tensors that fit, by the autoencoder's own names, and what has to be told."""

    state: dict[str, Tensor]
    warnings: tuple[str, ...]


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights in a file that a run left, or in the run's folder itself."""
    file = weights_file(path)
    found = read_tensors(file) if file.suffix == ".safetensors" else _unwrapped(_loaded(file))
    state = {name: value for name, value in found.items() if isinstance(value, Tensor)}
    if found and not state:  # an autoencoder without any has none
        raise UserError(f"checkpoint={file}: holds no weights by name")
    return {str(name): value for name, value in state.items()}


def weights_file(path: Path) -> Path:
    """The file itself, or that of a run's autoencoder in its folder."""
    file = path / "checkpoints" / "autoencoder.pt" if path.is_dir() else path
    if not file.exists():
        raise UserError(
            f"checkpoint={path}: there is no such file, nor a run with checkpoints/autoencoder.pt"
        )
    refuse_endless(file)
    return file


def bring(
    path: Path, autoencoder: Autoencoder, representation: Representation, *, partial: bool,
    renames: Mapping[str, str] = {},
) -> Brought:  # fmt: skip
    """The weights of a file for an autoencoder, under whatever prefix they stand there.

    Raises ``UserError`` where fewer than ``SHARE`` of the tensors that the representation depends
    on are in it (unless ``partial``), and where one of them is not finite.
    ``renames`` are patterns and what stands in their place in the file's names, one after the
    other, as ``re.sub`` has it; those of an encoder alone (torchvision's, timm's) are known
    without.
    """
    own = autoencoder.state_dict()
    there = _renamed(read_weights(path), renames)
    state = _of_the_encoder(there, own) or _without_prefix(there, own)
    used = in_use(autoencoder, representation) or [n for n, t in own.items() if t.dim()]
    if not used:
        raise UserError(f"checkpoint={path}: this autoencoder has no weights to take from it")
    fits = {name: tensor for name, tensor in state.items() if _fits(tensor, own.get(name))}
    _refuse_infinite(path, fits)
    matched = [name for name in used if name in fits]
    lacking = [_lacking(name, own[name], state) for name in used if name not in fits]
    said = f"checkpoint={path}: {len(matched)} of the encoder's {len(used)} tensors are in it"
    if not matched or (len(matched) < SHARE * len(used) and not partial):
        way = "use the architecture that it was made with" + (
            ", or checkpoint_partial=true to leave the rest at random" if matched else ""
        )
        if not matched:
            said = f"checkpoint={path}: none of the encoder's {len(used)} tensors is in it"
            way = f"it holds {_few(list(there))}: rename them by checkpoint_map, or {way}"
        raise UserError(f"{said} ({_few(lacking)}); {way}")
    warnings = [f"{said}; the rest stays at random ({_few(lacking)})"] if lacking else []
    others = [name for name in own if name not in {*used, *fits} and own[name].dim()]
    if others:
        warnings.append(
            f"checkpoint={path}: not in it, and at random: {_few(others)}; the features do not "
            "depend on it, reconstructions and samples may"
        )
    return Brought({k: v.to(own[k].dtype) for k, v in fits.items()}, tuple(warnings))


def _loaded(file: Path) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        if named:
            raise UserError(
                f"checkpoint={file}: is a pickle that names {named[1]}, and nothing in a "
                "checkpoint is run; save the tensors alone: torch.save(model.state_dict(), FILE)"
            ) from None
        raise UserError(f"checkpoint={file}: not a checkpoint ({type(error).__name__})") from None


def _unwrapped(content: Any) -> Mapping[Any, Any]:
    if not isinstance(content, Mapping):
        return {"": content}
    for name in WRAPPERS:
        if isinstance(content.get(name), Mapping):
            return _unwrapped(content[name])
    return content


def _without_prefix(state: Mapping[str, Tensor], own: Iterable[str]) -> dict[str, Tensor]:
    """``module.autoencoder.encoder.0.weight`` is ``encoder.0.weight``: by the prefix under which
    the most of our names stand, the shortest of equally good ones."""
    ends = set(own)
    found: Counter[str] = Counter()
    for name in state:
        parts = name.split(".")
        for i in range(len(parts)):
            if ".".join(parts[i:]) in ends:
                found["".join(f"{part}." for part in parts[:i])] += 1
    prefix = min(found, key=lambda p: (-found[p], len(p)), default="")
    return {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}


def _renamed(state: Mapping[str, Tensor], renames: Mapping[str, str]) -> dict[str, Tensor]:
    """The tensors under other names; ``UserError`` where two of them get the same."""
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        new = name
        for pattern, replacement in renames.items():
            try:
                new = re.sub(pattern, replacement, new)
            except (re.error, IndexError) as error:
                raise UserError(f"checkpoint_map.{pattern}={replacement}: {error}") from None
        if new in found:
            raise UserError(f"checkpoint_map: two tensors become {new}, the second is {name}")
        found[new] = tensor
    return found


def _of_the_encoder(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> dict[str, Tensor] | None:
    """The state of an encoder by itself, under its names here; None where it is a whole one."""
    start = "encoder.body." if any(n.startswith("encoder.body.") for n in own) else "encoder."
    inner = {n.removeprefix(start): t for n, t in own.items() if n.startswith(start)}
    alone, whole = _without_prefix(state, inner), _without_prefix(state, own)

    def fitting(found: Mapping[str, Tensor], names: Mapping[str, Tensor]) -> int:
        return sum(_fits(tensor, names.get(name)) for name, tensor in found.items())

    if fitting(alone, inner) <= fitting(whole, own):
        return None
    return {f"{start}{name}": tensor for name, tensor in alone.items()}


def in_use(autoencoder: Autoencoder, representation: Representation) -> list[str]:
    """The names of the tensors that the representation depends on, without a draw of torch's."""
    with torch.random.fork_rng(devices=[]):
        seed_global(0)
        names = Network(autoencoder, representation, 1, 0.0, 1.0).in_use()
    start = "autoencoder."
    return [name.removeprefix(start) for name in names if name.startswith(start)]


def _fits(tensor: Tensor, own: Tensor | None) -> bool:
    return (
        own is not None
        and tensor.shape == own.shape
        and tensor.is_floating_point() == own.is_floating_point()
    )


def _refuse_infinite(path: Path, state: Mapping[str, Tensor]) -> None:
    for name, tensor in state.items():
        bad = int((~torch.isfinite(tensor)).sum()) if tensor.is_floating_point() else 0
        if bad:
            raise UserError(
                f"checkpoint={path}: {name} holds {bad} of {tensor.numel()} values that are not "
                "finite (NaN or infinite): the training that it comes from has diverged"
            )


def _lacking(name: str, own: Tensor, state: Mapping[str, Tensor]) -> str:
    if name not in state:
        return name
    return f"{name} is {_shape(state[name])} there and {_shape(own)} here"


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def _few(names: list[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + rest
