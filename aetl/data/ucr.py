"""The UCR and UEA archives of time series.

H. A. Dau et al. (2019), The UCR time series archive, IEEE/CAA JAS 6(6); A. Bagnall et al. (2018),
arXiv:1811.00075.
"""

from dataclasses import dataclass
from pathlib import Path

from aetl.data.series import Series
from aetl.ranges import Text
from aetl.types import UserError


@dataclass(frozen=True, kw_only=True)
class Ucr(Series):
    """``<data_dir>/UCR/<name>/<name>_{TRAIN,TEST}.ts``, with the archive's own test set."""

    name: Text

    def _path(self) -> Path:
        path = Path(self.path).expanduser()
        if not path.is_dir():
            raise UserError(
                f"data_dir: {self.name}_TRAIN.ts is missing in {path}; it is on "
                "timeseriesclassification.com; set data_dir (or AETL_DATA_DIR) to where you put it"
            )
        return path
