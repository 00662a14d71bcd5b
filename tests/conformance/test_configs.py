"""Every file of ``conf/`` composes, and what it composes to is accepted."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from hydra.errors import HydraException
from hydra.utils import get_object
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from aetl.config import ConfigError, check, check_target, compose, conf_dir, resolved

CONF = conf_dir()
FILES = sorted(
    path.relative_to(CONF).with_suffix("")
    for path in CONF.rglob("*.yaml")
    if not path.name.startswith("_") and path.name != "config.yaml"
)
MISSING = {
    "dataset/npz": ["source.path=own.npz"],
    "dataset/text_folder": ["source.path=own"],
    "dataset/text_csv": ["source.path=own.csv"],
    "dataset/series": ["source.path=own.npz"],
    "dataset/svmlight": ["source.path=own.svm"],
    "dataset/table": ["source.path=own.csv"],
    "dataset/image_folder": ["source.path=own"],
    "dataset/audio_folder": ["source.path=own"],
    "loss/perceptual_run": ["loss.perceptual.encoder.run=own"],
}
"""What an option cannot know by itself."""


def overrides_of(file: Path) -> list[str]:
    """How the option is chosen on the command line."""
    group, option = str(file.parent), file.name
    if file.parts[0] == "transfer":
        group, option = "transfer", str(file.relative_to("transfer"))
    name = "dataset@source" if group == "dataset" else group
    return [f"{name}={option}", *MISSING.get(str(file), [])]


def contexts(file: Path) -> list[list[str]]:
    """Other choices beside which an option may make sense: a loss with its autoencoder, say.

    First none, then those whose files name the option.
    """
    if file.parts[0] == "autoencoder":
        return [[]]
    paths = [path for group in ("task", "autoencoder") for path in (CONF / group).glob("*.yaml")]
    paths.sort(key=lambda path: file.name not in re.findall(r"\w+", path.read_text()))
    both = ["task=density", "autoencoder=vae"]  # a likelihood has both
    return [[], *([f"{path.parent.name}={path.stem}"] for path in paths), both]


def accept(overrides: list[str]) -> dict[str, Any]:
    cfg = compose(overrides)
    plain = resolved(cfg)
    check(plain, cfg.hydra.runtime.choices)
    return plain


# Every autoencoder and strategy is composed by the conformance tests of its family, too.
ELSEWHERE = ("autoencoder", "transfer")
# Accepted beside one of the last contexts that are tried, seconds in.
LATE = ("metric/bits_per_dim", "metric/nats", "metric/fid", "metric/kid", "task/density")
EVERY = 5
"""Of the others every fifth is composed by default, the rest with the slow tests."""


def is_everyday(number: int, file: Path) -> bool:
    return number % EVERY == 0 and not {file.parts[0], str(file)} & {*ELSEWHERE, *LATE}


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(file, marks=() if is_everyday(number, file) else pytest.mark.slow)
        for number, file in enumerate(FILES)
    ],
    ids=str,
)
def test_every_option_composes_and_is_accepted(file: Path) -> None:
    """Beside the defaults, or beside the task or the autoencoder that it is for."""
    refusals = []
    for context in contexts(file):
        try:
            accept([*context, *overrides_of(file)])
            return
        except ConfigError as error:
            refusals.append(f"{' '.join(context) or 'alone'}: {error}")
    pytest.fail("\n".join(refusals[:3]))


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(file, marks=() if number % EVERY == 0 else pytest.mark.slow)
        for number, file in enumerate(f for f in FILES if f.parts[0] == "dataset")
    ],
    ids=str,
)
def test_every_data_set_is_accepted_as_target(file: Path) -> None:
    missing = [text.replace("source.", "target.") for text in MISSING.get(str(file), [])]
    accept([f"dataset@target={file.name}", *missing])


def targets(node: Any) -> list[dict[str, Any]]:
    """All nodes with a ``_target_`` in a file."""
    found = []
    if isinstance(node, dict):
        found += [node] if "_target_" in node else []
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            found += targets(child)
    return found


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_file_names_every_key_of_its_class_and_no_default_twice(file: Path) -> None:
    """The YAML is the schema: our constructors have no defaults of what it sets."""
    node = OmegaConf.to_container(OmegaConf.load(CONF / f"{file}.yaml"))
    for own in targets(node):
        if not own["_target_"].startswith("aetl.") or "dataset" in file.parts:
            continue
        parameters = inspect.signature(get_object(own["_target_"])).parameters
        for key in own.keys() - {"_target_", "_partial_", "defaults"}:
            assert parameters[key].kind is parameters[key].KEYWORD_ONLY, key
            assert parameters[key].default is parameters[key].empty, key
        if not own.keys() & {"_partial_", "defaults"} and "${" not in str(own):
            check_target(str(file), own)


@pytest.mark.parametrize(
    "override, said",
    [
        ("autoencoder=vea", "autoencoder=vea: no such option; did you mean 'vae'?"),
        ("optimizer.lr=fast", "optimizer.lr='fast': expected"),
        ("+autoencoder.latnt=3", "autoencoder.latnt: unknown key"),
        ("finetune.btach_size=3", "finetune.btach_size: unknown key; did you mean 'batch_size'?"),
        ("bottleneck.latent_dim=3.5", "bottleneck.latent_dim=3.5: expected int"),
        ("backbone.norm=bacth", "did you mean 'batch'?"),
        ("metric=r2", "metric=r2: is for regression, and the task is classification"),
        ("loss=elbo", "needs mean, logvar, which autoencoder=undercomplete does not give"),
        ("transfer=parameter/finetun", "no such option"),
    ],
)
def test_a_mistake_is_told_in_one_line(override: str, said: str) -> None:
    from aetl.mistakes import explain

    with pytest.raises((ConfigError, HydraException, OmegaConfBaseException)) as caught:
        accept([override])
    line = explain(caught.value)
    assert line is not None
    assert said in line
    assert "\n" not in line
