"""The commands that README and guides show, as one would type them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

from aetl.command.guide import FOLDER

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted(FOLDER.glob("*.md"))]


class Command(NamedTuple):
    page: str
    text: str

    @property
    def arguments(self) -> list[str]:
        """What follows ``aetl``; variables before it are left out."""
        words = shlex.split(self.text)
        return words[words.index("aetl") + 1 :]


def commands() -> list[Command]:
    """Every line of a block of code that calls aetl, with those that continue it; each once."""
    found = []
    for page in PAGES:
        for block in blocks(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                for part in line.partition(" #")[0].split("; "):
                    if re.match(r"\s*(\$ )?(\w+=\S+ )*aetl( |$)", part):
                        found.append(Command(page.stem, " ".join(part.split()).removeprefix("$ ")))
    return list(dict.fromkeys(found))


def blocks(text: str) -> list[str]:
    """Blocks of code: between fences without a language, or indented."""
    fenced = re.findall(r"^```\n(.*?)^```$", text, flags=re.S | re.M)
    rest = re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)
    return [*fenced, *re.findall(r"(?:^(?: {4}).*\n)+", rest, flags=re.M)]
