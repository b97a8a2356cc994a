"""The pieces that a kernel is put together of: problems, inputs and objectives, each with its derivative.

Enter a piece in the table of its module under the ``kind`` that a preset uses, and the kernel takes it by name; the
kernel's body is not edited. Wrappers and mixtures of problems are made of their bare functions.
"""

from l2o_engine.backends.fused.pieces.base import Functions, Piece
from l2o_engine.backends.fused.pieces.inputs import INPUTS
from l2o_engine.backends.fused.pieces.objectives import OBJECTIVES
from l2o_engine.backends.fused.pieces.problems import BARE
from l2o_engine.backends.fused.pieces.wrappers import SCRATCH, missing_problem, problem_functions
from l2o_engine.backends.fused.spec import Spec

__all__ = ["BARE", "INPUTS", "OBJECTIVES", "SCRATCH", "missing_piece", "pieces_of"]


def missing_piece(spec: Spec) -> str:
    """Return the first kind of piece that there is no table entry for, as a message names it; "" if there are all."""
    if problem := missing_problem(spec.problem):
        return f'problem "{problem}"'
    for what, kind, table in _tables(spec):
        if kind not in table:
            return f'{what} "{kind}"'
    return ""


def pieces_of(spec: Spec, real: type) -> Functions:
    """Return the functions of a Spec's pieces by the names that the driver calls them by."""
    inputs, objective = (table[kind](spec, real) for _, kind, table in _tables(spec))
    objective = {f"objective_{name}": function for name, function in objective.items()}
    return problem_functions(spec.problem, real) | inputs | objective


def _tables(spec: Spec) -> tuple[tuple[str, str, dict[str, Piece]], ...]:
    return (
        ("inputs", spec.inputs, INPUTS),
        ("objective", spec.objective, OBJECTIVES),
    )
