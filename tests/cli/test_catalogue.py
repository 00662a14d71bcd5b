"""The catalogue of autoencoders against what the config and the models themselves say."""

from __future__ import annotations

import json
from functools import cache
from math import prod

import pytest

from aetl.catalogue import CLASSES, SHAPE, Variant, _cited, _losses, _variant, variants
from aetl.cli import main
from aetl.config import ConfigError, check, compose, conf_dir, resolved
from aetl.stage.pretrain import build_autoencoder


@cache
def variant(name: str) -> Variant:
    return _variant(conf_dir() / "autoencoder" / f"{name}.yaml", dict(sorted(_losses().items())))


def assert_described(found: Variant) -> None:
    assert found.what
    assert found.fits
    options = {file.stem for file in (conf_dir() / "loss").glob("*.yaml")}
    assert set(found.loss) & options <= set(found.fits)


@pytest.mark.parametrize("name", ["denoising", "hyperspherical_vae", "vae", "vq"])
def test_an_autoencoder_has_a_comment_and_its_own_loss_fits(name: str) -> None:
    assert_described(variant(name))


@pytest.mark.slow
def test_every_autoencoder_is_listed() -> None:
    found = variants()
    assert {v.name for v in found} == {f.stem for f in (conf_dir() / "autoencoder").glob("*.yaml")}
    for each in found:
        assert_described(each)


@pytest.mark.parametrize("name", ["vae", "vamp", "fsq", "pca", "mae", "m2"])
def test_parameters_are_those_of_a_model_with_numbers(name: str) -> None:
    model = build_autoencoder(compose([f"autoencoder={name}"]), SHAPE, CLASSES)
    found = variant(name)
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
    assert (loss in variant(name).fits) == accepted


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
    some = [variant(name) for name in ("hyperspherical_vae", "vae", "vq")]
    monkeypatch.setattr("aetl.catalogue.variants", lambda: some)
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
