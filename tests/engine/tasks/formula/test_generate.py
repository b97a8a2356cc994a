"""What is generated of a formula: the same for NumPy, torch and the kernel, and what autograd and SymPy find."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from operator import add, mul, sub, truediv
from typing import Any

import numpy as np
import pytest
import sympy
import torch
from hypothesis import assume, given
from numba import njit, types
from numpy.testing import assert_allclose, assert_array_equal

from l2o_engine.backends.fused.pieces.formula import formula
from l2o_engine.backends.fused.spec import ProblemSpec
from l2o_engine.support.arrays import Doubles
from l2o_engine.tasks.formula import grammar
from l2o_engine.tasks.formula.expression import Source
from l2o_engine.tasks.formula.generate import kernel_functions, numpy_functions, torch_functions
from l2o_engine.tasks.formula.grammar import FUNCTIONS, parse
from tests.engine.tasks.formula.formulas import PARAMETERS, Point, point, sources

EVERYTHING = (
    "sqrt(b + x[0]**2)*abs(x[1]) + cos(x[0])*sin(w[0]*x[1]) - exp(-x[0])/(1 + expm1(x[1])**2)"
    " + log(b + x[1]**4) + log1p(x[0]**2) + tan(x[0]/4) - tanh(w[1]*x[1]) + (x[0]**2 + 1)**b"
    " + (x[1]**2)**-1.5 + 3**w[0]"
)
EVERYTHING_SOURCE = Source(EVERYTHING, 2, PARAMETERS)


def by_autograd(source: Source, at: Point) -> tuple[Doubles, Doubles, Doubles]:
    """Return loss, gradient and the Hessian times v, as autograd finds them of the loss."""
    x, v = torch.tensor(at.x, requires_grad=True), torch.tensor(at.v)
    loss = torch_functions(source).loss([torch.tensor(one) for one in at.parameters], x)
    (gradient,) = torch.autograd.grad(loss.sum(), x, create_graph=True)
    (product,) = torch.autograd.grad((gradient * v).sum(), x)
    return loss.detach().numpy(), gradient.detach().numpy(), product.numpy()


def by_numpy(source: Source, at: Point) -> tuple[Doubles, Doubles, Doubles]:
    loss, gradient, product = numpy_functions(source)
    return loss(at.parameters, at.x), gradient(at.parameters, at.x), product(at.parameters, at.x, at.v)


def assert_same(found: Any, expected: Any) -> None:
    scale = max(float(np.abs(expected).max()), 1.0)
    assert_allclose(found, expected, rtol=0, atol=1e-9 * scale)


def assume_well_conditioned(source: Source, at: Point) -> None:
    """Go on only if what is computed is finite, and hardly moves with the last place of where it is computed."""
    moved = at._replace(x=np.nextafter(at.x, np.inf), parameters=[np.nextafter(one, np.inf) for one in at.parameters])
    for values, others in zip(by_numpy(source, at), by_numpy(source, moved), strict=True):
        assume(np.isfinite(values).all())
        assume(np.abs(values - others).max() < 1e-11 * max(np.abs(values).max(), 1.0))


@given(source=sources())
def test_a_random_formula_has_the_derivatives_that_autograd_finds(source: Source) -> None:
    at = point(source, 0)
    assume_well_conditioned(source, at)
    parameters, x, v = [torch.tensor(one) for one in at.parameters], torch.tensor(at.x), torch.tensor(at.v)
    loss, gradient, product = torch_functions(source)
    by_torch = (loss(parameters, x), gradient(parameters, x), product(parameters, x, v))
    for found, tensor, expected in zip(by_numpy(source, at), by_torch, by_autograd(source, at), strict=True):
        assert_same(found, expected)
        assert_same(tensor.numpy(), expected)


@given(source=sources())
def test_the_kernels_text_gives_what_numpys_does(source: Source) -> None:
    """Run as Python, which is what Numba compiles it to be."""
    at = point(source, 2)
    assume_well_conditioned(source, at)
    made = kernel_functions(source, float)
    for place, expected in enumerate(zip(*by_numpy(source, at), strict=True)):
        parameters = [float(one[place]) for one in at.parameters]
        g, out = [0.0] * source.dims, [1.0] * source.dims  # the product is added
        loss = made["loss_and_gradient"](parameters, at.x[place].tolist(), g)
        made["add_hessian_product"](parameters, at.x[place].tolist(), at.v[place].tolist(), out)
        for found, one in zip((loss, np.array(g), np.array(out) - 1), expected, strict=True):
            assert_same(found, one)


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-13), ("float32", 1e-4)])
def test_the_compiled_kernel_gives_the_same_in_its_own_float_type(dtype: str, bound: float) -> None:
    kind, at = getattr(types, dtype), point(EVERYTHING_SOURCE, 3)
    functions = formula(ProblemSpec("formula", settings=EVERYTHING_SOURCE.settings), getattr(np, dtype))
    loss_and_gradient: Any = functions["loss_and_gradient"]
    add_hessian_product: Any = functions["add_hessian_product"]
    array = types.Array(kind, 1, "C")

    @njit(types.none(*[array] * 6))
    def both(parameters: Any, x: Any, v: Any, loss: Any, g: Any, out: Any) -> None:
        loss[0] = loss_and_gradient(parameters, x, g)
        add_hessian_product(parameters, x, v, out)

    for function in (loss_and_gradient, add_hessian_product):
        ((text),) = function.inspect_llvm().values()
        assert ("double" in text) == (dtype == "float64")  # no constant turned float32 into float64
    for place, expected in enumerate(zip(*by_numpy(EVERYTHING_SOURCE, at), strict=True)):
        parameters = np.array([one[place] for one in at.parameters], dtype)
        loss, g, out = np.zeros(1, dtype), np.zeros(2, dtype), np.ones(2, dtype)
        both(parameters, at.x[place].astype(dtype), at.v[place].astype(dtype), loss, g, out)
        for found, one in zip((loss[0], g, out - 1), expected, strict=True):
            assert_allclose(found, one, rtol=0, atol=bound * max(1, np.abs(one).max()))


# Against SymPy.


_SIGNS: dict[str, Callable[[Any, Any], Any]] = {"+": add, "-": sub, "*": mul, "/": truediv}
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "abs": lambda u: sympy.sqrt(u**2),
    "expm1": lambda u: sympy.exp(u) - 1,
    "log1p": lambda u: sympy.log(1 + u),
}


def in_sympy(node: grammar.Node, names: Mapping[str, Any]) -> Any:
    """Return a tree without sums as SymPy's."""
    match node:
        case grammar.Number(text):
            value = sympy.Rational(text)
        case grammar.Name(name):
            value = names[name]
        case grammar.Element(name, grammar.Number(index)):
            value = names[f"{name}[{index}]"]
        case grammar.Negative(operand):
            value = -in_sympy(operand, names)
        case grammar.Chain(operands, signs):
            value = in_sympy(operands[0], names)
            for sign, operand in zip(signs, operands[1:], strict=True):
                value = _SIGNS[sign.text](value, in_sympy(operand, names))
        case grammar.Power(base, exponent):
            value = in_sympy(base, names) ** in_sympy(exponent, names)
        case grammar.Call(function, argument):
            value = (_FUNCTIONS.get(function) or getattr(sympy, function))(in_sympy(argument, names))
        case _:
            raise AssertionError(node)
    return value


@pytest.mark.parametrize(
    "text",
    [
        EVERYTHING,
        "x[0]**7*x[1]**-3 + w[0]*w[1]**b",
        "(b*x[0] - w[0]/x[1])/(w[1] + x[0]**2*x[1]**2) - -x[1]",
        "-x[0]**2 - 2**3**2/x[1]/b/w[0] - w[1]",
    ],
)
def test_the_derivatives_are_sympys(text: str) -> None:
    source, at = Source(text, 2, PARAMETERS), point(Source(text, 2, PARAMETERS), 4)
    x, v = sympy.symbols("x:2", real=True), sympy.symbols("v:2", real=True)
    parameters = sympy.symbols("p:3", positive=True)
    names = dict(zip(("b", "w[0]", "w[1]", "x[0]", "x[1]"), (*parameters, *x), strict=True))
    loss = in_sympy(parse(text), names)
    gradient = [sympy.diff(loss, one) for one in x]
    product = [sum(sympy.diff(slope, one) * by for one, by in zip(x, v, strict=True)) for slope in gradient]
    made = by_numpy(source, at)
    for place in range(2):
        numbers = [*(one[place] for one in at.parameters), *at.x[place], *at.v[place]]
        values = dict(zip((*parameters, *x, *v), map(sympy.Float, numbers), strict=True))
        expected = [float(one.evalf(30, subs=values)) for one in (loss, *gradient, *product)]
        found = [made[0][place], *made[1][place], *made[2][place]]
        assert_allclose(found, expected, rtol=1e-12)


# Where there is no derivative.


@pytest.mark.parametrize(
    ("text", "loss"),
    [
        ("abs(x[0])", 0.0),
        ("sqrt(x[0])", 0.0),
        ("sqrt(x[0]**2)", 0.0),
        ("(x[0]**2)**0.5", 0.0),
        ("exp(-0.2*sqrt(x[0]**2))", 1.0),
        ("x[0]**2 + x[0]**0", 1.0),
        ("(x[0]**2)**1.5", 0.0),
    ],
)
def test_at_0_the_slope_is_0_and_all_say_so(text: str, loss: float) -> None:
    source = Source(text, 1)
    bend = 2.0 if text.startswith("x[0]**2 ") else 0.0
    at = Point([], np.zeros((1, 1)), np.ones((1, 1)))
    for found in (by_numpy(source, at), by_autograd(source, at)):
        assert_array_equal(found[0], [loss])
        assert_array_equal(found[1], [[0.0]])
        assert_array_equal(found[2], [[bend]])
    made, g, out = kernel_functions(source, float), [1.0], [0.0]
    assert made["loss_and_gradient"]([], [0.0], g) == loss
    made["add_hessian_product"]([], [0.0], [1.0], out)
    assert (g, out) == ([0.0], [bend])


def test_what_is_beyond_the_reals_or_infinite_is_so_without_a_warning() -> None:
    at = Point([], np.array([[-1.0], [0.0], [1e200]]), np.ones((3, 1)))
    for text, losses in (("log(x[0])", [np.nan, -np.inf, np.log(1e200)]), ("x[0]**2", [1.0, 0.0, np.inf])):
        loss, gradient, _ = by_numpy(Source(text, 1), at)
        assert_array_equal(loss, losses)
        assert gradient.shape == (3, 1)


# Shapes and dtypes.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("leading", [(), (4,), (2, 3)])
def test_any_leading_axes_and_the_dtype_of_what_is_given(dtype: str, leading: tuple[int, ...]) -> None:
    source = Source("2*x[0] + abs(x[1])*sqrt(b) + w[0]*w[1] + x[1]**-1 + 3**b", 2, PARAMETERS)
    x = np.ones((*leading, 2), dtype)
    parameters = [np.ones(leading, dtype)] * 3
    loss, gradient, product = numpy_functions(source)
    for found, shape in (
        (loss(parameters, x), leading),
        (gradient(parameters, x), (*leading, 2)),
        (product(parameters, x, x), (*leading, 2)),
    ):
        assert (np.shape(found), found.dtype) == (shape, dtype)
    tensors, point_ = [torch.from_numpy(np.asarray(one)) for one in parameters], torch.from_numpy(x)
    loss, gradient, product = torch_functions(source)
    for tensor, shape in (
        (loss(tensors, point_), leading),
        (gradient(tensors, point_), (*leading, 2)),
        (product(tensors, point_, point_), (*leading, 2)),
    ):
        assert (tuple(tensor.shape), str(tensor.dtype)) == (shape, f"torch.{dtype}")


def test_the_text_is_the_same_in_every_process() -> None:
    program = (
        "from l2o_engine.tasks.formula.expression import Source, program_of\n"
        "import hashlib, sys\n"
        f"print(hashlib.sha256(repr(program_of(Source({EVERYTHING!r}, 2, {PARAMETERS!r}))).encode()).hexdigest())\n"
        "assert 'sympy' not in sys.modules and 'torch' not in sys.modules"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert said[0] == said[1]


def test_every_function_of_the_grammar_is_generated_and_tested() -> None:
    assert all(f"{name}(" in EVERYTHING for name in FUNCTIONS)
