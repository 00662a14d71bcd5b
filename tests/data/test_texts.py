"""Texts as scikit-learn counts them; words are those of the training pool, or of the source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer

from aetl.data.words import WORD, Words
from aetl.stage import read_once
from aetl.store.store import Store
from aetl.types import UserError

GOOD = ["a good book", "good, good film!", "I like the film", "Über gut: a fine book"]
BAD = ["a bad book", "bad film", "the film is dull", "I dislike a dull book"]
TEXTS = GOOD * 3 + BAD * 3


@pytest.mark.parametrize("ngrams", [1, 2])
@pytest.mark.parametrize("method", ["counts", "tfidf", "hashed"])
def test_vectors_are_those_of_scikit_learn(method: Any, ngrams: int) -> None:
    keys = {"token_pattern": WORD.pattern, "ngram_range": (1, ngrams)}
    fitted = Words(method, 64, ngrams).fit(TEXTS)
    found = fitted(TEXTS).to_dense()
    if method == "hashed":
        reference = HashingVectorizer(n_features=64, **keys)
    else:
        reference = {"counts": CountVectorizer, "tfidf": TfidfVectorizer}[method](**keys)
    wanted = reference.fit_transform(TEXTS).toarray()
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    if method != "hashed":
        assert list(fitted.columns) == list(reference.get_feature_names_out())
    assert Words.from_dict(fitted.as_dict()) == fitted


def test_the_most_frequent_words_are_kept() -> None:
    fitted = Words("counts", 3, 1).fit(["b a a c c c", "d b a"])
    assert fitted.vocabulary == ("a", "b", "c")
    assert fitted(["d c c a"]).to_dense().tolist() == [[1, 0, 2]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, texts in (("good", GOOD), ("bad", BAD)):
        (tmp_path / "own" / name).mkdir(parents=True)
        for k, text in enumerate(texts * 3):
            (tmp_path / "own" / name / f"{'ab'[k % 2]}_{k}.txt").write_text(text, encoding="utf-8")
    return tmp_path / "own"


def test_folders_and_tables_are_the_same_texts(build, folder: Path, tmp_path: Path) -> None:
    frame = pd.DataFrame({
        "text": [*BAD * 3, *GOOD * 3], "kind": ["bad"] * 12 + ["good"] * 12, "no": range(24)
    })  # fmt: skip
    frame.to_csv(tmp_path / "own.csv", index=False)
    table = build("text_csv", path=str(tmp_path / "own.csv"), target="kind")
    files = build("text_folder", path=str(folder))
    one, other = table.read()[0], files.read()[0]
    assert one.classes == other.classes == ("bad", "good")
    pairs = [sorted(zip(p.identity.tolist(), p.y.tolist(), strict=True)) for p in (one, other)]
    assert pairs[0] == pairs[1]
    for train, test in (table.load(), files.load()):
        assert train.kind == "vector"
        assert train.x.is_sparse
        assert test.columns == train.columns
        assert "good" in train.columns


def test_words_are_fitted_on_the_training_pool_alone(build, folder: Path) -> None:
    train, test = build("text_folder", path=str(folder), where="folder=good").load()
    seen = {name for name, n in zip(train.columns, train.inputs().sum(0), strict=True) if n}
    assert set(train.columns) == seen
    assert test.columns == train.columns


def test_a_target_has_the_words_of_its_source(build, folder: Path) -> None:
    source, _ = build("text_folder", path=str(folder), where="folder=good").load()
    target, _ = build("text_folder", path=str(folder), where="folder=bad").load(source=source)
    assert target.columns == source.columns
    assert target.reading == source.reading
    with pytest.raises(UserError, match="words=counts: the source's texts were read with words="):
        build("text_folder", path=str(folder), words="counts").load(source=source)


def test_texts_are_the_same_from_the_store(build, folder: Path, tmp_path: Path) -> None:
    data = build("text_folder", path=str(folder), group=None)
    store = Store(dir=str(tmp_path / "store"), reuse=True)
    for _ in range(2):
        kept, _ = read_once.load(data, store, tmp_path)
        assert kept.fingerprint() == data.load()[0].fingerprint()


def test_texts_that_cannot_be_used_are_refused_in_one_line(build, folder, tmp_path: Path) -> None:
    def refused(said: str, name: str = "text_csv", **keys: Any) -> None:
        with pytest.raises(UserError, match=said) as caught:
            build(name, **keys).load()
        assert "\n" not in str(caught.value)

    path = tmp_path / "own.csv"
    path.write_text("text,kind\n...,a\n!,b\n?,a\n-,b\n")
    refused("row 0: has no word .*, and 3 more have none", path=str(path), target="kind")
    keys = {"path": str(path), "target": "kind", "wordless": "keep", "test_fraction": 0.5}
    for words in ("tfidf", "hashed", "tokens"):
        refused("none of the .* texts has a word", words=words, **keys)
    refused("text=body: .* has no such column; it has text, kind", path=str(path), text="body")
    refused("target=x: .* has no such column", path=str(path), target="x")
    (tmp_path / "none").mkdir()
    refused(r"holds no texts", "text_folder", path=str(tmp_path / "none"))
    (folder / "good" / "a_0.txt").write_bytes("schön".encode("latin-1"))
    refused(r"a_0\.txt: is not in utf-8 .*latin-1", "text_folder", path=str(folder))
    train, test = build("text_folder", path=str(folder), encoding="latin-1").load()
    assert "schön" in {*train.columns} or len(test)
