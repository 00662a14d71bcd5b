"""``aetl archive``."""

from __future__ import annotations

from pathlib import Path

from aetl.arguments import Parser


def main(arguments: list[str]) -> int:
    """A run or a sweep as one .zip for a colleague: or such a file as a folder again.

    What is unpacked can be compared, reported, predicted from and done again. The data is no part
    of it, nor are classes of your own.
    """
    parser = Parser("aetl archive", description=main.__doc__)
    parser.add_argument("path", type=Path, metavar="RUN|SWEEP|FILE.zip")
    parser.add_argument(
        "-o", "--output", type=Path, help="the file (default: NAME.zip), or the folder (NAME)"
    )
    parser.add_argument("--no-weights", action="store_true", help="records and predictions alone")
    options = parser.parse_args(arguments)
    from aetl.model.archive import pack, unpack

    if options.path.is_file():
        print(unpack(options.path, options.output or Path(options.path.stem)))
        return 0
    name = options.path.resolve().name
    file = options.output or Path(f"{name}.zip")
    print(pack(options.path, file, weights=not options.no_weights))
    return 0
