"""Makes pages of small real runs, looks at them in a headless browser, and presses what one can.

python .ci/pages.py [FOLDER] [NAME ...]     (build/pages): FOLDER/runs are the runs, made once;
FOLDER/shots the pages at 400, 1 000 and 1 400 px, light, dark and printed. Without a Chromium it
says so and ends. Of the names (sweep, search, zoo, big, images, vectors, series) those alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from aetl.report.page import write_run_page  # noqa: E402
from aetl.report.sweep_page import write_sweep_page  # noqa: E402
from tests.browser import Browser, Scheme, browser  # noqa: E402
from tests.comparison.synthetic import write_run  # noqa: E402

WIDTHS = (400, 1000, 1400)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
SHORT = ("logger=none", "trainer=cpu", "callback.progress=null", "finetune.min_steps=60")
STEPS = ("finetune.epochs=4", "pretrain.min_steps=0", "pretrain.max_steps=300")
SHIFTED = ("target.shift.rotation=15.0", "target.shift.noise=0.2")


def aetl(folder: Path, *words: str) -> None:
    """A run or a multirun in ``folder``, with its store beside all others."""
    where = "hydra.sweep.dir" if "-m" in words else "hydra.run.dir"
    start = "import sys; from aetl.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", start, *words, *SHORT, *STEPS, f"{where}={folder}"]
    outputs = {"AETL_OUTPUT_DIR": str(folder.parent / "outputs")}
    subprocess.run(command, check=True, env=os.environ | outputs, cwd=folder.parent)


def sweep(folder: Path) -> None:
    arms = "control/scratch,control/raw_features,feature/linear_probe,parameter/finetune"
    aetl(folder, "-m", *SHIFTED, f"transfer={arms},instance/density_ratio",
         "target.budget=20,50,200", "seed=0,1,2", "autoencoder=denoising",
         "metric=[accuracy,macro_f1,nll]")  # fmt: skip


def search(folder: Path) -> None:
    aetl(folder, "-m", *SHIFTED, "transfer=parameter/finetune", "selector=target_validation",
         "target.budget=200", "finetune.lr=0.0001,0.0003,0.001,0.003,0.01",
         "finetune.batch_size=8,32", "optimizer=adam,sgd")  # fmt: skip


def zoo(folder: Path) -> None:
    aetl(folder, "-m", *SHIFTED, "transfer=feature/linear_probe,feature/knn",
         "transfer/control@twin=random_features", "target.budget=100,500", "seed=0,1,2",
         "autoencoder=pca,denoising,vae")  # fmt: skip


def images(folder: Path) -> None:
    aetl(folder, *SHIFTED, "autoencoder=denoising", "metric=[accuracy,macro_f1,nll]",
         "selector=target_validation", "target.budget=200")  # fmt: skip


def vectors(folder: Path) -> None:
    aetl(folder, "dataset@source=breast_cancer", "dataset@target=breast_cancer",
         "duplicates=keep", "target.budget=50", "selector=target_validation")  # fmt: skip


def series(folder: Path) -> None:
    random = np.random.default_rng(0)
    t = np.linspace(0, 4 * np.pi, 80)
    for name, speed in (("slow", 1.0), ("fast", 1.3)):
        y = random.integers(0, 3, 400)
        phase = random.uniform(0, 2 * np.pi, (400, 1))
        waves = np.stack([np.sin(speed * t + phase), np.sign(np.sin(speed * t + phase)),
                          2 * (((speed * t + phase) / (2 * np.pi)) % 1) - 1])  # fmt: skip
        x = waves[y, np.arange(400)] + 0.4 * random.normal(size=(400, 80))
        pair = np.stack([x, np.gradient(x, axis=1)], axis=1).astype(np.float32)
        np.savez(folder.parent / f"{name}.npz", x=pair, y=y)
    aetl(folder, "dataset@source=series", "dataset@target=series", "source.path=slow.npz",
         "target.path=fast.npz", "backbone=conv1d", "target.budget=60")  # fmt: skip


def big(folder: Path) -> None:
    """A table of hundreds of rows with long names, of runs that nothing has computed."""
    random = np.random.default_rng(0)
    arms = ("control/scratch", "control/raw_features", "feature/linear_probe",
            "feature/subspace_alignment", "feature/optimal_transport", "parameter/finetune",
            "parameter/gradual_unfreezing", "parameter/layerwise_decay", "instance/density_ratio",
            "parameter/keep_reconstructing (finetune.lr=0.0003, corruption.ratio=0.7)")  # fmt: skip
    pairs = [(s, t) for s in ("mnist", "emnist_letters (resize=16)", "svhn (resize=16)")
             for t in ("usps", "kmnist (resize=16)", "synthetic_digits (rotation=30)")]  # fmt: skip
    for number, (source, target) in enumerate(pairs):
        for a, arm in enumerate(arms):
            for budget in (10, 100, 1000):
                for seed in range(3):
                    twin = 0.5 + 0.1 * np.log10(budget) + 0.02 * random.normal()
                    gain = 0.0 if a == 0 else 0.02 * (a - 4) + 0.02 * random.normal()
                    named = {"source": source, "target": target, "transfer": arm}
                    write_run(folder / f"{number}-{a}-{budget}-{seed}", score=twin + gain,
                              twin_score=twin, budget=budget, seed=seed, **named)  # fmt: skip


SWEEPS: dict[str, Callable[[Path], None]] = {
    "sweep": sweep, "search": search, "zoo": zoo, "big": big,
}  # fmt: skip
WORDS = {"sweep": "density", "search": "adam", "zoo": "knn", "big": "density"}
"""What some rows say, and others do not."""
RUNS: dict[str, Callable[[Path], None]] = {"images": images, "vectors": vectors, "series": series}


def made(runs: Path, name: str) -> Path:
    """The page of a kind of runs, which are made where they are not there yet."""
    folder = runs / name
    if not folder.exists():
        print(f"making {name}")
        (SWEEPS | RUNS)[name](folder)
    return write_run_page(folder) if name in RUNS else write_sweep_page([folder])


OUTSIDE = """[...document.querySelectorAll("svg.figure")].flatMap((svg) => {
  const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text")].filter((text) => {
    const own = text.getBoundingClientRect();
    return own.left < box.left - 3 || own.right > box.right + 3
      || own.top < box.top - 3 || own.bottom > box.bottom + 3;
  }).map((text) => text.textContent);
})"""
"""Texts of figures that reach out of them."""
SHORTENED = """[...document.querySelectorAll("svg.figure text")].map((text) => text.textContent)
  .filter((text) => text.includes("…"))"""
HANDS = """
  const shown = (id) => [...document.querySelectorAll(`#${id} tbody tr`)].filter((r) => !r.hidden);
  const press = (id, name) => [...document.querySelectorAll(`#${id} thead button`)]
    .find((button) => button.textContent === name).click();
  const column = (id, name) => {
    const heads = [...document.querySelectorAll(`#${id} thead th`)];
    const place = heads.findIndex((head) => head.textContent === name);
    return shown(id).map((row) => row.cells[place].dataset.value ?? row.cells[place].textContent);
  };
  const fill = (id, name, value) => {
    const field = [...document.querySelectorAll(`[data-filters="${id}"]`)]
      .find((one) => one.parentElement.textContent.startsWith(name));
    field.value = value;
    field.dispatchEvent(new Event("input"));
  };
"""


def shoot(window: Browser, page: Path, shots: Path, name: str) -> None:
    for width in WIDTHS:
        for scheme in SCHEMES if width == 1000 else SCHEMES[:1]:
            window.show(page, width, scheme)
            window.picture(shots / f"{name}-{width}-{scheme}.png")
            wide = window.run("document.documentElement.scrollWidth")
            assert wide <= width, f"{name} at {width} px is {wide} px wide"
            assert window.run(OUTSIDE) == [], f"{name} at {width} px"
            assert window.run(SHORTENED) == [], name
    window.show(page, 794)  # as wide as A4
    window.as_printed()
    tables = window.run("[...document.querySelectorAll('table')].map((t) => t.scrollWidth)")
    assert max(tables, default=0) <= 794, f"{name} printed: a table of {max(tables)} px"
    top = window.run("document.querySelector('section').getBoundingClientRect().top")
    assert top < 600, f"{name} printed: the first section begins at {top} px"
    window.printed(shots / f"{name}.pdf")


def press(window: Browser, page: Path, table: str, number: str, word: str) -> None:
    """Sort a table by a column of numbers, search it, and come back by its address."""
    window.show(page, 1000)
    window.run(HANDS)
    whole = window.run(f"shown('{table}').length")
    window.run(f"press('{table}', '{number}')")
    values = [float(v) for v in window.run(f"column('{table}', '{number}')") if v != ""]
    assert values == sorted(values), f"{page}: {table} by {number}"
    window.run(f"press('{table}', '{number}')")
    values = [float(v) for v in window.run(f"column('{table}', '{number}')") if v != ""]
    assert values == sorted(values, reverse=True), f"{page}: {table} by {number}, downwards"
    window.run(f"fill('{table}', 'search', '{word}')")
    found = window.run(f"shown('{table}').map((row) => row.cells[0].textContent)")
    assert 0 < len(found) < whole, f"{page}: {table} with {word}"
    window.show(page, 1000, anchor=window.run("location.hash"))
    window.run(HANDS)
    again = window.run(f"shown('{table}').map((row) => row.cells[0].textContent)")
    assert again == found, f"{page}: {table} opened again"


def choose(window: Browser, page: Path) -> None:
    """Filter all rows by a verdict."""
    window.show(page, 1000)
    window.run(HANDS)
    verdict = window.run("column('comparison', 'verdict').find((text) => text !== '')")
    window.run(f"fill('comparison', 'verdict', '{verdict}')")
    assert set(window.run("column('comparison', 'verdict')")) == {verdict}


def main(folder: Path, names: list[str]) -> int:
    if browser() is None:
        print("no Chromium here: no pages are looked at")
        return 0
    runs, shots = folder.absolute() / "runs", folder.absolute() / "shots"
    for path in (runs, shots):
        path.mkdir(parents=True, exist_ok=True)
    pages = {name: made(runs, name) for name in names or [*SWEEPS, *RUNS]}
    with Browser() as window:
        for name, page in pages.items():
            shoot(window, page, shots, name)
            if name in SWEEPS:
                press(window, page, "comparison", "mean", WORDS[name])
                press(window, page, "runs", "score", WORDS[name])
            if name in ("sweep", "big"):
                choose(window, page)
            if name == "images":
                press(window, page, "classes", "recall", "7")
            print(f"{name}: {page}")
    print(f"pictures: {shots}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/pages"), sys.argv[2:]))
