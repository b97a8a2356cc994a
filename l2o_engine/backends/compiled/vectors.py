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


# expm1(r) = r + r^2 p(r) on |r| <= ln(2)/2; Chebyshev fits, relative error 2.3e-8 (float32) and 5e-19 (float64).
_EXP = {
    "float32": {
        "poly": (
            0.5,
            0.16666576666119928305,
            0.041666554212984150314,
            0.0083632328836826182041,
            0.0013926250831497611718,
        ),
        "magic": 1.5 * 2.0**23,
        "bias": 127,
        "mantissa": 23,
        "clamp": 87.0,
        "ln2": (0.693145751953125, 1.42860682030941723212e-6),
    },
    "float64": {
        "poly": (
            0.5,
            0.1666666666666667103,
            0.041666666666666669783,
            0.0083333333333260831202,
            0.0013888888888883711167,
            0.00019841269875002278793,
            0.0000248015873256774619,
            2.7557255170000887438e-6,
            2.7557273478718580474e-7,
            2.5105312729622101787e-8,
            2.09147553258932022e-9,
        ),
        "magic": 1.5 * 2.0**52,
        "bias": 1023,
        "mantissa": 52,
        "clamp": 708.0,
        "ln2": (6.93147180369123816490e-01, 1.90821492927058770002e-10),
    },
}


# exp(-r) on |r| <= ln(2)/2 within 1.1e-7 of it, for float32: of what is 1 + exp(-r) at least.
_EXP_MINUS = (1.0, -1.0, 0.49999230308552295, -0.1666711538864481, 0.04189033162881118, -0.00831250132512583)
# And on |r| <= ln(2)/64 within 5.5e-8, where a table has so many powers of 2^(1/32) for the rest.
_EXP_MINUS_LITTLE = (1.0, -1.0000145435333252, 0.5)
_POWERS = 32
# tanh(x) = x P(x²)/Q(x²) up to here, within 3e-8 of it, and beyond what it is here: ±0.9999998.
_TANH_END = 8.1
_TANH_ABOVE = (1.0, 0.13438332080841064, 0.003564162878319621, 2.1766005374956876e-05, 1.5034617106834958e-08)
_TANH_BELOW = (1.0, 0.4677165746688843, 0.02613646350800991, 0.0003398889093659818, 8.446388051197573e-07)

# log(1 + f) = f - f²/2 + f³ P(f)/Q(f) between sqrt(1/2) and sqrt(2), P and Q from the highest power on, and ln 2 in two
# pieces: the functions log and logf of Moshier's Cephes.
_LOG = {
    "float32": {
        "above": (
            7.0376836292e-2,
            -1.1514610310e-1,
            1.1676998740e-1,
            -1.2420140846e-1,
            1.4249322787e-1,
            -1.6668057665e-1,
            2.0000714765e-1,
            -2.4999993993e-1,
            3.3333331174e-1,
        ),
        "below": (),
    },
    "float64": {
        "above": (
            1.01875663804580931796e-4,
            4.97494994976747001425e-1,
            4.70579119878881725854,
            1.44989225341610930846e1,
            1.79368678507819816313e1,
            7.70838733755885391666,
        ),
        "below": (
            1.0,
            1.12873587189167450590e1,
            4.52279145837532221105e1,
            8.29875266912776603211e1,
            7.11544750618563894466e1,
            2.31251620126765340583e1,
        ),
    },
}
_LN2 = (0.693359375, -2.121944400546905827679e-4)


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

    def activation(self, y, tanh_lanes):
        """sigmoid(y), or tanh(y/2) in lanes where `tanh_lanes` is 1.

        With E = exp(y): sigmoid = E/(E+1) and tanh(y/2) = (E-1)/(E+1).  E = 2^n (1+q), q = expm1(r), and
        E - 1 = 2^n q + (2^n - 1) keeps full relative accuracy near zero, as E does far below it, where
        the usual sigmoid = (1 + tanh)/2 loses all of it.  NaN passes: the comparisons are false for it.
        """
        scale, q = self._exponential(y)
        lanes = y.type.count
        one = self.const(1.0, lanes)
        numerator = self.fma(scale, q, self.sub(scale, self.const(tanh_lanes, lanes)))
        return self.builder.fdiv(numerator, self.fma(scale, q, self.add(scale, one)))

    def expm1(self, y):
        """exp(y) - 1, with full relative accuracy near zero."""
        scale, q = self._exponential(y)
        return self.fma(scale, q, self.sub(scale, self.const(1.0, y.type.count)))

    def log(self, x):
        """Return log(x) of what is above 0 and no subnormal number; an infinity, and what is no number, stay so."""
        k, fit, lanes, b = _EXP[self.target.dtype], _LOG[self.target.dtype], x.type.count, self.builder
        integers = ir.VectorType(ir.IntType(self.target.bits), lanes)

        def whole(n):
            return ir.Constant(integers, [int(n)] * lanes)

        number, word = (np.float32, np.int32) if self.target.dtype == "float32" else (np.float64, np.int64)
        least, one = (int(number(y).view(word)) for y in (np.sqrt(0.5), 1.0))
        # x = 2^n (1 + f): the bits of what lies between sqrt(1/2) and sqrt(2), and how many exponents off it was
        moved = b.add(b.bitcast(x, integers), whole(one - least))
        n = b.sub(b.lshr(moved, whole(k["mantissa"])), whole(k["bias"]))
        n = b.sitofp(n, x.type)
        rest = b.add(b.and_(moved, whole((1 << k["mantissa"]) - 1)), whole(least))
        f = self.sub(b.bitcast(rest, x.type), self.const(1.0, lanes))
        square = self.mul(f, f)
        p, q = (self._polynomial(fit[part], f, lanes) for part in ("above", "below"))
        high, low = (self.const(y, lanes) for y in _LN2)
        small = self.mul(self.mul(f, square), p if q is None else b.fdiv(p, q))
        small = self.fma(n, low, small)
        small = self.fma(square, self.const(-0.5, lanes), small)
        found = self.fma(n, high, self.add(f, small))
        return b.select(b.fcmp_ordered("<", x, self.const(np.inf, lanes)), found, x)

    def _polynomial(self, coefficients, x, lanes):
        """Return a polynomial's value, coefficients from the highest power on; None if there are none."""
        if not coefficients:
            return None
        value, *rest = (self.const(c, lanes) for c in coefficients)
        for c in rest:
            value = self.fma(value, x, c)
        return value

    def _exponential(self, y):
        """(2^n, q) with exp(y) = 2^n (1+q), where y is held within what the float type can represent."""
        k = _EXP[self.target.dtype]
        lanes, b = y.type.count, self.builder
        low, high = self.const(-k["clamp"], lanes), self.const(k["clamp"], lanes)
        y = b.select(b.fcmp_ordered("<", y, low), low, y)
        y = b.select(b.fcmp_ordered(">", y, high), high, y)
        magic = self.const(k["magic"], lanes)
        t = self.fma(y, self.const(1.4426950408889634, lanes), magic)
        n = self.sub(t, magic)  # nearest integer to y/ln 2
        r = self.fma(n, self.const(-k["ln2"][0], lanes), y)
        r = self.fma(n, self.const(-k["ln2"][1], lanes), r)
        *rest, p = [self.const(c, lanes) for c in k["poly"]]
        for c in reversed(rest):
            p = self.fma(p, r, c)
        q = self.fma(self.mul(r, r), p, r)
        # t's low mantissa bits are n: moved into the exponent field they make 2^n
        integers = ir.VectorType(ir.IntType(self.target.bits), lanes)
        whole = b.shl(b.bitcast(t, integers), ir.Constant(integers, [k["mantissa"]] * lanes))
        whole = b.add(whole, ir.Constant(integers, [k["bias"] << k["mantissa"]] * lanes))
        scale = b.bitcast(whole, y.type)
        return scale, q

    def sigmoid(self, x):
        """Return 1/(1 + exp(-x)).

        In float32 with fewer instructions than `activation`, within 4 units in the last place, and 7 below exp(-30):
        ln 2 in one piece, for what that is off counts only where the function hardly changes.
        """
        if self.target.dtype != "float32":
            return self.activation(x, np.zeros(x.type.count))
        k, lanes, b = _EXP["float32"], x.type.count, self.builder
        low, high = self.const(-k["clamp"], lanes), self.const(k["clamp"], lanes)
        x = b.select(b.fcmp_ordered("<", x, low), low, x)
        x = b.select(b.fcmp_ordered(">", x, high), high, x)
        return self._reciprocal(self._one_and_power(x))

    def _one_and_power(self, x):
        """Return 1 + exp(-x) of a float32 that is held within ±87.

        With AVX-512 the powers of 2^(1/32) come out of a table that two registers hold, and what is left needs fewer
        multiplications: the CPU looks up beside them.
        """
        k, lanes, b = _EXP["float32"], x.type.count, self.builder
        by_table = self._has_wide(lanes)
        integers, one = ir.VectorType(ir.IntType(32), lanes), self.const(1.0, lanes)
        magic = self.const(k["magic"] / (_POWERS if by_table else 1), lanes)
        t = self.fma(x, self.const(-1.4426950408889634, lanes), magic)
        n = self.sub(t, magic)  # -x/ln 2 to the nearest integer, or to the nearest part of one
        r = self.fma(n, self.const(0.6931471805599453, lanes), x)  # minus what is left of -x
        *rest, p = [self.const(c, lanes) for c in (_EXP_MINUS_LITTLE if by_table else _EXP_MINUS)]
        for c in reversed(rest):
            p = self.fma(p, r, c)
        bits = b.bitcast(t, integers)  # the low ones are n, in its parts
        if not by_table:
            exponent = b.shl(bits, ir.Constant(integers, [k["mantissa"]] * lanes))
            return self.add(b.bitcast(b.add(b.bitcast(p, integers), exponent), x.type), one)
        shift = k["mantissa"] - (_POWERS - 1).bit_length()
        powers = np.exp2(np.arange(_POWERS) / _POWERS).astype(np.float32).view(np.int32)
        table = powers - (np.arange(_POWERS) << shift)  # which the low bits of n, shifted below, add again
        low, high = (ir.Constant(integers, half.tolist()) for half in np.split(table, 2))
        found = self._wide("vpermi2var.d", integers, low, bits, high)
        power = b.add(found, b.shl(bits, ir.Constant(integers, [shift] * lanes)))
        return self.fma(p, b.bitcast(power, x.type), one)

    def _has_wide(self, lanes):
        """Whether a vector of float32 is one of AVX-512."""
        return lanes == 16 and self.target.is_wide

    def _wide(self, name, result, *arguments):
        """Return what an instruction of AVX-512 makes of these."""
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        return self.builder.call(
            cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.x86.avx512.{name}.512"), arguments
        )

    def _reciprocal(self, x):
        """Return 1/x of a float32 above 0.

        With AVX-512 it is the CPU's estimate and a step of Newton's: a division takes as long as 32 multiplications.
        """
        lanes = x.type.count
        one = self.const(1.0, lanes)
        if not self._has_wide(lanes):
            return self.builder.fdiv(one, x)
        everywhere = ir.Constant(ir.IntType(16), -1)
        estimate = self._wide("rcp14.ps", x.type, x, self.const(0.0, lanes), everywhere)
        off = self.fma(self.builder.fneg(x), estimate, one)
        return self.fma(off, estimate, estimate)

    def fast_tanh(self, x):
        """Return tanh(x).

        In float32 by a rational function, within 5 units in the last place.
        """
        if self.target.dtype != "float32":
            return self.tanh(x)
        lanes, b = x.type.count, self.builder
        low, high = self.const(-_TANH_END, lanes), self.const(_TANH_END, lanes)
        x = b.select(b.fcmp_ordered("<", x, low), low, x)
        x = b.select(b.fcmp_ordered(">", x, high), high, x)
        square = self.mul(x, x)
        sums = []
        for coefficients in (_TANH_ABOVE, _TANH_BELOW):
            *rest, p = [self.const(c, lanes) for c in coefficients]
            for c in reversed(rest):
                p = self.fma(p, square, c)
            sums.append(p)
        above, below = sums
        return self.mul(self.mul(above, x), self._reciprocal(below))

    def tanh(self, x):
        """tanh(x)."""
        return self.activation(self.add(x, x), np.ones(x.type.count))

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
