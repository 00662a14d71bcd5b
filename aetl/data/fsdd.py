"""Spoken digits: 3 000 recordings of six speakers.

Z. Jackson et al. (2018), Free Spoken Digit Dataset.
"""

from dataclasses import dataclass
from pathlib import Path

from aetl.data.audio_folder import AudioFolder
from aetl.ranges import Text
from aetl.types import UserError


@dataclass(frozen=True, kw_only=True)
class Fsdd(AudioFolder):
    """``<data_dir>/FSDD/recordings/<digit>_<speaker>_<index>.wav``, of 8 000 samples a second.

    ``speaker`` takes one or several (``theo``, ``theo|lucas``) or all others (``!theo``). Of each
    speaker's 50 recordings of a digit the first five (index 0 to 4) are the test set.
    """

    speaker: Text | None

    def condition(self) -> str | None:
        if self.speaker is None:
            return self.where
        sign = "!=" if self.speaker.startswith("!") else "="
        own = f"speaker{sign}{self.speaker.removeprefix('!')}"
        return own if self.where is None else f"{own} and {self.where}"

    def root(self) -> Path:
        root = Path(self.path).expanduser()
        if not root.is_dir():
            raise UserError(
                f"data_dir: the folder of recordings is missing, {root}; it is in the repository "
                "Jakobovski/free-spoken-digit-dataset on GitHub; set data_dir (or AETL_DATA_DIR) "
                "to where you put it"
            )
        return root
