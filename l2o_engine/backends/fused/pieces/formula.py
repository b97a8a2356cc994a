"""A user's formula as a problem of the kernel: code that is generated from it, compiled."""

from l2o_engine.backends.fused.pieces.base import Functions, inline
from l2o_engine.backends.fused.spec import ProblemSpec
from l2o_engine.tasks.formula.expression import Source
from l2o_engine.tasks.formula.generate import kernel_functions


def formula(problem: ProblemSpec, real: type) -> Functions:
    """Make a formula; the parameters are its numbers, in their order."""
    functions = kernel_functions(Source.of(problem.settings), real)
    return {name: inline(function) for name, function in functions.items()}
