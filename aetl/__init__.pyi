from aetl.front import best as best
from aetl.front import check as check
from aetl.front import compare as compare
from aetl.front import load as load
from aetl.front import run as run
from aetl.front import runs as runs
from aetl.front import sweep as sweep
from aetl.version import __version__ as __version__

__all__ = ["best", "check", "compare", "load", "run", "runs", "sweep"]
