"""The dense operations of the kernel, emitted as LLVM vector code: rows along the vector's lanes.

A *line* is one number of each row of a block, side by side: ``block`` numbers of the workspace, two vectors of them. A
layer's units, its gates, its inputs are lines one behind the other, so that a weight meets all rows of a block at
once, no lane is ever padding whatever the sizes are, and these are arguments: one compiled kernel does for all
networks. What is added up is held in registers, a tile of columns by two vectors.

Gates lie unit by unit, [i j f o] of the first, then of the next. Weights come packed for it (`pack.py`): tile by tile,
in each a line of biases and then a line an input, :func:`columns_of` numbers each.

Operations work on one flat workspace ``ws``, other flat arrays (packed weights ``w``, gates that were ``kept``, float64
sums ``out``), and offsets into them, in elements. What goes into lines, images, and what is made of gradients come and
go in arrays of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from l2o_engine.backends.compiled.vectors import CANDIDATE, GATES, Emitter, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VECTORS = 2
"""Vectors of a line."""

HALF = 4
"""Columns of the narrow tile, for what is left where the wide one does not go into their number."""


def block_of(target: Target) -> int:
    """Return how many rows a block has."""
    return VECTORS * target.lanes


def columns_of(target: Target) -> int:
    """Return how many columns a wide tile has: as many as there are registers for."""
    return 2 * HALF if target.accumulators >= 24 else HALF


class _Lines:
    """Writes the instructions of one operation: where lines are, and sums of products of them."""

    def __init__(self, emitter: Emitter, ws: Any, w: Any) -> None:
        self.e, self.ws, self.w = emitter, ws, w
        self.block = block_of(emitter.target)

    def at(self, start: Any, line: Any, vector: int = 0) -> Any:
        """Return the address of a vector of a line."""
        e, b = self.e, self.e.builder
        return e.offset(
            self.ws, b.add(b.add(start, b.mul(line, e.index(self.block))), e.index(vector * e.target.lanes))
        )

    def load(self, start: Any, line: Any, vector: int) -> Any:
        return self.e.load(self.at(start, line, vector), self.e.target.lanes)

    def store(self, value: Any, start: Any, line: Any, vector: int) -> None:
        self.e.store(value, self.at(start, line, vector))

    def tiles(self, columns: Any) -> Iterator[tuple[Any, int]]:
        """Yield first column and width of the tiles of so many columns."""
        e, b = self.e, self.e.builder
        wide = columns_of(e.target)
        with e.loop(b.udiv(columns, e.index(wide))) as loop:
            yield b.mul(loop.index, e.index(wide)), wide
        if wide > HALF:
            done = b.mul(b.udiv(columns, e.index(wide)), e.index(wide))
            with b.if_then(b.icmp_unsigned("<", done, columns)):
                yield done, HALF

    def begin(self, weights: Any, width: int) -> list[list[Any]]:
        """Return sums [column][vector] that begin with the tile's biases."""
        e = self.e
        sums = []
        for column in range(width):
            bias = e.splat_load(e.offset(weights, column), e.target.lanes)
            sums.append([e.variable(e.target.lanes) for _ in range(VECTORS)])
            for slot in sums[-1]:
                e.builder.store(bias, slot)
        return sums

    def add_products(
        self, sums: list[list[Any]], weights: Any, lines: Any, count: Any, beside: Callable[[Any], None] | None = None
    ) -> None:
        """Add to each column's sums its weights' products with so many lines from an offset on.

        What is written `beside` is done at each line, whose number it is told.
        """
        e, b = self.e, self.e.builder
        width = len(sums)
        with e.loop(count) as loop:
            if beside:
                beside(loop.index)
            values = [self.load(lines, loop.index, vector) for vector in range(VECTORS)]
            row = e.offset(weights, b.mul(loop.index, e.index(width)))
            for column, slots in enumerate(sums):
                weight = e.splat_load(e.offset(row, column), e.target.lanes)
                for value, slot in zip(values, slots, strict=True):
                    b.store(e.fma(weight, value, b.load(slot)), slot)

    def move_cell(self, gates: list[Any], c_prev: Any, c: Any, h: Any, line: Any, vector: int) -> Any:
        """Write a unit's new cell and output, given its activated gates; return the cell's tanh."""
        e = self.e
        i, j, f, o = gates
        cell = e.fma(f, self.load(c_prev, line, vector), e.mul(i, j))
        squashed = e.fast_tanh(cell)
        self.store(cell, c, line, vector)
        self.store(e.mul(o, squashed), h, line, vector)
        return squashed

    def add_totals(self, slots: list[Any], outs: list[Any]) -> None:
        """Add the sums of slots' lanes to float64 numbers, as many at each of several addresses."""
        e, b = self.e, self.e.builder
        sums = e.totals([b.load(slot) for slot in slots])
        lanes, width = sums[0].type.count, len(slots) // len(outs)
        piece = min(lanes, width)
        doubles = ir.VectorType(ir.DoubleType(), piece)
        for first in range(0, len(slots), piece):
            k, column = divmod(first, width)
            place = b.bitcast(e.offset(outs[k], e.index(column)), doubles.as_pointer())
            found = e.part(sums[first // lanes], first % lanes, piece)
            if found.type != doubles:
                found = b.fpext(found, doubles)
            b.store(b.fadd(b.load(place, align=8), found), place, align=8)

    def tile_weights(self, start: Any, first: Any, lines: Any) -> Any:
        """Return the address of a tile's packed weights: before it lie all columns before, of so many lines each."""
        b = self.e.builder
        return self.e.offset(self.w, b.add(start, b.mul(first, lines)))


def _intrinsic(name: str, target: Target, arrays: str, arguments: str, emit: Callable[..., None]) -> Any:
    """Return an operation on so many arrays and int64 arguments.

    ``emit(lines, *others, *arguments)`` writes it: others are the addresses of arrays besides ws and w.
    """
    count, named = len(arguments.split()), arrays.split()

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        e = Emitter(context, builder, target)
        bases = {array: e.base(signature.args[k], args[k]) for k, array in enumerate(named)}
        lines = _Lines(e, bases.pop("ws", None), bases.pop("w", None))
        emit(lines, *bases.values(), *args[len(named) :])
        return context.get_dummy_value()

    def typed(typingctx: Any, *given: Any) -> Any:
        return types.void(*given[: len(named)], *([types.int64] * count)), codegen

    # Numba wants a function with named arguments.
    names = ", ".join(["typingctx", *named, *arguments.split()])
    namespace: dict[str, Any] = {"typed": typed, "__name__": __name__}
    exec(f"def {name}({names}):\n    return typed({names})", namespace)  # noqa: S102 (our own text)
    return intrinsic(namespace[name])


def make_layer(target: Target, *, tapes: bool = False, keeps: bool = False) -> Any:
    """layer(ws, w, at, below, n_below, own, n_own, c_prev, c, h[, z[, tanh_c]]): one step of one layer, for a block.

    Reads the layer's n_below inputs and n_own previous outputs, which are its units, and writes the new cells at c and
    the new outputs at h; c may be c_prev. If it tapes, it also writes the activated gates at z and the cells' tanh; if
    it keeps, the gates alone, past the caches.
    """

    def emit(
        lines: _Lines, at: Any, below: Any, n_below: Any, own: Any, n_own: Any, c_prev: Any, c: Any, h: Any, *tape: Any
    ) -> None:
        e, b = lines.e, lines.e.builder
        depth = b.add(e.index(1), b.add(n_below, n_own))
        for first, width in lines.tiles(b.mul(n_own, e.index(GATES))):
            weights = lines.tile_weights(at, first, depth)
            sums = lines.begin(weights, width)
            lines.add_products(sums, e.offset(weights, width), below, n_below)
            after = e.offset(weights, b.mul(b.add(e.index(1), n_below), e.index(width)))
            lines.add_products(sums, after, own, n_own)
            for unit in range(width // GATES):
                line = b.add(b.udiv(first, e.index(GATES)), e.index(unit))
                for vector in range(VECTORS):
                    gates = []
                    for gate in range(GATES):
                        total = b.load(sums[GATES * unit + gate][vector])
                        gates.append(e.fast_tanh(total) if gate == CANDIDATE else e.sigmoid(total))
                    squashed = lines.move_cell(gates, c_prev, c, h, line, vector)
                    for gate, active in enumerate(gates if tape else ()):
                        place = lines.at(tape[0], b.add(first, e.index(GATES * unit + gate)), vector)
                        (e.stream if keeps else e.store)(active, place)
                    if tapes:
                        lines.store(squashed, tape[1], line, vector)

    arguments = "at below n_below own n_own c_prev c h" + (" z tanh_c" if tapes else " z" if keeps else "")
    return _intrinsic("layer", target, "ws w", arguments, emit)


def make_recall(target: Target) -> Any:
    """recall(ws, kept, gates, n, c_prev, c, h, tanh_c): a step of a layer of n units whose gates are known.

    They lie at `gates` of kept; cells, outputs and the cells' tanh are written to ws.
    """

    def emit(lines: _Lines, kept: Any, gates: Any, n: Any, c_prev: Any, c: Any, h: Any, tanh_c: Any) -> None:
        e, b = lines.e, lines.e.builder
        there = _Lines(e, kept, None)
        with e.loop(n) as loop:
            first = b.mul(loop.index, e.index(GATES))
            for vector in range(VECTORS):
                known = [there.load(gates, b.add(first, e.index(gate)), vector) for gate in range(GATES)]
                lines.store(lines.move_cell(known, c_prev, c, h, loop.index, vector), tanh_c, loop.index, vector)

    return _intrinsic("recall", target, "ws kept", "gates n c_prev c h tanh_c", emit)


def make_product(target: Target, *, fetches: bool = False) -> Any:
    """product(ws, w, at, a, n, out, columns): out = biases + weights · a, of n lines; columns are a multiple of 4.

    If it fetches (ws, w, kept, …, near, done, rate), it has vectors of kept brought near meanwhile, which are read
    soon: those from `near` on, rate/256 of them for each line that is multiplied with a tile; `done` lines were so
    before this call. One now and then costs nothing, where many at once would wait for one another.
    """

    def emit(lines: _Lines, *given: Any) -> None:
        e, b = lines.e, lines.e.builder
        *kept, at, a, n, out, columns = given[: 6 if fetches else 5]
        depth = b.add(e.index(1), n)
        for first, width in lines.tiles(columns):
            weights = lines.tile_weights(at, first, depth)
            sums = lines.begin(weights, width)

            def fetch(line: Any, first: Any = first) -> None:
                near, done, rate = given[6:]
                here = b.add(b.mul(b.udiv(first, e.index(columns_of(e.target))), n), line)
                vector = b.lshr(b.mul(b.add(done, here), rate), e.index(8))
                e.prefetch(e.offset(kept[0], b.add(near, b.mul(vector, e.index(e.target.lanes)))))

            lines.add_products(sums, e.offset(weights, width), a, n, fetch if fetches else None)
            for column, slots in enumerate(sums):
                for vector, slot in enumerate(slots):
                    lines.store(b.load(slot), out, b.add(first, e.index(column)), vector)

    if fetches:
        return _intrinsic("product", target, "ws w kept", "at a n out columns near done rate", emit)
    return _intrinsic("product", target, "ws w", "at a n out columns", emit)


def make_output(target: Target) -> Any:
    """output(ws, w, at, h, n, y): y = bias + weights · h, one line of n."""

    def emit(lines: _Lines, at: Any, h: Any, n: Any, y: Any) -> None:
        e = lines.e
        weights = e.offset(lines.w, at)
        sums = lines.begin(weights, 1)
        lines.add_products(sums, e.offset(weights, 1), h, n)
        for vector, slot in enumerate(sums[0]):
            lines.store(e.builder.load(slot), y, e.index(0), vector)

    return _intrinsic("output", target, "ws w", "at h n y", emit)


def make_cells_back(target: Target, *, top: bool) -> Any:
    """cells_back(ws, kept, at, gates, z, n, c_prev, tanh_c, own, above, dc): the way back through a layer's n cells.

    The derivative by the layer's outputs is `own`, from the next step, plus those at `above`; for the top layer plus
    the line at `above` times the output's weights at `at` of ws. Given the gates in kept, which may be ws, z becomes
    the derivatives by what they were activated of, dc those by the previous cells.
    """

    def emit(
        lines: _Lines, kept: Any, at: Any, gates: Any, z: Any, n: Any, c_prev: Any, tanh_c: Any, own: Any, above: Any,
        dc: Any,
    ) -> None:  # fmt: skip
        e, b = lines.e, lines.e.builder
        there = _Lines(e, kept, None)
        one = e.const(1.0, e.target.lanes)
        with e.loop(n) as loop:
            first = b.mul(loop.index, e.index(GATES))
            for vector in range(VECTORS):
                i, j, f, o = (there.load(gates, b.add(first, e.index(gate)), vector) for gate in range(GATES))
                squashed, previous = (lines.load(start, loop.index, vector) for start in (tanh_c, c_prev))
                dh = lines.load(own, loop.index, vector)
                if top:
                    weight = e.splat_load(e.offset(e.offset(lines.ws, at), loop.index), e.target.lanes)
                    dh = e.fma(weight, lines.load(above, e.index(0), vector), dh)
                else:
                    dh = e.add(dh, lines.load(above, loop.index, vector))
                dho = e.mul(dh, o)
                dcell = lines.load(dc, loop.index, vector)
                dcell = e.add(dcell, e.mul(dho, e.sub(one, e.mul(squashed, squashed))))
                lines.store(e.mul(dcell, f), dc, loop.index, vector)
                by_gates = (
                    e.mul(e.mul(dcell, j), e.mul(i, e.sub(one, i))),
                    e.mul(e.mul(dcell, i), e.sub(one, e.mul(j, j))),
                    e.mul(e.mul(dcell, previous), e.mul(f, e.sub(one, f))),
                    e.mul(e.mul(dho, squashed), e.sub(one, o)),
                )
                for gate, by_gate in enumerate(by_gates):
                    lines.store(by_gate, z, b.add(first, e.index(gate)), vector)

    return _intrinsic("cells_back", target, "ws kept", "at gates z n c_prev tanh_c own above dc", emit)


def make_activation(target: Target, function: str) -> Any:
    """activation(ws, a, n): n lines become what a function of the emitter makes of them."""

    def emit(lines: _Lines, a: Any, n: Any) -> None:
        with lines.e.loop(n) as loop:
            for vector in range(VECTORS):
                value = lines.load(a, loop.index, vector)
                lines.store(getattr(lines.e, function)(value), a, loop.index, vector)

    return _intrinsic(function, target, "ws", "a n", emit)


def make_transposition(target: Target, *, into_lines: bool) -> Any:
    """rows_to_lines(ws, values, to, at, n): a whole block's rows of n numbers, one behind the other, become n lines.

    lines_to_rows(ws, values, to, at, n): and back, into the rows at `at` of values. There are as many numbers as a
    vector has lanes, or more: where they are not whole vectors, the last of these are moved twice.
    """

    def emit(lines: _Lines, values: Any, to: Any, at: Any, n: Any) -> None:
        e, b = lines.e, lines.e.builder
        lanes = e.target.lanes
        last = b.sub(n, e.index(lanes))
        with e.loop(b.udiv(b.add(n, e.index(lanes - 1)), e.index(lanes))) as loop:
            first = b.mul(loop.index, e.index(lanes))
            first = b.select(b.icmp_unsigned("<", first, last), first, last)
            for vector in range(VECTORS):
                here = [
                    e.offset(values, b.add(b.add(at, b.mul(e.index(vector * lanes + row), n)), first))
                    for row in range(lanes)
                ]
                there = [lines.at(to, b.add(first, e.index(line)), vector) for line in range(lanes)]
                start, end = (here, there) if into_lines else (there, here)
                for moved, place in zip(e.transposed([e.load(one, lanes) for one in start]), end, strict=True):
                    e.store(moved, place)

    return _intrinsic("rows_to_lines" if into_lines else "lines_to_rows", target, "ws values", "to at n", emit)


def make_images(target: Target) -> Any:
    """images(ws, pixels, chosen, to, first, count, n, white): put a block of images into lines, a pixel of all each.

    Pixels are uint8 [all, n], and become the share of white that they are; `first` of the `count` chosen ones is the
    block's first. In place of those behind the last stands the first of all; n is a multiple of a vector's lanes.
    """

    def emit(lines: _Lines, pixels: Any, chosen: Any, to: Any, first: Any, count: Any, n: Any, white: Any) -> None:
        e, b = lines.e, lines.e.builder
        lanes = e.target.lanes
        brightest = e.splat(b.sitofp(white, e.scalar), lanes)
        numbers = ir.VectorType(e.scalar, lanes)
        for vector in range(VECTORS):
            images = []
            for lane in range(lanes):
                place = b.add(first, e.index(vector * lanes + lane))
                place = b.select(b.icmp_signed("<", place, count), place, e.index(0))
                images.append(b.gep(pixels, [b.mul(b.load(e.offset(chosen, place)), n)]))
            with e.loop(b.udiv(n, e.index(lanes))) as loop:
                pixel = b.mul(loop.index, e.index(lanes))
                shades = []
                for image in images:
                    some = b.bitcast(b.gep(image, [pixel]), ir.VectorType(ir.IntType(8), lanes).as_pointer())
                    shades.append(b.fdiv(b.uitofp(b.load(some, align=1), numbers), brightest))
                for lane, shade in enumerate(e.transposed(shades)):
                    lines.store(shade, to, b.add(pixel, e.index(lane)), vector)

    return _intrinsic("images", target, "ws pixels chosen", "to first count n white", emit)


def make_log_and_sign(target: Target) -> Any:
    """log_and_sign(gradients, settings, seen, at, to, apart, n): max(log(|g| + ε)/k, -1) and g·e^k held within ±1.

    Of n gradients from `at` on, which need not be whole vectors; settings are k, e^k and ε. The first is written from
    `to` on, the second so many numbers behind it.
    """

    def emit(lines: _Lines, gradients: Any, settings: Any, seen: Any, at: Any, to: Any, apart: Any, n: Any) -> None:
        e, b = lines.e, lines.e.builder

        def encode(first: Any, lanes: int) -> None:
            gradient = e.load(e.offset(gradients, b.add(at, first)), lanes)
            k, scale, epsilon = (e.splat_load(e.offset(settings, place), lanes) for place in range(3))
            one, minus_one, zero = (e.const(x, lanes) for x in (1.0, -1.0, 0.0))
            size = b.select(b.fcmp_ordered("<", gradient, zero), e.sub(zero, gradient), gradient)
            magnitude = b.fdiv(e.log(e.add(size, epsilon)), k)
            magnitude = b.select(b.fcmp_ordered("<", magnitude, minus_one), minus_one, magnitude)
            sign = e.mul(gradient, scale)
            sign = b.select(b.fcmp_ordered("<", sign, minus_one), minus_one, sign)
            sign = b.select(b.fcmp_ordered(">", sign, one), one, sign)
            place = b.add(to, first)
            e.store(magnitude, e.offset(seen, place))
            e.store(sign, e.offset(seen, b.add(place, apart)))

        lanes = e.index(e.target.lanes)
        with e.loop(b.udiv(n, lanes)) as loop:
            encode(b.mul(loop.index, lanes), e.target.lanes)
        with e.loop(b.urem(n, lanes)) as loop:
            encode(b.sub(b.sub(n, loop.index), e.index(1)), 1)

    return _intrinsic("log_and_sign", target, "gradients settings seen", "at to apart n", emit)


def make_elu(target: Target) -> Any:
    """elu(ws, a, n): n lines become what the exponential linear unit makes of them."""

    def emit(lines: _Lines, a: Any, n: Any) -> None:
        e, b = lines.e, lines.e.builder
        zero = e.const(0.0, e.target.lanes)
        with e.loop(n) as loop:
            for vector in range(VECTORS):
                value = lines.load(a, loop.index, vector)
                below = e.expm1(value)
                lines.store(b.select(b.fcmp_ordered(">", value, zero), value, below), a, loop.index, vector)

    return _intrinsic("elu", target, "ws", "a n", emit)


def make_elu_back(target: Target) -> Any:
    """elu_back(ws, out, d, n): derivatives by its outputs become those by its inputs."""

    def emit(lines: _Lines, out: Any, d: Any, n: Any) -> None:
        e, b = lines.e, lines.e.builder
        zero, one = (e.const(x, e.target.lanes) for x in (0.0, 1.0))
        with e.loop(n) as loop:
            for vector in range(VECTORS):
                value = lines.load(out, loop.index, vector)
                slope = e.add(b.select(b.fcmp_ordered(">", value, zero), zero, value), one)
                lines.store(e.mul(slope, lines.load(d, loop.index, vector)), d, loop.index, vector)

    return _intrinsic("elu_back", target, "ws", "out d n", emit)


def make_outer(target: Target, *, biases: bool = False) -> Any:
    """outer(out, ws, to, pitch, a, n, a_step, z, columns, z_step, steps): products of lines, summed over rows, steps.

    out[to + k·pitch + c] += Σ a[k]·z[c] over the rows of so many steps, whose lines lie a_step and z_step numbers
    apart; out is float64, columns are a multiple of 4.

    With biases (…, steps, bias) out[bias + c] += Σ z[c], too, while the first lines are multiplied: what only adds has
    units of the CPU to itself.
    """

    def emit_tile(
        lines: _Lines, out: Any, a: Any, height: int, a_step: Any, z: Any, width: int, z_step: Any, steps: Any,
        pitch: Any, bias: Any,
    ) -> None:  # fmt: skip
        e, b = lines.e, lines.e.builder
        slots = [e.variable(e.target.lanes) for _ in range(height * width)]
        own = [] if bias is None else [e.variable(e.target.lanes) for _ in range(width)]
        for slot in (*slots, *own):
            b.store(e.const(0.0, e.target.lanes), slot)
        with e.loop(steps) as loop:
            a_now, z_now = b.add(a, b.mul(loop.index, a_step)), b.add(z, b.mul(loop.index, z_step))
            for vector in range(VECTORS):
                factors = [lines.load(a_now, e.index(k), vector) for k in range(height)]
                for column in range(width):
                    value = lines.load(z_now, e.index(column), vector)
                    for k, factor in enumerate(factors):
                        slot = slots[k * width + column]
                        b.store(e.fma(factor, value, b.load(slot)), slot)
                    for slot in own[column : column + 1]:
                        b.store(e.add(b.load(slot), value), slot)
        lines.add_totals(slots, [e.offset(out, b.mul(e.index(k), pitch)) for k in range(height)])
        if own:
            lines.add_totals(own, [bias])

    def emit(
        lines: _Lines, out: Any, to: Any, pitch: Any, a: Any, n: Any, a_step: Any, z: Any, columns: Any, z_step: Any,
        steps: Any, *bias: Any,
    ) -> None:  # fmt: skip
        e, b = lines.e, lines.e.builder
        block = e.index(lines.block)
        for first, width in lines.tiles(columns):
            z_tile = b.add(z, b.mul(first, block))
            pairs = b.udiv(n, e.index(2))

            def tile(
                k: Any, height: int, *bias: Any, first: Any = first, width: int = width, z_tile: Any = z_tile
            ) -> None:
                place = e.offset(out, b.add(b.add(to, first), b.mul(k, pitch)))
                sums = e.offset(out, b.add(bias[0], first)) if bias else None
                start = b.add(a, b.mul(k, block))
                emit_tile(lines, place, start, height, a_step, z_tile, width, z_step, steps, pitch, sums)

            if bias:
                with b.if_else(b.icmp_unsigned("<", n, e.index(2))) as (single, several):
                    with single:
                        tile(e.index(0), 1, *bias)
                    with several:
                        tile(e.index(0), 2, *bias)
            done = e.index(1 if bias else 0)
            with e.loop(b.sub(pairs, done)) as loop:
                tile(b.mul(b.add(loop.index, done), e.index(2)), 2)
            taken = b.mul(b.select(b.icmp_unsigned("<", pairs, done), done, pairs), e.index(2))
            with b.if_then(b.icmp_unsigned("<", taken, n)):
                tile(taken, 1)

    arguments = "to pitch a n a_step z columns z_step steps" + (" bias" if biases else "")
    return _intrinsic("outer", target, "out ws", arguments, emit)
