"""What a transfer really moved, froze and changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Set
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from aetl.data.columns import shared_places
from aetl.transfer.network import Network
from aetl.types import UserError


def tensors(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, detached."""
    return {name: tensor.detach() for name, tensor in network.state_dict().items()}


@dataclass(frozen=True)
class Columns:
    """The named columns of pretraining and of an arm, and the axes of tensors that count them."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    axes: Mapping[str, tuple[int, ...]]

    def moved(self, name: str, found: Tensor, own: Tensor) -> Tensor | None:
        """The arm's tensor with the pretrained weights of the columns that both have; None where
        the tensors differ in more than their columns."""
        axes = self.axes.get(name, ())
        wanted = [len(self.source) if axis in axes else size for axis, size in enumerate(own.shape)]
        if not axes or list(found.shape) != wanted:
            return None
        here, there = shared_places(self.target, self.source)
        moved = own.numpy(force=True).copy()
        places = [np.arange(size) for size in own.shape]
        for axis in axes:
            places[axis] = here.numpy()
            found = found.index_select(axis, there)
        moved[np.ix_(*places)] = found.numpy(force=True)
        return torch.from_numpy(moved)

    def as_dict(self) -> dict[str, list[str]]:
        """For the record: which columns keep their weights, and which start anew."""
        shared = [name for name in self.target if name in self.source]
        return {
            "shared": shared,
            "anew": [name for name in self.target if name not in self.source],
            "left_out": [name for name in self.source if name not in self.target],
        }


@dataclass
class Receipt:
    """Names of the network's tensors, by what happened to them.

    ``matched`` came from pretraining; ``missing`` were not in it, ``skipped`` had another shape;
    ``by_column`` came with the weights of the shared ``columns`` alone, where a target has its own;
    ``trainable`` were given to the optimiser, ``frozen`` are the other parameters; ``changed``
    differ between the start and the end of the transfer, by comparison of every bit.
    """

    matched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    by_column: list[str] = field(default_factory=list)
    columns: dict[str, list[str]] = field(default_factory=dict)
    frozen: list[str] = field(default_factory=list)
    trainable: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    parameters_trained: int = 0
    effective_sample_size: float | None = None
    examples_added: int = 0
    _start: dict[str, Tensor] = field(default_factory=dict, repr=False)

    @staticmethod
    def start(network: Network) -> Receipt:
        receipt = Receipt()
        receipt._start = {name: t.clone() for name, t in tensors(network).items()}
        return receipt

    def trained(self, network: Network, parameters: list[nn.Parameter]) -> None:
        """Note what was trained and what differs now."""
        given = {id(p) for p in parameters}
        for name, parameter in network.named_parameters():
            (self.trainable if id(parameter) in given else self.frozen).append(name)
        self.parameters_trained = sum(p.numel() for p in parameters)
        now = tensors(network)
        self.changed = [
            name
            for name, tensor in now.items()
            if name not in self._start or not torch.equal(tensor.cpu(), self._start[name].cpu())
        ]

    def as_dict(self) -> dict[str, object]:
        plain = dataclasses.asdict(dataclasses.replace(self, _start={}))
        plain.pop("_start")
        return plain


def load_pretrained(
    network: Network, state: Mapping[str, Tensor], receipt: Receipt, columns: Columns | None = None
) -> None:
    """Copy pretrained weights into the autoencoder; an error where none of them matters.

    ``columns`` are those of both domains, where the target has its own.
    """
    receipt.columns = columns.as_dict() if columns else {}
    prefix = "autoencoder."
    in_use = {name for name in network.in_use() if name.startswith(prefix)}
    own = {name: t for name, t in tensors(network).items() if name.startswith(prefix)}
    with torch.no_grad():
        for name, tensor in own.items():
            found = state.get(name.removeprefix(prefix))
            plain = name.removeprefix(prefix)
            if found is None:
                receipt.missing.append(name)
            elif columns and plain in columns.axes:
                moved = columns.moved(plain, found, tensor)
                (receipt.skipped if moved is None else receipt.by_column).append(name)
                if moved is not None:
                    tensor.copy_(moved)
            elif found.shape != tensor.shape:
                receipt.skipped.append(name)
            else:
                tensor.copy_(found)
                receipt.matched.append(name)
    if in_use and not in_use & {*receipt.matched, *receipt.by_column}:
        raise UserError(
            f"transfer: none of the encoder's {len(in_use)} tensors matches the pretrained ones "
            f"({len(receipt.missing)} missing, {len(receipt.skipped)} of another shape)"
        )
    receipt._start = {name: t.clone() for name, t in tensors(network).items()}


def frozen_modules(network: nn.Module, awake: Set[int]) -> list[nn.Module]:
    """The modules that have parameters, none of which is ``awake`` (by id): they stay in eval mode.

    So a frozen batch normalisation keeps its statistics and a frozen dropout is off.
    """
    return [
        module
        for module in network.modules()
        if (parameters := list(module.parameters()))
        and not any(id(parameter) in awake for parameter in parameters)
    ]
