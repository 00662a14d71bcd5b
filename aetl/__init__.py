"""aetl: pretrain an autoencoder on a source, transfer it to a target, and say whether it helped.

    import aetl

    aetl.run(["transfer=parameter/lora", "seed=1"])        # one run
    found = aetl.sweep(["transfer=control/scratch,parameter/finetune", "seed=0,1,2"])
    found.compare().to_pandas()                            # arms x budgets with intervals
    model = aetl.load(found.best()[0].run)                 # chosen by held-out labels
    model.predict("folder/of/images").to_pandas()

Nothing heavy is imported before one of them is called.
"""

from __future__ import annotations

from typing import Any

from aetl.version import __version__ as __version__

# Their types are in __init__.pyi: imported here, every module would import the whole in a circle.
__all__ = ["best", "check", "compare", "load", "run", "runs", "sweep"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'aetl' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module("aetl.front"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
