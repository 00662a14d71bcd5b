"""ADBench: tables of which few rows are anomalies.

S. Han, X. Hu, H. Huang, M. Jiang, Y. Zhao (2022), ADBench: anomaly detection benchmark, NeurIPS,
arXiv:2206.09426.
"""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from aetl.data.base import Dataset, Examples
from aetl.data.npz import load_arrays
from aetl.ranges import Text
from aetl.types import UserError

CLASSES = ("normal", "anomaly")


@dataclass(frozen=True, kw_only=True)
class Adbench(Dataset):
    """``<data_dir>/ADBench/<number>_<name>.npz``; ``name`` is the file's with or without number."""

    data_dir: Text
    name: Text

    def read(self) -> tuple[Examples, None]:
        path = self._file()
        arrays = load_arrays(path)
        if not {"X", "y"} <= arrays.keys():
            raise UserError(f"{path}: has no arrays X and y; it holds {', '.join(arrays)}")
        x, y = np.asarray(arrays["X"], np.float32), arrays["y"].reshape(-1)
        if x.ndim != 2 or len(x) != len(y) or not np.isin(y, (0, 1)).all():
            raise UserError(f"{path}: X must be rows of numbers, and y 0 or 1 for each")
        return Examples.of(torch.from_numpy(x), torch.from_numpy(y.astype(np.int64)), CLASSES), None

    def _file(self) -> Path:
        folder = Path(self.data_dir).expanduser() / "ADBench"
        files = sorted(folder.glob("*.npz"))
        names = {re.sub(r"^\d+_", "", file.stem): file for file in files}
        found = names | {file.stem: file for file in files}
        if self.name in found:
            return found[self.name]
        if not found:
            raise UserError(
                f"data_dir: {self.name}.npz is missing in {folder}; it is in the repository "
                "Minqi824/ADBench on GitHub (adbench/datasets/Classical); set data_dir (or "
                "AETL_DATA_DIR) to where you put it"
            )
        close = difflib.get_close_matches(self.name, names, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(names)}"
        raise UserError(f"name={self.name}: is not in {folder}; {hint}")
