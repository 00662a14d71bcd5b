"""``aetl guide``: what one should know, to read in the terminal."""

from __future__ import annotations

from pathlib import Path

from aetl.arguments import Parser
from aetl.config import ConfigError, nearest
from aetl.terminal import print_markdown, print_table, table_of

FOLDER = Path(__file__).parent.parent / "guide"
ORDER = ("start", "words", "data", "transfer", "autoencoder", "verdict", "sweep", "model", "engine",
         "faults")  # fmt: skip
"""In which a newcomer would read them; others follow by name."""


def main(arguments: list[str]) -> int:
    """List the guides, or show one."""
    parser = Parser("aetl guide", description=main.__doc__)
    parser.add_argument("name", nargs="?", help="which one; without it they are listed")
    name = parser.parse_args(arguments).name
    files = guides()
    if name is None:
        table = table_of("guide", "what it tells")
        for stem, file in files.items():
            table.add_row(stem, headline(file))
        return print_table(table)
    if name not in files:
        raise ConfigError(f"guide {name}: no such guide; {nearest(name, files)}")
    return print_markdown(files[name].read_text(encoding="utf-8"))


def guides() -> dict[str, Path]:
    """The files of the guides by name, in the order of reading."""
    found = {file.stem: file for file in sorted(FOLDER.glob("*.md"))}
    first = [name for name in ORDER if name in found]
    return {name: found[name] for name in [*first, *(n for n in found if n not in first)]}


def headline(file: Path) -> str:
    """The title of a guide."""
    return file.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
