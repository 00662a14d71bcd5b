"""How the likelihoods of the test examples lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aetl.report.of_task.reconstruction import histogram

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTIONS = {"likelihoods": "Minus the log-likelihood of target test examples; grey, the twin."}


def drawn(
    arrays: Mapping[str, np.ndarray], classes: Sequence[str], folder: Path
) -> dict[str, Figure | None]:
    nats = arrays["prediction"], arrays.get("twin_prediction")
    return {"likelihoods": histogram(*nats, "nats")}
