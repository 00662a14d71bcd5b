"""Torchvision's models as encoders, and the decoders that are derived from them."""

from __future__ import annotations

import pytest
import torch
from torchvision.models import get_model

from aetl.types import UserError
from tests.backbone.build import backbone


@pytest.mark.parametrize(
    "name",
    ["mobilenet_v3_small", "squeezenet1_1", "resnet18", "shufflenet_v2_x0_5", "regnet_y_400mf"],
)
def test_the_encoder_computes_what_the_model_does_before_its_head(name: str) -> None:
    encoder, shape = backbone("torchvision", name=name).encoder((3, 64, 80))
    x = torch.rand(2, 3, 64, 80)
    net = get_model(name, weights=None)
    ours, theirs = encoder.state_dict(), net.state_dict()
    heads = ("classifier", "fc")
    body = {k: v for k, v in theirs.items() if not k.startswith(heads)}
    assert [v.shape for v in ours.values()] == [v.shape for v in body.values()]
    net.load_state_dict(theirs | dict(zip(body, ours.values(), strict=True)))
    seen: list[torch.Tensor] = []
    last = net.conv5 if hasattr(net, "conv5") else getattr(net, "features", None)
    if last is None:  # what its pooling is given
        net.avgpool.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    else:
        last.register_forward_hook(lambda _, __, output: seen.append(output))
    net.eval()(x)
    hidden = encoder.eval()(x)
    assert hidden.shape[1:] == shape
    torch.testing.assert_close(hidden, seen[0])


SLOW = [
    pytest.param(name, marks=pytest.mark.slow)
    for name in ("convnext_tiny", "densenet121", "efficientnet_b0", "swin_t", "vgg11_bn")
]


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "mnasnet0_5", *SLOW])
@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 37, 45)])
def test_small_and_odd_images_of_any_channels_come_back(name: str, shape: tuple[int, ...]) -> None:
    made = backbone("torchvision", name=name)
    encoder, hidden_shape = made.encoder(shape)
    x = torch.rand(2, *shape)
    hidden = encoder.eval()(x)
    assert hidden.shape[1:] == hidden_shape
    assert made.decoder(shape, hidden_shape)(hidden).shape == x.shape
    assert made.decoder(shape, (5,))(torch.rand(2, 5)).shape == x.shape


def test_small_images_are_enlarged_to_what_was_asked_and_large_ones_left() -> None:
    for size, min_size, expected in (((4, 6), 32, (32, 48)), ((33, 40), 32, (33, 40))):
        encoder, _ = backbone("torchvision", min_size=min_size).encoder((1, *size))
        x = torch.rand(1, 1, *size)
        first = encoder[0](x) if min(size) < min_size else x
        assert tuple(first.shape[2:]) == expected


def test_the_decoder_has_the_encoders_sizes_backwards() -> None:
    made = backbone("torchvision", name="resnet18")
    decoder = made.decoder((3, 45, 64), (7,))
    sizes = []
    h = torch.rand(2, 7)
    for block in decoder:
        h = block(h)
        sizes.append(tuple(h.shape[1:]))
    channels = [512, 256, 128, 64, 64, 3]
    sides = [(2, 2), (3, 4), (6, 8), (12, 16), (23, 32), (45, 64)]
    assert sizes == [(c, *side) for c, side in zip(channels, sides, strict=True)]


def test_options_reach_the_model() -> None:
    _, shape = backbone("torchvision", options={"width_mult": 0.5}).encoder((3, 32, 32))
    assert shape == (288, 1, 1)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"name": "resnet17"}, "backbone.name=resnet17: Unknown model"),
        ({"name": "resnet18", "options": {"wdith": 2}}, "unexpected keyword argument 'wdith'"),
        ({"name": "vit_b_32"}, "backbone.name=vit_b_32: "),
        ({"name": "squeezenet1_1", "min_size": 8}, "is no chain of layers for images of"),
    ],
)
def test_mistakes_are_told_in_a_line(options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        backbone("torchvision", **options).encoder((3, 8, 8))
    assert "\n" not in str(caught.value)


def test_vectors_are_refused() -> None:
    with pytest.raises(UserError, match="backbone=mlp"):
        backbone("torchvision").encoder((10,))
