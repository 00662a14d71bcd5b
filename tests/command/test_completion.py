"""What the shell completes: asked of the program, and of bash itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import aetl
from aetl.cli import main
from aetl.command.completion import SCRIPTS
from aetl.completion import candidates
from aetl.config import compose

COMMANDS = ("check", "ls", "compare", "sweep", "store", "rerun", "completion", "_rank")

CASES = [
    ("aetl ", {"check", "sweep", "autoencoder=", "transfer=", "seed=", "hydra/launcher="}),
    ("aetl sw", {"sweep", "sweep="}),
    ("aetl store pr", {"prune"}),
    ("aetl sweep re", {"resume", "retry"}),
    ("aetl autoencoder=v", {"autoencoder=vae"}),
    ("aetl dataset@target=us", {"dataset@target=usps"}),
    ("aetl -m transfer=control/scratch,parameter/fin", {
        "transfer=control/scratch,parameter/finetune"}),
    ("aetl -m transfer=[instance/kmm,feature/cor", {"transfer=[instance/kmm,feature/coral"}),
    ("aetl hydra/launcher=sub", {"hydra/launcher=submitit_slurm", "hydra/launcher=submitit_local"}),
    ("aetl pretrain.b", {"pretrain.batch_size="}),
    ("aetl source.shift.rot", {"source.shift.rotation="}),
    ("aetl backbone=conv backbone.ch", {"backbone.channels="}),
    ("aetl trainer=cpu trainer.prec", {"trainer.precision="}),
    ("aetl --con", {"--config-dir"}),
    ("aetl check autoencoder=v", {"autoencoder=vae"}),
]  # fmt: skip


@pytest.mark.parametrize("line, expected", CASES, ids=[line for line, _ in CASES])
def test_a_word_becomes_what_fits(line: str, expected: set[str]) -> None:
    found = candidates(line, COMMANDS)
    assert expected <= set(found)
    last = "" if line.endswith(" ") else line.split()[-1]
    assert all(word.startswith(last) for word in found)
    assert "_rank" not in found


def test_where_a_file_is_due_the_shell_is_left_to_itself() -> None:
    assert candidates("aetl sweep resume outp", COMMANDS) == []
    assert candidates("aetl compare ./x", COMMANDS) == []
    assert candidates("aetl data_dir=/x", COMMANDS) == []


def test_every_key_that_is_offered_is_one() -> None:
    offered = {
        word
        for prefix in ("a", "b", "c", "d", "f", "l", "o", "p", "r", "s", "t")
        for word in candidates(f"aetl {prefix}", COMMANDS)
        if word.endswith("=") and not word.startswith("hydra")
    }
    keys = {word for node in ("pretrain", "finetune", "source", "trainer", "store", "backbone",
                              "optimizer", "representation", "bottleneck")
            for word in candidates(f"aetl {node}.", COMMANDS)}  # fmt: skip
    assert len(keys) > 40
    config = compose([])
    from omegaconf import OmegaConf

    for key in keys:
        parent, _, last = key.removesuffix("=").rpartition(".")
        assert last in OmegaConf.select(config, parent), key
    assert {"seed=", "autoencoder=", "threads="} <= offered


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    "line, expected",
    [
        ("aetl compa", ["compare"]),
        ("aetl autoencoder=va", ["vae"]),  # bash itself has split the word at the sign
        ("aetl dataset@target=us", ["usps"]),
        ("aetl pretrain.bat", ["pretrain.batch_size="]),
    ],
)
def test_bash_completes(line: str, expected: list[str], tmp_path: Path) -> None:
    program = tmp_path / "aetl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m aetl.cli "$@"\n')
    program.chmod(0o755)
    ask = f"""
eval "$(aetl completion bash)"
COMP_LINE='{line}' COMP_POINT=${{#COMP_LINE}} COMP_WORDS=(aetl x) COMP_CWORD=1
COMP_POINT={len(line)}
_aetl
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    environment = os.environ | {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path(aetl.__file__).parent.parent),
    }
    done = subprocess.run(
        ["bash", "--norc", "-c", ask],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = done.stdout.split()
    assert set(expected) <= set(found)
    assert len(found) < 12


@pytest.mark.parametrize("shell", sorted(SCRIPTS))
def test_each_shell_has_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "_complete" in capsys.readouterr().out


def test_an_unknown_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bsh"]) == 2
    assert "did you mean 'bash'?" in capsys.readouterr().err


def test_an_answer_loads_nothing_heavy() -> None:
    code = (
        "import sys; from aetl.cli import main; main(['_complete', 'aetl pretrain.']);"
        "print([n for n in ('torch', 'hydra', 'omegaconf', 'numpy') if n in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(aetl.__file__).parent.parent)}
    start = time.process_time()
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"
    assert time.process_time() - start < 1
