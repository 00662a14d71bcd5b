"""What the fork server imports and reads once, so that no job has to.

Importing torch and pytorch_lightning takes seconds; a process forked from one that has imported
them starts at once. Some of what is named here is otherwise imported in the middle of a job. What
cannot be imported is left out: the job that needs it says so better.
"""

from __future__ import annotations

import gc
import importlib
import signal
from contextlib import suppress

MODULES = (
    "aetl.pipeline",
    "aetl.launch",
    "aetl.multirun.job",
    "aetl.multirun.prepare",
    "aetl.report.page",
    "hydra.core.utils",
    "joblib",
    "matplotlib.backends.backend_agg",
    "matplotlib.pyplot",
    "pydantic.type_adapter",
    "sklearn.datasets",
    "sklearn.linear_model",
    "sklearn.metrics",
    "threadpoolctl",
)
STAGES = ("aetl.stage.pretrain", "aetl.stage.transfer", "aetl.stage.evaluate")

# Ctrl-C is the launcher's business; later the server itself ignores it.
_handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
for _name in MODULES:
    with suppress(Exception):
        importlib.import_module(_name)
with suppress(Exception):  # which files the stages' sources reach: 0.2 s
    importlib.import_module("aetl.store.code").reached(STAGES)
with suppress(Exception):  # what every job looks up
    importlib.import_module("aetl.config")._ours()
signal.signal(signal.SIGINT, _handler)

# What is there now is never freed; out of the collector's sight its pages stay shared.
gc.collect()
gc.freeze()
