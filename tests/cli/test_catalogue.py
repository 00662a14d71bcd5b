"""The catalogue of autoencoders against what the config and the models themselves say."""

from __future__ import annotations

import json
from functools import cache
from math import prod

import pytest

from aetl.catalogue import CLASSES, SHAPE, Variant, _cited, variants
from aetl.cli import main
from aetl.config import ConfigError, check, compose, conf_dir, resolved
from aetl.stage.pretrain import build_autoencoder


@cache
def catalogue() -> dict[str, Variant]:
    return {variant.name: variant for variant in variants()}


def test_every_autoencoder_is_listed_with_a_comment_and_its_own_loss_fits() -> None:
    found = catalogue()
    assert set(found) == {file.stem for file in (conf_dir() / "autoencoder").glob("*.yaml")}
    for variant in found.values():
        assert variant.what
        assert variant.fits
        options = {file.stem for file in (conf_dir() / "loss").glob("*.yaml")}
        assert set(variant.loss) & options <= set(variant.fits)


@pytest.mark.parametrize("name", ["vae", "vamp", "fsq", "pca", "mae", "m2"])
def test_parameters_are_those_of_a_model_with_numbers(name: str) -> None:
    model = build_autoencoder(compose([f"autoencoder={name}"]), SHAPE, CLASSES)
    found = catalogue()[name]
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert found.latent == prod(model.latent_shape)
    assert not any(p.is_meta for p in model.parameters())


@pytest.mark.parametrize("name", ["undercomplete", "vae", "vq"])
@pytest.mark.parametrize("loss", ["mse", "elbo", "vector_quantization", "mixture_prior_kl"])
def test_a_loss_fits_where_the_config_accepts_it(name: str, loss: str) -> None:
    cfg = compose([f"autoencoder={name}", f"loss={loss}"])
    try:
        check(resolved(cfg), cfg.hydra.runtime.choices)
        accepted = True
    except ConfigError:
        accepted = False
    assert (loss in catalogue()[name].fits) == accepted


@pytest.mark.parametrize(
    "line, parts",
    [
        ("A VAE (Kingma, 2014, arXiv:1312.6114).", ("A VAE", "Kingma, 2014, arXiv:1312.6114")),
        ("Codes on the sphere.", ("Codes on the sphere", "")),
        ("Codes (unit norm).", ("Codes (unit norm)", "")),
    ],
)
def test_the_paper_is_what_stands_in_parentheses_with_a_year(
    line: str, parts: tuple[str, str]
) -> None:
    assert _cited(line) == parts


def test_the_command_prints_json_alone_and_refuses_other_groups(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr("aetl.catalogue.variants", lambda: list(catalogue().values()))
    assert main(["ls", "--variants", "autoencoder", "--json"]) == 0
    printed = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert printed["vae"]["paper"] == "Kingma and Welling, 2014, arXiv:1312.6114"
    assert printed["vae"]["loss"] == ["elbo"]
    assert main(["ls", "--variants", "autoencoder"]) == 0
    text = capsys.readouterr().out
    assert "all fit: " in text
    assert "hyperspherical_vae" in text
    assert main(["ls", "--variants", "loss"]) == 2
    assert "only of autoencoder" in capsys.readouterr().err
