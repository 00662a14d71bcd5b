"""Backbones for tokens: what fills up a text changes nothing, and logits come by tokens."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv1d

from aetl.backbone.base import Backbone
from aetl.types import DoesNotFit, Entries
from tests.backbone.build import TOKENS, backbone

LENGTH = 9
TEXTS = torch.tensor([[2, 5, 3, 0, 0, 0, 0, 0, 0], [6, 1, 2, 3, 4, 5, 6, 2, 2]]).float()
NAMES = ["token_conv", "token_transformer"]


def small(name: str) -> Backbone:
    return backbone(name, dim=8, dropout=0.0, **({"norm": "none"} if name == "token_conv" else {}))


@pytest.mark.parametrize("name", NAMES)
def test_logits_come_by_tokens(name: str) -> None:
    torch.manual_seed(0)
    made = small(name)
    encoder, hidden = made.encoder((LENGTH,))
    decoder = made.decoder((TOKENS * LENGTH,), (5,)).eval()
    assert encoder(TEXTS).shape[1:] == hidden
    z = torch.rand(2, 5)
    h = z
    *blocks, last = decoder
    for block in blocks:
        h = block(h)
    if name == "token_transformer":
        h, last = last[0](h), last[1]
    else:
        h = h.transpose(1, 2)
    logits = decoder(z).view(2, TOKENS, LENGTH)
    for token in range(TOKENS):
        wanted = h @ last.project.weight[token] + last.project.bias[token]
        torch.testing.assert_close(logits[:, token], wanted)


@pytest.mark.parametrize("name", NAMES)
def test_what_fills_up_a_text_is_no_token(name: str) -> None:
    """The same text in more places has the same features (of a convolution: as far as it goes)."""
    torch.manual_seed(0)
    made = small(name)
    encoder, _ = made.encoder((LENGTH,))
    longer, _ = made.encoder((LENGTH + 4,))
    state = encoder.state_dict()
    if name == "token_transformer":
        rest = longer.state_dict()["0.positions"][LENGTH:]
        state["0.positions"] = torch.cat([state["0.positions"], rest])
    longer.load_state_dict(state)
    padded = torch.cat([TEXTS, torch.zeros(2, 4)], 1)
    one, other = encoder.eval()(TEXTS), longer.eval()(padded)
    if name == "token_conv":
        other = other[:, :, : one.shape[2] - 1]
        one = one[:, :, : other.shape[2]]
    torch.testing.assert_close(one[:1], other[:1])
    if name == "token_transformer":
        torch.testing.assert_close(one, other)
        assert torch.isfinite(encoder(torch.zeros(1, LENGTH))).all()


def test_convolutions_are_those_of_the_embedded_tokens() -> None:
    torch.manual_seed(0)
    encoder, _ = small("token_conv").encoder((LENGTH,))
    table, first = encoder[0].table.weight, encoder[1][0]
    assert (table[0] == 0).all()
    embedded = table[TEXTS.long()].transpose(1, 2)
    wanted = conv1d(embedded, first.weight, first.bias, stride=2, padding=2).relu()
    torch.testing.assert_close(encoder[1](encoder[0](TEXTS)), wanted)


@pytest.mark.parametrize("name", NAMES)
def test_numbers_are_refused(name: str) -> None:
    for shape in ((1, 8, 8), (3, 9)):
        with pytest.raises(DoesNotFit, match=f"backbone={name} takes tokens"):
            small(name).encoder(shape)
    made = small(name)
    vars(made)["entries"] = Entries()
    with pytest.raises(DoesNotFit, match="words=tokens"):
        made.encoder((LENGTH,))
    with pytest.raises(DoesNotFit, match="use loss=token_nll"):
        small(name).decoder((LENGTH,), (5,))
