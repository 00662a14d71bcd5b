"""The page of a sweep while it runs: there from the first job, and cheap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aetl.multirun import live_page, progress
from aetl.multirun.live_page import PERIOD, LivePage
from aetl.multirun.manifest import JobEntry, Manifest
from aetl.report.live_page import write_live_page, write_whole_page
from tests.browser import Browser, browser
from tests.comparison.synthetic import write_run


def manifest_of(folder: Path, *states: Any) -> Manifest:
    jobs = [
        JobEntry(n, f"job {n}", str(n), [], 1, 1, False, "", state=state)
        for n, state in enumerate(states)
    ]
    return Manifest(folder, [], ".", [], "a:b", None, 0, "now", jobs=jobs)


class Clock:
    """Time that passes when it is told to, and by ``cost`` for each version of a page."""

    def __init__(self, cost: float) -> None:
        self.now, self.cost, self.versions = 0.0, cost, 0

    def __call__(self) -> float:
        return self.now

    def write(self, *_: Any) -> None:
        self.versions += 1
        self.now += self.cost


@pytest.mark.parametrize("cost", [0.01, 0.5])
def test_the_page_takes_no_more_than_a_hundredth_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cost: float
) -> None:
    clock = Clock(cost)
    monkeypatch.setattr(live_page, "task_of", lambda _: clock.write)
    page = LivePage(manifest_of(tmp_path, "running"), None, clock)
    for _ in range(7200):
        page.look()
        clock.now += 0.5
    assert clock.versions == pytest.approx(3600 / max(PERIOD, 100 * cost), rel=0.1)
    assert clock.versions * cost <= 0.0101 * clock.now + cost


def test_a_page_that_cannot_be_written_stops_no_sweep(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    page = LivePage(manifest_of(tmp_path / "gone" / "x", "running"), None)
    (tmp_path / "gone").write_text("no folder")
    page.look()
    page.close()
    assert caplog.messages == [next(m for m in caplog.messages if "no page of the running" in m)]


def jobs(*states: str) -> list[dict[str, Any]]:
    named = {"metric": None, "score": None, "seconds": None, "error": None}
    return [{"number": n, "name": f"job {n}", "state": s, **named} for n, s in enumerate(states)]


def test_where_a_sweep_stands_is_put_into_the_comparison_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_live_page((tmp_path, jobs("running", "waiting"), 10))
    first = path.read_text()
    assert "0 of 2 jobs done" in first
    assert 'data-again="10"' in first
    for seed in range(3):
        write_run(tmp_path / str(seed), seed=seed)
    write_whole_page((tmp_path, jobs("done", "running"), 10))
    whole = path.read_text()
    assert "1 of 2 jobs done" in whole
    assert "parameter/finetune" in whole
    write_live_page((tmp_path, jobs("done", "done"), 0))
    last = path.read_text()
    assert "2 of 2 jobs done" in last
    assert "1 of 2 jobs done" not in last
    assert "data-again=" not in last.partition("<script>")[0]
    assert "http-equiv" not in last
    assert last.partition("<!-- /live -->")[2] == whole.partition("<!-- /live -->")[2]


@pytest.mark.skipif(browser() is None, reason="needs chromium")
def test_a_browser_loads_the_page_of_a_running_sweep_anew(tmp_path: Path) -> None:
    write_live_page((tmp_path, jobs("running", "waiting"), 1))
    with Browser() as window:
        window.show(tmp_path / "report.html")
        assert window.run("document.querySelector('h1').textContent") == "0 of 2 jobs done"
        write_live_page((tmp_path, jobs("done", "done"), 0))
        window.wait_for_a_page()
        assert window.run("document.querySelector('h1').textContent") == "2 of 2 jobs done"


def test_checking_counts_where_somebody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    class Status:
        def __init__(self, text: str) -> None:
            said.append(text)

        def __enter__(self) -> Status:
            return self

        def __exit__(self, *_: object) -> None: ...

        def update(self, text: str) -> None:
            said.append(text)

    class Watched:
        status = Status

    monkeypatch.setattr(progress, "console", lambda **_: Watched)
    monkeypatch.setattr(progress.sys, "stderr", type("Terminal", (), {"isatty": lambda _: True})())
    with progress.checking(12) as checked:
        checked(1)
        checked(12)
    assert said == [f"checking [{n}/12] jobs" for n in (" 0", " 1", "12")]
