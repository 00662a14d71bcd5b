"""The commands: one file a verb, named as it is typed, with a ``main(arguments)``.

A command parses, calls and prints; what it calls lies in the rooms below. A verb that begins with
an underscore is asked for by aetl itself and told nowhere.
"""

from __future__ import annotations

from pathlib import Path


def verbs() -> list[str]:
    """The names of all commands."""
    stems = (file.stem for file in Path(__file__).parent.glob("*.py"))
    return sorted(stem for stem in stems if stem != "__init__")
