"""timm's models as encoders, and the decoders that fit them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from aetl.stage.checkpoint import bring
from aetl.stage.pretrain import build_autoencoder
from aetl.transfer.network import Representation
from aetl.types import UserError
from tests.backbone.build import backbone
from tests.tiny import differing, tiny_config

timm = pytest.importorskip("timm")
NAMES = [
    "resnet10t",
    "mobilenetv3_small_050",
    *(pytest.param(n, marks=pytest.mark.slow) for n in ("convnext_atto", "efficientnet_b0")),
]


@pytest.mark.parametrize("name", NAMES)
def test_the_encoder_computes_the_models_features(name: str) -> None:
    encoder, shape = backbone("timm", name=name).encoder((3, 64, 80))
    net = timm.create_model(name, pretrained=False, num_classes=0, global_pool="")
    net.load_state_dict(encoder.body.state_dict())
    x = torch.rand(2, 3, 64, 80)
    with torch.no_grad():
        hidden = encoder.eval()(x)
        torch.testing.assert_close(hidden, net.eval()(x))
    assert hidden.shape[1:] == shape


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 37, 45)])
def test_images_of_any_size_and_channels_come_back(name: str, shape: tuple[int, ...]) -> None:
    made = backbone("timm", name=name)
    encoder, hidden_shape = made.encoder(shape)
    x = torch.rand(2, *shape)
    hidden = encoder.eval()(x)
    assert made.decoder(shape, hidden_shape)(hidden).shape == x.shape
    assert made.decoder(shape, (5,))(torch.rand(2, 5)).shape == x.shape


def test_a_state_dict_of_timms_is_a_checkpoint(tmp_path: Path) -> None:
    own = ("backbone=timm", "bottleneck.latent_dim=4")
    autoencoder = build_autoencoder(tiny_config(tmp_path, *own), (3, 32, 32))
    net = timm.create_model("resnet10t", pretrained=False)
    torch.save(net.state_dict(), tmp_path / "w.pt")
    layer = Representation(layer="encoder.body", pool=True)
    found = bring(tmp_path / "w.pt", autoencoder, layer, partial=False)
    body = {f"encoder.body.{n}": t for n, t in net.state_dict().items() if not n.startswith("fc.")}
    assert differing(found.state, body) == set()


@pytest.mark.parametrize(
    "name, line",
    [("vit_tiny_patch16_224", "gives no feature map|does not take images"),
     ("resnet10x", "backbone.name=resnet10x: ")],
)  # fmt: skip
def test_what_is_no_model_of_maps_is_refused(name: str, line: str) -> None:
    with pytest.raises(UserError, match=line):
        backbone("timm", name=name).encoder((3, 224, 224))
