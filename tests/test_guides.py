"""Guides and README: what they tell to type is understood, and runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aetl.cli import main
from aetl.command import verbs
from aetl.command.guide import guides
from aetl.config import ConfigError, check, compose, resolved
from tests.written import PAGES, ROOT, Command, commands

WRONG = ("loss=elbo", "+autoencoder.latnt=3")
"""Of commands that README shows for the line that refuses them."""
ELSEWHERE = ("wandb:", "completion", "launcher=", "guide", "--config-dir", "trainer=gpu")
"""Of commands that need a service, a cluster or a device, or are no command of a run."""
BIG = ("experiment=", "mnist", "usps", "trainer.devices=4")
"""Of commands that need other data or hours."""


def runs() -> list[Command]:
    """The commands that take a config."""
    plain = {"check", *(a for c in commands() for a in c.arguments[:1] if a not in verbs())}
    return [c for c in commands() if c.arguments and c.arguments[0] in plain]


@pytest.mark.parametrize("command", runs(), ids=lambda c: f"{c.page}: {c.text}")
def test_a_run_that_is_written_is_accepted_by_the_config(command: Command) -> None:
    overrides = [
        re.sub(r"=([^\[{,]+),.*", r"=\1", a)
        for a in command.arguments
        if a not in ("-m", "...", "check")
    ]
    if "--config-dir" in overrides:
        pytest.skip("names a folder of the reader's")
    try:
        cfg = compose(overrides)
        check(resolved(cfg), cfg.hydra.runtime.choices)
    except (ConfigError, Exception) as error:
        if not any(wrong in command.text for wrong in WRONG):
            raise AssertionError(f"{command.text}: {error}") from None
    else:
        assert not any(wrong in command.text for wrong in WRONG)


def test_options_of_commands_that_are_written_exist(capsys: pytest.CaptureFixture[str]) -> None:
    helps: dict[str, str] = {}
    for command in commands():
        if not command.arguments or command.arguments[0] not in verbs():
            continue
        verb, *rest = command.arguments
        options = [a.partition("=")[0] for a in rest if a.startswith("-")]
        if options and verb not in helps:
            with pytest.raises(SystemExit):
                main([verb, "--help"])
            helps[verb] = capsys.readouterr().out
        for option in options:
            assert re.search(rf"(^|[\s,\[]){re.escape(option)}\b", helps[verb]), command.text


def test_every_guide_is_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guide"]) == 0
    listed = capsys.readouterr().out
    for name, file in guides().items():
        assert name in listed
        assert main(["guide", name]) == 0
        assert capsys.readouterr().out == file.read_text(encoding="utf-8")


def test_a_guide_that_is_not_there_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guide", "verdicts"]) == 2
    assert "did you mean 'verdict'?" in capsys.readouterr().err


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        for link in re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8")):
            if not link.startswith("http"):
                assert (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the pages speak of."""
    folder = tmp_path_factory.mktemp("home")
    rng = np.random.default_rng(0)

    def image(file: Path, kind: int) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 128, (16, 16, 3))
        pixels[kind * 5 : kind * 5 + 5] += 127
        Image.fromarray(pixels.astype("uint8")).save(file)

    for i in range(240):
        image(folder / "warehouse" / f"{i}.png", i % 3)
        image(folder / "labelled" / "abc"[i % 3] / f"{i}.png", i % 3)
        image(folder / "photos" / "abc"[i % 3] / f"{i}.jpg", i % 3)
        image(folder / "new_images" / f"{i}.jpg", i % 3)
    x = rng.normal(size=(300, 6)).astype("float32")
    for name in ("train", "diabetes"):
        np.savez(folder / f"{name}.npz", x=x, y=x @ np.arange(6) + rng.normal(size=300))
    lines = ["site,patient,age,blood,ill"]
    for i in range(300):
        age = round(float(rng.uniform(20, 80)), 3)  # no two rows alike
        ill = "yes" if age + rng.normal(0, 9) > 50 else "no"
        lines.append(f"{'AB'[i % 2]},{i // 3},{age},{'abo'[i % 3]},{ill}")
    (folder / "ill.csv").write_text("\n".join(lines) + "\n")
    from torchvision.models import resnet18

    torch.save(resnet18().state_dict(), folder / "resnet18.pth")
    return folder


def in_small(argument: str) -> str:
    """Of values that commas separate only two; `...` and a search's length likewise."""
    if "=" not in argument or argument.partition("=")[2].startswith(("[", "{")):
        return argument
    key, _, value = argument.partition("=")
    if key == "hydra.sweeper.n_trials":
        return f"{key}=2"
    return f"{key}={','.join(value.split(',')[:2])}"


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_commands_of_the_pages_run_one_after_the_other(home: Path) -> None:
    environment = os.environ | {
        "PYTHONPATH": str(ROOT), "AETL_OUTPUT_DIR": str(home / "outputs"), "HOME": str(home),
    }  # fmt: skip
    quick = ["debug=smoke", "logger=csv", "trainer=cpu"]
    ran = 0
    for command in sorted(commands(), key=lambda c: (c.page != "start", c.page)):
        if any(word in command.text for word in (*ELSEWHERE, *BIG, *WRONG)):
            continue
        words = [in_small(a) for a in command.arguments if a != "..."]
        if not words or words[0] not in verbs():
            words = [*words, *quick]
            words += ["optimizer.lr=1e-4"] if "checkpoint=" in command.text else []
        elif words[0] == "rm":
            continue  # asks
        reads = next((w.strip("/") for w in words[2:] if w.strip("/") in READ_BY), "")
        words = [placed(word, home, reads) for word in words]
        done = subprocess.run(
            [sys.executable, "-m", "aetl.cli", *words],
            cwd=home, env=environment, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command.page}: aetl {' '.join(words)}\n{done.stderr}"
        ran += 1
    assert ran > 30


def placed(word: str, home: Path, reads: str) -> str:
    """RUN, SWEEP, DIR, PATH, FILE.zip: those of this folder; a run that can read ``reads``."""
    outputs = home / "outputs"
    if word in ("RUN", "RUN|SWEEP"):
        return str(last(outputs, "run.json", READ_BY.get(reads, "")))
    if word in ("SWEEP", "DIR", "PATH"):
        return str(last(outputs, "manifest.json"))
    return word


READ_BY = {"photos": "path: photos", "new_images": "path: labelled"}
"""What stands in the config of a run whose model reads these files."""


def last(outputs: Path, name: str, holds: str = "") -> Path:
    """The folder of the newest run that is done, or of the newest sweep."""
    found = [
        file.parent
        for file in outputs.glob(f"2*/**/{name}")
        if name != "run.json" or json.loads(file.read_text())["status"] == "done"
        if not holds or holds in (file.parent / "config.yaml").read_text()
    ]
    return max(found, key=lambda folder: folder.stat().st_mtime)
