"""The network's inputs and what its output means, each with its derivative.

For one coordinate: g is the gradient, p the previous step's (at the first step g itself), m min_log, r the residual.

    residual_of(m) -> r                         once a meta-iteration, in float64
    encode(g, p, m, r) -> u                     the network's input
    encode_vjp(du, g, p, m, r, u) -> (dg, dp)   its transposed derivative, given the value it returned
    decode(o, p, m) -> d                        the network's output -> the update of x
    decode_vjp(dd, o, p, m, d) -> (do, dp)
    signal(g, p) -> s                           whose smallest magnitude moves an adaptive min_log
"""

import math
from collections.abc import Callable
from typing import Any

from l2o_engine.backends.fused.pieces.base import Functions, Piece, inline
from l2o_engine.backends.fused.spec import Spec


def _make_sign(real: type) -> Callable[..., Any]:
    zero, one = real(0), real(1)

    @inline
    def sign(x):
        return one if x > zero else (-one if x < zero else x)  # 0 and NaN stay themselves

    return sign


def _no_residual() -> Callable[..., Any]:
    @inline
    def residual_of(m):
        return 0.0

    return residual_of


def identity(spec: Spec, real: type) -> Functions:
    """Make the identity: the gradient as it is, the output as it is."""
    zero = real(0)

    @inline
    def encode(g, p, m, r):
        return g

    @inline
    def encode_vjp(du, g, p, m, r, u):
        return du, zero

    @inline
    def decode(o, p, m):
        return o

    @inline
    def decode_vjp(dd, o, p, m, d):
        return dd, zero

    @inline
    def signal(g, p):
        return g

    return {
        "residual_of": _no_residual(),
        "encode": encode,
        "encode_vjp": encode_vjp,
        "decode": decode,
        "decode_vjp": decode_vjp,
        "signal": signal,
    }


def log_casting(spec: Spec, real: type) -> Functions:
    """Make the log casting: in sign(g)·(log(|g| + r) - m)/(-m), out sign(o)·exp(|o|·(-m) + m)."""
    zero = real(0)
    sign = _make_sign(real)
    formula = {"exp(min_log - 5)": 0, "exp(min_log)": 1}.get(str(spec.residual), 2)
    number = 0.0 if formula < 2 else float(spec.residual)

    @inline
    def residual_of(m):
        if formula == 0:
            return math.exp(m - 5.0)
        if formula == 1:
            return math.exp(m)
        return number

    @inline
    def encode(g, p, m, r):
        return sign(g) * ((math.log(abs(g) + r) - m) / -m)

    @inline
    def encode_vjp(du, g, p, m, r, u):
        s = sign(g)
        return du * (s * s) / ((abs(g) + r) * -m), zero

    @inline
    def decode(o, p, m):
        return sign(o) * math.exp(abs(o) * -m + m)

    @inline
    def decode_vjp(dd, o, p, m, d):
        return dd * abs(d) * -m, zero

    @inline
    def signal(g, p):
        return g

    return {
        "residual_of": residual_of,
        "encode": encode,
        "encode_vjp": encode_vjp,
        "decode": decode,
        "decode_vjp": decode_vjp,
        "signal": signal,
    }


def ratio(spec: Spec, real: type) -> Functions:
    """Make the ratio: in g/(|p| + ratio_residual), out o·(|p| + ratio_residual)."""
    tiny = real(spec.ratio_residual)
    sign = _make_sign(real)

    @inline
    def encode(g, p, m, r):
        return g / (abs(p) + tiny)

    @inline
    def encode_vjp(du, g, p, m, r, u):
        dg = du / (abs(p) + tiny)
        return dg, -dg * u * sign(p)

    @inline
    def decode(o, p, m):
        return o * (abs(p) + tiny)

    @inline
    def decode_vjp(dd, o, p, m, d):
        return dd * (abs(p) + tiny), dd * o * sign(p)

    @inline
    def signal(g, p):
        return g / (abs(p) + tiny)

    return {
        "residual_of": _no_residual(),
        "encode": encode,
        "encode_vjp": encode_vjp,
        "decode": decode,
        "decode_vjp": decode_vjp,
        "signal": signal,
    }


def ratio_log(spec: Spec, real: type) -> Functions:
    """Make the ratio and then its log casting; on the way out the casting, then the ratio, undone."""
    tiny = real(spec.ratio_residual)
    sign = _make_sign(real)
    of_ratio, of_casting = ratio(spec, real), log_casting(spec, real)
    ratio_of, ratio_vjp = of_ratio["signal"], of_ratio["encode_vjp"]
    cast, cast_vjp = of_casting["encode"], of_casting["encode_vjp"]
    uncast, uncast_vjp = of_casting["decode"], of_casting["decode_vjp"]

    @inline
    def encode(g, p, m, r):
        return cast(ratio_of(g, p), p, m, r)

    @inline
    def encode_vjp(du, g, p, m, r, u):
        q = ratio_of(g, p)
        dq, _ = cast_vjp(du, q, p, m, r, u)
        return ratio_vjp(dq, g, p, m, r, q)

    @inline
    def decode(o, p, m):
        return uncast(o, p, m) * (abs(p) + tiny)

    @inline
    def decode_vjp(dd, o, p, m, d):
        y = uncast(o, p, m)
        do, _ = uncast_vjp(dd * (abs(p) + tiny), o, p, m, y)
        return do, dd * y * sign(p)

    return {
        "residual_of": of_casting["residual_of"],
        "encode": encode,
        "encode_vjp": encode_vjp,
        "decode": decode,
        "decode_vjp": decode_vjp,
        "signal": ratio_of,
    }


INPUTS: dict[str, Piece] = {
    "identity": identity,
    "log": log_casting,
    "ratio": ratio,
    "ratio_log": ratio_log,
}
