"""The real clients as subprocesses, sent to the stand-in server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import aetl
from tests.tiny import MLP, SMALL
from tests.tracking.server import Server

TINY = [*SMALL[1:], *MLP, "finetune.max_steps=40", "logger.wandb.patience=20"]
ROOT = Path(aetl.__file__).parent.parent


def environment(server: Server, folder: Path) -> dict[str, str]:
    """Outputs in ``folder``; ``aetl`` on the path is this checkout."""
    script = folder / "bin" / "aetl"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m aetl.cli "$@"\n')
    script.chmod(0o755)
    return {
        **os.environ,
        **server.environment(),
        "WANDB_SILENT": "false",
        "PYTHONPATH": str(ROOT),
        "PATH": f"{script.parent}{os.pathsep}{os.environ['PATH']}",
        "AETL_OUTPUT_DIR": str(folder / "outputs"),
        "HOME": str(folder),
    }


def run(server: Server, folder: Path, *command: str, **more: str) -> subprocess.CompletedProcess:
    """A command's end; ``more`` are variables of its environment."""
    return subprocess.run(
        command,
        cwd=folder, env=environment(server, folder) | more, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip


def aetl_run(server: Server, folder: Path, *overrides: str, **more: str) -> dict[str, Any]:
    """A run that succeeds; its record, with its folder."""
    before = set((folder / "outputs").glob("2*/*/run.json"))
    done = run(server, folder, "aetl", *TINY, *overrides, **more)
    assert done.returncode == 0, done.stderr
    (new,) = set((folder / "outputs").glob("2*/*/run.json")) - before
    record: dict[str, Any] = json.loads(new.read_text())
    return record | {"folder": new.parent, "stderr": done.stderr}


def wandb_run(server: Server, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """``wandb ...`` that succeeds."""
    done = run(server, folder, sys.executable, "-m", "wandb", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done
