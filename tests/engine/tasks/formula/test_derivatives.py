"""The derivatives of a formula's expression, beside SymPy's own way of making them."""

from hypothesis import given, settings

from l2o_engine.tasks.formula import derivatives
from l2o_engine.tasks.formula.expression import Source, expression_of
from tests.engine.tasks.formula.formulas import sources


@given(sources())
@settings(max_examples=20)
def test_they_are_those_that_sympy_makes_where_each_step_goes_through_all_of_it(source: Source) -> None:
    moving = derivatives._written(expression_of(source))
    slope = derivatives._derivative(moving, derivatives._TIME, {})
    assert slope == moving.diff(derivatives._TIME)
    direction = derivatives.symbol("v", 0)
    assert derivatives._derivative(slope, direction, {}) == slope.diff(direction)
