"""Names of users and files are text: no command takes them for markup, formulas or orders."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
from pathlib import Path

import pytest

from aetl.cli import main
from aetl.printable import one_line, printable
from tests.comparison.synthetic import write_run

NAMES = {
    "closing tag": "a[/red]b",
    "tag": "a[b]c",
    "link": "[link=http://x]y[/link]",
    "emoji code": "a:smile:b",
    "formula": "=HYPERLINK(1)",
    "erases the screen": "a\x1b[2Jb",
    "one-byte escape": "a\x9b2Jb",
    "backspaces": "secret\x08\x08",
    "right to left": "a\u202eb",
    "two lines": "a\nb",
    "no UTF-8": "caf\udce9",
    "tag of a page": "<script>x</script>",
    "mathematics": "$\\frac{",
    "LaTeX": "\\input{x}%&_#",
}


def sweep(folder: Path, name: str) -> Path:
    """Two arms and three seeds, whose source and a key of the config carry the name."""
    for transfer in ("control/scratch", "parameter/finetune"):
        for seed in range(3):
            write_run(
                folder / f"{transfer.partition('/')[2]}{seed}",
                {"tags": [name]},
                source=f"folder:{name}",
                transfer=transfer,
                seed=seed,
                score=0.5 + 0.1 * seed,
                error=name,
                warnings=[name],
            )
    return folder


@pytest.mark.parametrize("kind", NAMES)
def test_a_name_is_shown_as_it_is_by_every_command(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    name = NAMES[kind]
    folder = sweep(tmp_path / "sweep", name)
    runs = sorted(map(str, folder.iterdir()))
    shown = printable(name).partition("\n")[0]
    for command in (
        ["show", runs[0]], ["ls", str(folder)], ["compare", str(folder)],
        ["compare", str(folder), "--by", "source"], ["compare", str(folder), "--csv"],
    ):  # fmt: skip
        assert main(command) == 0
        said = capfd.readouterr()
        assert shown in said.out, command
        assert not set(said.out + said.err) & set("\x1b\x9b\x08\u202e")
    for command in (
        ["diff", *runs[-2:]], ["report", str(folder)], ["report", runs[0]],
        ["compare", str(folder), "--latex"], ["compare", str(folder), "--json"],
    ):  # fmt: skip
        assert main(command) == 0
    page = (folder / "report.html").read_bytes().decode("utf-8")
    assert "<script>x" not in page
    assert "\x1b" not in page


def test_a_cell_of_csv_is_no_formula_and_a_number_stays_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(("=1+1", "+1", "-1", "@x", "\tx", "plain-=")):
        write_run(tmp_path / str(number), source=name, score=0.25, twin_score=0.5)
    for arguments in (["--csv"], ["--by", "source", "--csv"]):
        assert main(["compare", str(tmp_path), *arguments]) == 0
        rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
        assert {row["source"] for row in rows} == {"'=1+1", "'+1", "'-1", "'@x", "'\tx", "plain-="}
        assert {float(row["gain_mean"]) for row in rows} == {-0.25}


def test_a_folder_in_brackets_is_found_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path("[/red]"))
    write_run(Path("[b]"))
    for command in (["show", "[/red]"], ["ls", "."], ["diff", "[/red]", "[b]"], ["compare", "[b]"]):
        assert main(command) == 0
    assert "[/red]" in capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_our_symbols_shows_others(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr("sys.stdout", stream)
    sweep(tmp_path, "ü→")
    assert main(["compare", str(tmp_path)]) == 0
    stream.flush()
    said = stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert "->" in said
    assert "+-" in said or "±" in said
    assert "\\u" not in said


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x00b", "a\\x00b"),
        ("\udcff", "\\xff"),
        ("é", "é"),
        ("\ud800", "\\ud800"),
        ("a\tb", "a b"),
    ],
)
def test_what_is_not_shown_is_written_out(text: str, shown: str) -> None:
    assert one_line(text) == shown


@pytest.mark.parametrize(
    "path", ["wandb:../..", "wandb:a/..", "wandb:./a", "wandb:a/b/c", "wandb:/a"]
)
def test_a_project_is_no_path(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Path(os.environ["AETL_OUTPUT_DIR"]) / "kept"
    kept.mkdir(parents=True)
    assert main(["compare", f"wandb:{path}"]) == 2
    assert "expected wandb:ENTITY/PROJECT" in capsys.readouterr().err
    assert kept.exists()


def test_a_record_that_is_no_run_of_ours_is_told_and_not_obeyed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "good")
    bad = tmp_path / "bad\x1b[2J"
    bad.mkdir()
    (bad / "run.json").write_text(json.dumps({"status": "done", "x": "\x1b[2J"}))
    monkeypatch.setattr(logging.root, "handlers", [])  # pytest's: as if nobody had set up a log
    assert main(["compare", str(tmp_path)]) == 0
    assert "left out" in (said := capfd.readouterr().err)
    assert "\x1b" not in said
