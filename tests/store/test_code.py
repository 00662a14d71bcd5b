"""The code that a stored result depends on: all that computes it, and nothing else."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import aetl
from aetl.config import compose, resolved
from aetl.store import code
from aetl.store.code import code_digest, reached

PACKAGE = Path(aetl.__file__).parent


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package") / "aetl"
    return shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture
def copy(copied: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package of which a test may change a file; the next test finds it whole."""
    monkeypatch.setattr(code, "_PACKAGE", copied)
    code._locate_own.cache_clear()
    yield copied
    code._locate_own.cache_clear()
    for file in copied.rglob("*.py"):
        whole = PACKAGE / file.relative_to(copied)
        if file.stat().st_size != whole.stat().st_size:
            shutil.copy2(whole, file)


def pretraining(*overrides: str) -> dict[str, object]:
    plain = resolved(compose(list(overrides)))
    return {name: plain[name] for name in ("autoencoder", "loss", "optimizer")}


def change(copied: Path, file: str) -> None:
    with open(copied / file, "a") as source:
        source.write("# changed\n")


@pytest.mark.parametrize(
    "file",
    [
        "rng.py",
        "ranks.py",
        "types.py",
        "stage/pretrain.py",
        "stage/fit.py",
        "stage/schedule.py",
        "loss/objective.py",
        "loss/kl.py",
        "bottleneck/normal.py",
        "backbone/mlp.py",
        "autoencoder/composite.py",
        "data/loader.py",
    ],
)
def test_changed_code_that_pretraining_computes_with_changes_the_digest(
    copy: Path, file: str
) -> None:
    key = pretraining("autoencoder=vae")
    before = code_digest("aetl.stage.pretrain", key)
    change(copy, file)
    assert code_digest("aetl.stage.pretrain", key) != before


@pytest.mark.parametrize(
    "file",
    [
        "loss/sliced_wasserstein.py",
        "bottleneck/finite_scalar.py",
        "backbone/conv.py",
        "autoencoder/mae.py",
        "transfer/feature/dann.py",
        "stage/transfer.py",
        "store/store.py",
        "tracking/wandb.py",
        "config.py",
        "files.py",
        "cli.py",
        "report/table.py",
    ],
)
def test_changed_code_of_what_the_config_does_not_name_leaves_the_digest(
    copy: Path, file: str
) -> None:
    key = pretraining("autoencoder=vae")
    before = code_digest("aetl.stage.pretrain", key)
    change(copy, file)
    assert code_digest("aetl.stage.pretrain", key) == before


@pytest.mark.slow
def test_whatever_a_stage_imports_when_it_runs_is_followed() -> None:
    """Against the interpreter: what a bare import of the stage loads is what was found."""
    import subprocess

    script = "import sys, aetl.stage.transfer; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    own = {m for m in loaded if m.startswith("aetl.") and not m.startswith(code._DOES_NOT_COMPUTE)}
    files = {m for m in own if (PACKAGE / m.replace(".", "/")[5:]).with_suffix(".py").is_file()}
    assert files <= set(reached(["aetl.stage.transfer"]))


def test_changed_code_of_the_users_own_class_changes_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "users_own_variant.py"
    file.write_text("class Mine:\n    def __init__(self, *, a): ...\n")
    # Anywhere in the key: in a list in a node in a node.
    key = {"loss": {"terms": [{"_target_": "users_own_variant.Mine", "a": 1}]}}
    other = {"loss": {"terms": [{"_target_": "torch.optim.Adam"}]}}
    before, unrelated = code_digest("json", key), code_digest("json", other)
    assert code_digest("json", key) == before
    file.write_text("class Mine:\n    def __init__(self, *, a): self.a = a\n")
    assert code_digest("json", key) != before
    assert code_digest("json", other) == unrelated


def test_changed_code_that_the_users_class_imports_changes_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "users_variant.py").write_text("from users_layers import Layer\nclass Mine: ...\n")
    layers = tmp_path / "users_layers.py"
    layers.write_text("class Layer: ...\n")
    key = {"_target_": "users_variant.Mine"}
    before = code_digest("json", key)
    layers.write_text("class Layer:\n    a = 1\n")
    assert code_digest("json", key) != before


def test_changed_code_of_a_class_inside_the_users_class_changes_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "users_nested_variant.py"
    file.write_text("class Outer:\n    class Inner: ...\n")
    key = {"_target_": "users_nested_variant.Outer.Inner"}
    before = code_digest("json", key)
    file.write_text("class Outer:\n    class Inner:\n        a = 1\n")
    assert code_digest("json", key) != before


def test_installed_packages_do_not_count() -> None:
    assert reached(["torch.optim.Adam", "sklearn.svm", "json"]) == {}


def test_a_module_counts_from_when_its_folder_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "late_module.py").write_text("class Mine: ...\n")
    assert reached(["late_module.Mine"]) == {}
    monkeypatch.syspath_prepend(str(tmp_path))
    assert reached(["late_module.Mine"]) == {"late_module": tmp_path / "late_module.py"}
