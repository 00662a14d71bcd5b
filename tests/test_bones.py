"""The repository itself: what it declares, what it pins, and what its wheel carries."""

from __future__ import annotations

import ast
import os
import re
import socket
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import aetl
from aetl.cli import main

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
# Distributions whose import has another name, for when they are not installed.
DISTRIBUTION = {"ot": "pot"}


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def test_version_of_the_package_is_the_declared_one() -> None:
    assert aetl.__version__ == PROJECT["version"]


def test_constraints_hold_names_and_versions_and_no_addresses() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    wrong = [x for x in lines if not re.fullmatch(r"#[^/]*|[A-Za-z0-9._-]+==[A-Za-z0-9.+]+", x)]
    assert wrong == []


NEEDED = {
    text
    for extra, texts in EXTRAS.items()
    if extra != "ray"  # not in constraints.txt: few have it
    for text in texts
    if not text.startswith("aetl[")
}


@pytest.mark.parametrize("text", sorted({*PROJECT["dependencies"], *NEEDED}))
def test_tested_version_lies_in_the_declared_range(text: str) -> None:
    requirement = Requirement(text)
    version = pins()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version, prereleases=True)


def test_range_admits_the_oldest_supported_torch() -> None:
    ranges = {r.name: r.specifier for r in map(Requirement, PROJECT["dependencies"])}
    assert ranges["torch"].contains("2.11.0")
    assert ranges["torchvision"].contains("0.26.0")
    assert not ranges["pytorch-lightning"].contains("2.6.2")
    assert not ranges["pytorch-lightning"].contains("2.6.3")


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_extra_is_made_of_valid_requirements(extra: str) -> None:
    assert all(Requirement(text).name for text in EXTRAS[extra])


def test_extra_all_holds_every_extra_that_fits_the_others() -> None:
    (everything,) = map(Requirement, EXTRAS["all"])
    assert everything.name == "aetl"
    assert everything.extras == set(EXTRAS) - {"all", "dev", "docs", "ray"}


def imported(file: Path) -> set[str]:
    """The top-level names of a file's imports, lazy ones too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def test_every_import_of_the_package_is_declared() -> None:
    """A library that only comes along with another one may go when that one changes."""
    texts = PROJECT["dependencies"] + [text for extra in EXTRAS.values() for text in extra]
    declared = {canonicalize_name(Requirement(text).name) for text in texts}
    names = set().union(*map(imported, (ROOT / "aetl").rglob("*.py")))
    installed = packages_distributions()
    undeclared = {
        name
        for name in names - set(sys.stdlib_module_names) - {"aetl", "hydra_plugins"}
        if not declared
        & {canonicalize_name(d) for d in installed.get(name, [DISTRIBUTION.get(name, name)])}
    }
    assert undeclared == set()


def test_tracked_files_hold_no_path_of_one_machine() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    machine = re.compile(r"(?<![\w.$}~*])/(?:work|root|home|Users|opt|mnt|scratch)/[\w.-]")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    found = {
        str(file.relative_to(ROOT)): match.group()
        for file in files
        if file.is_file() and (match := machine.search(file.read_text(errors="ignore")))
    }
    assert files
    assert found == {}


def test_example_variant_in_contributing_runs(tmp_path: Path) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    fenced = dict(re.findall(r"```(python|yaml)\n(.*?)```", text, re.DOTALL))
    (tmp_path / "autoencoder").mkdir()
    (tmp_path / "spherical.py").write_text(fenced["python"])
    config = fenced["yaml"].replace("aetl.autoencoder.spherical", "spherical")
    (tmp_path / "autoencoder/spherical.yaml").write_text(config)
    steps = ["pretrain.max_steps=2", "finetune.max_steps=2"]
    command = ["--config-dir", str(tmp_path), "autoencoder=spherical", "logger=none", *steps]
    assert main([*command, f"output_dir={tmp_path}/outputs"]) == 0
    with np.load(next(tmp_path.glob("outputs/2*/*/latents.npz"))) as latents:
        norms = np.linalg.norm(latents["z"], axis=1)
    np.testing.assert_allclose(norms, 1, rtol=1e-5)


def test_connection_beyond_this_machine_fails_the_test() -> None:
    with (
        socket.socket() as client,
        pytest.raises(pytest.fail.Exception, match=r"192\.0\.2\.1"),
    ):
        client.connect(("192.0.2.1", 80))


def test_connection_to_this_machine_is_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", folder, ROOT], check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_carries_the_config_of_the_tree(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        inside = {
            name.removeprefix("aetl/conf/"): archive.read(name)
            for name in archive.namelist()
            if name.startswith("aetl/conf/")
        }
        top = {name.partition("/")[0] for name in archive.namelist()}
    tree = {
        file.relative_to(ROOT / "conf").as_posix(): file.read_bytes()
        for file in (ROOT / "conf").rglob("*.yaml")
    }
    assert "config.yaml" in inside
    assert inside == tree
    assert top == {"aetl", f"aetl-{aetl.__version__}.dist-info"}


def test_wheel_runs_from_any_directory(wheel: Path, tmp_path: Path) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site]
    subprocess.run([*install, wheel], check=True)
    code = "import sys, aetl; from aetl.cli import main; print(aetl.__file__); sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "ls", "autoencoder"],
        cwd=elsewhere,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert str(site) in done.stdout
    assert "vae" in done.stdout
