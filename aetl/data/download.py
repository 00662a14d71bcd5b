"""Fetch the files of a public data set, whole or not at all."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from aetl.files import atomic
from aetl.types import UserError


def ensure_files(
    folder: Path, names: Sequence[str], fetch: Callable[[Path], None] | None, source: str = ""
) -> list[Path]:
    """The paths of ``names`` in ``folder``; missing ones are fetched unless ``fetch`` is None.

    ``fetch`` writes all files somewhere below the folder that it is given. It works in a temporary
    folder and the files are moved in place one by one, so that a failure leaves nothing behind and
    two jobs can fetch at once. ``source`` says where a set is that is fetched by hand. Raises
    ``UserError`` that names the first missing file.
    """
    paths = [folder / name for name in names]
    missing = [path for path in paths if not path.is_file()]
    if not missing:
        return paths
    where = f"data_dir: {missing[0].name} is missing in {folder}"
    if fetch is None and source:
        raise UserError(f"{where}; {source}; set data_dir (or AETL_DATA_DIR) to where you put it")
    if fetch is None:
        raise UserError(f"{where}; set data_dir (or AETL_DATA_DIR), or download=true")
    try:
        with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(sys.stderr):
            fetch(Path(scratch))
            for path in missing:
                with atomic(path) as temporary:
                    shutil.copyfile(next(Path(scratch).rglob(path.name)), temporary)
    # What torchvision raises where there is no network, a mirror is gone or a checksum differs.
    except (OSError, RuntimeError, StopIteration) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{where} and could not be downloaded ({reason[:200]}); "
            "set data_dir (or AETL_DATA_DIR) to the folder that holds it"
        ) from error
    return paths
