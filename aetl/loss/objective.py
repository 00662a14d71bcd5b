"""A weighted sum of named terms."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import cache

from jaxtyping import Float
from torch import Tensor, nn

from aetl.autoencoder.base import Autoencoder
from aetl.autoencoder.closed_form import ClosedForm
from aetl.loss.adversarial import Adversarial
from aetl.loss.base import LossTerm, Weight
from aetl.types import UserError


def needed_fields(term: type[LossTerm] | LossTerm) -> list[str]:
    """The names that a term asks for, read from the signatures of its losses."""
    names = list(_parameters(term.forward))
    kind = term if isinstance(term, type) else type(term)
    if issubclass(kind, Adversarial):
        names += [name for name in _parameters(kind.adversary_loss) if name not in names]
    return names


def _parameters(function: Callable[..., object]) -> tuple[str, ...]:
    # Of the plain function, which is one for all instances, a bound method is made at each look.
    return _parameters_of(getattr(function, "__func__", function))


@cache
def _parameters_of(function: Callable[..., object]) -> tuple[str, ...]:
    return tuple(name for name in inspect.signature(function).parameters if name != "self")


def evaluated(term: LossTerm, fields: Mapping[str, object]) -> Float[Tensor, " B"]:
    """The term on those of the fields that it asks for.

    What is absent of the input (``mask``) is taken to be what the decoder says of it: of an error
    it adds nothing, of a likelihood nothing that has a gradient by the mean.
    """
    asked = {field: fields[field] for field in _parameters(term.forward)}
    mask = fields.get("mask")
    if isinstance(mask, Tensor) and {"x", "reconstruction"} <= asked.keys():
        x, reconstruction = asked["x"], asked["reconstruction"]
        assert isinstance(x, Tensor)
        assert isinstance(reconstruction, Tensor)
        said = term.mean(reconstruction).detach()
        asked["x"] = x.where(mask, said.view_as(x)) if said.numel() == x.numel() else x
    value: Tensor = term(**asked)
    return value


def refuse_misfit(
    terms: Mapping[str, type[LossTerm]], given: Collection[str], autoencoder: str
) -> None:
    """Raise ``UserError`` for a term that asks for what the autoencoder does not give."""
    for name, term in terms.items():
        missing = [field for field in needed_fields(term) if field not in given]
        if missing:
            raise UserError(
                f"loss.{name} ({term.__name__}) needs {', '.join(missing)}, which autoencoder="
                f"{autoencoder} does not give (it gives {', '.join(sorted(given))})"
            )


class Objective(nn.Module):
    """The sum of ``weight * term`` over the terms, for each example."""

    def __init__(self, terms: Mapping[str, LossTerm]) -> None:
        super().__init__()
        self.terms = nn.ModuleDict(terms)
        self.outputs = max((term.outputs for term in terms.values()), default=1)

    def forward(
        self, fields: Mapping[str, object], progress: float
    ) -> tuple[Float[Tensor, " B"], dict[str, Float[Tensor, " B"]]]:
        """The weighted sum and the unweighted terms, one number for each example."""
        values = {}
        total: Tensor | None = None
        for name, term in self.terms.items():
            assert isinstance(term, LossTerm)
            value = evaluated(term, fields)
            weight = term.weight.at(progress) if isinstance(term.weight, Weight) else term.weight
            total = weight * value if total is None else total + weight * value
            values[name] = value
        assert total is not None
        return total, values

    def error(
        self, reconstruction: Float[Tensor, "B ..."], x: Float[Tensor, "B ..."]
    ) -> Float[Tensor, " B"]:
        """Of each example the mean squared error per element; of tokens the share that is wrong."""
        mean = self.mean(reconstruction)
        if any(term.discrete for term in self.terms.values() if isinstance(term, LossTerm)):
            there = x > 0.5
            wrong = ((mean != x) & there).sum(1)
            return wrong.to(reconstruction.dtype) / there.sum(1).clamp_min(1)
        return (mean - x).square().flatten(1).mean(1)

    @property
    def adversaries(self) -> dict[str, Adversarial]:
        """The terms by name that a discriminator plays against."""
        return {name: term for name, term in self.terms.items() if isinstance(term, Adversarial)}

    def build_discriminators(self, autoencoder: Autoencoder) -> Objective:
        """Give each adversarial term its discriminator, constant until its turn."""
        for name, term in self.adversaries.items():
            if isinstance(autoencoder, ClosedForm):
                raise UserError(
                    f"loss.{name} ({type(term).__name__}) trains a discriminator in turn with the "
                    "autoencoder, and this autoencoder is computed in closed form"
                )
            built = term.build(autoencoder.shape, autoencoder.latent_shape)
            term.discriminator = built.requires_grad_(False)
        return self

    def adversary_losses(self, fields: Mapping[str, object]) -> dict[str, Float[Tensor, " B"]]:
        """What the discriminators minimise, by the names of their terms."""
        return {
            name: term.adversary_loss(**{f: fields[f] for f in _parameters(term.adversary_loss)})
            for name, term in self.adversaries.items()
        }

    def mean(self, reconstruction: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        """The reconstruction on the data's scale, by the term that has a link (if any has)."""
        for term in self.terms.values():
            assert isinstance(term, LossTerm)
            if type(term).mean is not LossTerm.mean:
                return term.mean(reconstruction)
        return reconstruction
