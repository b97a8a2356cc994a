"""What the kernel's operations are written with, as LLVM vector code: rows along the vector's lanes.

A *line* is one number of each row of a block, side by side: ``block`` numbers of the workspace, two vectors of them. A
layer's units, its gates, its inputs are lines one behind the other, so that a weight meets all rows of a block at
once, no lane is ever padding whatever the sizes are, and these are arguments: one compiled kernel does for all
networks. What is added up is held in registers, a tile of columns by two vectors.

Gates lie unit by unit, [i j f o] of the first, then of the next. Weights come packed for it (`pack.py`): tile by tile,
in each a line of biases and then a line an input, :func:`columns_of` numbers each.

Operations work on one flat workspace ``ws``, other flat arrays (packed weights ``w``, gates that were ``kept``, float64
sums ``out``), and offsets into them, in elements. What goes into lines and what comes out of them has arrays of its own
(crossings.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from l2o_engine.backends.compiled.vectors import Emitter, Target

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


class Lines:
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
        """Return a vector of a line."""
        return self.e.load(self.at(start, line, vector), self.e.target.lanes)

    def store(self, value: Any, start: Any, line: Any, vector: int) -> None:
        """Write a vector of a line."""
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


def operation(name: str, target: Target, arrays: str, arguments: str, emit: Callable[..., None]) -> Any:
    """Return an operation on so many arrays and int64 arguments.

    ``emit(lines, *others, *arguments)`` writes it: others are the addresses of arrays besides ws and w.
    """
    count, named = len(arguments.split()), arrays.split()

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        e = Emitter(context, builder, target)
        bases = {array: e.base(signature.args[k], args[k]) for k, array in enumerate(named)}
        lines = Lines(e, bases.pop("ws", None), bases.pop("w", None))
        emit(lines, *bases.values(), *args[len(named) :])
        return context.get_dummy_value()

    def typed(typingctx: Any, *given: Any) -> Any:
        return types.void(*given[: len(named)], *([types.int64] * count)), codegen

    # Numba wants a function with named arguments.
    names = ", ".join(["typingctx", *named, *arguments.split()])
    namespace: dict[str, Any] = {"typed": typed, "__name__": __name__}
    exec(f"def {name}({names}):\n    return typed({names})", namespace)  # noqa: S102 (our own text)
    return intrinsic(namespace[name])
