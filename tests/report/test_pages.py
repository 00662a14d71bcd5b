import html.parser
import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from aetl.command import compare, report
from aetl.comparison.run import RecordError
from aetl.config import ConfigError
from aetl.report.page import write_run_page
from aetl.report.sweep_page import write_sweep_page
from tests.comparison.synthetic import write_full_run, write_run

HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Page(html.parser.HTMLParser):
    """What a page consists of: tags with attributes, headings, and whether all tags are closed."""

    VOID = frozenset({"meta", "link", "br", "img", "input"})

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
        assert len(page.named("script")) == (0 if path == pages[0] else 1)
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


@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="needs chromium")
def test_a_browser_sorts_and_filters_the_comparison(tmp_path: Path) -> None:
    path = write_sweep_page([sweep(tmp_path / "sweep")])
    act = """<script>
      const table = document.querySelector("#comparison");
      const shown = () => [...table.tBodies[0].rows].filter((r) => !r.hidden)
        .map((r) => [r.cells[0].textContent, r.cells[1].textContent]);
      const press = (name) => [...table.tHead.querySelectorAll("button")]
        .find((b) => b.textContent === name).click();
      const said = {};
      press("mean"); said.up = shown();
      press("mean"); said.down = shown();
      const verdict = document.querySelectorAll('select[data-filters="comparison"]');
      const choose = (field, value) => {
        field.value = value;
        field.dispatchEvent(new Event("input"));
      };
      choose(verdict[verdict.length - 1], "negative"); said.negative = shown();
      said.count = document.querySelector('output[for="comparison"]').textContent;
      choose(verdict[verdict.length - 1], "");
      choose(document.querySelector('input[data-filters="comparison"]'), "PROBE 100");
      said.search = shown();
      document.body.innerHTML = ""; document.body.dataset.said = JSON.stringify(said);
    </script></body>"""
    path.write_text(path.read_text(encoding="utf-8").replace("</body>", act), encoding="utf-8")
    browser = next(name for name in BROWSERS if shutil.which(name))
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    quiet += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command = [browser, *quiet, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run([*command, path.as_uri()], capture_output=True, text=True, timeout=120)
    found = re.search(r'data-said="([^"]*)"', done.stdout)
    assert found, done.stderr[-2000:]
    said = json.loads(html.unescape(found[1]))
    assert said["up"][0] == ["parameter/bad", "10"]
    assert said["down"] == said["up"][::-1]
    assert said["down"][0] == ["feature/linear_probe", "100"]
    assert said["negative"] == [["parameter/bad†", "100"], ["parameter/bad", "10"]]
    assert said["count"] == "2 of 10 rows"
    assert said["search"] == [["feature/linear_probe", "100"]]


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
