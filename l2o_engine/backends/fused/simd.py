"""SIMD building blocks: the dense operations of the kernel, emitted as LLVM vector code (compiled/vectors.py).

Every operation works on one flat, 64-byte-aligned workspace array and offsets into it (in elements).

Layout idea: a hidden size of H is cut into *tiles* whose widths are powers of two (20 = 16 + 4).  The 4H gate
columns are ordered tile by tile, [i j f o] of the first tile, then of the next, so that one vector register never
mixes units of a tile's gate with a neighbour's and every piece can be taken out with one shuffle.  For
H = 20 and 16 lanes this is [i16][j16][f16][o16][i4 j4 f4 o4]: exactly five registers, no padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from l2o_engine.backends.compiled import functions
from l2o_engine.backends.compiled.vectors import CANDIDATE, GATES, Emitter, Target

__all__ = [
    "LayerShape",
    "Layout",
    "make_backward",
    "make_forward",
    "make_pack",
    "make_rank_update",
    "make_transpose",
    "tiles_of",
]


def round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def tiles_of(n: int, lanes: int) -> list[tuple[int, int]]:
    """(start, width) pieces of n, widths powers of two, at most `lanes`, falling: no lane is ever padding."""
    tiles, start = [], 0
    width = lanes
    while start < n:
        while width > n - start:
            width //= 2
        tiles.append((start, width))
        start += width
    return tiles


class Layout:
    """Where named pieces (power-of-two widths, falling within each group) sit in a row of vectors.

    `groups` are lists of (key, width); each group starts on a vector boundary, and no piece straddles one.
    """

    def __init__(self, groups: list[list[tuple[Any, int]]], lanes: int):
        self.lanes = lanes
        self.at: dict[Any, tuple[int, int]] = {}
        self.group_vectors: list[tuple[int, int]] = []
        position = 0
        for group in groups:
            first = position // lanes
            for key, width in sorted(group, key=lambda piece: -piece[1]):
                if position % width:
                    raise ValueError(f"a piece of {width} cannot stand at {position}")
                self.at[key] = (position, width)
                position += width
            position = round_up(position, lanes)
            self.group_vectors.append((first, position // lanes))
        self.pitch = position
        self.vectors = position // lanes


@dataclass(frozen=True)
class LayerShape:
    """One LSTM layer's compile-time shape: I inputs, H units, a fixed number of rows (batch x coordinates)."""

    inputs: int
    hidden: int
    rows: int
    target: Target
    input_pitch: int  # elements between rows of the input
    top: bool  # the last layer also applies the output projection

    @property
    def tiles(self) -> list[tuple[int, int]]:
        """The hidden units, cut into (start, width)."""
        return tiles_of(self.hidden, self.target.lanes)

    @property
    def hidden_pitch(self) -> int:
        """Elements between rows of hidden units."""
        return round_up(self.hidden, self.target.lanes)

    @property
    def tile_groups(self) -> list[list[tuple[int, int]]]:
        """Tiles computed together: as many as the registers hold for the row block in use."""
        limit = max(GATES, self.target.accumulators // self.row_block)
        groups: list[list[tuple[int, int]]] = [[]]
        for tile in self.tiles:
            columns = GATES * (sum(width for _, width in groups[-1]) + tile[1])
            if groups[-1] and -(-columns // self.target.lanes) > limit:
                groups.append([])
            groups[-1].append(tile)
        return groups

    @property
    def gates(self) -> Layout:
        """The order of the gate columns."""
        return Layout(
            [[((gate, start), width) for start, width in group for gate in range(GATES)] for group in self.tile_groups],
            self.target.lanes,
        )

    @property
    def columns_back(self) -> Layout:
        """The order of the gradients with respect to the layer's input ("below") and previous output ("own")."""
        below = [(("below", start), width) for start, width in tiles_of(self.inputs, self.target.lanes)]
        own = [(("own", start), width) for start, width in self.tiles]
        return Layout([below + own], self.target.lanes)

    @property
    def row_block(self) -> int:
        """Rows that share each load of the weights."""
        most = max(1, min(4, self.target.accumulators // GATES))
        return min(self.rows, most)

    @property
    def row_blocks(self) -> list[tuple[int, int, int]]:
        """(first row, rows in a block, number of blocks)."""
        size = self.row_block
        full, rest = divmod(self.rows, size)
        return [(0, size, full)] + ([(full * size, rest, 1)] if rest else [])


def _accumulate(e: Emitter, accumulators, count, weights, weight_pitch, first_vector, inputs, input_step, parts=1):
    """accumulators[part][row][v] += sum over k < count of inputs[row][k * input_step] * weights[k, v].

    `count` is an int (then unrolled by two: by four is equal at H = 20 and 5 % slower at H = 64) or an i64 value.
    With parts > 1, term k goes to part k % parts: independent chains of additions, for when there are too few to hide
    an addition's latency.
    """
    lanes = e.target.lanes
    unroll = next(u for u in (2, 1) if count % u == 0) if isinstance(count, int) else 1
    parts = parts if unroll % parts == 0 else 1

    def step(k, part):
        row_weights = e.offset(weights, e.builder.mul(k, e.index(weight_pitch)))
        at = e.builder.mul(k, e.index(input_step))
        values = [e.splat_load(e.offset(p, at), lanes) for p in inputs]
        for v in range(len(accumulators[0][0])):
            w = e.load(e.offset(row_weights, (first_vector + v) * lanes), lanes)
            for row, value in enumerate(values):
                slot = accumulators[part][row][v]
                e.builder.store(e.fma(value, w, e.builder.load(slot)), slot)

    with e.loop(count // unroll if isinstance(count, int) else count) as loop:
        first = e.builder.mul(loop.index, e.index(unroll))
        for u in range(unroll):
            step(e.builder.add(first, e.index(u)), u % parts)


def _void(array_types, n_int):
    return types.void(*array_types, *([types.int64] * n_int))


def make_forward(shape: LayerShape):
    """forward(ws, z, c_prev, c, tanh_c, h_prev, h, a, w, n_prev, y, w_out): one step of one layer, all rows.

    Reads the layer's input at `a`, its previous state; writes activated gates at z, the new cell state at c, its tanh,
    the new output at h.  w: packed rows bias, I input rows, H hidden rows (make_pack).  n_prev is H, or
    0 at the first step, whose previous output is zero.  The top layer also adds h . w_out to y[row].
    """
    target, gates = shape.target, shape.gates
    lanes = target.lanes
    is_tanh = np.zeros(gates.pitch)
    for (gate, _), (position, width) in gates.at.items():
        is_tanh[position : position + width] = gate == CANDIDATE

    def emit_rows(e, base, row0, rows, z, c_prev, c, tanh_c, h_prev, h, a, w, n_prev, y, w_out):
        row = [e.builder.add(row0, e.index(r)) for r in range(rows)]

        def at(start, pitch, r, extra=0):
            return e.offset(
                base, e.builder.add(start, e.builder.add(e.builder.mul(row[r], e.index(pitch)), e.index(extra)))
            )

        weights = e.offset(base, w)
        sums = [None] * rows
        for group, (v0, v1) in zip(shape.tile_groups, gates.group_vectors, strict=True):
            n = v1 - v0
            slots = [[e.variable(lanes) for _ in range(n)] for _ in range(rows)]
            for v in range(n):
                bias = e.load(e.offset(weights, (v0 + v) * lanes), lanes)
                for r in range(rows):
                    e.builder.store(bias, slots[r][v])
            # The recurrent product first: it waits for nothing of this step, so the CPU runs it while the
            # layer below (or the inputs, for the first layer) is still finishing.
            with e.builder.if_then(e.builder.icmp_signed(">", n_prev, e.index(0))):
                _accumulate(
                    e,
                    [slots],
                    shape.hidden,
                    e.offset(weights, (1 + shape.inputs) * gates.pitch),
                    gates.pitch,
                    v0,
                    [at(h_prev, shape.hidden_pitch, r) for r in range(rows)],
                    1,
                )
            _accumulate(
                e,
                [slots],
                shape.inputs,
                e.offset(weights, gates.pitch),
                gates.pitch,
                v0,
                [at(a, shape.input_pitch, r) for r in range(rows)],
                1,
            )
            for r in range(rows):
                active = [
                    functions.activation(
                        e, e.builder.load(slots[r][v]), is_tanh[(v0 + v) * lanes : (v0 + v + 1) * lanes]
                    )
                    for v in range(n)
                ]
                for v in range(n):
                    e.store(active[v], at(z, gates.pitch, r, (v0 + v) * lanes))

                def gate(g, start, active=active, v0=v0):
                    position, width = gates.at[g, start]
                    return e.part(active[position // lanes - v0], position % lanes, width)

                for start, width in group:
                    i, j, f, o = (gate(g, start) for g in range(GATES))
                    cell = e.fma(f, e.load(at(c_prev, shape.hidden_pitch, r, start), width), e.mul(i, j))
                    squashed = functions.tanh(e, cell)
                    output = e.mul(o, squashed)
                    e.store(cell, at(c, shape.hidden_pitch, r, start))
                    e.store(squashed, at(tanh_c, shape.hidden_pitch, r, start))
                    e.store(output, at(h, shape.hidden_pitch, r, start))
                    if shape.top:
                        product = e.mul(output, e.load(e.offset(base, e.builder.add(w_out, e.index(start))), width))
                        part = e.total(product)
                        sums[r] = part if sums[r] is None else e.add(sums[r], part)
        if shape.top:
            for r in range(rows):
                p = at(y, 1, r)
                e.builder.store(e.add(sums[r], e.builder.load(p)), p)

    @intrinsic
    def forward(typingctx, ws, z, c_prev, c, tanh_c, h_prev, h, a, w, n_prev, y, w_out):
        def codegen(context, builder, signature, args):
            e = Emitter(context, builder, target)
            base = e.base(signature.args[0], args[0])
            for first, rows, blocks in shape.row_blocks:
                with e.loop(blocks) as loop:
                    row0 = builder.add(e.index(first), builder.mul(loop.index, e.index(rows)))
                    emit_rows(e, base, row0, rows, *args[1:])
            return context.get_dummy_value()

        return _void([ws], 11), codegen

    return forward


def make_backward(shape: LayerShape):
    """backward(ws, z, c_prev, tanh_c, above, w_out, own, dc, kt, below): `forward` transposed, one step, all rows.

    Gradients with respect to the layer's output are `own` (from the next step) plus, for the top layer,
    above[row] * w_out, otherwise above[row, :]. Replaces the gates at z by the gradients of their inputs (kept there
    for the weight gradients), dc and own by the gradients of the previous state, and writes the input's gradient to
    `below`. kt: transposed packed weights (make_transpose).
    """
    target, gates, back = shape.target, shape.gates, shape.columns_back
    lanes = target.lanes

    def emit_rows(e, base, row0, rows, z, c_prev, tanh_c, above, w_out, own, dc, kt, below):
        row = [e.builder.add(row0, e.index(r)) for r in range(rows)]

        def at(start, pitch, r, extra=0):
            return e.offset(
                base, e.builder.add(start, e.builder.add(e.builder.mul(row[r], e.index(pitch)), e.index(extra)))
            )

        for r in range(rows):
            pieces = {}
            if shape.top:
                d_out = e.builder.load(at(above, 1, r), align=e.align)
            for start, width in shape.tiles:
                i, j, f, o = (e.load(at(z, gates.pitch, r, gates.at[g, start][0]), width) for g in range(GATES))
                tc = e.load(at(tanh_c, shape.hidden_pitch, r, start), width)
                previous = e.load(at(c_prev, shape.hidden_pitch, r, start), width)
                dh = e.load(at(own, shape.hidden_pitch, r, start), width)
                if shape.top:
                    dh = e.fma(
                        e.splat(d_out, width), e.load(e.offset(base, e.builder.add(w_out, e.index(start))), width), dh
                    )
                else:
                    dh = e.add(dh, e.load(at(above, shape.hidden_pitch, r, start), width))
                one = e.const(1.0, width)
                dho = e.mul(dh, o)
                dcell = e.load(at(dc, shape.hidden_pitch, r, start), width)
                dcell = e.add(dcell, e.mul(dho, e.sub(one, e.mul(tc, tc))))
                e.store(e.mul(dcell, f), at(dc, shape.hidden_pitch, r, start))
                pieces[0, start] = e.mul(e.mul(dcell, j), e.mul(i, e.sub(one, i)))
                pieces[1, start] = e.mul(e.mul(dcell, i), e.sub(one, e.mul(j, j)))
                pieces[2, start] = e.mul(e.mul(dcell, previous), e.mul(f, e.sub(one, f)))
                pieces[3, start] = e.mul(e.mul(dho, tc), e.sub(one, o))
            for v in range(gates.vectors):
                inside = [key for key, (position, _) in gates.at.items() if position // lanes == v]
                e.store(
                    e.concat([pieces[key] for key in sorted(inside, key=lambda key: gates.at[key][0])]),
                    at(z, gates.pitch, r, v * lanes),
                )

        most = max(1, target.accumulators // rows)
        parts = 2 if back.vectors * rows * 2 <= target.accumulators else 1
        done = {}
        for v0 in range(0, back.vectors, most):
            n = min(most, back.vectors - v0)
            slots = [[[e.variable(lanes) for _ in range(n)] for _ in range(rows)] for _ in range(parts)]
            for part in slots:
                for slot_row in part:
                    for slot in slot_row:
                        e.builder.store(e.const(0.0, lanes), slot)
            for first, count in _spans(gates):
                _accumulate(
                    e,
                    slots,
                    count,
                    e.offset(e.offset(base, kt), first * back.pitch),
                    back.pitch,
                    v0,
                    [at(z, gates.pitch, r, first) for r in range(rows)],
                    1,
                    parts,
                )
            for r in range(rows):
                for v in range(n):
                    total = e.builder.load(slots[0][r][v])
                    for part in slots[1:]:
                        total = e.add(total, e.builder.load(part[r][v]))
                    done[r, v0 + v] = total
        for r in range(rows):
            for (name, start), (position, width) in back.at.items():
                piece = e.part(done[r, position // lanes], position % lanes, width)
                e.store(
                    piece,
                    at(own, shape.hidden_pitch, r, start) if name == "own" else at(below, shape.input_pitch, r, start),
                )

    @intrinsic
    def backward(typingctx, ws, z, c_prev, tanh_c, above, w_out, own, dc, kt, below):
        def codegen(context, builder, signature, args):
            e = Emitter(context, builder, target)
            base = e.base(signature.args[0], args[0])
            for first, rows, blocks in shape.row_blocks:
                with e.loop(blocks) as loop:
                    row0 = builder.add(e.index(first), builder.mul(loop.index, e.index(rows)))
                    emit_rows(e, base, row0, rows, *args[1:])
            return context.get_dummy_value()

        return _void([ws], 9), codegen

    return backward


def _spans(layout: Layout) -> list[tuple[int, int]]:
    """(first, count) runs of used columns of a layout: the padding between groups is left out."""
    spans: list[list[int]] = []
    for position, width in sorted(layout.at.values()):
        if spans and spans[-1][0] + spans[-1][1] == position:
            spans[-1][1] += width
        else:
            spans.append([position, width])
    return [(first, count) for first, count in spans]


def make_rank_update(
    layout: Layout, destination: dict[Any, int], k_rows: int, out_pitch: int, a_pitch: int, target: Target
):
    """rank_update(out, o, ws, a, z, m): a sum over m rows of outer products.

    out[o + k*out_pitch + c] = sum over rows of ws[a + row*a_pitch + k] * ws[z + row*pitch + c].

    The columns c are put back into canonical order: a piece at `layout.at[key]` goes to `destination[key]`.
    This is one matrix product over all steps and rows: each element of the result is written once.
    """
    lanes = target.lanes
    # Rows of the result per register block: balanced between loads of z (one a vector) and broadcasts of a (one a row).
    block = min(k_rows, 4)
    most = max(1, target.accumulators // block)

    def emit_block(e, base, out, k0, rows, o, a, z, m):
        for v0 in range(0, layout.vectors, most):
            n = min(most, layout.vectors - v0)
            slots = [[e.variable(lanes) for _ in range(n)] for _ in range(rows)]
            for slot_row in slots:
                for slot in slot_row:
                    e.builder.store(e.const(0.0, lanes), slot)
            inputs = [e.offset(e.offset(base, e.builder.add(a, k0)), k) for k in range(rows)]
            _accumulate(e, [slots], m, e.offset(base, z), layout.pitch, v0, inputs, a_pitch)
            for k in range(rows):
                target_row = e.offset(
                    out, e.builder.add(o, e.builder.mul(e.builder.add(k0, e.index(k)), e.index(out_pitch)))
                )
                for key, (position, width) in layout.at.items():
                    if v0 <= position // lanes < v0 + n:
                        vector = e.builder.load(slots[k][position // lanes - v0])
                        e.store(e.part(vector, position % lanes, width), e.offset(target_row, destination[key]))

    @intrinsic
    def rank_update(typingctx, out, o, ws, a, z, m):
        def codegen(context, builder, signature, args):
            e = Emitter(context, builder, target)
            out_base, base = e.base(signature.args[0], args[0]), e.base(signature.args[2], args[2])
            full, rest = divmod(k_rows, block)
            with e.loop(full) as loop:
                emit_block(e, base, out_base, builder.mul(loop.index, e.index(block)), block, args[1], *args[3:])
            if rest:
                emit_block(e, base, out_base, e.index(full * block), rest, args[1], *args[3:])
            return context.get_dummy_value()

        return types.void(out, types.int64, ws, types.int64, types.int64, types.int64), codegen

    return rank_update


def make_pack(shape: LayerShape):
    """pack(source, s, ws, d, rows): canonical rows of 4H gate columns -> tiled rows, the tanh gate's columns doubled.

    `activation` computes sigmoid(y) and tanh(y/2); doubling is exact, so the candidate gate is exactly tanh.
    """
    target, gates = shape.target, shape.gates

    @intrinsic
    def pack(typingctx, source, s, ws, d, rows):
        def codegen(context, builder, signature, args):
            e = Emitter(context, builder, target)
            origin, base = e.base(signature.args[0], args[0]), e.base(signature.args[2], args[2])
            origin, base = e.offset(origin, args[1]), e.offset(base, args[3])
            with e.loop(args[4]) as loop:
                from_row = e.offset(origin, builder.mul(loop.index, e.index(GATES * shape.hidden)))
                to_row = e.offset(base, builder.mul(loop.index, e.index(gates.pitch)))
                for (gate, start), (position, width) in gates.at.items():
                    piece = e.load(e.offset(from_row, gate * shape.hidden + start), width)
                    if gate == CANDIDATE:
                        piece = e.add(piece, piece)
                    e.store(piece, e.offset(to_row, position))
            return context.get_dummy_value()

        return types.void(source, types.int64, ws, types.int64, types.int64), codegen

    return pack


def make_transpose(shape: LayerShape, name: str):
    """transpose(source, s, ws, d): canonical [n, 4H] weights -> their transpose in `backward`'s order.

    `name` is "own" or "below": which columns of the transposed matrix these rows of the kernel become.
    Square blocks are transposed in registers; element-wise this would cost a tenth of the whole iteration.
    """
    target, gates, back = shape.target, shape.gates, shape.columns_back
    blocks: dict[int, list[tuple[int, int]]] = {}
    columns = GATES * shape.hidden
    for (key, unit), (column_back, unit_width) in back.at.items():
        if key != name:
            continue
        for (gate, start), (position, width) in gates.at.items():
            size = min(width, unit_width)
            for du in range(0, unit_width, size):
                for dg in range(0, width, size):
                    blocks.setdefault(size, []).append(
                        (
                            (unit + du) * columns + gate * shape.hidden + start + dg,
                            (position + dg) * back.pitch + column_back + du,
                        )
                    )

    def emit_block(e, size, origin, base):
        rows = [e.load(e.offset(origin, k * columns), size) for k in range(size)]
        half = size // 2
        low = [lane for i in range(half) for lane in (i, size + i)]
        high = [lane for i in range(half, size) for lane in (i, size + i)]
        for _ in range(size.bit_length() - 1):  # log2(size) perfect shuffles transpose a square
            rows = [e.shuffle(rows[i], rows[i + half], lanes) for i in range(half) for lanes in (low, high)]
        for k in range(size):
            e.store(rows[k], e.offset(base, k * back.pitch))

    @intrinsic
    def transpose(typingctx, source, s, ws, d):
        def codegen(context, builder, signature, args):
            e = Emitter(context, builder, target)
            origin, base = e.base(signature.args[0], args[0]), e.base(signature.args[2], args[2])
            origin, base = e.offset(origin, args[1]), e.offset(base, args[3])
            for size, pairs in blocks.items():
                table_type = ir.ArrayType(e.i64, 2 * len(pairs))
                table = cgutils.global_constant(
                    builder, f"transpose_{name}_{size}", ir.Constant(table_type, [x for pair in pairs for x in pair])
                )
                with e.loop(len(pairs)) as loop:
                    at = builder.mul(loop.index, e.index(2))
                    source_at = builder.load(builder.gep(table, [e.index(0), at]))
                    target_at = builder.load(builder.gep(table, [e.index(0), builder.add(at, e.index(1))]))
                    emit_block(e, size, e.offset(origin, source_at), e.offset(base, target_at))
            return context.get_dummy_value()

        return types.void(source, types.int64, ws, types.int64), codegen

    return transpose
