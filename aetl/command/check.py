"""``aetl check``."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from aetl.config import compose
from aetl.launch import composed_job, import_path


def main(arguments: list[str]) -> int:
    """Compose, build everything, and one step of each stage in a temporary folder."""
    parser = argparse.ArgumentParser("aetl check", description=main.__doc__)
    parser.add_argument("--config-dir", "-cd", action="append", default=[])
    parser.add_argument("overrides", nargs="*", help="KEY=VALUE ...")
    options = parser.parse_args(arguments)
    import_path(options.config_dir)
    with tempfile.TemporaryDirectory(prefix="aetl-check-") as temporary:
        one_step = ["pretrain.max_steps=1", "finetune.max_steps=1", "logger=none",
                    f"output_dir={temporary}", f"store.dir={temporary}/store"]  # fmt: skip
        cfg = compose([*options.overrides, *one_step], options.config_dir)
        from aetl.pipeline import run

        run(composed_job(cfg, Path(temporary) / "run"))
    print("ok: the config composes, everything builds, and each stage takes a step")
    return 0
