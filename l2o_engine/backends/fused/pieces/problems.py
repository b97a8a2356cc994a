"""The bare functions of a kernel's problems, each with its gradient and its Hessian.

Of D coordinates, ``parameters`` beginning with the function's numbers, in the order of the family's ``bare_shapes``:

    loss_and_gradient(parameters, x, g) -> loss     fills g
    add_hessian_product(parameters, x, v, out)      out += H(x) v

wrappers.py makes a task's loss of them.
"""

import math

from l2o_engine.backends.fused.pieces.base import Functions, Problem, inline
from l2o_engine.backends.fused.pieces.formula import formula
from l2o_engine.backends.fused.spec import ProblemSpec


def quadratic(problem: ProblemSpec, real: type) -> Functions:
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


def _residuals(problem: ProblemSpec, real: type, factor: float, term: Functions) -> Functions:
    """Make the mean over problems of factor·‖W·x - y‖² and a term of each coordinate; the parameters are W, y, ….

    ``term`` has ``value(parameters, k, x) -> f``, ``slope(parameters, k, x) -> f'`` and ``bend(parameters, k, x) ->
    f"`` of coordinate k, at x.
    """
    problems, rows, dims = (int(number) for number in problem.settings[:3])
    first_target = problems * rows * dims
    zero, share, once, twice = real(0), real(1 / problems), real(factor / problems), real(2 * factor / problems)
    value, slope, bend = term["value"], term["slope"], term["bend"]

    @inline
    def loss_and_gradient(parameters, x, g):
        loss, terms = zero, zero
        for k in range(x.size):
            terms += value(parameters, k, x[k])
            g[k] = share * slope(parameters, k, x[k])
        for p in range(problems):
            for r in range(rows):
                w = (p * rows + r) * dims
                missed = -parameters[first_target + p * rows + r]
                for d in range(dims):
                    missed += parameters[w + d] * x[p * dims + d]
                loss += missed * missed
                for d in range(dims):
                    g[p * dims + d] += twice * missed * parameters[w + d]
        return once * loss + share * terms

    @inline
    def add_hessian_product(parameters, x, v, out):
        for k in range(x.size):
            out[k] += share * bend(parameters, k, x[k]) * v[k]
        for p in range(problems):
            for r in range(rows):
                w = (p * rows + r) * dims
                image = zero
                for d in range(dims):
                    image += parameters[w + d] * v[p * dims + d]
                for d in range(dims):
                    out[p * dims + d] += twice * image * parameters[w + d]

    return {"loss_and_gradient": loss_and_gradient, "add_hessian_product": add_hessian_product}


def least_squares(problem: ProblemSpec, real: type) -> Functions:
    """Make the mean of ‖W·x - y‖²."""
    zero = real(0)

    @inline
    def nothing(parameters, k, x):
        return zero

    return _residuals(problem, real, 1.0, {"value": nothing, "slope": nothing, "bend": nothing})


def lasso(problem: ProblemSpec, real: type) -> Functions:
    """Make the mean of ½‖W·x - y‖² + weight·‖x‖₁."""
    zero, weight = real(0), real(problem.settings[3])

    @inline
    def value(parameters, k, x):
        return weight * abs(x)

    @inline
    def slope(parameters, k, x):
        return weight if x > zero else (-weight if x < zero else x)  # 0 and NaN stay themselves

    @inline
    def bend(parameters, k, x):
        return zero

    return _residuals(problem, real, 0.5, {"value": value, "slope": slope, "bend": bend})


def rastrigin(problem: ProblemSpec, real: type) -> Functions:
    """Make the mean of ½‖A·x - b‖² - α·cᵀcos(2πx) + α·dims."""
    problems, rows, dims = (int(number) for number in problem.settings[:3])
    first = problems * rows * (dims + 1)  # of c
    turn, alpha = real(2 * math.pi), real(problem.settings[3])
    turns = turn * turn

    @inline
    def value(parameters, k, x):
        return alpha * (1 - parameters[first + k] * math.cos(turn * x))

    @inline
    def slope(parameters, k, x):
        return turn * alpha * parameters[first + k] * math.sin(turn * x)

    @inline
    def bend(parameters, k, x):
        return turns * alpha * parameters[first + k] * math.cos(turn * x)

    return _residuals(problem, real, 0.5, {"value": value, "slope": slope, "bend": bend})


BARE: dict[str, Problem] = {
    "formula": formula,
    "lasso": lasso,
    "least_squares": least_squares,
    "quadratic": quadratic,
    "rastrigin": rastrigin,
}
"""The bare functions, by kind."""
