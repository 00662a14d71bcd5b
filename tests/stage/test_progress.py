"""What a person sees of a run."""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from aetl.stage.progress import line_of
from tests.tiny import World


def test_the_line_tells_stage_step_loss_speed_and_the_time_that_is_left() -> None:
    module = SimpleNamespace(title="pretrain", total_steps=600)
    line = line_of(module, step=300, first=100, seconds=2.0, loss=0.03125)
    assert line == "pretrain 300/600  loss 0.03125  100 steps/s  eta 3 s"
    assert line_of(module, 0, 0, 0.0, None) == "pretrain 0/600"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_it_lives_where_somebody_watches_and_stays_in_few_lines_elsewhere(
    stream: type[io.StringIO], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = stream()
    monkeypatch.setattr("sys.stderr", shown)
    monkeypatch.setattr("aetl.stage.progress._PAUSE", 0.0)
    bar = "callback.progress={_target_: aetl.stage.progress.Progress, refresh_rate: 1}"
    world = World(tmp_path, bar)
    world.pretrain()
    said = shown.getvalue()
    if stream is Terminal:
        assert "pretrain 6/6  loss " in said
        assert said.endswith("\r\x1b[K")
    else:
        first, last = said.splitlines()
        assert first == "pretrain 0/6"
        assert re.fullmatch(r"pretrain 6/6  [\d.e+]+ steps/s", last)


def test_a_rate_of_none_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr("sys.stderr", shown)
    bar = "callback.progress={_target_: aetl.stage.progress.Progress, refresh_rate: 0}"
    World(tmp_path, bar).pretrain()
    assert not shown.getvalue()
