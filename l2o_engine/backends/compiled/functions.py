"""Exponentials, logarithms, sigmoids and tanh of vectors: polynomials and rational functions, for an emitter to write.

Each takes an :class:`~l2o_engine.backends.compiled.vectors.Emitter` and vectors of its float type.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba.core import cgutils

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

# log(1 + f) = f - f²/2 + f³ P(f)/Q(f) between sqrt(1/2) and sqrt(2), P and Q from the constant on, and ln 2 in two
# pieces: the functions log and logf of Moshier's Cephes.
_LOG = {
    "float32": {
        "above": (
            3.3333331174e-1,
            -2.4999993993e-1,
            2.0000714765e-1,
            -1.6668057665e-1,
            1.4249322787e-1,
            -1.2420140846e-1,
            1.1676998740e-1,
            -1.1514610310e-1,
            7.0376836292e-2,
        ),
        "below": (),
    },
    "float64": {
        "above": (
            7.70838733755885391666,
            1.79368678507819816313e1,
            1.44989225341610930846e1,
            4.70579119878881725854,
            4.97494994976747001425e-1,
            1.01875663804580931796e-4,
        ),
        "below": (
            2.31251620126765340583e1,
            7.11544750618563894466e1,
            8.29875266912776603211e1,
            4.52279145837532221105e1,
            1.12873587189167450590e1,
            1.0,
        ),
    },
}
_LN2 = (0.693359375, -2.121944400546905827679e-4)


def activation(e, y, tanh_lanes):
    """sigmoid(y), or tanh(y/2) in lanes where `tanh_lanes` is 1.

    With E = exp(y): sigmoid = E/(E+1) and tanh(y/2) = (E-1)/(E+1).  E = 2^n (1+q), q = expm1(r), and
    E - 1 = 2^n q + (2^n - 1) keeps full relative accuracy near zero, as E does far below it, where
    the usual sigmoid = (1 + tanh)/2 loses all of it.  NaN passes: the comparisons are false for it.
    """
    scale, q = _exponential(e, y)
    lanes = y.type.count
    one = e.const(1.0, lanes)
    numerator = e.fma(scale, q, e.sub(scale, e.const(tanh_lanes, lanes)))
    return e.builder.fdiv(numerator, e.fma(scale, q, e.add(scale, one)))


def expm1(e, y):
    """exp(y) - 1, with full relative accuracy near zero."""
    scale, q = _exponential(e, y)
    return e.fma(scale, q, e.sub(scale, e.const(1.0, y.type.count)))


def log(e, x):
    """Return log(x) of what is above 0 and no subnormal number; an infinity, and what is no number, stay so."""
    k, fit, lanes, b = _EXP[e.target.dtype], _LOG[e.target.dtype], x.type.count, e.builder
    integers = ir.VectorType(ir.IntType(e.target.bits), lanes)

    def whole(n):
        return ir.Constant(integers, [int(n)] * lanes)

    number, word = (np.float32, np.int32) if e.target.dtype == "float32" else (np.float64, np.int64)
    least, one = (int(number(y).view(word)) for y in (np.sqrt(0.5), 1.0))
    # x = 2^n (1 + f): the bits of what lies between sqrt(1/2) and sqrt(2), and how many exponents off it was
    moved = b.add(b.bitcast(x, integers), whole(one - least))
    n = b.sub(b.lshr(moved, whole(k["mantissa"])), whole(k["bias"]))
    n = b.sitofp(n, x.type)
    rest = b.add(b.and_(moved, whole((1 << k["mantissa"]) - 1)), whole(least))
    f = e.sub(b.bitcast(rest, x.type), e.const(1.0, lanes))
    square = e.mul(f, f)
    p = _polynomial(e, fit["above"], f)
    if fit["below"]:
        p = b.fdiv(p, _polynomial(e, fit["below"], f))
    high, low = (e.const(y, lanes) for y in _LN2)
    small = e.mul(e.mul(f, square), p)
    small = e.fma(n, low, small)
    small = e.fma(square, e.const(-0.5, lanes), small)
    found = e.fma(n, high, e.add(f, small))
    return b.select(b.fcmp_ordered("<", x, e.const(np.inf, lanes)), found, x)


def _polynomial(e, coefficients, x):
    """Return a polynomial's value; coefficients are from the constant on."""
    *rest, value = (e.const(c, x.type.count) for c in coefficients)
    for c in reversed(rest):
        value = e.fma(value, x, c)
    return value


def _held(e, x, most):
    """Return x where it is within ±most, else the nearer of both; what is no number stays so."""
    b, low, high = e.builder, e.const(-most, x.type.count), e.const(most, x.type.count)
    x = b.select(b.fcmp_ordered("<", x, low), low, x)
    return b.select(b.fcmp_ordered(">", x, high), high, x)


def _exponential(e, y):
    """(2^n, q) with exp(y) = 2^n (1+q), where y is held within what the float type can represent."""
    k = _EXP[e.target.dtype]
    lanes, b = y.type.count, e.builder
    y = _held(e, y, k["clamp"])
    magic = e.const(k["magic"], lanes)
    t = e.fma(y, e.const(1.4426950408889634, lanes), magic)
    n = e.sub(t, magic)  # nearest integer to y/ln 2
    r = e.fma(n, e.const(-k["ln2"][0], lanes), y)
    r = e.fma(n, e.const(-k["ln2"][1], lanes), r)
    p = _polynomial(e, k["poly"], r)
    q = e.fma(e.mul(r, r), p, r)
    # t's low mantissa bits are n: moved into the exponent field they make 2^n
    integers = ir.VectorType(ir.IntType(e.target.bits), lanes)
    whole = b.shl(b.bitcast(t, integers), ir.Constant(integers, [k["mantissa"]] * lanes))
    whole = b.add(whole, ir.Constant(integers, [k["bias"] << k["mantissa"]] * lanes))
    scale = b.bitcast(whole, y.type)
    return scale, q


def sigmoid(e, x):
    """Return 1/(1 + exp(-x)).

    In float32 with fewer instructions than `activation`, within 4 units in the last place, and 7 below exp(-30):
    ln 2 in one piece, for what that is off counts only where the function hardly changes.
    """
    if e.target.dtype != "float32":
        return activation(e, x, np.zeros(x.type.count))
    return _reciprocal(e, _one_and_power(e, _held(e, x, _EXP["float32"]["clamp"])))


def _one_and_power(e, x):
    """Return 1 + exp(-x) of a float32 that is held within ±87.

    With AVX-512 the powers of 2^(1/32) come out of a table that two registers hold, and what is left needs fewer
    multiplications: the CPU looks up beside them.
    """
    k, lanes, b = _EXP["float32"], x.type.count, e.builder
    by_table = _has_wide(e, lanes)
    integers, one = ir.VectorType(ir.IntType(32), lanes), e.const(1.0, lanes)
    magic = e.const(k["magic"] / (_POWERS if by_table else 1), lanes)
    t = e.fma(x, e.const(-1.4426950408889634, lanes), magic)
    n = e.sub(t, magic)  # -x/ln 2 to the nearest integer, or to the nearest part of one
    r = e.fma(n, e.const(0.6931471805599453, lanes), x)  # minus what is left of -x
    p = _polynomial(e, _EXP_MINUS_LITTLE if by_table else _EXP_MINUS, r)
    bits = b.bitcast(t, integers)  # the low ones are n, in its parts
    if not by_table:
        exponent = b.shl(bits, ir.Constant(integers, [k["mantissa"]] * lanes))
        return e.add(b.bitcast(b.add(b.bitcast(p, integers), exponent), x.type), one)
    shift = k["mantissa"] - (_POWERS - 1).bit_length()
    powers = np.exp2(np.arange(_POWERS) / _POWERS).astype(np.float32).view(np.int32)
    table = powers - (np.arange(_POWERS) << shift)  # which the low bits of n, shifted below, add again
    low, high = (ir.Constant(integers, half.tolist()) for half in np.split(table, 2))
    found = _wide(e, "vpermi2var.d", integers, low, bits, high)
    power = b.add(found, b.shl(bits, ir.Constant(integers, [shift] * lanes)))
    return e.fma(p, b.bitcast(power, x.type), one)


def _has_wide(e, lanes):
    """Whether a vector of float32 is one of AVX-512."""
    return lanes == 16 and e.target.is_wide


def _wide(e, name, result, *arguments):
    """Return what an instruction of AVX-512 makes of these."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return e.builder.call(
        cgutils.get_or_insert_function(e.builder.module, kind, f"llvm.x86.avx512.{name}.512"), arguments
    )


def _reciprocal(e, x):
    """Return 1/x of a float32 above 0.

    With AVX-512 it is the CPU's estimate and a step of Newton's: a division takes as long as 32 multiplications.
    """
    lanes = x.type.count
    one = e.const(1.0, lanes)
    if not _has_wide(e, lanes):
        return e.builder.fdiv(one, x)
    everywhere = ir.Constant(ir.IntType(16), -1)
    estimate = _wide(e, "rcp14.ps", x.type, x, e.const(0.0, lanes), everywhere)
    off = e.fma(e.builder.fneg(x), estimate, one)
    return e.fma(off, estimate, estimate)


def fast_tanh(e, x):
    """Return tanh(x).

    In float32 by a rational function, within 5 units in the last place.
    """
    if e.target.dtype != "float32":
        return tanh(e, x)
    x = _held(e, x, _TANH_END)
    square = e.mul(x, x)
    above, below = (_polynomial(e, one, square) for one in (_TANH_ABOVE, _TANH_BELOW))
    return e.mul(e.mul(above, x), _reciprocal(e, below))


def tanh(e, x):
    """tanh(x)."""
    return activation(e, e.add(x, x), np.ones(x.type.count))
