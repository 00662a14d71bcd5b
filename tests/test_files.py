"""What is written by libyaml is what OmegaConf writes, and reads."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from aetl.config import compose, resolved
from aetl.files import yaml_of

HARD = {
    "numbers": [1, -2, 1e-3, 1e20, 0.1, float("inf")],
    "texts": ["1", "1e3", "1_0", "yes", "off", "null", "~", "", " a ", "a: b", "# c", "ä\u2028x"],
    "long": "word " * 60,
    "lines": "one\ntwo\n\n three\n",
    "nothing": None,
    "truth": [True, False],
    "empty": [{}, []],
    "reference": "${seed}",
    "quoted": 'it\'s "so" \\ \t.',
    "emoji": "😀",
}


@pytest.mark.parametrize("overrides", [[], ["autoencoder=vae", "transfer=[instance/kmm]"]], ids=str)
def test_a_config_is_written_byte_for_byte_as_omegaconf_does(overrides: list[str]) -> None:
    cfg = compose(overrides)
    plain = OmegaConf.to_container(cfg, enum_to_str=True)
    assert yaml_of(plain) == OmegaConf.to_yaml(cfg)
    assert yaml_of(resolved(cfg)) == OmegaConf.to_yaml(OmegaConf.create(resolved(cfg)))


def test_odd_values_come_back_as_they_were() -> None:
    read = OmegaConf.create(yaml_of(HARD))
    assert OmegaConf.to_container(read) == HARD
    for key, value in HARD.items():
        if key not in ("emoji", "long"):  # which libyaml escapes, or breaks elsewhere
            assert yaml_of({key: value}) == OmegaConf.to_yaml({key: value}), key
