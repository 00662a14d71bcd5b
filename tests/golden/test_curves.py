"""The first 20 steps of each family are those that they were when they were last looked at.

Where a change is meant to move them: ``python -m tests.golden.regenerate``, and a line in LOG.md.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.golden.curves import FAMILIES, curves
from tests.golden.regenerate import FILE

GOLDEN = json.loads(FILE.read_text())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_curve_is_where_it_was(family: str, tmp_path: Path) -> None:
    golden, now = GOLDEN[family], curves(family, tmp_path)
    assert now.keys() == golden.keys()
    for term, values in golden.items():
        assert len(values) == 20
        np.testing.assert_allclose(now[term], values, rtol=1e-6, err_msg=f"{family}: {term}")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_curve_falls(family: str) -> None:
    """A golden value may be as wrong as the code that it came from; this much is known."""
    loss = GOLDEN[family]["loss"]
    assert np.mean(loss[-5:]) < np.mean(loss[:5])
