"""The arguments of a command: a mistake is one line, as everywhere."""

from __future__ import annotations

import argparse
import re
from typing import NoReturn

from aetl.config import ConfigError, nearest


class Parser(argparse.ArgumentParser):
    """argparse's, which prints its usage and ends the process where something is wrong."""

    def error(self, message: str) -> NoReturn:
        unknown = re.fullmatch(r"unrecognized arguments: (.*)", message)
        if unknown:
            first = unknown[1].split()[0]
            options = [name for name in self._option_string_actions if name.startswith("--")]
            way = nearest(first, options) if first.startswith("-") else "it takes no more"
            raise ConfigError(f"{self.prog.removeprefix('aetl ')}: no such argument {first}; {way}")
        raise ConfigError(f"{self.prog.removeprefix('aetl ')}: {message}; see {self.prog} --help")
