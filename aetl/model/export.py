"""A model for programs that know nothing of aetl: ONNX, ``torch.export``, or safetensors and JSON.

A graph takes a batch of any size as the network sees it before scaling to [0, 1]: images as uint8
[N, C, H, W], vectors as float32 [N, D]. Bringing an image to its size is no part of it. After the
export the graph is run and compared with what the run itself predicted.
"""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from aetl.data.base import Examples
from aetl.data.scale import FITTED
from aetl.files import atomic, refuse_link, write_json, write_text
from aetl.model.datasets import own_test
from aetl.model.model import WEIGHTS, Model
from aetl.stage.fitted import HEAD, NETWORK, SIZE
from aetl.types import UserError

Format = Literal["onnx", "torch", "safetensors"]
Gives = Literal["predictions", "features"]
Run = Callable[[np.ndarray], np.ndarray]
TOLERANCE = 1e-5
"""The largest difference of a probability; of values and features it is of their spread."""


@dataclass(frozen=True)
class Parity:
    """How far an export is from the model: the largest difference, and over which examples."""

    difference: float
    tolerance: float
    examples: int
    against: str

    @property
    def holds(self) -> bool:
        return self.difference <= self.tolerance

    def __str__(self) -> str:
        return (
            f"largest difference {self.difference:.3g} (tolerance {self.tolerance:.3g}) to "
            f"{self.against}, {self.examples} examples"
        )


class Graph(nn.Module):
    """From raw inputs to what is given, as one module without choices."""

    def __init__(self, model: Model, gives: Gives) -> None:
        super().__init__()
        self.network, self.gives = model.network, gives
        self.task = model.task
        scale = model.spec.preprocessing.scale
        self.scaled = scale is not None
        self.absent = model.spec.preprocessing.kind == "series"  # moments of shorter ones are NaN
        if scale is not None:
            if scale.method not in FITTED:
                raise UserError(
                    f"export: scale={scale.method} cannot be part of a graph; "
                    "--format safetensors exports all of the model"
                )
            offset, factor = scale.affine(len(model.spec.preprocessing.shape))
            self.register_buffer("offset", offset)
            self.register_buffer("factor", factor)
        self.head: nn.Module | None = None
        closed_form = model.arm.closed_form
        self.strategy = None if closed_form is None else closed_form.strategy
        if closed_form is None and gives == "predictions" and model.task.decodes:
            raise UserError(
                f"export: a network answers task={model.task.kind} by its decoder and the loss, "
                "which are no part of a graph; --gives features exports its features, "
                "--format safetensors all of it"
            )
        if closed_form is not None and gives == "predictions":
            build = getattr(closed_form.estimator, "graph", None)
            if build is not None and not closed_form.alignment:
                self.head = build(model.arm.output_dim)
            if self.head is None:
                name = model.record["transfer"]
                raise UserError(
                    f"export: the head of transfer={name} cannot be part of a graph; "
                    "--gives features exports what it sees, --format safetensors all of it"
                )

    def forward(self, x: Tensor) -> Tensor:
        if self.scaled:
            x = ((x.double() - self.get_buffer("offset")) / self.get_buffer("factor")).float()
        if self.absent:
            x = torch.where(x.isnan(), 0.0, x)
        inputs = (x.float() / 255 if x.dtype == torch.uint8 else x).to(self.network.scale.dtype)
        if self.gives == "predictions" and self.strategy is None:
            output = self.network(inputs)
            return self.task.expected(output.double()).float()
        features = (
            self.network.features(inputs)
            if self.strategy is None
            else self.strategy.represent(self.network, inputs)
        )
        if self.head is None:
            return features
        found: Tensor = self.head(features.double())
        return found.float()


def export(
    model: Model, folder: Path, format: Format = "onnx", gives: Gives = "predictions",
    tolerance: float | None = None,
) -> tuple[Path, Parity | None]:  # fmt: skip
    """Write the model to ``folder``; its file, and how far it is from the run's predictions.

    Safetensors are the very files of the run, so there is nothing to compare.
    """
    refuse_link(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model.to("cpu")
    write_json(folder / "model.json", described(model, gives))
    write_text(folder / "README.md", model.card())
    if format == "safetensors":
        return _as_tensors(model, folder), None
    graph = Graph(model, gives).eval()
    write, name = {"onnx": (_onnx, "model.onnx"), "torch": (_torch, "model.pt2")}[format]
    with atomic(folder / name) as temporary:
        run = write(graph, _example(model), temporary, described(model, gives))
        parity = compared(model, run, gives, tolerance)
    if not parity.holds:
        (folder / name).unlink()
    return folder / name, parity


def described(model: Model, gives: Gives) -> dict[str, Any]:
    """What goes in and what comes out, for whoever has the file alone."""
    takes = model.spec.preprocessing
    return {
        "input": {
            "name": "x",
            "kind": takes.kind,
            "shape": ["N", *takes.shape],
            "dtype": str(_example(model).dtype).removeprefix("torch."),
            "before": left_outside(model),
        },
        "output": gives,
        "task": model.task.kind,
        "classes": list(model.classes),
        "arm": model.record["transfer"],
        "autoencoder": model.record["autoencoder"],
        "source": model.record["source"],
        "target": model.record["target"],
        "versions": model.record.get("versions", {}),
    }


def left_outside(model: Model) -> list[str]:
    """What of the preprocessing is no part of a graph."""
    takes = model.spec.preprocessing
    if takes.kind != "image":
        return []
    steps = [f"decode to {takes.read_shape[0]} channels"]
    ways = {"pad": "padded with their rim", "crop": "cropped in the middle", "stretch": "stretched"}
    way = ways[takes.form.fit]
    for shape in dict.fromkeys((takes.read_shape, takes.shape)):
        steps.append(f"resize to {shape[1]} x {shape[2]}, {way}, bilinear, antialiased")
        way = ways["stretch"]  # from one size to the other
    if takes.shape[0] != takes.read_shape[0]:
        steps.append(f"bring to {takes.shape[0]} channels")
    return steps


def _as_tensors(model: Model, folder: Path) -> Path:
    from omegaconf import OmegaConf

    for name in (NETWORK, HEAD):
        if (model.folder / WEIGHTS / name).exists():
            shutil.copyfile(model.folder / WEIGHTS / name, folder / name)
    write_json(folder / "config.json", OmegaConf.to_container(model.cfg, resolve=True))
    return folder / NETWORK


def _example(model: Model) -> Tensor:
    takes = model.spec.preprocessing
    dtype = {"image": torch.uint8, "tokens": torch.int64}.get(takes.kind, torch.float32)
    return torch.zeros(2, *takes.shape, dtype=dtype)


def _program(graph: Graph, example: Tensor) -> torch.export.ExportedProgram:
    dynamic = ({0: torch.export.Dim("N")},)
    with torch.no_grad():
        return torch.export.export(graph, (example,), dynamic_shapes=dynamic)


def _torch(graph: Graph, example: Tensor, path: Path, about: dict[str, Any]) -> Run:
    program = _program(graph, example)
    torch.export.save(program, path)
    module = torch.export.load(path).module()

    def run(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(module(torch.from_numpy(x)).numpy())

    return run


def _onnx(graph: Graph, example: Tensor, path: Path, about: dict[str, Any]) -> Run:
    import json

    try:
        import onnxruntime
        import onnxscript  # noqa: F401  (torch writes ONNX by it)
    except ImportError:
        raise UserError("export --format onnx: pip install 'aetl[onnx]'") from None
    with _quiet():
        program = torch.onnx.export(
            _program(graph, example), dynamo=True, input_names=["x"],
            output_names=[graph.gives], verbose=False,
        )  # fmt: skip
    assert program is not None
    program.model.metadata_props["aetl"] = json.dumps(about)
    program.save(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: np.asarray(session.run(None, {name: x})[0])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells its progress, which is nobody's business here."""
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger("torch.onnx").setLevel(level)


def compared(model: Model, run: Run, gives: Gives, tolerance: float | None) -> Parity:
    """The exported graph beside the run's predictions of its test set.

    Beside the model's own answers to drawn inputs where the data is not here. ``tolerance`` is by
    default 1e-5, of values and features times their largest.
    """
    try:
        test = own_test(model)
        against = "the run's predictions of its test set"
    except (UserError, OSError):
        test = _drawn(model)
        against = "the model on drawn inputs (the run's data is not here)"
    expected = _expected(model, test, gives, drawn="drawn" in against)
    if gives == "features":
        against = against.replace("the run's predictions of", "the model's features of")
    scale = model.spec.preprocessing.scale
    seen = test.x.to_dense() if test.x.is_sparse else test.x
    x = (seen if scale is None else scale.undone(seen)).numpy()
    # Another size of batch each time, since a graph may have learnt one by heart.
    cuts = [0, 1, 4, *range(SIZE, len(x), SIZE)]
    parts = [run(x[a:b]) for a, b in zip(cuts, [*cuts[1:], len(x)], strict=True) if len(x[a:b])]
    found = np.concatenate(parts).astype(np.float64)
    if found.size != expected.size:  # of clusters: the run keeps the most likely one
        found = found.argmax(1).astype(np.float64)
    difference = float(np.abs(found.reshape(expected.shape) - expected).max())
    if not np.isfinite(difference):
        difference = float("inf")
    unit = 1.0 if model.classes and gives == "predictions" else float(np.abs(expected).max()) or 1.0
    return Parity(difference, TOLERANCE * unit if tolerance is None else tolerance, len(x), against)


def _expected(model: Model, test: Examples, gives: Gives, drawn: bool) -> np.ndarray:
    if gives == "features":
        return model.encode(test, progress=False).value.astype(np.float64)
    if not drawn:
        with np.load(model.folder / "predictions.npz", allow_pickle=False) as saved:
            name = "probability" if "probability" in saved else "prediction"
            return np.asarray(saved[name], np.float64)
    found = model.predict(test, progress=False)
    value = found.value if found.probability is None else found.probability
    return value.astype(np.float64)


def _drawn(model: Model) -> Examples:
    generator = torch.Generator().manual_seed(0)
    shape = (64, *model.spec.preprocessing.shape)
    if model.spec.preprocessing.kind == "image":
        x = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    elif model.spec.preprocessing.kind == "tokens":
        number = model.spec.preprocessing.entries.tokens
        x = torch.randint(0, number, shape, generator=generator)
    else:
        x = torch.randn(shape, generator=generator)
    return Examples(x, torch.full((64,), -1), (), np.zeros(64, np.uint64))
