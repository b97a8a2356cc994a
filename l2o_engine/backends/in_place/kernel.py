"""A compiled function: one step of an LSTM for the rows of many pieces, whose states it writes over.

A *piece* is some rows of one tensor. Of each of an LSTM's layers it has two states, outputs and cells, each by itself:
[tiles, hidden, TILE], so that a unit's numbers of TILE rows lie side by side, whatever the CPU is that goes on with
them. They are given by their addresses, for there are any number of them.

Threads take one chunk of blocks after another; rows do not know of one another, so results do not depend on who takes
which.
"""

from typing import Any

from numba import types
from numba.extending import intrinsic

from l2o_engine.backends.compiled.jit import as_function, make_symbols_unique
from l2o_engine.backends.compiled.sources import sources_of
from l2o_engine.backends.compiled.vectors import Emitter, Target
from l2o_engine.backends.coordinatewise.kernel import operations as rows
from l2o_engine.backends.coordinatewise.kernel.lines import VECTORS, block_of
from l2o_engine.backends.in_place.spec import TILE, InPlaceSpec

SOURCES = sources_of(rows.__file__, __file__)
VERSIONS = ""
SHAPE = InPlaceSpec

COLUMNS = 3
"""What stands of a piece before its addresses: its first chunk among all, its first row, and how many rows it has."""

# ----------------------------------------------------------------------------------------------------------------------
# The driver: see coordinatewise/kernel/entries.py for what it may name.
# ----------------------------------------------------------------------------------------------------------------------


def advance(
    weights, places, inputs, pieces, workspace, scratch, outputs, counter, layers, hidden, projection, chunk
):  # fmt: skip
    """Take one step for the chunks that this thread comes to.

    Parameters
    ----------
    weights, places
        Packed, and where what begins; see `coordinatewise/pack.py`.
    inputs
        [width, rows]: what the network sees.
    pieces
        [pieces + 1, COLUMNS + 2·layers], int64: see COLUMNS, then the addresses of each layer's outputs and cells. The
        last one begins where all others have ended.
    workspace, scratch
        A flat array, and where in it the numbers of this thread lie: `scratch_lines` of the pack, and five times its
        lines more.
    outputs
        [rows]: filled.
    counter
        [1], int64: the next chunk to be taken.
    layers, hidden, projection
        Sizes; what stands before the first layer: 0 nothing, 1 a linear map, 2 one with an ELU.
    chunk
        Rows of a chunk: a multiple of a block's that goes into a TILE, or a multiple of TILE.
    """
    width = inputs.shape[0]
    padded = (hidden + 3) // 4 * 4
    part = padded * BLOCK
    u = scratch
    first_input = u + width * BLOCK
    y = first_input + part
    own = y + BLOCK
    cell = own + part
    new = cell + part  # two of them, for a layer reads the one and writes the other
    last = pieces.shape[0] - 1
    k = 0
    while True:
        taken = take(counter)
        if taken >= pieces[last, 0]:
            return
        while pieces[k + 1, 0] <= taken:  # chunks are taken in order, by each thread too
            k += 1
        piece = pieces[k]
        rows = piece[2]
        row = (taken - piece[0]) * chunk
        for at in range(row, min(row + chunk, rows), BLOCK):
            n = min(BLOCK, rows - at)
            for m in range(width):
                for r in range(n):
                    workspace[u + m * BLOCK + r] = inputs[m, piece[1] + at + r]
                for r in range(n, BLOCK):
                    workspace[u + m * BLOCK + r] = FLOAT(0)
            below, n_below = u, width
            if projection > 0:
                product(workspace, weights, places[0], u, width, first_input, padded)
                if projection > 1:
                    elu(workspace, first_input, hidden)
                below, n_below = first_input, hidden
            begin = at // TILE * TILE * hidden + at % TILE
            for one in range(layers):
                h = piece[COLUMNS + 2 * one] + begin * FLOAT_BYTES
                c = piece[COLUMNS + 2 * one + 1] + begin * FLOAT_BYTES
                take_lines(workspace, own, h, hidden)
                take_lines(workspace, cell, c, hidden)
                to = new + one % 2 * part
                layer(workspace, weights, places[2 + 2 * one], below, n_below, own, hidden, cell, cell, to)
                put_lines(workspace, to, h, hidden)
                put_lines(workspace, cell, c, hidden)
                below, n_below = to, hidden
            output(workspace, weights, places[1], below, hidden, y)
            for r in range(n):
                outputs[piece[1] + at + r] = workspace[y + r]


def _make_lines(target: Target, *, put: bool) -> Any:
    """take_lines(ws, at, address, n): n lines of a block come from a state, where they lie TILE numbers apart.

    With ``put`` it is put_lines: they go there.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        e = Emitter(context, builder, target)
        workspace, (_, at, address, n) = e.base(signature.args[0], args[0]), args
        state = builder.inttoptr(address, workspace.type)
        with e.loop(n) as loop:
            line = e.offset(workspace, builder.add(at, builder.mul(loop.index, e.index(block_of(target)))))
            there = e.offset(state, builder.mul(loop.index, e.index(TILE)))
            for vector in range(VECTORS):
                pair = e.offset(there, vector * target.lanes), e.offset(line, vector * target.lanes)
                come_from, go_to = reversed(pair) if put else pair
                e.store(e.load(come_from, target.lanes), go_to)
        return context.get_dummy_value()

    @intrinsic
    def lines(typingctx: Any, ws: Any, at: Any, address: Any, n: Any) -> Any:
        return types.void(ws, types.int64, types.int64, types.int64), codegen

    return lines


def bind(spec: InPlaceSpec) -> dict[str, object]:
    """Return every name the driver uses."""
    target = Target.for_host(spec.dtype)
    names = rows.operations(spec.dtype) | {
        "COLUMNS": COLUMNS,
        "TILE": TILE,
        "take_lines": as_function("take_lines", _make_lines(target, put=False), "ws, at, address, n"),
        "put_lines": as_function("put_lines", _make_lines(target, put=True), "ws, at, address, n"),
    }
    make_symbols_unique(names.values(), spec)
    return names


DRIVER = (advance,)
ENTRIES = ("advance",)
INLINED: tuple[str, ...] = ()


def signatures(spec: InPlaceSpec) -> dict[str, Any]:
    """Return the type signature of the entry."""
    real = getattr(types, spec.dtype)

    def array(kind: Any, dimensions: int) -> Any:
        return types.Array(kind, dimensions, "C")

    flat, whole = array(real, 1), array(types.int64, 1)
    return {
        "advance": types.void(
            flat, whole, array(real, 2), array(types.int64, 2), flat, types.int64, flat, whole, *([types.int64] * 4)
        )
    }
