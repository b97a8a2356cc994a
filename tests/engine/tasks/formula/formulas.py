"""Random formulas, as text, and where they are evaluated."""

import itertools
import re
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from l2o_engine.support.arrays import Doubles
from l2o_engine.tasks.formula.expression import Source

PARAMETERS = (("b", 0), ("w", 2))


class Point(NamedTuple):
    """Where a formula is evaluated: 6 points with parameters of their own, and vectors for the Hessian."""

    parameters: list[Doubles]
    x: Doubles
    v: Doubles


def point(source: Source, seed: int) -> Point:
    """Return points of a formula, none of them special."""
    generator = np.random.default_rng(seed)
    parameters = [generator.uniform(0.5, 2, 6) for _ in range(source.numbers)]
    return Point(parameters, generator.normal(size=(6, source.dims)), generator.normal(size=(6, source.dims)))


@st.composite
def sources(draw: st.DrawFn) -> Source:
    """Return formulas of one to three coordinates with the parameters b and w, all of which they use."""
    dims = draw(st.integers(1, 3))
    # Whatever stands before it, this uses all that there is.
    rest = "0.1*sum(i, (x[i] - w[0])**2) + w[1]/b"
    names = (f"k{count // 3}" for count in itertools.count())  # a sum within a sum needs another index
    return Source(f"{re.sub('@', lambda _: next(names), draw(_terms(dims)))} + {rest}", dims, PARAMETERS)


def _terms(dims: int) -> st.SearchStrategy[str]:
    numbers = st.sampled_from(["2", "0.5", ".25", "1.5e-1", "3.", "pi", "e", "dims", "b", "w[0]", "w[2 - 1]"])
    leaves = numbers | st.integers(0, dims - 1).map("x[{}]".format)
    return st.recursive(leaves, _longer, max_leaves=10)


def _longer(inner: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    def call(parts: tuple[str, str]) -> str:
        name, argument = parts
        positive = {"sqrt": "x[0]**2 + {}**2", "log": "1 + {}**2", "log1p": "abs({})"}
        return f"{name}({positive.get(name, '{}').format(f'({argument})')})"

    functions = st.sampled_from(["abs", "cos", "exp", "expm1", "log", "log1p", "sin", "sqrt", "tan", "tanh"])
    return st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/"]), inner).map(lambda parts: "({} {} {})".format(*parts)),
        st.tuples(functions, inner).map(call),
        st.tuples(inner, st.integers(-3, 5)).map(lambda parts: f"({parts[0]})**{parts[1]}"),
        st.tuples(inner, st.sampled_from(["b", "1.5", "w[0]", "(b - 0.25)"])).map(
            lambda parts: f"(0.1 + ({parts[0]})**2)**{parts[1]}"
        ),
        inner.map("-{}".format),
        inner.map("sum(@, 0, dims - 1, (@ + 1)*x[@]*{})".format),
    )
