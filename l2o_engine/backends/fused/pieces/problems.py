"""The problems of a kernel, each with its gradient and its Hessian.

Of D coordinates, ``parameters`` the problem's row of numbers:

    loss_and_gradient(parameters, x, g) -> loss     fills g
    add_hessian_product(parameters, x, v, out)      out += H(x) v
"""

from l2o_engine.backends.fused.pieces.base import Functions, Piece, inline
from l2o_engine.backends.fused.spec import Spec


def quadratic(spec: Spec, real: type) -> Functions:
    """Make f(x) = Σ (scale·x)²; the parameters are scale."""
    zero, two = real(0), real(2)

    @inline
    def loss_and_gradient(scale, x, g):
        loss = zero
        for d in range(x.size):
            y = scale[d] * x[d]
            loss += y * y
            g[d] = two * scale[d] * y
        return loss

    @inline
    def add_hessian_product(scale, x, v, out):
        for d in range(x.size):
            out[d] += two * scale[d] * scale[d] * v[d]

    return {"loss_and_gradient": loss_and_gradient, "add_hessian_product": add_hessian_product}


PROBLEMS: dict[str, Piece] = {"quadratic": quadratic}
