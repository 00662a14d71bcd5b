"""Vectors of which most entries are zero, kept sparse until a batch is made."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int, UInt64
from scipy.sparse import csr_array
from torch import Tensor

from aetl.data.mapped import gather


def tensor_of(matrix: csr_array) -> Tensor:
    """A matrix of float32 as a sparse tensor, its entries in the order of rows and columns."""
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    indices = torch.from_numpy(np.stack([rows, matrix.indices]).astype(np.int64))
    return of_parts(indices, torch.from_numpy(matrix.data.astype(np.float32)), matrix.shape)


def of_parts(indices: Tensor, values: Tensor, shape: Sequence[int]) -> Tensor:
    """The tensor of ``parts_of``."""
    return torch.sparse_coo_tensor(
        indices, values, tuple(shape), is_coalesced=True, check_invariants=False
    )


def parts_of(x: Tensor) -> tuple[Tensor, ...]:
    """A dense tensor itself; the places and the values of a sparse one."""
    return (x.indices(), x.values()) if x.is_sparse else (x,)


def rows_of(x: Tensor, rows: Int[Tensor, " n"]) -> Tensor:
    """Some of the rows, sparse where ``x`` is."""
    if not x.is_sparse:
        return gather(x, rows)
    return x.index_select(0, rows.to(x.device)).coalesce()


def hashes_of(x: Tensor) -> UInt64[np.ndarray, " N"]:
    """A 64-bit BLAKE2b hash of the shape, the places and the values of each row."""
    places, columns = x.indices().numpy()
    values = x.values().numpy()
    ends = np.searchsorted(places, np.arange(len(x) + 1))
    start = hashlib.blake2b(repr(tuple(x.shape[1:])).encode(), digest_size=8)
    digests = bytearray()
    for first, last in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        digest = start.copy()
        digest.update(columns[first:last].tobytes())
        digest.update(values[first:last].tobytes())
        digests += digest.digest()
    return np.frombuffer(digests, np.uint64).copy()
