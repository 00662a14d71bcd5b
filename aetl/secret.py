"""Values that are nobody's business: what a key's name says is a secret, is not told."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

MASK = "***"
_WORDS = {"token", "password", "passwd", "passphrase", "secret", "apikey", "credential",
          "credentials", "authorization"}  # fmt: skip
_PAIRS = {"api_key", "access_key", "private_key", "auth_key"}


@lru_cache(4096)
def is_secret(key: str) -> bool:
    """Whether a key's last part names a secret: ``logger.wandb.api_key``, ``HF_TOKEN``."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key.rpartition(".")[2]).lower()
    parts = re.split(r"[_-]", words)
    pairs = {"_".join(pair) for pair in pairwise(parts)}
    return bool(_WORDS & set(parts) or _PAIRS & pairs)


def masked(node: Any, key: str = "") -> Any:
    """A copy of a config in which the texts of secret keys are masked."""
    if isinstance(node, Mapping):
        return {name: masked(value, str(name)) for name, value in node.items()}
    if isinstance(node, list):
        return [masked(value, key) for value in node]
    return MASK if isinstance(node, str) and node and is_secret(key) else node


def secrets_in(node: Any, key: str = "") -> list[str]:
    """The dotted keys of a config whose texts are secrets."""
    if isinstance(node, Mapping):
        found = (secrets_in(v, f"{key}.{name}" if key else str(name)) for name, v in node.items())
        return [one for each in found for one in each]
    return [key] if isinstance(node, str) and node and is_secret(key) else []


def masked_words(words: Iterable[str]) -> list[str]:
    """Words of a command line: the value of ``KEY=VALUE`` is masked where the key is secret."""
    return [_word(word) for word in words]


def _word(word: str) -> str:
    key, sign, value = word.partition("=")
    return f"{key}={MASK}" if sign and value and is_secret(key.lstrip("+~-")) else word


def masked_yaml(text: str) -> str:
    """The text of a config, line by line."""
    return re.sub(r"^([ -]*)([\w.-]+): (\S.*)$", _line, text, flags=re.MULTILINE)


def masked_hydra(text: str) -> str:
    """The text of a file of hydra's, which also lists overrides, each or all of them joined."""
    lines = re.sub(
        r"^( *- )(\S+=.*)$", lambda m: m[1] + _word(m[2]), masked_yaml(text), flags=re.MULTILINE
    )
    return re.sub(r"[\w.+~/@-]+=[^\s,]+", lambda m: _word(m[0]), lines)


def has_secrets(words: Iterable[str]) -> bool:
    """Whether a command line or overrides hold the value of a secret key."""
    words = list(words)
    return masked_words(words) != words


def _line(found: re.Match[str]) -> str:
    shown = MASK if is_secret(found[2]) and found[3] not in ("null", "''") else found[3]
    return f"{found[1]}{found[2]}: {shown}"
