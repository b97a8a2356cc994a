"""What goes into lines, and what comes out of them: copies, rows that are transposed, images, gradients and points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llvmlite import ir

from l2o_engine.backends.compiled import functions
from l2o_engine.backends.coordinatewise.kernel.lines import VECTORS, Lines, operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from l2o_engine.backends.compiled.vectors import Target


def make_transposition(target: Target, *, into_lines: bool) -> Any:
    """rows_to_lines(ws, values, to, at, n): a whole block's rows of n numbers, one behind the other, become n lines.

    lines_to_rows(ws, values, to, at, n): and back, into the rows at `at` of values. There are as many numbers as a
    vector has lanes, or more: where they are not whole vectors, some of the last are moved twice.
    """

    def emit(lines: Lines, values: Any, to: Any, at: Any, n: Any) -> None:
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

    return operation("rows_to_lines" if into_lines else "lines_to_rows", target, "ws values", "to at n", emit)


def make_copy(target: Target) -> Any:
    """copy_lines(ws, values, to, at, n): as many numbers as n lines have, from `at` on, become lines."""

    def emit(lines: Lines, values: Any, to: Any, at: Any, n: Any) -> None:
        there = Lines(lines.e, values, None)
        with lines.e.loop(n) as loop:
            for vector in range(VECTORS):
                lines.store(there.load(at, loop.index, vector), to, loop.index, vector)

    return operation("copy_lines", target, "ws values", "to at n", emit)


def make_clear(target: Target) -> Any:
    """clear_lines(ws, at, n): n lines become 0."""

    def emit(lines: Lines, at: Any, n: Any) -> None:
        with lines.e.loop(n) as loop:
            for vector in range(VECTORS):
                lines.store(lines.e.const(0.0, lines.e.target.lanes), at, loop.index, vector)

    return operation("clear_lines", target, "ws", "at n", emit)


def make_scaled_load(target: Target) -> Any:
    """load_scaled(ws, values, to, at, factor): values from `at` on, times the one at `factor` of ws, are a line."""

    def emit(lines: Lines, values: Any, to: Any, at: Any, factor: Any) -> None:
        e = lines.e
        there, scale = Lines(e, values, None), e.splat_load(e.offset(lines.ws, factor), e.target.lanes)
        for vector in range(VECTORS):
            lines.store(e.mul(scale, there.load(at, e.index(0), vector)), to, e.index(0), vector)

    return operation("load_scaled", target, "ws values", "to at factor", emit)


def make_scaled(target: Target) -> Any:
    """put_scaled(ws, values, factor, at, to): the line at `at`, times the one factor, becomes values from `to` on."""

    def emit(lines: Lines, values: Any, factor: Any, at: Any, to: Any) -> None:
        e = lines.e
        there, scale = Lines(e, values, None), e.splat_load(factor, e.target.lanes)
        for vector in range(VECTORS):
            there.store(e.mul(scale, lines.load(at, e.index(0), vector)), to, e.index(0), vector)

    return operation("put_scaled", target, "ws values factor", "at to", emit)


def make_moved(target: Target) -> Any:
    """move_points(points, outputs, here, there, at, n): n points from `there` on are those from `here` on, moved.

    They are moved by the outputs from `at` on; n need not be whole vectors.
    """

    def emit(lines: Lines, points: Any, outputs: Any, here: Any, there: Any, at: Any, n: Any) -> None:
        e, b = lines.e, lines.e.builder

        def move(first: Any, lanes: int) -> None:
            point, output = (
                e.load(e.offset(array, b.add(start, first)), lanes) for array, start in ((points, here), (outputs, at))
            )
            e.store(e.add(point, output), e.offset(points, b.add(there, first)))

        in_vectors(lines, n, move)

    return operation("move_points", target, "points outputs", "here there at n", emit)


def in_vectors(lines: Lines, n: Any, emit: Callable[[Any, int], None]) -> None:
    """Write what is done with n numbers, ``emit(first, lanes)``: with whole vectors of them, the last one by one."""
    e, b = lines.e, lines.e.builder
    lanes = e.index(e.target.lanes)
    with e.loop(b.udiv(n, lanes)) as loop:
        emit(b.mul(loop.index, lanes), e.target.lanes)
    with e.loop(b.urem(n, lanes)) as loop:
        emit(b.sub(b.sub(n, loop.index), e.index(1)), 1)


def make_images(target: Target) -> Any:
    """images(ws, pixels, chosen, to, first, count, n, white): put a block of images into lines, a pixel of all each.

    Pixels are uint8 [all, n], and become the share of white that they are; `first` of the `count` chosen ones is the
    block's first. In place of those behind the last stands the first of all; n is a multiple of a vector's lanes.
    """

    def emit(lines: Lines, pixels: Any, chosen: Any, to: Any, first: Any, count: Any, n: Any, white: Any) -> None:
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

    return operation("images", target, "ws pixels chosen", "to first count n white", emit)


def make_log_and_sign(target: Target) -> Any:
    """log_and_sign(gradients, settings, seen, at, to, apart, n): max(log(|g| + ε)/k, -1) and g·e^k held within ±1.

    Of n gradients from `at` on, which need not be whole vectors; settings are k, e^k and ε. The first is written from
    `to` on, the second so many numbers behind it.
    """

    def emit(lines: Lines, gradients: Any, settings: Any, seen: Any, at: Any, to: Any, apart: Any, n: Any) -> None:
        e, b = lines.e, lines.e.builder

        def encode(first: Any, lanes: int) -> None:
            gradient = e.load(e.offset(gradients, b.add(at, first)), lanes)
            k, scale, epsilon = (e.splat_load(e.offset(settings, place), lanes) for place in range(3))
            one, minus_one, zero = (e.const(x, lanes) for x in (1.0, -1.0, 0.0))
            size = b.select(b.fcmp_ordered("<", gradient, zero), e.sub(zero, gradient), gradient)
            magnitude = b.fdiv(functions.log(e, e.add(size, epsilon)), k)
            magnitude = b.select(b.fcmp_ordered("<", magnitude, minus_one), minus_one, magnitude)
            sign = e.mul(gradient, scale)
            sign = b.select(b.fcmp_ordered("<", sign, minus_one), minus_one, sign)
            sign = b.select(b.fcmp_ordered(">", sign, one), one, sign)
            place = b.add(to, first)
            e.store(magnitude, e.offset(seen, place))
            e.store(sign, e.offset(seen, b.add(place, apart)))

        in_vectors(lines, n, encode)

    return operation("log_and_sign", target, "gradients settings seen", "at to apart n", emit)
