"""Autoencoders side by side: ranks, intervals, best values and pictures."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aetl.comparison.rows import Row, rows
from aetl.comparison.run import find_runs
from aetl.comparison.statistics import interval
from aetl.report import autoencoders
from aetl.report.formats import render_json
from aetl.report.panel import panels
from aetl.report.sweep_page import write_sweep_page
from aetl.report.table import render_table
from tests.comparison.synthetic import write_arrays, write_run
from tests.report.test_pages import Page, assert_self_contained

PROBES = {  # of each variant: linear probe and nearest neighbours, at 100 labels
    "pca": (0.60, 0.70),
    "vae": (0.80, 0.50),
    "iwae": (0.90, 0.60),
}
BITS = {"vae": 0.30, "iwae": 0.25}
TWIN = "control/random_features"


def zoo(folder: Path, **changes: Any) -> Path:
    for name, (probe, knn) in PROBES.items():
        for seed in (0, 1, 2):
            for transfer, score in (("feature/linear_probe", probe), ("feature/knn", knn)):
                bits = BITS.get(name)
                given = {
                    "autoencoder": name,
                    "loss": f"loss of {name}",
                    "transfer": transfer,
                    "seed": seed,
                    "score": score + seed / 100,
                    "twin_score": 0.4,
                    "baseline": TWIN,
                    "latent": [2, 4, 4],
                    "reconstruction": {"source": 0.05 + PROBES[name][0] / 100 + seed / 1000},
                    "bits_per_dim": {"value": bits, "bound": "ELBO", "data": "binary"}
                    if bits
                    else None,
                }
                run = folder / f"{name}-{transfer.replace('/', '-')}-{seed}"
                write_run(run, **(given | changes))
                write_arrays(run, seed=seed)
    return folder


def table(folder: Path) -> list[Row]:
    return rows(find_runs([folder]).done)


def columns(folder: Path) -> dict[str, autoencoders.Measure]:
    (panel,) = panels(table(folder))
    found = list(panel.rows)
    variants = autoencoders._variants(found)
    measures = autoencoders._readings(panel, found) + autoencoders._of_pretraining(variants)
    return {measure.title: measure for measure in measures}


def test_columns_are_the_means_over_seeds_of_readings_and_of_pretraining(tmp_path: Path) -> None:
    found = columns(zoo(tmp_path))
    assert list(found) == [
        *("knn, 100 labels", "linear probe, 100 labels"),
        *("error", "bits/dim", "code", "seconds"),
    ]
    for title, name, values in (
        ("linear probe, 100 labels", "vae", [0.80, 0.81, 0.82]),
        ("error", "iwae", [0.059, 0.060, 0.061]),
    ):
        own, expected = found[title].values[name], interval(values)
        assert [own.mean, own.low, own.high] == pytest.approx(
            [expected.mean, expected.low, expected.high]
        )
    assert {k: v.mean for k, v in found["bits/dim"].values.items()} == pytest.approx(BITS)
    assert found["code"].values["pca"].mean == 32
    assert found["seconds"].values["pca"].mean == 1.21


def test_the_rank_is_the_mean_of_the_ranks_of_scores_and_equal_values_share_one(
    tmp_path: Path,
) -> None:
    found = list(columns(zoo(tmp_path)).values())
    ranks = {name: autoencoders._rank(found, name) for name in PROBES}
    assert ranks == {"iwae": 1.5, "pca": 2.0, "vae": 2.5}
    tied = autoencoders.Measure(
        "loss", False, {n: interval([v]) for n, v in zip("abc", (2.0, 1.0, 2.0), strict=True)},
        {}, 3,
    )  # fmt: skip
    assert [tied.rank(name) for name in "abc"] == [2.5, 1.0, 2.5]


def test_the_page_ranks_the_variants_and_marks_the_best_of_each_column(tmp_path: Path) -> None:
    path = write_sweep_page([zoo(tmp_path)])
    page = assert_self_contained(path, links=r".*(report\.html|figures/\w+\.png)")
    assert page.headings[:2] == [
        "Autoencoders: digits → digits (rotation=45)",
        "Reconstructions side by side",
    ]
    text = path.read_text(encoding="utf-8")
    ranking = re.search(r'<table id="ranking[^>]*>.*?</table>', text, re.S)
    assert ranking
    bold = re.findall(r'class="best">([^<]*)<', ranking[0])
    # Nearest neighbours, linear probe, bits, error; in the order of rows: iwae, pca, vae.
    assert bold == ["0.910", "0.250", "0.710", "0.0570"]
    assert re.findall(r"<strong>(\w+)</strong>", ranking[0]) == ["iwae", "pca", "vae"]
    assert 'title="random_features: 0.400"' in ranking[0]
    assert "±0.025" in ranking[0]  # 4.303 * 0.01 / sqrt(3)
    assert "set at random by its grey value" in page.text


def test_reconstructions_stand_below_the_inputs_they_are_of(tmp_path: Path) -> None:
    text = write_sweep_page([zoo(tmp_path)]).read_text(encoding="utf-8")
    strips = re.search(r'<div class="strips">.*?</section>', text, re.S)
    assert strips
    names = re.findall(r"<figcaption>(\w+)<", strips[0])
    assert names == ["original", "iwae", "pca", "vae"]
    pictures = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        for data in re.findall(r'src="data:image/png;base64,([^"]*)"', strips[0])
    ]
    with np.load(tmp_path / "pca-feature-knn-0" / "reconstructions.npz") as saved:
        first = np.round(255 * saved["x"][0, 0])
        made = np.round(255 * saved["reconstruction"][0, 0])
    assert pictures[0].shape == (16, 8 * 16 + 7 * 2)  # eight images, each pixel twice
    np.testing.assert_allclose(pictures[0][:16:2, :16:2], first, atol=1)
    np.testing.assert_allclose(pictures[1][:16:2, :16:2], made, atol=1)


def test_bits_of_different_kinds_of_data_are_columns_of_their_own(tmp_path: Path) -> None:
    zoo(tmp_path / "binary")
    other = {"bits_per_dim": {"value": 3.0, "bound": "ELBO", "data": "dequantised"}}
    write_run(tmp_path / "other", autoencoder="gaussian", transfer="feature/knn", **other)
    found = columns(tmp_path)
    assert set(found["bits/dim (dequantised)"].values) == {"gaussian"}
    assert set(found["bits/dim (binary)"].values) == {"vae", "iwae"}


def test_settings_and_losses_tell_variants_of_one_name_apart(tmp_path: Path) -> None:
    for width in (2, 8):
        write_run(
            tmp_path / str(width), config={"bottleneck": {"latent_dim": width}},
            settings=str(width), transfer="feature/knn",
        )  # fmt: skip
    write_run(tmp_path / "mse", loss="mse", transfer="feature/knn")
    write_run(tmp_path / "pca", autoencoder="pca", transfer="feature/knn")
    (panel,) = panels(table(tmp_path))
    assert set(autoencoders._variants(list(panel.rows))) == {
        *("vae · elbo (bottleneck.latent_dim=2)", "vae · elbo (bottleneck.latent_dim=8)"),
        *("vae · mse", "pca"),
    }


def test_a_variant_that_runs_warn_of_is_marked(tmp_path: Path) -> None:
    zoo(tmp_path)
    line = "posterior collapse: 0 of 8 latents are active"
    write_run(
        tmp_path / "vae-warned", autoencoder="vae", loss="loss of vae", seed=3, baseline=TWIN,
        transfer="feature/knn", warnings=[line],
    )  # fmt: skip
    text = write_sweep_page([tmp_path]).read_text(encoding="utf-8")
    assert text.count(f'title="{line} (1 of 4 seeds)"') == 1  # in the ranking
    assert text.count("⚠") == 3  # there, at its row, and in the remark below the table


def test_a_sweep_of_one_autoencoder_has_no_ranking(tmp_path: Path) -> None:
    zoo(tmp_path, autoencoder="vae", loss="elbo")
    page = Page(write_sweep_page([tmp_path]))
    assert not [heading for heading in page.headings if heading.startswith("Autoencoders")]


def test_gains_are_told_to_be_over_the_twin_that_was_chosen(tmp_path: Path) -> None:
    found = table(zoo(tmp_path))
    assert "gain over random features, 95 % over seeds alone:" in render_table(found)
    assert {row.control for row in found} == {"control/random_features"}
    assert "scratch" not in Page(write_sweep_page([tmp_path])).text
    write_run(tmp_path / "own", transfer="control/random_features", baseline=TWIN, score=0.4)
    own = [row for row in table(tmp_path) if row.is_control]
    assert [row.is_baseline for row in own] == [True]
    assert '"control/random_features"' in render_json(own)
