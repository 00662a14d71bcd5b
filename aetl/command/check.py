"""``aetl check``."""

from __future__ import annotations

from aetl.arguments import Parser
from aetl.front import check


def main(arguments: list[str]) -> int:
    """Compose, build everything, and one step of each stage in a temporary folder."""
    parser = Parser("aetl check", description=main.__doc__)
    parser.add_argument("--config-dir", "-cd", action="append", default=[], metavar="DIR")
    parser.add_argument("overrides", nargs="*", help="KEY=VALUE ...")
    options = parser.parse_args(arguments)
    check(options.overrides, config_dir=options.config_dir)
    print("ok: the config composes, everything builds, and each stage takes a step")
    return 0
