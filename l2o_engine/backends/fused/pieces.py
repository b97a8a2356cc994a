"""The pieces that a kernel is put together of: problems, transforms and objectives, each with its derivative.

A piece is a function ``make(spec, real)`` that returns compiled functions by name, closed over constants of the
kernel's float type ``real`` (a bare Python float would silently turn float32 arithmetic into float64). Register it in
the tables at the end under the ``kind`` that a preset uses, and the kernel takes it by name; its body is not edited.

Transform, for one coordinate: g is the gradient, p the previous step's (at the first step g itself), m min_log, r the
residual
    residual_of(m) -> r                         once a meta-iteration, in float64
    encode(g, p, m, r) -> u                     the network's input
    encode_vjp(du, g, p, m, r, u) -> (dg, dp)   its transposed derivative, given the value it returned
    decode(o, p, m) -> d                        the network's output -> the update of x
    decode_vjp(dd, o, p, m, d) -> (do, dp)
    signal(g, p) -> s                           whose smallest magnitude moves an adaptive min_log
Problem, of D coordinates: ``parameters`` is its row of numbers
    loss_and_gradient(parameters, x, g) -> loss     fills g
    add_hessian_product(parameters, x, v, out)      out += H(x) v
Objective, of one problem's losses
    value(losses) -> number
    gradient(losses, weights)                       fills d value / d loss
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from numba import njit

if TYPE_CHECKING:
    from l2o_engine.backends.fused.kernel import Spec

Functions = dict[str, Callable[..., Any]]
Piece = Callable[["Spec", type], Functions]

# Products may be fused into sums; NaN, infinity and the order of sums keep their meaning.
_inline = njit(error_model="numpy", fastmath={"contract"})


def _make_sign(real: type) -> Callable[..., Any]:
    zero, one = real(0), real(1)

    @_inline
    def sign(x):
        return one if x > zero else (-one if x < zero else x)  # 0 and NaN stay themselves

    return sign


def quadratic(spec: "Spec", real: type) -> Functions:
    """Make f(x) = Σ (scale·x)²; the parameters are scale."""
    zero, two = real(0), real(2)

    @_inline
    def loss_and_gradient(scale, x, g):
        loss = zero
        for d in range(x.size):
            y = scale[d] * x[d]
            loss += y * y
            g[d] = two * scale[d] * y
        return loss

    @_inline
    def add_hessian_product(scale, x, v, out):
        for d in range(x.size):
            out[d] += two * scale[d] * scale[d] * v[d]

    return {"loss_and_gradient": loss_and_gradient, "add_hessian_product": add_hessian_product}


def _no_residual() -> Callable[..., Any]:
    @_inline
    def residual_of(m):
        return 0.0

    return residual_of


def identity(spec: "Spec", real: type) -> Functions:
    """Make the identity: the gradient as it is, the output as it is."""
    zero = real(0)

    @_inline
    def encode(g, p, m, r):
        return g

    @_inline
    def encode_vjp(du, g, p, m, r, u):
        return du, zero

    @_inline
    def decode(o, p, m):
        return o

    @_inline
    def decode_vjp(dd, o, p, m, d):
        return dd, zero

    @_inline
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


def log_casting(spec: "Spec", real: type) -> Functions:
    """Make the log casting: in sign(g)·(log(|g| + r) - m)/(-m), out sign(o)·exp(|o|·(-m) + m)."""
    zero = real(0)
    sign = _make_sign(real)
    formula = {"exp(min_log - 5)": 0, "exp(min_log)": 1}.get(str(spec.residual), 2)
    number = 0.0 if formula < 2 else float(spec.residual)

    @_inline
    def residual_of(m):
        if formula == 0:
            return math.exp(m - 5.0)
        if formula == 1:
            return math.exp(m)
        return number

    @_inline
    def encode(g, p, m, r):
        return sign(g) * ((math.log(abs(g) + r) - m) / -m)

    @_inline
    def encode_vjp(du, g, p, m, r, u):
        s = sign(g)
        return du * (s * s) / ((abs(g) + r) * -m), zero

    @_inline
    def decode(o, p, m):
        return sign(o) * math.exp(abs(o) * -m + m)

    @_inline
    def decode_vjp(dd, o, p, m, d):
        return dd * abs(d) * -m, zero

    @_inline
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


def ratio(spec: "Spec", real: type) -> Functions:
    """Make the ratio: in g/(|p| + ratio_residual), out o·(|p| + ratio_residual)."""
    tiny = real(spec.ratio_residual)
    sign = _make_sign(real)

    @_inline
    def encode(g, p, m, r):
        return g / (abs(p) + tiny)

    @_inline
    def encode_vjp(du, g, p, m, r, u):
        dg = du / (abs(p) + tiny)
        return dg, -dg * u * sign(p)

    @_inline
    def decode(o, p, m):
        return o * (abs(p) + tiny)

    @_inline
    def decode_vjp(dd, o, p, m, d):
        return dd * (abs(p) + tiny), dd * o * sign(p)

    @_inline
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


def ratio_log(spec: "Spec", real: type) -> Functions:
    """Make the ratio and then its log casting; on the way out the casting, then the ratio, undone."""
    tiny = real(spec.ratio_residual)
    sign = _make_sign(real)
    of_ratio, of_casting = ratio(spec, real), log_casting(spec, real)
    ratio_of, ratio_vjp = of_ratio["signal"], of_ratio["encode_vjp"]
    cast, cast_vjp = of_casting["encode"], of_casting["encode_vjp"]
    uncast, uncast_vjp = of_casting["decode"], of_casting["decode_vjp"]

    @_inline
    def encode(g, p, m, r):
        return cast(ratio_of(g, p), p, m, r)

    @_inline
    def encode_vjp(du, g, p, m, r, u):
        q = ratio_of(g, p)
        dq, _ = cast_vjp(du, q, p, m, r, u)
        return ratio_vjp(dq, g, p, m, r, q)

    @_inline
    def decode(o, p, m):
        return uncast(o, p, m) * (abs(p) + tiny)

    @_inline
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


def sum_of_losses(spec: "Spec", real: type) -> Functions:
    """Make Σ losses."""
    zero, one = real(0), real(1)

    @_inline
    def value(losses):
        total = zero
        for t in range(losses.size):
            total += losses[t]
        return total

    @_inline
    def gradient(losses, weights):
        for t in range(losses.size):
            weights[t] = one

    return {"value": value, "gradient": gradient}


def last_loss(spec: "Spec", real: type) -> Functions:
    """Make the last loss."""
    zero, one = real(0), real(1)

    @_inline
    def value(losses):
        return losses[losses.size - 1]

    @_inline
    def gradient(losses, weights):
        for t in range(losses.size):
            weights[t] = zero
        weights[losses.size - 1] = one

    return {"value": value, "gradient": gradient}


def log_of_last_loss(spec: "Spec", real: type) -> Functions:
    """Make log(last loss + residual)."""
    zero, one, residual = real(0), real(1), real(spec.objective_residual)

    @_inline
    def value(losses):
        return math.log(losses[losses.size - 1] + residual)

    @_inline
    def gradient(losses, weights):
        for t in range(losses.size):
            weights[t] = zero
        weights[losses.size - 1] = one / (losses[losses.size - 1] + residual)

    return {"value": value, "gradient": gradient}


def sum_of_logs(spec: "Spec", real: type) -> Functions:
    """Make Σ log(loss + residual)."""
    zero, one, residual = real(0), real(1), real(spec.objective_residual)

    @_inline
    def value(losses):
        total = zero
        for t in range(losses.size):
            total += math.log(losses[t] + residual)
        return total

    @_inline
    def gradient(losses, weights):
        for t in range(losses.size):
            weights[t] = one / (losses[t] + residual)

    return {"value": value, "gradient": gradient}


PROBLEMS: dict[str, Piece] = {"quadratic": quadratic}
TRANSFORMS: dict[str, Piece] = {
    "identity": identity,
    "log": log_casting,
    "ratio": ratio,
    "ratio_log": ratio_log,
}
OBJECTIVES: dict[str, Piece] = {
    "sum": sum_of_losses,
    "end": last_loss,
    "end_log": log_of_last_loss,
    "sum_log": sum_of_logs,
}
