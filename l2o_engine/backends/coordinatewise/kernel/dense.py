"""The arithmetic of LSTMs and perceptrons: products of lines with weights, activations, the way back through both."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from l2o_engine.backends.compiled import functions
from l2o_engine.backends.compiled.vectors import CANDIDATE, GATES, Target
from l2o_engine.backends.coordinatewise.kernel.lines import VECTORS, Lines, columns_of, operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from l2o_engine.backends.compiled.vectors import Emitter


def _new_cell(lines: Lines, gates: list[Any], c_prev: Any, c: Any, line: Any, vector: int) -> Any:
    """Write a unit's new cell, given its activated gates, and return it."""
    e = lines.e
    i, j, f, _ = gates
    cell = e.fma(f, lines.load(c_prev, line, vector), e.mul(i, j))
    lines.store(cell, c, line, vector)
    return cell


def _new_output(lines: Lines, cell: Any, o: Any, h: Any, tanh_c: Any, line: Any, vector: int) -> None:
    """Write a unit's new output, given its cell and its gate o; and the cell's tanh, unless `tanh_c` is None."""
    squashed = functions.fast_tanh(lines.e, cell)
    lines.store(lines.e.mul(o, squashed), h, line, vector)
    if tanh_c is not None:
        lines.store(squashed, tanh_c, line, vector)


def _activated(e: Emitter, gate: int, total: Any) -> Any:
    """Return a gate, given the sum that goes into it."""
    return functions.fast_tanh(e, total) if gate == CANDIDATE else functions.sigmoid(e, total)


def make_layer(target: Target, *, tapes: bool = False, keeps: bool = False) -> Any:
    """layer(ws, w, at, below, n_below, own, n_own, c_prev, c, h[, z[, tanh_c]]): one step of one layer, for a block.

    Reads the layer's n_below inputs and n_own previous outputs, which are its units, and writes the new cells at c and
    the new outputs at h; c may be c_prev. If it tapes, it also writes the activated gates at z and the cells' tanh; if
    it keeps, the gates alone, past the caches.
    """

    def emit(
        lines: Lines, at: Any, below: Any, n_below: Any, own: Any, n_own: Any, c_prev: Any, c: Any, h: Any, *tape: Any
    ) -> None:
        e, b = lines.e, lines.e.builder
        depth = b.add(e.index(1), b.add(n_below, n_own))
        tanh_c = tape[1] if tapes else None
        for first, width in lines.tiles(b.mul(n_own, e.index(GATES))):
            weights = lines.tile_weights(at, first, depth)
            sums = lines.begin(weights, width)
            lines.add_products(sums, e.offset(weights, width), below, n_below)
            after = e.offset(weights, b.mul(b.add(e.index(1), n_below), e.index(width)))
            lines.add_products(sums, after, own, n_own)
            ends = []
            for unit in range(width // GATES):
                line = b.add(b.udiv(first, e.index(GATES)), e.index(unit))
                active = e.side_by_side(
                    [
                        partial(_activated, e, gate, b.load(sums[GATES * unit + gate][vector]))
                        for vector in range(VECTORS)
                        for gate in range(GATES)
                    ]
                )
                for vector in range(VECTORS):
                    gates = active[GATES * vector : GATES * (vector + 1)]
                    cell = _new_cell(lines, gates, c_prev, c, line, vector)
                    ends.append(partial(_new_output, lines, cell, gates[-1], h, tanh_c, line, vector))
                    for gate, value in enumerate(gates if tape else ()):
                        place = lines.at(tape[0], b.add(first, e.index(GATES * unit + gate)), vector)
                        (e.stream if keeps else e.store)(value, place)
            e.side_by_side(ends)

    arguments = "at below n_below own n_own c_prev c h" + (" z tanh_c" if tapes else " z" if keeps else "")
    return operation("layer", target, "ws w", arguments, emit)


def make_recall(target: Target) -> Any:
    """recall(ws, kept, gates, n, c_prev, c, h, tanh_c): a step of a layer of n units whose gates are known.

    They lie at `gates` of kept; cells, outputs and the cells' tanh are written to ws.
    """

    def emit(lines: Lines, kept: Any, gates: Any, n: Any, c_prev: Any, c: Any, h: Any, tanh_c: Any) -> None:
        e, b = lines.e, lines.e.builder
        there = Lines(e, kept, None)
        with e.loop(n) as loop:
            first = b.mul(loop.index, e.index(GATES))
            for vector in range(VECTORS):
                known = [there.load(gates, b.add(first, e.index(gate)), vector) for gate in range(GATES)]
                cell = _new_cell(lines, known, c_prev, c, loop.index, vector)
                _new_output(lines, cell, known[-1], h, tanh_c, loop.index, vector)

    return operation("recall", target, "ws kept", "gates n c_prev c h tanh_c", emit)


def make_product(target: Target, *, fetches: bool = False) -> Any:
    """product(ws, w, at, a, n, out, columns): out = biases + weights · a, of n lines; columns are a multiple of 4.

    If it fetches (ws, w, kept, …, near, done, rate), it has vectors of kept brought near meanwhile, which are read
    soon: those from `near` on, rate/256 of them for each line that is multiplied with a tile; `done` lines were so
    before this call. One now and then costs nothing, where many at once would wait for one another.
    """

    def emit(lines: Lines, *given: Any) -> None:
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
        return operation("product", target, "ws w kept", "at a n out columns near done rate", emit)
    return operation("product", target, "ws w", "at a n out columns", emit)


def make_output(target: Target) -> Any:
    """output(ws, w, at, h, n, y): y = bias + weights · h, one line of n."""

    def emit(lines: Lines, at: Any, h: Any, n: Any, y: Any) -> None:
        e = lines.e
        weights = e.offset(lines.w, at)
        sums = lines.begin(weights, 1)
        lines.add_products(sums, e.offset(weights, 1), h, n)
        for vector, slot in enumerate(sums[0]):
            lines.store(e.builder.load(slot), y, e.index(0), vector)

    return operation("output", target, "ws w", "at h n y", emit)


def make_sum(target: Target) -> Any:
    """add_lines(ws, at, n, out): out = Σ of n lines that lie one behind the other."""
    return _make_fold("add_lines", target, lambda e, total, line: e.add(total, line))


def make_largest(target: Target) -> Any:
    """largest(ws, at, n, out): out = the greatest sizes in n lines, one behind the other; NaN is none."""

    def larger(e: Emitter, most: Any, line: Any) -> Any:
        b = e.builder
        size = b.select(b.fcmp_ordered("<", line, e.const(0.0, e.target.lanes)), b.fneg(line), line)
        return b.select(b.fcmp_ordered(">", size, most), size, most)

    return _make_fold("largest", target, larger)


def _make_fold(name: str, target: Target, fold: Callable[[Emitter, Any, Any], Any]) -> Any:
    """Return an operation (ws, at, n, out) that makes one line of n, beginning with 0."""

    def emit(lines: Lines, at: Any, n: Any, out: Any) -> None:
        e, b = lines.e, lines.e.builder
        found = [e.variable(e.target.lanes) for _ in range(VECTORS)]
        for slot in found:
            b.store(e.const(0.0, e.target.lanes), slot)
        with e.loop(n) as loop:
            for vector, slot in enumerate(found):
                b.store(fold(e, b.load(slot), lines.load(at, loop.index, vector)), slot)
        for vector, slot in enumerate(found):
            lines.store(b.load(slot), out, e.index(0), vector)

    return operation(name, target, "ws", "at n out", emit)


def make_cells_back(target: Target, *, top: bool) -> Any:
    """cells_back(ws, kept, at, gates, z, n, c_prev, tanh_c, own, above, dc): the way back through a layer's n cells.

    The derivative by the layer's outputs is `own`, from the next step, plus those at `above`; for the top layer plus
    the line at `above` times the output's weights at `at` of ws. Given the gates in kept, which may be ws, z becomes
    the derivatives by what they were activated of, dc those by the previous cells.
    """

    def emit(
        lines: Lines, kept: Any, at: Any, gates: Any, z: Any, n: Any, c_prev: Any, tanh_c: Any, own: Any, above: Any,
        dc: Any,
    ) -> None:  # fmt: skip
        e, b = lines.e, lines.e.builder
        there = Lines(e, kept, None)
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

    return operation("cells_back", target, "ws kept", "at gates z n c_prev tanh_c own above dc", emit)


def make_activation(target: Target, function: Callable[[Emitter, Any], Any]) -> Any:
    """activation(ws, a, n): n lines become what a function of them is."""

    def emit(lines: Lines, a: Any, n: Any) -> None:
        with lines.e.loop(n) as loop:
            for vector in range(VECTORS):
                value = lines.load(a, loop.index, vector)
                lines.store(function(lines.e, value), a, loop.index, vector)

    return operation(function.__name__, target, "ws", "a n", emit)


def make_elu(target: Target) -> Any:
    """elu(ws, a, n): n lines become what the exponential linear unit makes of them."""

    def emit(lines: Lines, a: Any, n: Any) -> None:
        e, b = lines.e, lines.e.builder
        zero = e.const(0.0, e.target.lanes)
        with e.loop(n) as loop:
            for vector in range(VECTORS):
                value = lines.load(a, loop.index, vector)
                below = functions.expm1(e, value)
                lines.store(b.select(b.fcmp_ordered(">", value, zero), value, below), a, loop.index, vector)

    return operation("elu", target, "ws", "a n", emit)


def make_elu_back(target: Target) -> Any:
    """elu_back(ws, out, d, n): derivatives by its outputs become those by its inputs."""

    def emit(lines: Lines, out: Any, d: Any, n: Any) -> None:
        e, b = lines.e, lines.e.builder
        zero, one = (e.const(x, e.target.lanes) for x in (0.0, 1.0))
        with e.loop(n) as loop:
            for vector in range(VECTORS):
                value = lines.load(out, loop.index, vector)
                slope = e.add(b.select(b.fcmp_ordered(">", value, zero), zero, value), one)
                lines.store(e.mul(slope, lines.load(d, loop.index, vector)), d, loop.index, vector)

    return operation("elu_back", target, "ws", "out d n", emit)


def make_outer(target: Target, *, biases: bool = False) -> Any:
    """outer(out, ws, to, pitch, a, n, a_step, z, columns, z_step, steps): products of lines, summed over rows, steps.

    out[to + k·pitch + c] += Σ a[k]·z[c] over the rows of so many steps, whose lines lie a_step and z_step numbers
    apart; out is float64, columns are a multiple of 4.

    With biases (…, steps, bias) out[bias + c] += Σ z[c], too, while the first lines are multiplied: what only adds has
    units of the CPU to itself.
    """

    def emit_tile(
        lines: Lines, out: Any, a: Any, height: int, a_step: Any, z: Any, width: int, z_step: Any, steps: Any,
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
        lines: Lines, out: Any, to: Any, pitch: Any, a: Any, n: Any, a_step: Any, z: Any, columns: Any, z_step: Any,
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
    return operation("outer", target, "out ws", arguments, emit)
