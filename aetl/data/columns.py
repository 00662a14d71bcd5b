"""Examples with named columns in the columns of another domain."""

from dataclasses import replace

import torch

from aetl.data.base import Examples

UNKNOWN = "=?"
"""The end of the name of a column that is 1 where a number or a category was missing."""


def restated(examples: Examples, like: Examples) -> Examples:
    """``examples`` in the columns of ``like``, by their names.

    What they lack is 0 (the mean of what is standardised), and unknown where a column says so;
    what they have besides is left out.
    """
    if examples.columns == like.columns:
        return examples
    place = {name: k for k, name in enumerate(examples.columns)}
    x = examples.x.new_zeros(len(examples), len(like.columns))
    there = [k for k, name in enumerate(like.columns) if name in place]
    x[:, there] = examples.x[:, [place[like.columns[k]] for k in there]]
    own = {_table_column(name) for name in examples.columns}
    unknown = [
        k
        for k, name in enumerate(like.columns)
        if name.endswith(UNKNOWN) and _table_column(name) not in own
    ]
    x[:, unknown] = 1
    return replace(examples, x=x, columns=like.columns, entries=like.entries)


def _table_column(name: str) -> str:
    """Of the column of a table that this one was made from."""
    return name.partition("=")[0]


def shared_places(own: tuple[str, ...], other: tuple[str, ...]) -> tuple[torch.Tensor, ...]:
    """Where the columns that both have stand in one and in the other."""
    place = {name: k for k, name in enumerate(other)}
    pairs = [(k, place[name]) for k, name in enumerate(own) if name in place]
    here, there = zip(*pairs, strict=True) if pairs else ((), ())
    return torch.tensor(here, dtype=torch.int64), torch.tensor(there, dtype=torch.int64)
