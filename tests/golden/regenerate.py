"""Writes the golden curves anew, and says what moved.

    python -m tests.golden.regenerate            all families
    python -m tests.golden.regenerate vae        one of them

A change that moves a curve says so in LOG.md.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

FILE = Path(__file__).with_name("curves.json")


def main(families: list[str]) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, as in the tests
    from tests.golden.curves import FAMILIES, curves

    old = json.loads(FILE.read_text()) if FILE.exists() else {}
    new = {name: values for name, values in old.items() if name in FAMILIES}
    for family in families or FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            new[family] = curves(family, Path(folder))
        for term, values in new[family].items():
            before = old.get(family, {}).get(term)
            if before is None:
                print(f"{family} {term}: new")
            elif before != values:
                moved = max(
                    abs(a - b) / (abs(b) + 1e-12) for a, b in zip(values, before, strict=True)
                )
                print(f"{family} {term}: moved by up to {moved:.2g} of its value")
    FILE.write_text(_text({name: new[name] for name in FAMILIES if name in new}))


def _text(families: dict[str, dict[str, list[float]]]) -> str:
    """JSON with a curve on each line, so that a diff shows which ones moved."""
    blocks = [
        f'"{family}": {{\n'
        + ",\n".join(f' "{term}": {json.dumps(values)}' for term, values in terms.items())
        + "\n}"
        for family, terms in families.items()
    ]
    return "{\n" + ",\n".join(blocks) + "\n}\n"


if __name__ == "__main__":
    main(sys.argv[1:])
