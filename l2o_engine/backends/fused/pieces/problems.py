"""The problems of a kernel, each with its gradient and its Hessian.

Of D coordinates, ``parameters`` the problem's row of numbers, ``scratch`` room for :data:`SCRATCH` times D:

    loss_and_gradient(parameters, x, g, scratch) -> loss     fills g
    add_hessian_product(parameters, x, v, out, scratch)      out += H(x) v

A bare function, without wrappers, needs no scratch; its piece makes the two without that argument.
"""

import math

from l2o_engine.backends.fused.pieces.base import Functions, Problem, inline
from l2o_engine.backends.fused.spec import ProblemSpec

SCRATCH = 4


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
    "lasso": lasso,
    "least_squares": least_squares,
    "quadratic": quadratic,
    "rastrigin": rastrigin,
}
"""The bare functions, by kind."""


def missing_problem(problem: ProblemSpec) -> str:
    """Return the first kind of problem that there is no piece for; "" if there are all."""
    members = problem.members or (problem,)
    return next((member.kind for member in members if member.kind not in BARE), "")


def problem_functions(problem: ProblemSpec, real: type) -> Functions:
    """Return the two functions of a problem, bare, wrapped or a mixture."""
    if problem.members:
        return _mixture([_wrapped(member, real) for member in problem.members], real)
    return _wrapped(problem, real)


def _wrapped(problem: ProblemSpec, real: type) -> Functions:
    """Put the wrappers around a bare function, as :class:`~l2o_engine.tasks.small.SmallTask` does."""
    bare = BARE[problem.kind](problem, real)
    value_of, bend = bare["loss_and_gradient"], bare["add_hessian_product"]
    rotated, shifted, logarithmic = problem.rotated, problem.shifted, problem.log > 0
    is_moved = rotated or shifted
    zero, epsilon, log_epsilon = real(0), real(problem.log), real(math.log(problem.log) if problem.log else 0)
    first_rotation = problem.bare_numbers

    @inline
    def turn(parameters, v, out):
        """Fill out with Q·v."""
        size = v.size
        for i in range(size):
            found = v[i]
            if rotated:
                found = zero
                for j in range(size):
                    found += parameters[first_rotation + i * size + j] * v[j]
            out[i] = found

    @inline
    def turn_back(parameters, v, out):
        """Fill out with Qᵀ·v."""
        size = v.size
        for j in range(size):
            out[j] = zero if rotated else v[j]
        if rotated:
            for i in range(size):
                for j in range(size):
                    out[j] += parameters[first_rotation + i * size + j] * v[i]

    @inline
    def go_inside(parameters, x, moved, z):
        """Fill z with Q·(x - shift), by way of moved."""
        size = x.size
        first_shift = first_rotation + (size * size if rotated else 0)
        for k in range(size):
            moved[k] = x[k] - parameters[first_shift + k] if shifted else x[k]
        turn(parameters, moved, z)

    @inline
    def loss_and_gradient(parameters, x, g, scratch):
        size = x.size
        if is_moved:
            z, slope = scratch[:size], scratch[size : 2 * size]
            go_inside(parameters, x, slope, z)
            loss = value_of(parameters, z, slope)
            turn_back(parameters, slope, g)
        else:
            loss = value_of(parameters, x, g)
        if logarithmic:
            value = loss + epsilon
            for k in range(size):
                g[k] /= value
            loss = math.log(value) - log_epsilon
        return loss

    @inline
    def add_hessian_product(parameters, x, v, out, scratch):
        if not (is_moved or logarithmic):
            bend(parameters, x, v, out)
            return
        size = x.size
        z, along = scratch[:size], scratch[size : 2 * size]
        bent, back = scratch[2 * size : 3 * size], scratch[3 * size : 4 * size]
        go_inside(parameters, x, along, z)
        turn(parameters, v, along)
        for k in range(size):
            bent[k] = zero
        bend(parameters, z, along, bent)
        turn_back(parameters, bent, back)
        if not logarithmic:
            for k in range(size):
                out[k] += back[k]
            return
        value = value_of(parameters, z, bent) + epsilon
        turn_back(parameters, bent, along)  # the slope by x
        moved_along = zero
        for k in range(size):
            moved_along += along[k] * v[k]
        for k in range(size):
            out[k] += back[k] / value - along[k] * (moved_along / value) / value

    return {"loss_and_gradient": loss_and_gradient, "add_hessian_product": add_hessian_product}


def _mixture(members: list[Functions], real: type) -> Functions:
    """Let a task's first number say which of these it is; the rest are that one's parameters."""
    found = members[-1]
    value_of, bend = found["loss_and_gradient"], found["add_hessian_product"]

    def behind_the_first(function):
        return function
    raise NotImplementedError
