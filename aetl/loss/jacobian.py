"""Squared Frobenius norms of Jacobians, exact or estimated."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from aetl.rng import Rng


def squared_jacobian_norm(
    function: Callable[[Tensor], Tensor],
    point: Float[Tensor, "B ..."],
    probes: int | None,
    rng: Rng,
) -> Float[Tensor, " B"]:
    """``sum_ij (d f_i / d p_j)^2`` for each example, differentiable in the function's parameters.

    Without ``probes`` exact, by one backward pass for each output. With them Hutchinson's estimate
    (Communications in Statistics 19, 1990), the mean of ``|v^T J|^2`` over that many ``v`` of
    random signs: unbiased, at that many backward passes however many outputs there are.

    The function must treat examples apart: batch normalisation in training mode does not, and its
    cross terms are then counted too.
    """
    # Lightning validates in inference mode, whose tensors no derivative may see.
    # Of the kinds of attention only the plain one can be differentiated twice.
    plain = sdpa_kernel(SDPBackend.MATH)
    with torch.inference_mode(False), torch.enable_grad(), plain:
        at = point.clone().requires_grad_() if point.is_inference() else _leafless(point)
        value = function(at).flatten(1)
        if probes is None:
            unit = torch.eye(value.shape[1], dtype=value.dtype, device=value.device)
            directions = [row.expand_as(value) for row in unit]
            share = 1.0
        else:
            directions = [_signs(rng.fork("probe", i), value) for i in range(probes)]
            share = 1.0 / probes
        total = point.new_zeros(len(point))
        for direction in directions:
            (row,) = torch.autograd.grad(value, at, direction, create_graph=True)
            total = total + row.flatten(1).square().sum(1)
        return share * total


def _leafless(point: Tensor) -> Tensor:
    """The point itself where it is part of a graph (its own gradient goes on), else a leaf."""
    return point if point.requires_grad else point.detach().requires_grad_()


def _signs(rng: Rng, like: Tensor) -> Tensor:
    return torch.where(rng.uniform(like) < 0.5, -torch.ones_like(like), torch.ones_like(like))
