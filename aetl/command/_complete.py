"""``aetl _complete LINE``: what the last word of a line may become; asked at every Tab."""

from __future__ import annotations

import sys

from aetl.command import verbs
from aetl.completion import candidates


def main(arguments: list[str]) -> int:
    """Print the candidates, one a line."""
    found = candidates(" ".join(arguments), verbs())
    sys.stdout.write("".join(f"{word}\n" for word in found))
    return 0
