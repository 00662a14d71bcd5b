"""The cross-entropy of tokens against scikit-learn, and what fills up a text counts nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import log_loss

from aetl.corruption.word_dropout import WordDropout
from aetl.data.tokens import Tokens
from aetl.loss.objective import Objective
from aetl.loss.token_nll import TokenNLL
from aetl.rng import Rng
from aetl.types import DoesNotFit, Entries, UserError

TOKENS = 5
X = torch.tensor([[2, 4, 0, 0], [3, 1, 2, 4], [0, 0, 0, 0]]).double()


def test_each_token_that_is_there_counts() -> None:
    r = torch.from_numpy(np.random.default_rng(0).normal(size=(3, TOKENS * 4)))
    term = TokenNLL(Entries(tokens=TOKENS), weight=1.0)
    assert term.outputs == TOKENS
    found = term(r, X)
    by_place = r.numpy().reshape(3, TOKENS, 4).transpose(0, 2, 1)
    for k in range(2):
        there = X[k].numpy() > 0
        wanted = log_loss(
            X[k].numpy()[there], softmax(by_place[k][there], 1), labels=range(TOKENS),
            normalize=False,
        )  # fmt: skip
        assert found[k].item() == pytest.approx(wanted, rel=1e-10)
    assert found[2] == 0
    mean = term.mean(r)
    np.testing.assert_array_equal(mean, by_place.argmax(2))
    share = Objective({"reconstruction": term}).error(r, X)
    wrong = [(by_place[k].argmax(1) != X[k].numpy())[X[k].numpy() > 0].mean() for k in range(2)]
    np.testing.assert_allclose(share, [*wrong, 0.0])
    with pytest.raises(DoesNotFit, match="takes tokens"):
        TokenNLL(Entries(), weight=1.0)


def test_words_get_their_numbers_by_frequency() -> None:
    fitted = Tokens(3, 4).fit(["b a a c c c", "d b a"])
    assert fitted.vocabulary == ("a", "c", "b")
    assert fitted.number == 5
    assert fitted(["C a, d!", "", "a b c a b"]).tolist() == [[3, 2, 1, 0], [0] * 4, [2, 4, 3, 2]]
    assert Tokens.from_dict(fitted.as_dict()) == fitted
    with pytest.raises(UserError, match="none of the 1 texts has a word"):
        Tokens(3, 4).fit(["..."])


def test_forgotten_words_are_unknown_and_nothing_else_changes() -> None:
    x = (torch.arange(4000).view(40, 100) % 7).float()
    found = WordDropout(fraction=0.3)(x, Rng.of(0))
    changed = found != x
    assert (found[changed] == 1).all()
    assert not changed[x == 0].any()
    assert 0.27 < changed[x > 1].float().mean() < 0.33
