"""What a kernel's problem is: a bare function, what is wrapped around it, or a mixture of those.

Of D coordinates, ``parameters`` the task's row of numbers, ``scratch`` room for :data:`SCRATCH` times D:

    loss_and_gradient(parameters, x, g, scratch) -> loss     fills g
    add_hessian_product(parameters, x, v, out, scratch)      out += H(x) v

:class:`~l2o_engine.tasks.small.SmallTask` has the formulas.
"""

import math

from l2o_engine.backends.compiled.vectors import view
from l2o_engine.backends.fused.pieces.base import Functions, inline
from l2o_engine.backends.fused.pieces.problems import BARE
from l2o_engine.backends.fused.spec import ProblemSpec

SCRATCH = 4


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
    """Put a problem's wrappers around its bare function."""
    bare = BARE[problem.kind](problem, real)
    moved = _moved(bare, problem, real) if problem.rotated or problem.shifted else _with_scratch(bare)
    return _logarithm(moved, problem.log, real) if problem.log else moved


def _with_scratch(bare: Functions) -> Functions:
    value_of, bend = bare["loss_and_gradient"], bare["add_hessian_product"]

    @inline
    def loss_and_gradient(parameters, x, g, scratch):
        return value_of(parameters, x, g)

    @inline
    def add_hessian_product(parameters, x, v, out, scratch):
        bend(parameters, x, v, out)

    return {"loss_and_gradient": loss_and_gradient, "add_hessian_product": add_hessian_product}


def _moved(bare: Functions, problem: ProblemSpec, real: type) -> Functions:
    """Make f(Q·(x - shift)); it takes the first three quarters of the scratch."""
    value_of, bend = bare["loss_and_gradient"], bare["add_hessian_product"]
    rotated, shifted, zero = problem.rotated, problem.shifted, real(0)
    first_rotation = problem.bare_numbers

    @inline
    def turn(parameters, v, out):
        """Fill out with Q·v."""
        size = v.size
        for i in range(size):
            found = zero if rotated else v[i]
            if rotated:
                for j in range(size):
                    found += parameters[first_rotation + i * size + j] * v[j]
            out[i] = found

    @inline
    def turn_back_and_add(parameters, v, out):
        """Add Qᵀ·v to out."""
        size = v.size
        for i in range(size):
            if rotated:
                for j in range(size):
                    out[j] += parameters[first_rotation + i * size + j] * v[i]
            else:
                out[i] += v[i]

    @inline
    def go_inside(parameters, x, shifted_x, z):
        """Fill z with Q·(x - shift), by way of x - shift."""
        size = x.size
        first_shift = first_rotation + (size * size if rotated else 0)
        for k in range(size):
            shifted_x[k] = x[k] - parameters[first_shift + k] if shifted else x[k]
        turn(parameters, shifted_x, z)

    @inline
    def loss_and_gradient(parameters, x, g, scratch):
        size = x.size
        z, slope = view(scratch, 0, size), view(scratch, size, size)
        go_inside(parameters, x, slope, z)
        loss = value_of(parameters, z, slope)
        for k in range(size):
            g[k] = zero
        turn_back_and_add(parameters, slope, g)
        return loss

    @inline
    def add_hessian_product(parameters, x, v, out, scratch):
        size = x.size
        z, along, bent = view(scratch, 0, size), view(scratch, size, size), view(scratch, 2 * size, size)
        go_inside(parameters, x, along, z)
        turn(parameters, v, along)
        for k in range(size):
            bent[k] = zero
        bend(parameters, z, along, bent)
        turn_back_and_add(parameters, bent, out)

    return {"loss_and_gradient": loss_and_gradient, "add_hessian_product": add_hessian_product}


def _logarithm(inner: Functions, number: float, real: type) -> Functions:
    """Make ln(f + ε) - ln ε; it takes the last quarter of the scratch."""
    value_of, bend = inner["loss_and_gradient"], inner["add_hessian_product"]
    zero, epsilon, log_epsilon = real(0), real(number), real(math.log(number))

    @inline
    def loss_and_gradient(parameters, x, g, scratch):
        value = value_of(parameters, x, g, scratch) + epsilon
        for k in range(x.size):
            g[k] /= value
        return math.log(value) - log_epsilon

    @inline
    def add_hessian_product(parameters, x, v, out, scratch):
        size = x.size
        slope = view(scratch, 3 * size, size)  # of f, then what is to be added
        value = value_of(parameters, x, slope, scratch) + epsilon
        along = zero
        for k in range(size):
            along += slope[k] * v[k]
        for k in range(size):
            slope[k] = -slope[k] * (along / value)
        bend(parameters, x, v, slope, scratch)
        for k in range(size):
            out[k] += slope[k] / value

    return {"loss_and_gradient": loss_and_gradient, "add_hessian_product": add_hessian_product}


def _mixture(members: list[Functions], real: type) -> Functions:
    """Let a task's first number say which of these functions is its own; the rest are that one's parameters."""
    *others, last = members
    found = _of_the_rest(last)
    for index in reversed(range(len(others))):
        found = _either(real(index), _of_the_rest(others[index]), found)
    return found


def _of_the_rest(member: Functions) -> Functions:
    value_of, bend = member["loss_and_gradient"], member["add_hessian_product"]

    @inline
    def loss_and_gradient(parameters, x, g, scratch):
        return value_of(view(parameters, 1, parameters.size - 1), x, g, scratch)

    @inline
    def add_hessian_product(parameters, x, v, out, scratch):
        bend(view(parameters, 1, parameters.size - 1), x, v, out, scratch)

    return {"loss_and_gradient": loss_and_gradient, "add_hessian_product": add_hessian_product}


def _either(index: object, member: Functions, rest: Functions) -> Functions:
    """Return a member's functions for tasks of this number, and the rest's for others."""
    value_of, bend = member["loss_and_gradient"], member["add_hessian_product"]
    value_of_rest, bend_rest = rest["loss_and_gradient"], rest["add_hessian_product"]

    @inline
    def loss_and_gradient(parameters, x, g, scratch):
        if parameters[0] == index:
            return value_of(parameters, x, g, scratch)
        return value_of_rest(parameters, x, g, scratch)

    @inline
    def add_hessian_product(parameters, x, v, out, scratch):
        if parameters[0] == index:
            bend(parameters, x, v, out, scratch)
        else:
            bend_rest(parameters, x, v, out, scratch)

    return {"loss_and_gradient": loss_and_gradient, "add_hessian_product": add_hessian_product}
