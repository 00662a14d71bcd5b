"""The residual encoder is torchvision's, and its decoder gives back every size."""

from __future__ import annotations

import pytest
import torch
import torchvision

from aetl.types import UserError
from tests.backbone.build import backbone


@pytest.mark.parametrize("depth", [18, 50])
def test_the_encoder_computes_what_torchvisions_network_does_before_its_head(depth: int) -> None:
    resnet = backbone("resnet", depth=depth, small_stem=False, width=64)
    encoder, shape = resnet.encoder((3, 33, 40))
    net = getattr(torchvision.models, f"resnet{depth}")(weights=None)
    parts = {0: (net.conv1, net.bn1), 1: net.layer1, 2: net.layer2, 3: net.layer3, 4: net.layer4}
    net.conv1.load_state_dict(encoder[0][0].state_dict())
    net.bn1.load_state_dict(encoder[0][1].state_dict())
    for i in range(1, 5):
        parts[i].load_state_dict(encoder[i].state_dict())  # type: ignore[union-attr]
    net.avgpool, net.fc = torch.nn.Identity(), torch.nn.Identity()
    x = torch.rand(2, 3, 33, 40)
    hidden = encoder.eval()(x)
    assert hidden.shape[1:] == shape
    torch.testing.assert_close(hidden.flatten(1), net.eval()(x))


def test_width_doubles_from_stage_to_stage() -> None:
    encoder, shape = backbone("resnet", width=6).encoder((1, 8, 8))
    assert shape == (48, 1, 1)
    assert [stage[-1].conv2.out_channels for stage in encoder[1:]] == [6, 12, 24, 48]


@pytest.mark.parametrize("small_stem", [True, False])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 5)])
@pytest.mark.parametrize(
    "options", [{}, {"depth": 50}, {"norm": "group", "activation": "silu", "dropout": 0.1}]
)
def test_small_and_odd_images_come_back(
    shape: tuple[int, ...], small_stem: bool, options: dict[str, object]
) -> None:
    resnet = backbone("resnet", small_stem=small_stem, **options)
    encoder, hidden_shape = resnet.encoder(shape)
    assert encoder(torch.rand(2, *shape)).shape[1:] == hidden_shape
    assert resnet.decoder(shape, (5,))(torch.rand(2, 5)).shape == (2, *shape)


def test_vectors_are_refused() -> None:
    with pytest.raises(UserError, match="backbone=mlp"):
        backbone("resnet").encoder((10,))
