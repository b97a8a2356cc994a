"""Vector instructions for kernels: what Numba's own loops cannot be made to do, written as LLVM code.

Numba's own loops lose a factor of three where sums of products are formed, because these cannot stay in registers: an
array element is memory to the compiler. So the hot operations are Numba *intrinsics*, small Python functions which
write vector instructions with an :class:`Emitter`. Vectors are a fixed number of lanes (`Target.lanes`); LLVM splits
them where the CPU's registers are narrower, so the code is correct on any CPU, and only its speed depends on the
choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numba.np import arrayobj

GATES = 4  # i, j, f, o: the order of TensorFlow 1's LSTMCell
CANDIDATE = 1  # the index of j, the one gate with tanh; the others are sigmoids


def target_cpu() -> tuple[str, str, str]:
    """Return triple, CPU name and features that Numba compiles for: the host's, unless its settings say otherwise."""
    triple, name, features = cpu_target.target_context.codegen().magic_tuple()
    return triple, name, features


@dataclass(frozen=True)
class Target:
    """What the code is shaped for: float type, vector lanes, and how many vectors may be live at once."""

    dtype: str  # "float32" or "float64"
    lanes: int
    accumulators: int
    is_wide: bool = False  # whether there is AVX-512

    @classmethod
    def for_host(cls, dtype: str) -> Target:
        """Return the best shape for the CPU that is compiled for (16 vector registers, or 32 with AVX-512)."""
        features = {flag[1:]: flag[0] == "+" for flag in target_cpu()[2].split(",") if flag}
        wide = features.get("avx512f", False)
        bits = 512 if wide else 256 if features.get("avx", False) else 128
        return cls(dtype, bits // (32 if dtype == "float32" else 64), 24 if wide else 12, wide)

    @property
    def bits(self) -> int:
        """Bits of a number."""
        return 32 if self.dtype == "float32" else 64


class Emitter:
    """Writes vector instructions at the builder's position.  All memory access is unaligned-safe."""

    def __init__(self, context, builder, target: Target, array_type=None):
        self.context, self.builder, self.target = context, builder, target
        self.scalar = ir.FloatType() if target.dtype == "float32" else ir.DoubleType()
        self.align = target.bits // 8
        self.i64 = ir.IntType(64)

    # -- addresses --
    def base(self, array_type, array):
        """Return the address of an array's first number."""
        return self.context.make_array(array_type)(self.context, self.builder, array).data

    def index(self, n: int):
        """Return a whole number as a constant."""
        return ir.Constant(self.i64, n)

    def offset(self, pointer, n):
        """Return the address so many numbers further on."""
        n = self.index(n) if isinstance(n, int) else n
        return self.builder.gep(pointer, [n])

    # -- memory --
    def load(self, pointer, lanes):
        """Return the numbers at an address, as a vector."""
        pointer = self.builder.bitcast(pointer, ir.VectorType(self.scalar, lanes).as_pointer())
        return self.builder.load(pointer, align=self.align)

    def store(self, value, pointer):
        """Write a vector to an address."""
        pointer = self.builder.bitcast(pointer, value.type.as_pointer())
        self.builder.store(value, pointer, align=self.align)

    def stream(self, value, pointer):
        """Write a vector to an address that is a multiple of its size, past the caches, for it is not read soon.

        Other threads see it only after a locked instruction of this one, such as an atomic addition.
        """
        pointer = self.builder.bitcast(pointer, value.type.as_pointer())
        instruction = self.builder.store(value, pointer, align=value.type.count * self.align)
        one = ir.Constant(ir.IntType(32), 1)
        instruction.set_metadata("nontemporal", self.builder.module.add_metadata([one]))

    def prefetch(self, pointer):
        """Have the cache line of an address brought near, to the first level."""
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        function_type = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        function = cgutils.get_or_insert_function(self.builder.module, function_type, "llvm.prefetch.p0i8")
        reads, locality, is_data = 0, 3, 1
        numbers = [ir.Constant(word, n) for n in (reads, locality, is_data)]
        self.builder.call(function, [self.builder.bitcast(pointer, byte), *numbers])

    def splat_load(self, pointer, lanes):
        """Return a vector of so many times the number at an address."""
        return self.splat(self.builder.load(pointer, align=self.align), lanes)

    def variable(self, lanes):
        """Return a place for a vector that may stay in a register."""
        return cgutils.alloca_once(self.builder, ir.VectorType(self.scalar, lanes))

    # -- values --
    def splat(self, scalar, lanes):
        """Return a vector of so many times a number."""
        vector = ir.VectorType(scalar.type, lanes)
        one = self.builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
        return self.builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), mask)

    def const(self, x, lanes):
        """Return a vector of one number, or of several."""
        values = [float(x)] * lanes if np.isscalar(x) else [float(y) for y in x]
        if self.target.dtype == "float32":
            values = [float(np.float32(y)) for y in values]
        return ir.Constant(ir.VectorType(self.scalar, lanes), [ir.Constant(self.scalar, y) for y in values])

    def shuffle(self, a, b, lanes):
        """Return a vector of those lanes of two, one behind the other."""
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
        return self.builder.shuffle_vector(a, b, mask)

    def part(self, a, start, lanes):
        """Return some neighbouring lanes of a vector."""
        if start == 0 and a.type.count == lanes:
            return a
        return self.shuffle(a, ir.Constant(a.type, ir.Undefined), list(range(start, start + lanes)))

    def concat(self, pieces):
        """One vector of all pieces (widths falling, powers of two), padded with zeros to `lanes`."""
        total = sum(piece.type.count for piece in pieces)
        while total < self.target.lanes:
            width = total & -total
            pieces = [*pieces, self.const(0.0, width)]
            total += width
        stack = []  # joins equal neighbours as a binary counter carries
        for piece in pieces:
            stack.append(piece)
            while len(stack) > 1 and stack[-2].type.count == stack[-1].type.count:
                b, a = stack.pop(), stack.pop()
                stack.append(self.shuffle(a, b, list(range(2 * a.type.count))))
        (whole,) = stack
        return whole

    def fma(self, a, b, c):
        """a*b + c: one instruction where the CPU has it (fmuladd, so that old CPUs need no library call)."""
        name = f"llvm.fmuladd.v{a.type.count}f{self.target.bits}"
        function = cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(a.type, [a.type] * 3), name)
        return self.builder.call(function, [a, b, c])

    def mul(self, a, b):
        """a*b."""
        return self.builder.fmul(a, b)

    def add(self, a, b):
        """Return a + b."""
        return self.builder.fadd(a, b)

    def sub(self, a, b):
        """Return a - b."""
        return self.builder.fsub(a, b)

    def total(self, a):
        """Return the sum of a vector's lanes, as a scalar, by halving."""
        while a.type.count > 1:
            half = a.type.count // 2
            a = self.add(self.part(a, 0, half), self.part(a, half, half))
        return self.builder.extract_element(a, ir.Constant(ir.IntType(32), 0))

    def totals(self, vectors):
        """Return the sums of the lanes of each of several vectors, in order, as vectors; both numbers powers of two.

        Neighbours are joined: each round halves how many there are, and over how many lanes a sum is spread.
        """
        lanes = vectors[0].type.count
        while lanes > len(vectors):
            lanes //= 2
            vectors = [self.add(self.part(a, 0, lanes), self.part(a, lanes, lanes)) for a in vectors]
        spread = lanes
        while spread > 1:
            half = spread // 2
            low = [first + lane for first in range(0, 2 * lanes, spread) for lane in range(half)]
            high = [lane + half for lane in low]
            pairs = zip(vectors[::2], vectors[1::2], strict=True)
            vectors = [self.add(self.shuffle(a, b, low), self.shuffle(a, b, high)) for a, b in pairs]
            spread = half
        return vectors

    def transposed(self, vectors):
        """Return the transpose of a square, n vectors of n lanes."""
        vectors, size, apart = list(vectors), len(vectors), 1
        while apart < size:  # squares of so many lanes change places
            for first in range(size):
                if first & apart:
                    continue
                a, b = vectors[first], vectors[first + apart]
                low = [lane if not lane & apart else size + lane - apart for lane in range(size)]
                high = [lane + apart if not lane & apart else size + lane for lane in range(size)]
                vectors[first], vectors[first + apart] = self.shuffle(a, b, low), self.shuffle(a, b, high)
            apart *= 2
        return vectors

    # -- order --
    def side_by_side(self, chains):
        """Return what each of several functions gives; each writes a chain of instructions that needs no other chain's.

        The chains' instructions are put in turn. A CPU that finds one chain behind the other looks no further ahead
        than two or three of them, and waits.
        """
        instructions = self.builder.block.instructions
        start, results, parts = len(instructions), [], []
        for chain in chains:
            results.append(chain())
            parts.append(instructions[start:])
            del instructions[start:]
            self.builder.position_at_end(self.builder.block)
        for turn in zip_longest(*parts):
            instructions.extend(one for one in turn if one is not None)
        self.builder.position_at_end(self.builder.block)
        return results

    # -- loops --
    def loop(self, count):
        """`with loop(count) as index`: count is an i64 value or an int."""
        count = self.index(count) if isinstance(count, int) else count
        return cgutils.for_range(self.builder, count, intp=self.i64)


@intrinsic
def view(typingctx, array, start, size):
    """array[start:start + size] of a contiguous 1-D array, but without a reference to its owner.

    An ordinary slice counts references atomically, which costs more than the few numbers of a base step do (8 % of
    a meta-iteration).  The caller must keep `array` alive.
    """

    def codegen(context, builder, signature, args):
        kind = signature.return_type
        source = context.make_array(signature.args[0])(context, builder, args[0])
        result = context.make_array(kind)(context, builder)
        itemsize = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
        arrayobj.populate_array(
            result,
            builder.gep(source.data, [args[1]]),
            cgutils.pack_array(builder, [args[2]]),
            cgutils.pack_array(builder, [itemsize]),
            itemsize,
            None,
        )
        return result._getvalue()

    return types.Array(array.dtype, 1, "C")(array, types.intp, types.intp), codegen
