"""Streams that are closed, full, or that nobody reads: no command fails for them in its own way."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from aetl.config import conf_dir

AETL = f"{sys.executable} -P -m aetl.cli"
OPEN = (
    "import sys; from aetl.cli import main; main(['--version']); f = open('/dev/null');"
    "sys.exit(f.fileno() < 3)"
)


def shell(line: str) -> tuple[int, str]:
    """The exit code of a line of bash and what it said."""
    environment = os.environ | {"PYTHONPATH": str(conf_dir().parents[0])}
    done = subprocess.run(
        ["bash", "-c", line], env=environment, text=True, capture_output=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_leads_into_nothing(closed: str) -> None:
    """And its number is not the next file's, which would get what is printed."""
    assert shell(f'{sys.executable} -P -c "{OPEN}" {closed}')[0] == 0


def test_output_that_cannot_be_written_is_one_line() -> None:
    code, said = shell(f"{AETL} --help >/dev/full")
    assert (code, said) == (
        2, "aetl: writing: No space left on device; nothing half-written was kept\n",
    )  # fmt: skip


@pytest.mark.parametrize("command", ["--help", "guide data"])
def test_a_pipe_whose_reader_is_gone_is_no_error_message(command: str) -> None:
    code, said = shell(f"{AETL} {command} | true; exit ${{PIPESTATUS[0]}}")
    assert code in (0, 1)  # it may have been written before the reader went
    assert not said


def test_work_goes_on_when_nobody_reads_its_progress_any_more() -> None:
    say = (
        "import sys, time; from aetl.terminal import open_streams; open_streams(); time.sleep(.3);"
    )
    say += "print('progress', file=sys.stderr); sys.stderr.flush(); print('done')"
    assert shell(f'{{ {sys.executable} -P -c "{say}" 2>&1 >&3 | true; }} 3>&1') == (0, "done\n")
