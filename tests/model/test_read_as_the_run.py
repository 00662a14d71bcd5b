"""Raw tables, recordings and texts go into a model as the run read its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aetl.model.model import Model
from aetl.types import UserError
from tests.model.runs import done, saved

N = 160
WHOLE = ["source.size=null", "target.size=null", "target.shift.rotation=0.0", "target.budget=20"]


def both(dataset: str, **keys: str) -> list[str]:
    """The overrides of a data set for both domains."""
    chosen = [f"dataset@{side}={dataset}" for side in ("source", "target")]
    return [*chosen, *(f"{side}.{k}={v}" for side in ("source", "target") for k, v in keys.items())]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame, Model]:
    folder = tmp_path_factory.mktemp("table")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({
        "age": rng.integers(20, 90, N), "dose": rng.normal(3, 2, N).round(3),
        "colour": rng.choice(["red", "green"], N), "ill": rng.choice(["no", "yes"], N),
    })  # fmt: skip
    frame.loc[::7, "dose"] = np.nan
    frame.to_csv(folder / "own.csv", index=False)
    keys = {"path": str(folder / "own.csv"), "target": "ill"}
    return folder, frame, Model.load(done(folder, *both("table", **keys), *WHOLE))


def test_rows_in_another_order_of_columns_are_predicted_as_the_run_s(table: Any) -> None:
    folder, frame, model = table
    kept = saved(model.folder)
    rows = frame.iloc[kept["row"]]
    rows[["colour", "ill", "dose", "age"]].to_csv(folder / "new.csv", index=False)
    found = model.predict(folder / "new.csv", progress=False)
    np.testing.assert_allclose(found.probability, kept["probability"], atol=1e-6)
    rows.drop(columns="ill").to_parquet(folder / "new.parquet")
    again = model.predict(folder / "new.parquet", progress=False)
    np.testing.assert_array_equal(again.probability, found.probability)


def test_holes_and_unseen_categories_are_taken_and_missing_columns_are_not(table: Any) -> None:
    folder, _, model = table
    (folder / "new.csv").write_text("age,dose,colour\n30,,blue\n40,1.5,\n")
    assert len(model.predict(folder / "new.csv", progress=False)) == 2
    for text, said in (
        ("age,colour\n30,red\n", "has no column dose, which the model needs; it has age, colour"),
        ("age,dose,colour\nold,1,red\n", "column age holds 'old' in row 0"),
        ("age,dose,colour\n3,inf,red\n", "column dose holds inf in row 0"),
        ("age,dose,colour\n3,1,red\n3,1,red,4\n", "line 3 has 4 fields"),
    ):
        (folder / "new.csv").write_text(text)
        with pytest.raises(UserError, match=said) as caught:
            model.predict(folder / "new.csv", progress=False)
        assert "\n" not in str(caught.value)


def test_recordings_of_another_rate_are_resampled(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    sounds = tmp_path / "sounds"
    for label, frequency in (("low", 300), ("high", 1200)):
        (sounds / label).mkdir(parents=True)
        for k in range(40):
            wave = np.sin(2 * np.pi * (frequency + 5 * k) * np.arange(400) / 4000)
            soundfile.write(sounds / label / f"{k}.wav", 0.3 * wave, 4000)
    keys = {"path": str(sounds), "mels": "8", "window": "64", "hop": "32"}
    model = Model.load(done(tmp_path, *both("audio_folder", **keys), *WHOLE))
    kept = saved(model.folder)
    files = [sounds / name for name in kept["path"].tolist()]
    found = model.predict(sounds, progress=False)
    by_name = dict(zip(found.columns["path"].tolist(), found.probability, strict=True))
    for file, probability in zip(files, kept["probability"], strict=True):
        name = str(file.relative_to(sounds))
        np.testing.assert_allclose(by_name[name], probability, atol=1e-6)
    wave = np.sin(2 * np.pi * 310 * np.arange(800) / 8000)
    soundfile.write(tmp_path / "twice.wav", 0.3 * wave, 8000)
    soundfile.write(tmp_path / "once.wav", 0.3 * wave[::2], 4000)
    pair = [
        model.predict(tmp_path / f"{name}.wav", progress=False).probability[0]
        for name in ("twice", "once")
    ]
    np.testing.assert_allclose(*pair, atol=0.05)
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    with pytest.raises(UserError, match=r"bad\.wav: is cut off or no recording"):
        model.predict(tmp_path / "bad.wav", progress=False)


def test_texts_have_the_words_of_the_run(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    for label in ("good", "bad"):
        (texts / label).mkdir(parents=True)
        for k in range(30):
            (texts / label / f"{k}.txt").write_text(f"a {label} book number {k % 5}")
    model = Model.load(done(tmp_path, *both("text_folder", path=str(texts)), *WHOLE,
                            "duplicates=keep"))  # fmt: skip
    found = model.predict(texts / "good", progress=False)
    assert len(found) == 30
    (tmp_path / "new.txt").write_text("A GOOD book; unseen words")
    assert len(model.predict(tmp_path / "new.txt", progress=False)) == 1


def reviews(folder: Path) -> Path:
    """Texts of two classes that differ in some words."""
    rng = np.random.default_rng(0)
    for name, words in (("good", ["fine", "great", "nice"]), ("bad", ["dull", "poor", "weak"])):
        (folder / name).mkdir(parents=True)
        for k in range(60):
            said = [*rng.choice(words, 3), *rng.choice(["book", "film", "a", "the"], 1 + k % 4)]
            (folder / name / f"{k}.txt").write_text(" ".join(rng.permutation(said)))
    return folder


TOKENS = ["loss=token_nll", "representation.pool=false"]


@pytest.mark.parametrize(
    "backbone", ["token_transformer", pytest.param("token_conv", marks=pytest.mark.slow)]
)
def test_tokens_are_read_as_the_run_s(tmp_path: Path, backbone: str) -> None:
    own = both("text_folder", path=str(reviews(tmp_path / "own")), words="tokens", length="8")
    small = [f"backbone={backbone}", "backbone.dim=8", "finetune.max_steps=150"]
    model = Model.load(done(tmp_path, *own, *WHOLE, *TOKENS, *small))
    kept = saved(model.folder)
    for k, path in enumerate(kept["path"]):
        place = tmp_path / "new" / f"{k:03}.txt"
        place.parent.mkdir(exist_ok=True)
        place.write_text((tmp_path / "own" / path).read_text())
    found = model.predict(tmp_path / "new", progress=False)
    np.testing.assert_allclose(found.probability, kept["probability"], atol=1e-6)
    assert (kept["prediction"] == kept["y"]).mean() > 0.9
    assert model.record["data"]["source"]["kind"] == "tokens"
    assert 0 <= model.record["reconstruction"]["source"] <= 1


NO_TOKENS = [
    ("loss=mse", r"SquaredError\) takes field or image or series or vector data, .* tokens"),
    ("backbone=mlp", r"MLP\) takes .*this data is tokens"),
    ("corruption=masking", r"Masking\) takes .*this data is tokens"),
    ("autoencoder=pca", r"PCA\) takes .*this data is tokens"),
    ("transfer=control/raw_features", r"RawFeatures\) takes .*this data is tokens"),
    ("target.shift.rotation=20.0", "shifts are for images, and these are tokens"),
    ("source.scale=standard", "is for numbers, and these are tokens"),
    ("target.words=counts", "the source's texts were read with words=tokens"),
    ("target.ngrams=2", "tokens are single words"),
    ("task=reconstruction", "task=reconstruction: takes .* tokens"),
    ("trainer.precision=bf16-true", "take words for others, .* up to 256 alone"),
    ("trainer.precision=16-true", "take words for others, .* up to 2048 alone"),
]


@pytest.mark.parametrize(
    "override, said",
    [
        pytest.param(*case, marks=[pytest.mark.slow] * (number % 2))
        for number, case in enumerate(NO_TOKENS)
    ],
)
def test_what_does_not_take_tokens_says_so(tmp_path: Path, override: str, said: str) -> None:
    own = both("text_folder", path=str(reviews(tmp_path / "own")), words="tokens", length="8")
    with pytest.raises(UserError, match=said) as caught:
        done(tmp_path, *own, *WHOLE, *TOKENS, "backbone=token_conv", override)
    assert "\n" not in str(caught.value)


def test_a_mixed_loss_and_swapped_cells_answer_again_as_the_run_did(
    table: Any, tmp_path: Path
) -> None:
    folder, frame, _ = table
    own = both("table", path=str(folder / "own.csv"), target="ill")
    parts = ["task=imputation", "loss=mixed", "autoencoder=denoising", "corruption=swap"]
    model = Model.load(done(tmp_path, *own, *WHOLE, *parts, "loss=mixed"))
    kept = saved(model.folder)
    rows = frame.iloc[kept["row"]]
    rows.to_parquet(tmp_path / "new.parquet")
    found = model.predict(tmp_path / "new.parquet", progress=False)
    np.testing.assert_allclose(found.columns["error"], kept["prediction"], atol=1e-6)
    # Columns: age, dose, its mark, three of the colour. Only what was there is hidden.
    mask = kept["part.mask"].astype(bool)
    assert mask[:, 0].any()
    assert not mask[rows["dose"].isna().to_numpy(), 1].any()
    assert mask[rows["dose"].notna().to_numpy(), 1].any()
    assert not mask[:, 2].any()
    assert (mask[:, 3:] == mask[:, 3:4]).all()
    np.testing.assert_allclose(kept["part.filled"][:, 3:].sum(1), 1, atol=1e-5)


def test_a_table_of_texts_is_read_by_the_run_s_column(tmp_path: Path) -> None:
    words = ("alpha", "beta", "gamma", "delta")
    frame = pd.DataFrame({
        "said": [f"{'good' if k % 2 else 'bad'} {words[k % 4]} word{k}" for k in range(N)],
        "kind": ["b" if k % 2 else "a" for k in range(N)],
    })  # fmt: skip
    frame.to_csv(tmp_path / "own.csv", index=False)
    keys = {"path": str(tmp_path / "own.csv"), "text": "said", "target": "kind"}
    model = Model.load(done(tmp_path, *both("text_csv", **keys), *WHOLE))
    kept = saved(model.folder)
    frame.iloc[kept["row"]][["kind", "said"]].to_csv(tmp_path / "new.csv", sep=";", index=False)
    found = model.predict(tmp_path / "new.csv", progress=False)
    np.testing.assert_allclose(found.probability, kept["probability"], atol=1e-6)
    frame.rename(columns={"said": "words"}).to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(UserError, match="text=said: .*new.csv has no such column"):
        model.predict(tmp_path / "new.csv", progress=False)


def test_series_of_a_ts_are_read_as_the_run_s(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = [
        ",".join(map(str, rng.normal(k % 2, 1, 5 + k % 4).round(3))) + f":{k % 2}" for k in range(N)
    ]
    head = ["@classLabel true 0 1", "@data"]
    (tmp_path / "own.ts").write_text("\n".join([*head, *lines]) + "\n")
    keys = both("series", path=str(tmp_path / "own.ts"))
    model = Model.load(done(tmp_path, *keys, *WHOLE, "backbone=conv1d", "backbone.channels=[4]"))
    kept = saved(model.folder)
    chosen = [lines[row] for row in kept["row"]]
    (tmp_path / "new.ts").write_text("\n".join([*head, *chosen]) + "\n")
    found = model.predict(tmp_path / "new.ts", progress=False)
    np.testing.assert_allclose(found.probability, kept["probability"], atol=1e-6)
    (tmp_path / "new.ts").write_text("\n".join([*head, ",".join(["1"] * 99) + ":1"]) + "\n")
    with pytest.raises(UserError, match="series 0 has 1 channels of 99 moments"):
        model.predict(tmp_path / "new.ts", progress=False)
