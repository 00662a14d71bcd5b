import html.parser
import itertools
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aetl.command import compare, report
from aetl.comparison.rows import rows
from aetl.comparison.run import RecordError, find_runs
from aetl.config import ConfigError
from aetl.report import page as page_module
from aetl.report.markup import Cell, live_table
from aetl.report.page import write_run_page
from aetl.report.sweep_page import draw_runs, write_sweep_page
from tests.browser import Browser, browser
from tests.comparison.synthetic import write_full_run, write_run

HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"


class Page(html.parser.HTMLParser):
    """What a page consists of: tags with attributes, headings, and whether all tags are closed."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "wbr"})

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.headings: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "h2":
            self.headings.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data
        if self.open and self.open[-1] == "h2":
            self.headings[-1] += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def sweep(folder: Path, **changes: Any) -> Path:
    arms = {"control/scratch": 0.0, "control/raw_features": 0.06, "feature/linear_probe": 0.1}
    for arm, gain in (arms | {"parameter/finetune": 0.04, "parameter/bad": -0.2}).items():
        for budget in (10, 100):
            for seed in range(3):
                twin = 0.6 + seed / 100 + budget / 1000
                named = {"transfer": arm, "budget": budget, "seed": seed, **changes}
                name = f"{arm.replace('/', '-')}-{budget}-{seed}"
                write_run(folder / name, score=twin + gain + seed / 200, twin_score=twin, **named)
    return folder


def assert_self_contained(path: Path, links: str = r"#.*") -> Page:
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    assert "@import" not in text
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", text)
    page = Page(path)
    assert page.open == []
    for tag, attributes in page.tags:
        assert (attributes.get("src") or "data:").startswith("data:")
        assert not any(name.startswith("on") for name in attributes), tag
        href = attributes.get("href")
        assert href is None or re.fullmatch(rf"data:.*|#.*|{links}", href, flags=re.S), href
    identifiers = [a["id"] for _, a in page.tags if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    return page


def test_the_page_of_a_run_shows_everything_and_needs_nothing(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path / "run", reused={"pretrain": True})
    path = write_run_page(folder)
    assert path == folder / "report.html"
    page = assert_self_contained(path)
    assert page.headings == [
        "Learning curves",
        "Reconstructions",
        "Latent map",
        "Confusion matrix",
        "What moved",
        "Settings",
        "Do it again",
        "Environment",
    ]
    assert len(page.named("svg")) == 4
    assert all(attributes.get("aria-label") for attributes in page.named("svg"))
    for told in (
        *("digits → digits (rotation=45)", "parameter/finetune", "vae", "elbo", "100 labels"),
        *("0.810", "0.780", "+0.030", "last", "seed 0", "0.01230", "aetl rerun", "--check"),
        *("aetl autoencoder=vae transfer=parameter/finetune", "encoder.0.weight", "lr: 0.001"),
        *("2 tensors came from the pretraining", "0123456789ab with changes", "torch 2.14.1"),
        *("source a1a1", "from the store", "pretrain 1.2"),
    ):
        assert told in page.text, told
    assert {p.name for p in (folder / "figures").iterdir()} == {
        "learning_curves.png",
        "reconstructions.png",
        "latent_map.png",
        "confusion_matrix.png",
    }


def test_the_command_of_a_job_is_told_beside_that_of_its_sweep(tmp_path: Path) -> None:
    own, all_ = ["seed=1", "name=a b"], ["/somewhere/aetl", "-m", "seed=1,2", "name=a b"]
    page = Page(write_run_page(write_run(tmp_path / "run", overrides=own, command=all_)))
    assert "aetl seed=1 'name=a b'It was started by" in page.text
    assert "aetl -m seed=1,2 'name=a b'" in page.text
    assert "somewhere" not in page.text


def test_what_a_run_does_not_have_leaves_no_empty_frame(tmp_path: Path) -> None:
    bare = {"receipt": {}, "reconstruction": {}, "command": [], "overrides": [], "choices": {}}
    folder = write_run(tmp_path / "run", transfer="control/scratch", **bare)
    (folder / "config.yaml").unlink()
    page = assert_self_contained(write_run_page(folder))
    assert page.headings == ["Do it again", "Environment"]
    assert page.named("svg") == []
    assert "from scratch" not in page.text  # scratch is no gain over itself


def test_a_failed_run_has_a_page_with_its_error(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    failed = {"version": 1, "status": "failed", "error": "ValueError: the loss is nan", "seed": 3}
    (tmp_path / "run" / "run.json").write_text(json.dumps(failed))
    page = assert_self_contained(write_run_page(tmp_path / "run"))
    assert "ValueError: the loss is nan" in page.text
    assert "aetl rerun" not in page.text


def test_all_metrics_are_told_with_gains_that_point_to_better(tmp_path: Path) -> None:
    scores = {"scores": {"accuracy": 0.8, "nll": 0.4}, "twin": {"accuracy": 0.7, "nll": 0.6}}
    gain = {"accuracy": 0.1, "nll": -0.2}
    higher = {"accuracy": True, "nll": False}
    folder = write_run(tmp_path / "run", gain=gain, higher_is_better=higher, **scores)
    page = assert_self_contained(write_run_page(folder))
    assert "All metrics" in page.headings
    assert "+0.200" in page.text


def test_no_page_without_a_record(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="No such file"):
        write_run_page(tmp_path)


def test_names_are_text_wherever_they_stand(tmp_path: Path) -> None:
    names = ("source", "target", "autoencoder", "loss", "transfer", "selector", "budget", "error")
    hostile: dict[str, Any] = {
        **dict.fromkeys(names, HOSTILE),
        "command": ["aetl", HOSTILE],
        "overrides": [HOSTILE],
        "choices": {HOSTILE: HOSTILE},
        "receipt": {"matched": [HOSTILE], HOSTILE: 3},
        "classes": [HOSTILE] * 10,
        "versions": {HOSTILE: HOSTILE},
        "metric": HOSTILE,
        "config": {HOSTILE: HOSTILE},
    }
    config = hostile.pop("config")
    folder = write_full_run(tmp_path / "runs" / "<b>run", **hostile)
    (folder / "config.yaml").write_text(f"{config}")
    pages = [write_run_page(folder), write_sweep_page([tmp_path / "runs"], tmp_path / "out.html")]
    write_run(tmp_path / "runs" / "failed", status="failed", **hostile)
    pages.append(write_sweep_page([tmp_path / "runs"]))
    for path in pages:
        page = Page(path)
        assert page.open == []
        assert all(not a.get("onerror") for _, a in page.tags)
        assert not [a for a in page.named("img") if a.get("src") == "x"]
        assert len(page.named("script")) == 1
        assert page.named("b") == []
        assert HOSTILE in page.text


def test_the_page_of_a_sweep_shows_everything_and_needs_nothing(tmp_path: Path) -> None:
    sweep(tmp_path)
    write_run_page(write_full_run(tmp_path / "pictured", seed=3, transfer="feature/linear_probe"))
    write_run(tmp_path / "failed", status="failed", error="MemoryError: too big")
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "run.json").write_text("{")
    path = write_sweep_page([tmp_path])
    assert path == tmp_path / "report.html"
    page = assert_self_contained(path, links=r"pictured/(report\.html|figures/\w+\.png)")
    title = "digits → digits (rotation=45)"
    behind = "What stands behind the rows"
    assert page.headings == [title, "All rows", behind, "Runs", "Without a result"]
    assert len(page.named("svg")) == 2
    for told in (
        *("4 positive", "2 negative", "baseline", "MemoryError: too big", "raw_features"),
        *("1 failed, 1 unreadable", "labels", "strongest control"),
    ):
        assert told in page.text, told
    assert [a["id"] for a in page.named("table") if "id" in a] == [
        "comparison",
        "details",
        "runs",
        "unfinished",
    ]


def test_the_page_tells_verdicts_apart_that_the_correction_takes_away(tmp_path: Path) -> None:
    wide, sure = (0.08, 0.10, 0.12), (0.099, 0.100, 0.101)
    for name in ("knn", "svm", "mlp_head", "coral", "finetune"):
        for seed, gain in enumerate(sure if name == "finetune" else wide):
            arm = f"parameter/{name}" if name == "finetune" else f"feature/{name}"
            named = {"transfer": arm, "seed": seed, "twin_score": 0.5}
            write_run(tmp_path / f"{name}-{seed}", score=0.5 + gain, **named)
    page = assert_self_contained(write_sweep_page([tmp_path]))
    assert "▲ 1 positive" in page.text
    assert "△ 4 positive uncorrected" in page.text
    hollow = [span for span in page.named("span") if "hollow" in span.get("class", "")]
    assert len(hollow) == 1 + 4 + 4  # the count, the matrix, all rows


def test_a_sweep_whose_jobs_all_failed_has_a_page_too(tmp_path: Path) -> None:
    write_run(tmp_path / "0", status="failed", error="boom")
    page = assert_self_contained(write_sweep_page([tmp_path]))
    assert page.headings == ["Without a result"]


def test_pictures_of_a_row_are_small_copies_and_link_to_the_run(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path / "sweep" / "a run")
    write_run_page(folder)
    path = write_sweep_page([tmp_path / "sweep"], tmp_path / "pages" / "out.html")
    page = assert_self_contained(path, links=r"\.\./sweep/a%20run/.*")
    assert [a["alt"] for a in page.named("img")] == [
        "reconstructions",
        "latent_map",
        "confusion_matrix",
    ]
    assert all(len(a["src"] or "") < 40_000 for a in page.named("img"))


def test_many_settings_and_pairs_are_told_apart(tmp_path: Path) -> None:
    sweep(tmp_path / "a", target="usps")
    sweep(tmp_path / "c", source="mnist")
    page = assert_self_contained(write_sweep_page([tmp_path]))
    pairs = [heading for heading in page.headings if "→" in heading]
    assert pairs == ["digits → usps", "mnist → digits (rotation=45)"]
    first = page.text.split("All rows")[1]
    assert first.index("source") < first.index("target") < first.index("labels")


def test_writing_a_page_that_fails_keeps_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_run(tmp_path / "run")
    path = write_run_page(folder)
    before = path.read_bytes()

    def full(*_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write_run_page(folder)
    assert path.read_bytes() == before
    assert sorted(p.name for p in folder.iterdir()) == ["config.yaml", "report.html", "run.json"]


def test_the_commands_write_where_they_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = sweep(tmp_path / "sweep")
    run = folder / "parameter-bad-10-0"
    assert report.main([str(run)]) == 0
    assert report.main([str(folder)]) == 0
    assert compare.main([str(folder), "--html", "-o", "out.html"]) == 0
    assert compare.main([str(folder), str(run), "--html"]) == 0
    written = capsys.readouterr().out.split()
    assert written == [
        str(run / "report.html"),
        str(folder / "report.html"),
        "out.html",
        "comparison.html",
    ]
    for path in written:
        assert_self_contained(Path(path), links=r"[^:]*report\.html")


def test_the_commands_print_what_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(sweep(tmp_path / "sweep"))
    compare.main([folder, "--json"])
    assert len(json.loads(capsys.readouterr().out)) == 10
    compare.main([folder])
    assert "feature/linear_probe" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="known: accuracy"):
        compare.main([folder, "--metric", "f1"])
    with pytest.raises(ConfigError, match="--csv: not allowed with argument --json"):
        compare.main([folder, "--json", "--csv"])


def test_the_report_of_a_broken_record_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ConfigError, match="cut off or not JSON"):
        report.main([str(tmp_path)])


ACT = """
  const table = document.querySelector("#comparison");
  const shown = () => [...table.tBodies[0].rows].filter((r) => !r.hidden)
    .map((r) => [r.cells[0].textContent, r.cells[2].textContent]);
  const press = (name) => [...table.tHead.querySelectorAll("button")]
    .find((b) => b.textContent === name).click();
  const choose = (name, value) => {
    const fields = [...document.querySelectorAll('[data-filters="comparison"]')];
    const field = fields.find((f) => f.parentElement.textContent.startsWith(name));
    field.value = value;
    field.dispatchEvent(new Event("input"));
  };
  const sorts = () => [...table.tHead.rows[0].cells].map((c) => c.getAttribute("aria-sort"));
"""


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    if browser() is None:
        pytest.skip("needs chromium")
    with Browser() as opened:
        yield opened


def test_a_browser_sorts_and_filters_the_comparison_and_keeps_both_in_the_address(
    tmp_path: Path, window: Browser
) -> None:
    path = write_sweep_page([sweep(tmp_path / "sweep")])
    window.show(path)
    window.run(ACT)
    assert set(window.run("sorts()")) == {"none"}
    up = window.run("press('mean'); shown()")
    assert up[0] == ["parameter/bad", "10"]
    assert window.run("sorts().filter((s) => s !== 'none')") == ["ascending"]
    down = window.run("press('mean'); shown()")
    assert down == up[::-1]
    assert down[0] == ["feature/linear_probe", "100"]
    negative = window.run("choose('verdict', 'negative'); shown()")
    assert negative == [["parameter/bad†", "100"], ["parameter/bad", "10"]]
    count = """document.querySelector('output[for="comparison"]').textContent"""
    assert window.run(count) == "2 of 10 rows"
    anchor = window.run("location.hash")
    assert window.run("choose('verdict', ''); choose('search', 'PROBE 100'); shown()") == [
        ["feature/linear_probe", "100"]
    ]
    window.show(path, anchor=anchor)  # as somebody else opens it
    window.run(ACT)
    assert window.run("shown()") == negative
    assert window.run("sorts().filter((s) => s !== 'none')") == ["descending"]


def test_a_narrow_page_moves_its_tables_and_not_itself(tmp_path: Path, window: Browser) -> None:
    pages = [write_sweep_page([sweep(tmp_path / "sweep")])]
    pages.append(write_run_page(write_full_run(tmp_path / "run")))
    for page in pages:
        window.show(page, width=400)
        assert window.run("document.documentElement.scrollWidth") == 400
    window.show(pages[0], width=400)
    stays = """(() => {
      const box = document.querySelector("#comparison").parentElement;
      const left = () => box.querySelector("tbody td").getBoundingClientRect().left;
      const before = left();
      box.scrollLeft = 300;
      return box.scrollLeft === 300 && left() === before;
    })()"""
    assert window.run(stays)


def test_what_every_row_says_is_told_once_above_the_table() -> None:
    columns = [("arm", False), ("target", False), ("p", True), ("seeds", True), ("mean", True)]
    rows = [([Cell("a"), Cell("usps"), Cell(""), Cell(3), Cell(0.1)], ""),
            ([Cell("b"), Cell("usps"), Cell(""), Cell(3), Cell(0.2)], "")]  # fmt: skip
    both = live_table("t", columns, rows, choices=range(5))
    above, _, table = both.partition("<table")
    assert above.count("usps") == 1
    assert "seeds</span> 3" in above
    assert "usps" not in table
    assert re.findall(r'<button type="button">(\w+)', table) == ["arm", "mean"]
    alone = live_table("t", columns, rows[:1])
    assert re.findall(r'<button type="button">(\w+)', alone) == [name for name, _ in columns]


def palettes() -> list[dict[str, str]]:
    """The colours of the page on light ground and on dark."""
    css = Path(page_module.__file__).with_name("page.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", css, flags=re.S)[:2]
    found = [dict(re.findall(r"--([\w-]+): (#\w{6})", text)) for text in (light, dark)]
    return [found[0], found[0] | found[1]]


def rgb(color: str) -> np.ndarray:
    values = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG 2.2."""
    low, high = sorted(float(rgb(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (high + 0.05) / (low + 0.05)


def oklab(color: str) -> np.ndarray:
    to_cones = [[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]]
    to_lab = [[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]]
    return np.array(to_lab) @ np.cbrt(np.array(to_cones) @ rgb(color))


@pytest.mark.parametrize("ground", [0, 1], ids=["light", "dark"])
def test_words_and_lines_stand_out_from_their_ground(ground: int) -> None:
    colors = palettes()[ground]
    for ink, on in (("ink", "card"), ("ink", "ground"), ("soft", "card"), ("soft", "ground"),
                    ("blue", "card"), ("blue", "blue-soft"), ("orange", "orange-soft"),
                    ("ink", "grey-soft"), ("soft", "grey-soft"), ("ink", "code")):  # fmt: skip
        assert contrast(colors[ink], colors[on]) >= 4.5, (ink, on)
    for number in range(10):
        assert contrast(colors[f"c{number}"], colors["card"]) >= 3.0, number


@pytest.mark.parametrize("ground", [0, 1], ids=["light", "dark"])
def test_no_two_colours_of_a_figure_are_alike_and_the_greys_least_of_all(ground: int) -> None:
    colors = palettes()[ground]
    assert contrast(colors["c8"], colors["c9"]) >= 2.0  # the greys of controls, by lightness alone
    shades = [oklab(colors[f"c{number}"]) for number in range(10)]
    apart = min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(shades, 2))
    assert apart >= 0.06


def test_a_printed_page_has_all_columns_and_starts_on_its_first_sheet(
    tmp_path: Path, window: Browser
) -> None:
    path = write_sweep_page([sweep(tmp_path / "sweep")])
    window.show(path, width=794)  # as wide as A4
    window.as_printed()
    wide = """[...document.querySelectorAll("table")].map((t) => t.scrollWidth)"""
    assert max(window.run(wide)) <= 794
    top = "document.querySelector('section').getBoundingClientRect().top"
    assert window.run(top) < 300
    window.printed(tmp_path / "page.pdf")
    pages = len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "page.pdf").read_bytes()))
    assert 1 <= pages <= 6


@pytest.mark.bench
def test_the_page_of_a_run_is_written_within_a_second(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path / "run")
    write_run_page(folder)
    start = time.process_time()
    write_run_page(folder)
    seconds = time.process_time() - start
    print(f"page of a run: {seconds:.2f} s")
    assert seconds < 1.0


@pytest.mark.bench
def test_the_page_of_five_thousand_runs_is_written_within_twelve_seconds(tmp_path: Path) -> None:
    for job in range(5000):
        arm = ("control/scratch", "feature/linear_probe", "parameter/finetune")[job % 3]
        changes = {"transfer": arm, "budget": 10 * (1 + job // 3 % 5), "seed": job // 15 % 5}
        write_run(tmp_path / str(job), score=0.8, target=f"t{job // 75}", **changes)
    start = time.process_time()
    path = write_sweep_page([tmp_path])
    seconds = time.process_time() - start
    print(f"page of 5000 runs: {seconds:.2f} s, {path.stat().st_size / 1e6:.1f} MB")
    assert seconds < 12.0


def test_a_sweeps_end_draws_the_first_run_of_each_arm_that_has_no_page(tmp_path: Path) -> None:
    table = rows(find_runs([sweep(tmp_path)]).done)
    firsts = {row.runs[0].folder for row in table}
    assert 1 < len(firsts) <= 12
    (made := table[0].runs[0].folder / "report.html").write_text("by its job")
    draw_runs(table)
    assert {path.parent for path in tmp_path.glob("*/report.html")} == firsts
    assert made.read_text() == "by its job"
