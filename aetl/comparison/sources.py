"""Which code runs come from: what changed between them is told, and no gain is taken across it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from aetl.comparison.run import Run


def code_of(run: Run) -> dict[str, str]:
    """Digests of the code behind a result: of ``aetl``, and of each of the user's own modules.

    Empty for records of before they were noted.
    """
    aetl = (run.record.get("versions") or {}).get("sources")
    own = run.record.get("own_code") or {}
    return ({"aetl": str(aetl)} if aetl else {}) | {str(k): str(v) for k, v in own.items()}


def changed(runs: Iterable[Run]) -> tuple[str, ...]:
    """What is not the same code in all of these runs that have it."""
    digests: dict[str, set[str]] = defaultdict(set)
    for run in runs:
        for name, digest in code_of(run).items():
            digests[name].add(digest)
    return tuple(sorted(name for name, found in digests.items() if len(found) > 1))
