"""``aetl new``: the files of a variant of one's own, to begin with."""

from __future__ import annotations

import re
from pathlib import Path

from aetl.arguments import Parser
from aetl.config import ConfigError, conf_dir
from aetl.files import write_text
from aetl.types import UserError

TEMPLATES = Path(__file__).parent.parent / "template"
ROOMS = {"dataset": "data"}
"""The package of a group where its name is another."""


def main(arguments: list[str]) -> int:
    """Write class, option and test of a new variant, which run as they are."""
    parser = Parser("aetl new", description=main.__doc__)
    kinds = sorted(file.stem for file in TEMPLATES.glob("*.txt"))
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("name", help="in snake_case, as it will be chosen")
    parser.add_argument(
        "--dir", metavar="DIR",
        help="a folder of your own, to use with --config-dir DIR; without it, this checkout",
    )  # fmt: skip
    parser.add_argument(
        "--family", choices=["feature", "parameter", "instance"], default="parameter",
        help="of a transfer",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    files = written(options.kind, options.name, options.family, options.dir)
    taken = [str(file) for file in files if file.exists()]
    if taken:
        raise ConfigError(f"new {options.name}: {taken[0]} is there already; choose another name")
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, text)
        print(file)
    print(_way(options.kind, options.name, options.family, options.dir))
    return 0


def written(kind: str, name: str, family: str, folder: str | None) -> dict[Path, str]:
    """The three files of a variant by their places: class, option, test."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise ConfigError(f"new {kind} {name}: a name is snake_case, as in my_variant")
    group = f"transfer/{family}" if kind == "transfer" else kind
    if (conf_dir() / group / f"{name}.yaml").exists():
        raise ConfigError(f"new {kind} {name}: {group}/{name} is there already")
    room = f"transfer/{family}" if kind == "transfer" else ROOMS.get(kind, kind)
    if folder is None:
        root = _checkout()
        code, test = root / "aetl" / room / f"{name}.py", root / "tests" / room / f"test_{name}.py"
        option = root / "conf" / group / f"{name}.yaml"
        module = f"aetl.{room.replace('/', '.')}.{name}"
    else:
        root = Path(folder).expanduser()
        code, test = root / f"{name}.py", root / f"test_{name}.py"
        option, module = root / group / f"{name}.yaml", name
    words = {
        "NAME": name, "MODULE": module, "FAMILY": family,
        "CLASS": "".join(part.capitalize() for part in name.split("_")),
        "DIRS": "" if folder is None else f", [{str(root.absolute())!r}]",
    }  # fmt: skip
    parts = _parts((TEMPLATES / f"{kind}.txt").read_text(encoding="utf-8"))
    texts = (re.sub("@([A-Z]+)@", lambda m: words[m[1]], text) for text in parts)
    return dict(zip((code, option, test), texts, strict=True))


def _parts(template: str) -> list[str]:
    """The texts of a template: class, option, test."""
    return re.split(r"^=== \w+\n", template, flags=re.M)[1:]


def _checkout() -> Path:
    root = conf_dir().parent
    if not (root / "pyproject.toml").is_file():
        raise UserError("new: aetl is installed and no checkout; name a folder of yours with --dir")
    return root


def _way(kind: str, name: str, family: str, folder: str | None) -> str:
    """How to go on."""
    choice = {"transfer": f"transfer={family}/{name}", "dataset": f"dataset@source={name}"}
    own = "" if folder is None else f" --config-dir {folder}"
    call = choice.get(kind, f"{kind}={name}")
    return f"aetl check{own} {call}"
