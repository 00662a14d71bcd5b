"""Omniglot: 1 623 characters of 50 alphabets, each drawn by 20 people, 105 x 105.

B. M. Lake, R. Salakhutdinov, J. B. Tenenbaum (2015), Human-level concept learning through
probabilistic program induction, Science 350.
"""

from dataclasses import dataclass
from pathlib import Path

from aetl.data.image_folder import ImageFolder
from aetl.types import UserError


@dataclass(frozen=True, kw_only=True)
class Omniglot(ImageFolder):
    """``<data_dir>/omniglot-py/images_{background,evaluation}``, unpacked, as torchvision lays it.

    Of each picture ``alphabet``, ``character`` (within its alphabet) and ``drawer`` are known to
    ``target``, ``where`` and ``group``.
    """

    def root(self) -> Path:
        root = Path(self.path).expanduser()
        if not root.is_dir():
            raise UserError(
                f"data_dir: the folder {root.name} is missing in {root.parent}; unpack "
                f"{root.name}.zip of the repository brendenlake/omniglot on GitHub (python/) "
                "there; set data_dir (or AETL_DATA_DIR) to where you put it"
            )
        return root
