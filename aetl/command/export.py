"""``aetl export``."""

from __future__ import annotations

import sys
from pathlib import Path

from aetl.arguments import Parser
from aetl.trust import add_options, believe_options


def main(arguments: list[str]) -> int:
    """A run's model for programs without aetl, compared with what the run itself predicted.

    Exit code 1, and no file, where the difference is above the tolerance.
    """
    parser = Parser("aetl export", description=main.__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder")
    parser.add_argument(
        "--format", choices=("onnx", "torch", "safetensors"), default="onnx",
        help="ONNX, torch.export (.pt2), or tensors beside JSON (default: onnx)",
    )  # fmt: skip
    parser.add_argument(
        "--gives", choices=("predictions", "features"), default="predictions",
        help="the arm's predictions, or the encoder's features",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="default: RUN/export")
    parser.add_argument("--tolerance", type=float, help="the largest difference (default: 1e-5)")
    add_options(parser)
    options = parser.parse_args(arguments)
    from aetl.model.export import export, left_outside
    from aetl.model.model import Model

    believe_options(options)
    model = Model.load(options.run)
    folder = options.output or options.run / "export"
    file, parity = export(model, folder, options.format, options.gives, options.tolerance)
    for step in left_outside(model) if parity is not None else ():
        print(f"not in the graph: {step}", file=sys.stderr)
    if parity is not None:
        print(parity, file=sys.stderr)
    if parity is not None and not parity.holds:
        return 1
    print(file)
    return 0
