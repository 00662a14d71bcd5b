"""The residual encoder is torchvision's, and its decoder gives back every size."""

from __future__ import annotations

import pytest
import torch
import torchvision

from aetl.backbone.resnet import ResNet
from aetl.types import UserError


def test_the_encoder_computes_what_torchvisions_network_does_before_its_head() -> None:
    encoder, shape = ResNet(depth=18, small_stem=False).encoder((3, 33, 40))
    net = torchvision.models.resnet18(weights=None)
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


@pytest.mark.parametrize("small_stem", [True, False])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 5)])
def test_small_and_odd_images_come_back(shape: tuple[int, ...], small_stem: bool) -> None:
    backbone = ResNet(depth=18, small_stem=small_stem)
    encoder, hidden_shape = backbone.encoder(shape)
    assert encoder(torch.rand(2, *shape)).shape[1:] == hidden_shape
    assert backbone.decoder(shape, (5,))(torch.rand(2, 5)).shape == (2, *shape)


def test_vectors_are_refused() -> None:
    with pytest.raises(UserError, match="backbone=mlp"):
        ResNet(depth=18, small_stem=True).encoder((10,))
