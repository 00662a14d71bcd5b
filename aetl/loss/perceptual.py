"""Distance in the features of a fixed encoder (Johnson et al., 2016, arXiv:1603.08155)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from hydra.utils import instantiate
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from aetl.autoencoder.base import Autoencoder
from aetl.loss.base import LossTerm, Support, Weight
from aetl.ranges import NonNegative, Pixels, Seed
from aetl.rng import seed_global
from aetl.trust import load_config
from aetl.types import PICTURES, ExampleKind, UserError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the images on which torchvision's models are trained, by channel in [0, 1]."""

Images = Float[Tensor, "B ..."]


class FixedEncoder(ABC):
    """Where a perceptual loss takes its encoder from."""

    support: ClassVar[Support] = "unit"

    kinds: ClassVar[frozenset[ExampleKind]] = PICTURES

    @abstractmethod
    def build(self, shape: tuple[int, ...]) -> tuple[nn.Module, Callable[[Images], Any]]:
        """The module whose layers are named, and how it is called on examples of ``shape``."""


class Perceptual(LossTerm):
    """``sum_l |f_l(reconstruction) - f_l(x)|^2 / size of f_l`` over the ``layers`` (equation 2).

    The encoder is in eval mode and not trained, and no part of what a checkpoint keeps. Both images
    are taken as they are: a likelihood that has a link (Bernoulli) needs no such company.
    """

    unit: ClassVar[str] = "mean squared feature units, summed over layers"

    def __init__(
        self, *, weight: NonNegative | Weight, layers: Sequence[str], encoder: FixedEncoder
    ) -> None:
        super().__init__(weight=weight)
        self.layers, self.encoder = tuple(layers), encoder
        # Not a submodule: that would be set to train mode, saved, and counted as the model's own.
        self._built: dict[tuple[int, ...], tuple[nn.Module, Callable[[Images], Any]]] = {}

    def forward(
        self, reconstruction: Float[Tensor, "B ..."], x: Float[Tensor, "B ..."]
    ) -> Float[Tensor, " B"]:
        with torch.no_grad():
            wanted = self.features(x)
        given = self.features(reconstruction)
        distances = [
            (given[name] - wanted[name]).square().flatten(1).mean(1) for name in self.layers
        ]
        return torch.stack(distances).sum(0)

    def features(self, x: Images) -> dict[str, Tensor]:
        """What each of the layers gives."""
        shape = tuple(x.shape[1:])
        if shape not in self._built:
            self._built[shape] = self._tried(*self.encoder.build(shape), x[:1])
        module, call = self._built[shape]
        module.to(x).eval().requires_grad_(False)
        return layer_outputs(module, call, x, self.layers)

    def _tried(
        self, module: nn.Module, call: Callable[[Images], Any], x: Images
    ) -> tuple[nn.Module, Callable[[Images], Any]]:
        """The encoder, which can take such images as far as to the last of the layers."""
        module.to(x).eval()
        try:
            with torch.no_grad():
                layer_outputs(module, call, x, self.layers)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"loss.perceptual.encoder: cannot take images that small ({reason}); enlarge them "
                "(loss.perceptual.encoder.size=64), or name earlier layers"
            ) from None
        return module, call


def layer_outputs(
    module: nn.Module, call: Callable[[Images], Any], x: Images, layers: Sequence[str]
) -> dict[str, Tensor]:
    """The outputs of named submodules; nothing behind the last one is computed."""
    known = dict(module.named_modules())
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(_: nn.Module, __: Any, output: Tensor) -> None:
            found[name] = output.clone()  # an activation in place may come behind
            if len(found) == len(layers):
                raise _Enough

        return hook

    hooks = []
    for name in layers:
        if name not in known:
            near = ", ".join(n for n in known if n and n.count(".") < 2)
            raise UserError(f"loss.perceptual.layers: no layer {name} (there are {near})")
        hooks.append(known[name].register_forward_hook(keep(name)))
    try:
        call(x)
    except _Enough:
        pass
    finally:
        for handle in hooks:
            handle.remove()
    if len(found) < len(layers):
        unused = ", ".join(name for name in layers if name not in found)
        raise UserError(f"loss.perceptual.layers: the encoder does not pass through {unused}")
    return found


class _Enough(Exception):
    """All layers have answered."""


class TorchvisionEncoder(FixedEncoder):
    """A classifier of torchvision's by ``name``; nothing is downloaded.

    Its weights are those of the file ``weights`` (a state dict, as torchvision publishes them), or
    random by ``seed``: random features are a distance too, if a coarse one. Images are enlarged to
    ``size`` pixels where that is given, and normalised as torchvision's models expect; grey ones
    have three equal channels.
    """

    def __init__(self, *, name: str, weights: str | None, size: Pixels | None, seed: Seed) -> None:
        self.name, self.weights, self.size, self.seed = name, weights, size, seed

    def build(self, shape: tuple[int, ...]) -> tuple[nn.Module, Callable[[Images], Any]]:
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise UserError(
                f"loss=perceptual takes grey or RGB images, and this data has examples of shape "
                f"{shape}: use loss=perceptual_run with an encoder of your own"
            )
        from torchvision.models import get_model

        with torch.random.fork_rng(devices=[]):
            seed_global(self.seed)
            try:
                module: nn.Module = get_model(self.name, weights=None)
            except ValueError:
                raise UserError(
                    f"loss.perceptual.encoder.name={self.name}: no model of torchvision's "
                    "(vgg16, squeezenet1_1, resnet18, ...)"
                ) from None
        if self.weights is not None:
            _load(module, Path(self.weights), "loss.perceptual.encoder.weights")
        return module, lambda x: module(self._prepared(x))

    def _prepared(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 3 h w"]:
        x = x.expand(-1, 3, -1, -1)
        if self.size is not None:
            x = interpolate(x, (self.size, self.size), mode="bilinear", antialias=True)
        mean, std = (x.new_tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
        return (x - mean) / std


class RunEncoder(FixedEncoder):
    """The autoencoder that an earlier run pretrained, from that run's folder."""

    def __init__(self, *, run: str) -> None:
        self.run = run

    def build(self, shape: tuple[int, ...]) -> tuple[nn.Module, Callable[[Images], Any]]:
        folder = Path(self.run)
        config = folder / "config.yaml"
        if not config.exists():
            raise UserError(f"loss.perceptual.encoder.run={self.run}: no run's folder")
        with torch.random.fork_rng(devices=[]):
            module: Autoencoder = instantiate(load_config(config).autoencoder)(shape)
        file = folder / "checkpoints" / "autoencoder.pt"
        _load(module, file, "loss.perceptual.encoder.run")
        return module, module.features


def _load(module: nn.Module, file: Path, key: str) -> None:
    """Load all of the weights, or raise ``UserError``."""
    try:
        module.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{key}={file}: the weights cannot be loaded ({reason})") from None
