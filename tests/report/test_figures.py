import io
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from aetl.comparison.rows import rows
from aetl.comparison.run import find_runs
from aetl.report.canvas import COLORS, DRAWN, svg, wrapped
from aetl.report.canvas import png as png_of
from aetl.report.figures import (
    confusion_matrix,
    latent_map,
    learning_curves,
    predictions,
    principal_axes,
    read_curves,
    reconstructions,
    run_figures,
    save_figures,
)
from aetl.report.panel import Panel, panels
from aetl.report.sweep_figures import _apart, budget_curves, gain_forest
from tests.comparison.synthetic import write_arrays, write_curves, write_full_run, write_run


def pixels(figure: Figure) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png_of(figure))).convert("RGB"), dtype=float)


def color(name: str) -> np.ndarray:
    return np.array([int(name[i : i + 2], 16) for i in (1, 3, 5)], dtype=float)


def has_color(figure: Figure, name: str) -> bool:
    return bool((np.abs(pixels(figure) - color(name)).max(axis=2) < 3).any())


def panel(folder: Path, budgets: tuple[Any, ...] = (10, 100), **changes: Any) -> Panel:
    arms = {"control/scratch": 0.0, "feature/linear_probe": 0.1, "parameter/finetune": -0.1}
    for arm, gain in arms.items():
        for budget in budgets:
            for seed in range(3):
                score = 0.7 + gain + seed / 100
                run = folder / f"{arm.replace('/', '-')}-{budget}-{seed}"
                named = {"transfer": arm, "budget": budget, "seed": seed, **changes}
                write_run(run, score=score, twin_score=0.7 + seed / 90, **named)
    (found,) = panels(rows(find_runs([folder]).done))
    return found


def test_a_full_run_gives_every_figure_as_a_picture_that_is_not_blank(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path / "run")
    paths = save_figures(folder, run_figures(folder, "accuracy"))
    names = {"learning_curves", "reconstructions", "latent_map", "confusion_matrix"}
    assert paths == {name: folder / "figures" / f"{name}.png" for name in names}
    for path in paths.values():
        picture = Image.open(path).convert("L")
        assert picture.width > 400
        assert picture.height > 300
        assert np.asarray(picture, dtype=float).std() > 5
    assert [path.name for path in (folder / "figures").iterdir() if path.suffix != ".png"] == []


def test_a_run_without_files_gives_no_figure(tmp_path: Path) -> None:
    assert run_figures(write_run(tmp_path / "run"), "accuracy") == {}


def test_a_file_cut_off_leaves_out_its_figure_only_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_full_run(tmp_path / "run")
    for name in ("latents.npz", "predictions.npz"):
        (folder / name).write_bytes((folder / name).read_bytes()[:200])
    with (folder / "metrics.csv").open("a") as file:
        file.write("transfer,train,1")
    assert set(run_figures(folder, "accuracy")) == {"learning_curves", "reconstructions"}
    assert len(caplog.messages) == 2
    assert all("no figure of" in message for message in caplog.messages)


def test_learning_curves_show_each_stage_that_was_trained(tmp_path: Path) -> None:
    for pretraining, panels_ in ((True, 3), (False, 2)):
        folder = write_run(tmp_path / str(pretraining))
        write_curves(folder, pretraining=pretraining)
        figure = learning_curves(read_curves(folder / "metrics.csv"), "accuracy")
        assert figure is not None
        assert len(figure.axes) == panels_
        assert [ax.get_title(loc="left") for ax in figure.axes][-1] == "transfer: accuracy"


def test_learning_curves_hold_the_values_of_the_file() -> None:
    curves = {("transfer", split, "loss"): ([1.0, 2.0], [3.0, 4.0]) for split in ("train", "x")}
    for split in ("train", "validation"):  # the better one is shown
        curves["twin", split, "loss"] = ([1.0, 2.0], [5.0, float(len(split))])
        figure = learning_curves(curves, "accuracy")
        assert figure is not None
        drawn = {line.get_label(): list(line.get_ydata()) for line in figure.axes[0].lines}
        assert drawn == {"train": [3.0, 4.0], "twin": [5.0, float(len(split))]}


def test_a_loss_over_several_decades_is_drawn_on_a_log_axis() -> None:
    figure = learning_curves({("pretrain", "train", "loss"): ([1, 2], [1000.0, 0.1])}, "accuracy")
    assert figure is not None
    assert figure.axes[0].get_yscale() == "log"
    assert pixels(figure).std() > 5


def test_diverged_losses_are_drawn_as_far_as_they_are_finite() -> None:
    values = [1.0, float("inf"), float("nan")]
    figure = learning_curves({("pretrain", "train", "loss"): ([1, 2, 3], values)}, "accuracy")
    assert figure is not None
    assert pixels(figure).std() > 1


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 5), (1, 28, 28), (4, 30, 200), (2, 5, 5)])
def test_reconstructions_take_any_size_and_channel_count(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).random((5, *shape)).astype(np.float32)
    figure = reconstructions(x, x, x, np.array([0, 0, 0, 1, 1]))
    assert figure is not None
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["input", "reconstruction"] * 2  # nothing was corrupted
    assert pixels(figure).std() > 5


def test_reconstructions_show_the_images_themselves() -> None:
    x = np.zeros((2, 1, 4, 4))
    figure = reconstructions(x, x + 0.5, x + 1.0, np.array([0, 1]))
    assert figure is not None
    picture = np.asarray(figure.axes[0].images[0].get_array())
    tiles = picture[picture[..., 3] == 1][:, 0]
    values, counts = np.unique(tiles, return_counts=True)
    assert dict(zip(values, counts, strict=True)) == {0.0: 32, 0.5: 32, 1.0: 32}


@pytest.mark.parametrize("dim", [1, 2, 5, 300])
def test_principal_axes_equal_scikit_learns(dim: int) -> None:
    from sklearn.decomposition import PCA

    z = np.random.default_rng(0).normal(size=(50, dim)) * np.linspace(3, 1, dim)
    scores, share = principal_axes(z.astype(np.float32))
    k = min(2, dim)
    pca = PCA(k, svd_solver="full").fit(z.astype(np.float32).astype(np.float64))
    expected = pca.transform(z.astype(np.float32).astype(np.float64))
    np.testing.assert_allclose(np.abs(scores[:, :k]), np.abs(expected), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(share[:k], pca.explained_variance_ratio_, rtol=1e-6)


def test_latent_map_names_the_variance_and_the_classes() -> None:
    z = np.r_[np.zeros((10, 2)), np.ones((10, 2)) * [3.0, 0.0]]
    y = np.repeat([0, 1], 10)
    figure = latent_map(z, y, np.tile([0, 1], 10), classes=["cat", "dog"])
    assert figure is not None
    ax = figure.axes[0]
    assert ax.get_xlabel() == "first axis (100% of variance)"
    assert sorted(text.get_text() for text in ax.texts) == ["cat", "cat", "dog", "dog"]
    assert has_color(figure, COLORS[0])
    assert has_color(figure, COLORS[1])


@pytest.mark.parametrize("number", [DRAWN, DRAWN + 2])
def test_points_of_a_latent_map_have_the_colours_of_the_pages_ground(number: int) -> None:
    z = np.random.default_rng(0).normal(size=(number, 2))
    figure = latent_map(z, np.arange(number) % 3, np.arange(number) % 2)
    assert figure is not None
    text = svg(figure, "latent map")
    assert ("<image" in text) == (number > DRAWN)
    drawn = re.findall(r"fill: var\(--c(\d), #\w{6}\); fill-opacity", text)
    assert len(drawn) == (number if number == DRAWN else 0)
    assert set(drawn) == ({"0", "1", "2"} if number == DRAWN else set())
    assert len(text) < 350_000


def test_latent_map_of_a_regression_has_a_colour_bar() -> None:
    random = np.random.default_rng(0)
    figure = latent_map(random.normal(size=(60, 3)), random.random(60), np.repeat([0, 1], 30))
    assert figure is not None
    assert len(figure.axes) == 2
    assert pixels(figure).std() > 5


@pytest.mark.parametrize(
    "z",
    [np.full((9, 2), np.nan), np.zeros((2, 2)), np.ones((0, 4))],
    ids=["not finite", "two points", "empty"],
)
def test_no_latent_map_without_points(z: np.ndarray) -> None:
    assert latent_map(z, np.zeros(len(z), int), np.zeros(len(z), int)) is None


def test_a_collapsed_latent_is_still_drawn() -> None:
    assert latent_map(np.zeros((9, 3)), np.arange(9) % 2, np.zeros(9, int)) is not None


def test_confusion_matrix_counts_and_shades_by_row() -> None:
    figure = confusion_matrix(np.array([0, 0, 0, 1, -1]), np.array([0, 0, 1, 1, 0]))
    assert figure is not None
    ax = figure.axes[0]
    shown = {tuple(map(int, text.get_position())): text.get_text() for text in ax.texts}
    assert shown == {(0, 0): "2", (1, 0): "1", (1, 1): "1"}  # x is the predicted class
    np.testing.assert_allclose(ax.images[0].get_array(), [[2 / 3, 1 / 3], [0.0, 1.0]])


@pytest.mark.parametrize("k", [2, 10, 60])
def test_confusion_matrix_fits_any_number_of_classes(k: int) -> None:
    y = np.arange(k).repeat(3)
    figure = confusion_matrix(y, y, [f"a rather long name {i}" for i in range(k)])
    assert figure is not None
    assert pixels(figure).std() > 5
    assert len(figure.axes[0].texts) == (k if k <= 20 else 0)


def test_predictions_of_a_regression_are_points_around_the_line(tmp_path: Path) -> None:
    y = np.linspace(0, 1, 30)
    np.savez(tmp_path / "predictions.npz", y=y, prediction=y + 0.1)
    (figure,) = run_figures(tmp_path, "mae").values()
    np.testing.assert_allclose(figure.axes[0].collections[0].get_offsets(), np.c_[y, y + 0.1])
    assert predictions(y * np.nan, y) is None


def test_budget_curves_hold_the_means_and_need_two_budgets(tmp_path: Path) -> None:
    found = panel(tmp_path / "two")
    figure = budget_curves(found)
    assert figure is not None
    scores, gains = figure.axes
    assert scores.get_xscale() == "log"
    curves = [line for line in scores.lines if line.get_markersize() == 4.5]
    means = [[found.cells[arm, budget].mean for budget in found.budgets] for arm in found.arms]
    assert [list(line.get_ydata()) for line in curves] == means
    names = [text.get_text() for text in scores.texts]
    assert sorted(names) == sorted(found.arms.values())
    assert [text.get_text() for text in gains.get_xticklabels()] == ["10", "100"]
    # A line for zero, and for both arms a curve and an interval at each budget.
    assert len(gains.lines) == 1 + 2 * (1 + 2)
    assert budget_curves(panel(tmp_path / "one", budgets=(10,))) is None


def test_gain_forest_colours_the_verdicts_and_leaves_out_the_baseline(tmp_path: Path) -> None:
    found = panel(tmp_path)
    figure = gain_forest(found)
    assert figure is not None
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["10 labels", "100 labels"]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["feature/linear_probe", "parameter/finetune"]
    assert has_color(figure, COLORS[0])
    assert has_color(figure, COLORS[1])


def test_gain_forest_is_hollow_where_the_correction_takes_a_verdict_away(tmp_path: Path) -> None:
    found = panel(tmp_path)
    cells = {key: replace(row, p_value=0.2) for key, row in found.cells.items()}
    for cut, is_hollow in ((found, False), (replace(found, cells=cells), True)):
        figure = gain_forest(cut)
        assert figure is not None
        marks = [line for line in figure.axes[0].lines if line.get_marker() in ("<", ">")]
        assert len(marks) == 2
        assert all((line.get_markerfacecolor() == "none") is is_hollow for line in marks)


def test_gain_forest_of_many_budgets_wraps(tmp_path: Path) -> None:
    budgets = (1, 5, 10, 50, "all")
    figure = gain_forest(panel(tmp_path, budgets=budgets))
    assert figure is not None
    shown = [ax.get_title(loc="left") for ax in figure.axes if ax.get_visible()]
    assert shown == ["1 label", "5 labels", "10 labels", "50 labels", "all labels"]
    figure.draw_without_rendering()
    scaled = [any(t.label1.get_visible() for t in ax.xaxis.get_major_ticks()) for ax in figure.axes]
    assert scaled[:5] == [False, True, True, True, True]  # the lowest of each column


@pytest.mark.parametrize(
    "name", ["parameter/finetune (lr=0.01, batch_size=32)", "short", "x" * 50, "a b/c_d", ""]
)
def test_long_names_are_wrapped_and_nothing_is_cut_off(name: str) -> None:
    lines = wrapped(name, 20).split("\n")
    assert all(len(line) <= 20 for line in lines)
    assert "".join(lines).replace(" ", "") == name.replace(" ", "")


def test_names_are_broken_after_signs() -> None:
    assert wrapped("parameter/finetune (lr=0.01)", 20) == "parameter/finetune\n(lr=0.01)"


def test_no_figure_of_a_sweep_shortens_a_name(tmp_path: Path) -> None:
    long = "parameter/keep_reconstructing"
    for budget in (10, 100):
        for seed in range(3):
            named = {"transfer": long, "budget": budget, "seed": seed}
            own = {"overrides": [f"transfer={long}", "finetune.lr=0.00003"]}
            other = {"overrides": [f"transfer={long}", "finetune.lr=0.003"], "settings": "1" * 16}
            write_run(tmp_path / f"a{budget}{seed}", score=0.8 + seed / 100, **named, **own)
            write_run(tmp_path / f"b{budget}{seed}", score=0.7 + seed / 100, **named, **other)
    (found,) = panels(rows(find_runs([tmp_path]).done))
    for figure in (budget_curves(found), gain_forest(found)):
        assert figure is not None
        texts = [text.get_text().replace("\n", "") for text in figure.findobj(Text)]
        said = [text.replace(" ", "") for text in texts if long in text]
        assert {f"{long}(finetune.lr=3e-05)", f"{long}(finetune.lr=0.003)"} <= set(said)


def beside(x: np.ndarray, **more: Any) -> Figure:
    made = (0.9 * x).astype(np.float32)
    domain = np.repeat([0, 1], len(x) // 2)
    figure = reconstructions(x, x, made, domain, **more)
    assert figure is not None
    return figure


def test_series_are_drawn_with_their_reconstructions(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(8, 2, 30)).astype(np.float32)
    figure = beside(x)
    assert len(figure.axes) == 2 * 2 * 3  # domains, channels, examples
    for ax in figure.axes:
        given, made = (line.get_ydata() for line in ax.lines)
        np.testing.assert_allclose(made, 0.9 * np.asarray(given), rtol=1e-6)
    assert figure.axes[0].get_ylabel() == "source\nchannel 0"
    assert pixels(figure).std() > 5


def test_vectors_are_drawn_by_the_columns_that_vary_most() -> None:
    x = np.random.default_rng(0).normal(size=(8, 50)).astype(np.float32)
    x[:, 7] *= 100
    x[:, 3] = 1.0
    names = [f"c{i}" for i in range(50)]
    figure = beside(x, columns=names)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["source"] * 3 + ["target"] * 3
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(shown) == 30
    assert "c7" in shown
    assert "c3" not in shown
    row = list(figure.axes[0].lines[0].get_xdata())
    assert row == pytest.approx([x[0, names.index(name)] for name in shown])


def test_calibration_shows_confidence_against_what_is_right(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path / "run")
    assert "calibration" not in run_figures(folder, "accuracy")
    y = np.arange(100) % 2
    probability = np.where(np.arange(100)[:, None] < 80, [[0.8, 0.2]], [[0.2, 0.8]])
    prediction = probability.argmax(1)
    np.savez(folder / "predictions.npz", y=y, prediction=prediction, probability=probability)
    figure = run_figures(folder, "accuracy")["calibration"]
    assert figure.axes[0].get_title(loc="left") == "expected calibration error 0.300"
    curve = figure.axes[0].lines[1]
    assert list(curve.get_xdata()) == pytest.approx([0.8])
    assert list(curve.get_ydata()) == pytest.approx([0.5])


def test_few_budgets_have_bars_and_many_bands_only_where_they_can_be_told_apart(
    tmp_path: Path,
) -> None:
    def bands(folder: str, budgets: Sequence[int], gap: float) -> int:
        for budget in budgets:
            for arm, gain in (("feature/knn", 0.0), ("feature/coral", gap), ("feature/mmd", -gap)):
                for seed in range(3):
                    named = {"transfer": arm, "budget": budget, "seed": seed}
                    where = tmp_path / folder / f"{arm.replace('/', '-')}-{budget}-{seed}"
                    write_run(where, score=0.5 + gain + seed / 1000, twin_score=0.4, **named)
        (found,) = panels(rows(find_runs([tmp_path / folder]).done))
        figure = budget_curves(found)
        assert figure is not None
        return len(figure.axes[0].collections)

    assert bands("few", (10, 100), 0.2) == 0
    assert bands("many", (10, 20, 40, 80, 160), 0.2) == 3
    assert bands("crowded", (10, 20, 40, 80, 160), 0.0) == 0


def test_no_gain_forest_of_scratch_alone(tmp_path: Path) -> None:
    write_run(tmp_path / "run", transfer="control/scratch")
    (found,) = panels(rows(find_runs([tmp_path]).done))
    assert gain_forest(found) is None


@pytest.mark.parametrize("values", [[0.5], [0.5] * 6, [0.0, 0.01, 0.9, 0.91], [0.97, 0.98, 0.99]])
def test_labels_are_pushed_apart_inside_the_axes(values: list[float]) -> None:
    places = _apart(values, [0.05] * len(values), 0.0, 1.0)
    assert min(np.diff(places), default=0.05) >= 0.05 - 1e-12
    assert min(places) >= 0.0
    assert max(places) <= 1.0 + 1e-12
    if len(values) == 1:
        assert places == values


def test_svg_takes_ink_and_font_from_the_page_and_holds_no_address(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path / "run")
    drawn = run_figures(folder, "accuracy")
    texts = [svg(figure, name) for name, figure in drawn.items()]
    for text in texts:
        assert "currentColor" in text
        assert "font-family" not in text
        assert "://" not in text
    identifiers = [re.findall(r' id="([^"]+)"', text) for text in texts]
    everywhere = [identifier for found in identifiers for identifier in found]
    assert len(everywhere) == len(set(everywhere))
    for text, own in zip(texts, identifiers, strict=True):
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', text)) <= set(own)


def test_the_same_run_gives_the_same_svg(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path / "run")
    once, again = (
        [svg(figure, name) for name, figure in run_figures(folder, "accuracy").items()]
        for _ in range(2)
    )
    assert once == again


@pytest.mark.parametrize("name", ["$x_1$", "a$b", "<b>&", "日本", "a\nb"])
def test_any_name_of_a_class_can_be_drawn(name: str) -> None:
    y = np.array([0, 1, 1])
    figure = confusion_matrix(y, y, [name, "b"])
    assert figure is not None
    assert pixels(figure).std() > 5
    assert "<b>" not in svg(figure, "confusion")


@pytest.mark.bench
def test_each_figure_is_drawn_in_150_ms(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    write_curves(folder, epochs=100)
    write_arrays(folder, n=2000)
    found = panel(tmp_path / "sweep", budgets=(1, 5, 10, 50, 100, 1000, "all"))
    draw: dict[str, Callable[[], Figure | None]] = {
        name: lambda name=name: run_figures(folder, "accuracy")[name]  # type: ignore[misc]
        for name in run_figures(folder, "accuracy")
    }
    draw |= {"curves": lambda: budget_curves(found), "forest": lambda: gain_forest(found)}
    for name, function in draw.items():
        seconds = []
        for _ in range(4):  # the machine's other work is not the figure's
            figure = function()
            assert figure is not None
            start = time.process_time()
            png_of(figure)
            seconds.append(time.process_time() - start)
        print(f"{name}: {min(seconds):.3f} s")
        assert min(seconds) < 0.15
