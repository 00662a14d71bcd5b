"""What every autoencoder of ``conf/autoencoder`` answers; a new variant is here by existing."""

from __future__ import annotations

import io
import re
from functools import cache
from math import prod
from typing import Any, NamedTuple

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from aetl.autoencoder.base import Autoencoder
from aetl.autoencoder.composite import Composite
from aetl.config import ConfigError, check, compose, conf_dir, resolved
from aetl.data.base import Examples
from aetl.data.loader import Loader
from aetl.rng import Rng
from aetl.stage.pretrain import Pretraining, build_autoencoder, objective_of
from aetl.stage.schedule import Constant
from aetl.types import Batch, UserError
from tests.tiny import differing, same_bits
from tests.waits import waits

AUTOENCODERS = sorted(path.stem for path in (conf_dir() / "autoencoder").glob("*.yaml"))
BACKBONES = sorted(path.stem for path in (conf_dir() / "backbone").glob("*.yaml"))
NARROW = {
    "mlp": ["backbone.hidden=[32]"],
    "conv": ["backbone.channels=[8,8]"],
    "conv1d": ["backbone.channels=[8,8]"],
    "conv_pool": ["backbone.channels=[8,8]"],
    "resnet": ["backbone.width=8"],
    "torchvision": ["+backbone.options.width_mult=0.25"],
    "vit": ["backbone.dim=16", "backbone.heads=2", "backbone.depth=2"],
}
GREY, ODD, VECTOR = (1, 8, 8), (3, 7, 5), (12,)
SHAPES: dict[tuple[int, ...], str] = {GREY: "grey", ODD: "odd", VECTOR: "vector"}
EXAMPLES = 16
CLASSES = 3
"""For autoencoders that ask for labels; every fourth label is unknown."""


class Case(NamedTuple):
    """An autoencoder on a backbone for examples of a shape."""

    autoencoder: str
    backbone: str
    shape: tuple[int, ...]


@cache
def config(autoencoder: str, backbone: str) -> DictConfig | None:
    """The composed config, ``None`` where the two do not go together."""
    overrides = [f"autoencoder={autoencoder}", f"backbone={backbone}"]
    own = OmegaConf.load(conf_dir() / "autoencoder" / f"{autoencoder}.yaml")
    if "backbone" not in own:  # else its widths are part of what it is
        overrides += NARROW.get(backbone, [])
    cfg = compose(overrides)
    choices = cfg.hydra.runtime.choices
    cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    try:
        check(resolved(cfg), choices)
    except ConfigError:
        return None
    return cfg


def build(case: Case, seed: int = 0) -> Autoencoder:
    """The autoencoder; the test ends here where the parts refuse each other or the data."""
    cfg = config(case.autoencoder, case.backbone)
    if cfg is None:
        pytest.skip("the autoencoder and the backbone do not go together")
    try:
        cfg = OmegaConf.merge(cfg, {"seed": seed}) if seed else cfg
        built = build_autoencoder(cfg, case.shape, CLASSES)
        if isinstance(built, Composite):  # some corruptions are of images alone
            built.corruption(torch.rand(2, *case.shape), Rng.of(0))
    except UserError as refusal:
        pytest.skip(str(refusal))
    return built


CASES = [Case(a, b, s) for a in AUTOENCODERS for b in BACKBONES for s in SHAPES]
CORE = {"undercomplete", "vae"}
"""On every backbone by default; the others on one that they are made for. The rest is ``slow``."""


@cache
def own_backbone(autoencoder: str) -> str:
    """The backbone that a variant's file asks for, else the plainest one."""
    text = (conf_dir() / "autoencoder" / f"{autoencoder}.yaml").read_text()
    found = re.search(r"override /backbone: (\w+)", text)
    return found.group(1) if found else "mlp"


def each(*shapes: tuple[int, ...], with_weights: bool = False) -> pytest.MarkDecorator:
    """Every autoencoder (or: every one that has weights) on every backbone, for these shapes."""
    cases = []
    for case in CASES:
        if case.shape not in shapes or (with_weights and case.autoencoder == "identity"):
            continue
        usual = case.backbone == own_backbone(case.autoencoder) and case.shape == shapes[0]
        everyday = case.autoencoder in CORE and case.backbone in ("mlp", "conv", "vit")
        marks = () if usual or everyday else (pytest.mark.slow,)
        name = f"{case.autoencoder}-{case.backbone}-{SHAPES[case.shape]}"
        cases.append(pytest.param(case, id=name, marks=marks))
    return pytest.mark.parametrize("case", cases)


def examples(shape: tuple[int, ...]) -> Examples:
    """Patterns of zeros and ones, which every likelihood can reach."""
    generator = torch.Generator().manual_seed(1)
    on = torch.rand(EXAMPLES, *shape, generator=generator) < 0.4
    x = on.float() if len(shape) == 1 else on.to(torch.uint8) * 255
    return Examples.of(x, torch.arange(EXAMPLES) % (CLASSES + 1) - 1, ("a", "b", "c"))


def pretraining(case: Case) -> tuple[Pretraining, Batch]:
    """The module that trains the autoencoder with its own loss, and a batch of all examples."""
    built = build(case)
    cfg: Any = config(case.autoencoder, case.backbone)
    data = examples(case.shape)
    loader = Loader(data, torch.arange(EXAMPLES), batch_size=EXAMPLES, rng=Rng.of(0), shuffle=False)
    objective = objective_of(cfg)
    settings: dict[str, Any] = {"fit": instantiate(cfg.pretrain), "optimizer": torch.optim.Adam}
    module = Pretraining(
        built, objective, loader, seed=0, schedule=Constant(), total_steps=1, **settings
    )
    return module, next(iter(loader))


def backward(module: Pretraining, loss: torch.Tensor) -> None:
    """As in training; the test ends here where the loss and the backbone refuse each other."""
    try:
        module.backward(loss)
    except UserError as refusal:
        pytest.skip(str(refusal))


@pytest.mark.parametrize("autoencoder", AUTOENCODERS)
def test_every_autoencoder_takes_images_on_its_own_backbone(autoencoder: str) -> None:
    cfg = config(autoencoder, own_backbone(autoencoder))
    assert cfg is not None
    for shape in (GREY, ODD):
        assert build_autoencoder(cfg, shape, CLASSES).shape == shape


@each(GREY, ODD, VECTOR)
def test_reconstruction_has_the_shape_of_the_input(case: Case) -> None:
    module, batch = pretraining(case)
    output = module.autoencoder(batch.x, Rng.of(0))
    assert output.reconstruction.shape == output.corrupted.shape == batch.x.shape
    assert output.latent.shape == (EXAMPLES, *module.autoencoder.latent_shape)
    assert module.autoencoder.decode(output.latent).shape == batch.x.shape
    assert module.objective.mean(output.reconstruction).shape == batch.x.shape
    values = module.losses(batch, Rng.of(0), 0, 0.5)
    assert all(torch.isfinite(value) for value in values.values())


@each(ODD)
@torch.no_grad()
def test_features_are_deterministic_and_each_examples_own(case: Case) -> None:
    autoencoder = build(case).eval()
    x = examples(case.shape).inputs()
    features = autoencoder.features(x)
    assert features.shape == (EXAMPLES, *autoencoder.latent_shape)
    assert same_bits(autoencoder.features(x), features)
    others = torch.cat([x[:1], torch.rand_like(x[1:])])
    assert torch.equal(autoencoder.features(others)[0], features[0])
    torch.testing.assert_close(autoencoder.features(x[:1]), features[:1], rtol=1e-5, atol=1e-5)
    # It does look at the input. (With contrast, or before they are quantised: codes are coarse.)
    blocks = [name for name, _ in autoencoder.layers() if name.startswith("encoder.")]
    found = [autoencoder.features(50 * x, name) for name in ("latent", *blocks[-1:])]
    assert any(len(features.flatten(1).unique(dim=0)) > 1 for features in found)


@each(ODD, with_weights=True)
def test_every_trainable_parameter_gets_a_gradient(case: Case) -> None:
    module, batch = pretraining(case)
    without: set[str] = {"not tried yet"}
    for progress in (0.5, 0.1, 0.3, 0.9):  # at some time of training: stacks train by layers
        if without:
            backward(module, module.losses(batch, Rng.of(0), 0, progress)["loss"])
            without = {
                name
                for name, parameter in module.named_parameters()
                if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
            }
    assert without == set()


@each(ODD, with_weights=True)
def test_layers_hold_every_parameter_between_input_and_reconstruction_once(case: Case) -> None:
    autoencoder = build(case)
    names = [name for name, _ in autoencoder.layers()]
    assert len(set(names)) == len(names)
    parts = [id(p) for _, layer in autoencoder.layers() for p in layer.parameters()]
    assert len(set(parts)) == len(parts)
    parameters = list(autoencoder.parameters())
    answer = autoencoder(examples(case.shape).inputs()).reconstruction.sum()
    gradients = torch.autograd.grad(answer, parameters, allow_unused=True)
    pairs = zip(parameters, gradients, strict=True)
    used = {id(p) for p, g in pairs if g is not None and g.any()}
    assert used <= set(parts) <= {id(p) for p in parameters}


@each(GREY, with_weights=True)
def test_one_batch_can_be_overfitted(case: Case) -> None:
    module, batch = pretraining(case)
    optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = module.losses(batch, Rng.of(0), 0, 1.0)["loss"]
        backward(module, loss)
        optimizer.step()
        losses.append(float(loss.detach()))
        if losses[-1] < 0.6 * losses[0]:
            break
    assert losses[-1] < 0.8 * losses[0]


HOST = {
    "hyperspherical_vae": "the Bessel functions of the KL divergence are SciPy's",
    "aavae": "torchvision draws on the CPU, one image at a time",
}


@pytest.mark.parametrize("autoencoder", AUTOENCODERS)
def test_no_loss_of_an_autoencoder_waits(autoencoder: str) -> None:
    """For a value or a copy of the device's, as tests/stage/test_waits.py asks of whole steps."""
    if autoencoder in HOST:
        pytest.skip(HOST[autoencoder])
    module, batch = pretraining(Case(autoencoder, own_backbone(autoencoder), GREY))
    if not list(module.autoencoder.parameters()):
        pytest.skip("there is nothing to train")

    def step() -> None:
        values = module.losses(batch, Rng.of(0), 0, 0.5)
        values["loss"].backward()
        if module.objective.adversaries:
            module.adversary_losses(batch, Rng.of(0), 0, 0.5)

    step()  # what is known from then on
    with waits() as found:
        step()
    assert found == []


@each(ODD)
def test_saved_weights_give_the_same_answers_bit_for_bit(case: Case) -> None:
    first, second = build(case), build(case, seed=1)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    second.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    assert differing(first.state_dict(), second.state_dict()) == set()
    x = examples(case.shape).inputs()
    for rng in (None, Rng.of(3)):
        one, two = (model.train()(x, rng) for model in (first, second))
        assert same_bits(one.reconstruction, two.reconstruction)
        assert same_bits(one.latent, two.latent)


@each(ODD, with_weights=True)
def test_weights_follow_from_the_seed_alone(case: Case) -> None:
    torch.rand(prod(case.shape))  # whatever was drawn before
    state = build(case).state_dict()
    assert differing(state, build(case).state_dict()) == set()
    other = differing(state, build(case, seed=1).state_dict())
    drawn = {name for name, tensor in state.items() if len(tensor.unique()) > 1}  # no constants
    assert drawn
    assert drawn <= other
