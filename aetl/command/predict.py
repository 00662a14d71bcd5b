"""``aetl predict``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetl.arguments import Parser
from aetl.trust import add_options, believe_options

if TYPE_CHECKING:
    from aetl.model.answers import Answers
    from aetl.model.model import Model


def main(arguments: list[str]) -> int:
    """What a run's arm predicts for new data: an image, a table, a recording, a text, a folder of
    them, series in a .ts, an .npz, a data set.

    Without DATA, for the run's own test set, which it then compares with the run's predictions
    (exit code 1 where they differ). New data is taken as it is: no shift is put on it.
    """
    parser = parser_of("predict", main.__doc__)
    options = parser.parse_intermixed_args(arguments)
    model, data = prepare(options)
    found = model.predict(data, layout=options.layout)
    give(found, options.output)
    return 0 if options.data else _compared(model, found)


def parser_of(verb: str, what: str | None) -> argparse.ArgumentParser:
    """The arguments that predict and embed share."""
    parser = Parser(f"aetl {verb}", description=what)
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder")
    parser.add_argument(
        "data", nargs="?", metavar="DATA",
        help="an image, a table, a recording, a text, a folder of them, a .ts, an .npz, or an "
        "option of dataset (aetl ls dataset)",
    )  # fmt: skip
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="keys of that data set, e.g. path=..."
    )
    parser.add_argument("--part", choices=("train", "test"), default="test", help="of a data set")
    parser.add_argument("-o", "--output", type=Path, help=".csv, .parquet or .npz (default: print)")
    parser.add_argument(
        "--device", default="cpu", help="e.g. cuda; on the cpu every bit is the run's"
    )
    parser.add_argument(
        "--layout", choices=("auto", "first", "last"), default="auto",
        help="which axis of the images of an .npz are the channels",
    )  # fmt: skip
    add_options(parser)
    return parser


def prepare(options: argparse.Namespace) -> tuple[Model, Any]:
    """The model, and the data as it takes it."""
    from aetl.model.answers import check_format
    from aetl.model.datasets import dataset, options_of, own_test
    from aetl.model.model import Model
    from aetl.types import UserError

    believe_options(options)
    if options.output:
        check_format(options.output)
    model = Model.load(options.run, options.device)
    if options.data is None:
        return model, own_test(model)
    if Path(options.data).expanduser().exists():
        if options.overrides:
            raise UserError(f"{options.overrides[0]}: a file or a folder takes no keys")
        return model, options.data
    known = options_of(options.config_dir)
    if options.data not in known:
        raise UserError(
            f"{options.data}: there is no such file or folder, nor such a data set "
            f"({', '.join(known)})"
        )
    return model, dataset(options.data, options.overrides, options.part, options.config_dir)


def give(found: Answers, output: Path | None) -> None:
    """Write them, or print them as CSV."""
    if output is None:
        print(found.to_csv(), end="")
    else:
        print(found.save(output))


def _compared(model: Model, found: Any) -> int:
    from aetl.model.datasets import difference

    gap = difference(model, found)
    if gap is None:
        print("the run's own test set: identical to its predictions", file=sys.stderr)
        return 0
    print(f"differs from the run's predictions by up to {gap:.3g}", file=sys.stderr)
    return 1
