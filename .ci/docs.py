"""Makes a site of README, guides, one page for each config group, and the Python reference.

python .ci/docs.py [FOLDER]     (build/docs): FOLDER/pages are the Markdown, FOLDER/site the site,
which needs no server and no network. A link that leads nowhere fails.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from aetl.catalogue import options_by_group
from aetl.command.guide import guides, headline
from aetl.reference import markdown, option

ROOT = Path(__file__).parent.parent
PYTHON = ("aetl.front", "aetl.model.model")
SHEETS = ("CONTRIBUTING", "CHANGELOG", "LOG")
NOT_SHOWN = ("debug", "hydra/job_logging", "hydra/hydra_logging")


def main(folder: Path) -> int:
    pages = folder / "pages"
    shutil.rmtree(folder, ignore_errors=True)
    nav = [
        {"aetl": write(pages / "index.md", linked((ROOT / "README.md").read_text("utf-8")))},
        {"Guides": list(guide_pages(pages))},
        {"Reference": list(group_pages(pages))},
        {"Python": write(pages / "python.md", python_page())},
        {"Project": [{s.capitalize(): write(pages / f"{s}.md", sheet(s))} for s in SHEETS]},
    ]
    shutil.copytree(ROOT / ".assets", pages / "assets")
    settings = folder / "mkdocs.yml"
    settings.write_text(yaml.safe_dump(site(nav), sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", str(settings)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, check=False, env=quiet).returncode


def site(nav: list[object]) -> dict[str, object]:
    """mkdocs' own settings; fonts and scripts come with the site."""
    return {
        "site_name": "aetl",
        "docs_dir": "pages",
        "site_dir": "site",
        "use_directory_urls": False,
        "theme": {
            "name": "material",
            "font": False,
            "features": ["navigation.tabs", "content.code.copy", "toc.follow"],
            "palette": [
                {
                    "media": f"(prefers-color-scheme: {scheme})",
                    "scheme": {"light": "default", "dark": "slate"}[scheme],
                    "toggle": {"icon": "material/brightness-6", "name": "light or dark"},
                }
                for scheme in ("light", "dark")
            ],
        },
        "plugins": [
            "search",
            "offline",
            {"mkdocstrings": {"handlers": {"python": {"options": {
                "show_source": False, "show_root_heading": True, "heading_level": 2,
                "members_order": "source", "filters": ["!^_"],
            }}}}},
        ],
        "markdown_extensions": ["tables", "toc", "pymdownx.superfences"],
        "validation": {"links": {"anchors": "warn", "unrecognized_links": "warn"}},
        "nav": nav,
    }  # fmt: skip


def guide_pages(pages: Path) -> Iterator[dict[str, str]]:
    for name, file in guides().items():
        text = file.read_text(encoding="utf-8")
        yield {headline(file): write(pages / "guide" / f"{name}.md", text)}


def group_pages(pages: Path) -> Iterator[dict[str, str]]:
    """A page of each config group, an option a heading."""
    for group, options in options_by_group().items():
        if group in NOT_SHOWN:
            continue
        parts = [markdown(option(f"{group}/{name}"), 2) for name in sorted(options)]
        text = "\n".join([f"# {group}\n", *parts])
        file = pages / "reference" / f"{group.replace('/', '_')}.md"
        yield {group: write(file, text)}


def python_page() -> str:
    return "\n\n".join(["# Python", *(f"::: {module}" for module in PYTHON)]) + "\n"


def sheet(name: str) -> str:
    return linked((ROOT / f"{name}.md").read_text(encoding="utf-8"))


def linked(text: str) -> str:
    """Links between files of the repository as links between pages of the site."""
    text = re.sub(r"\]\(\.assets/", "](assets/", text)
    text = re.sub(r"\]\(aetl/guide/", "](guide/", text)
    return re.sub(r"\]\(README\.md\)", "](index.md)", text)


def write(file: Path, text: str) -> str:
    """Write a page; its name for the navigation."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file.relative_to(next(p for p in file.parents if p.name == "pages")).as_posix()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/docs").absolute()))
