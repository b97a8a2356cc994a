"""How the states of rows lie in memory: so many rows side by side that the kernel streams through them.

Of a state [rows, …] it is [tiles, …, TILE], the last tile filled up with rows that stand for nothing. Any device can
compute on it, and what one CPU has written another reads.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from l2o_engine.backends.in_place.spec import TILE


def tiles_of(rows: int) -> int:
    """Return how many tiles so many rows are in."""
    return -(-rows // TILE)


def zeros_in_tiles(like: Tensor, rows: int) -> Tensor:
    """Return a state of zeros for so many rows, given one [1, …]."""
    return like.new_zeros(tiles_of(rows), *like.shape[1:], TILE)


def rows_in(tiles: Tensor, rows: int) -> Tensor:
    """Return the state [rows, …] that lies in tiles."""
    return tiles.movedim(-1, 1).flatten(0, 1)[:rows]


def put_rows(tiles: Tensor, values: Tensor) -> None:
    """Write a state [rows, …] into tiles."""
    whole, rest = divmod(len(values), TILE)
    inner = values.shape[1:]
    tiles[:whole] = values[: whole * TILE].reshape(whole, TILE, *inner).movedim(1, -1)
    if rest:
        tiles[whole, ..., :rest] = values[whole * TILE :].movedim(0, -1)


class Piece(NamedTuple):
    """Rows that follow one another in one tensor, and begin with a tile.

    Attributes
    ----------
    rows
        How many.
    states
        Name → their state, [tiles, …, TILE]: of the tensor's state, which is written over.
    """

    rows: int
    states: Mapping[str, Tensor]

    @classmethod
    def of(cls, states: Mapping[str, Tensor], first: int, last: int) -> "Piece":
        """Return the rows from ``first`` on, a multiple of TILE, to ``last``, of a tensor with these states."""
        where = slice(first // TILE, tiles_of(last))
        return cls(last - first, {name: tiles[where] for name, tiles in states.items()})


def gathered(pieces: Sequence[Piece]) -> dict[str, Tensor]:
    """Return the states [rows, …] of all pieces' rows, by name."""
    names = pieces[0].states
    return {name: torch.cat([rows_in(piece.states[name], piece.rows) for piece in pieces]) for name in names}


def scatter(states: Mapping[str, Tensor], pieces: Sequence[Piece]) -> None:
    """Write states [rows, …] of all pieces' rows back into the pieces."""
    sizes = [piece.rows for piece in pieces]
    for name, values in states.items():
        for piece, part in zip(pieces, torch.split(values, sizes), strict=True):
            put_rows(piece.states[name], part)
