"""What is generated of a formula: the same for NumPy, torch and the kernel, and what autograd finds."""

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from numba import njit, types
from numpy.testing import assert_allclose, assert_array_equal

from l2o_engine.backends.fused.pieces.formula import formula
from l2o_engine.backends.fused.spec import ProblemSpec
from l2o_engine.support.arrays import Doubles
from l2o_engine.tasks.formula.expression import MOST_LEVELS, Source
from l2o_engine.tasks.formula.generate import kernel_functions, numpy_functions, torch_functions
from l2o_engine.tasks.formula.grammar import FUNCTIONS
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


@pytest.mark.parametrize(
    "text",
    [
        EVERYTHING,
        "x[0]**7*x[1]**-3 + w[0]*w[1]**b",
        "(b*x[0] - w[0]/x[1])/(w[1] + x[0]**2*x[1]**2) - -x[1]",
        "-x[0]**2 - 2**3**2/x[1]/b/w[0] - w[1]",
        "(x[0]*x[1]*x[0])**2*(w[0] - x[0] - (x[1] - w[1]))/(2 - b*x[0]*x[0]) + x[1] + x[1]",
    ],
)
def test_the_derivatives_are_those_of_finite_differences(text: str) -> None:
    source = Source(text, 2, PARAMETERS)
    parameters, x, v = point(source, 4)
    loss, gradient, product = numpy_functions(source)
    h = 1e-5
    for axis in range(2):
        step = h * np.eye(2)[axis]
        slope = (loss(parameters, x + step) - loss(parameters, x - step)) / (2 * h)
        found = gradient(parameters, x)[:, axis]
        assert_allclose(slope, found, rtol=1e-5, atol=1e-6 * np.abs(found).max())
    bend = (gradient(parameters, x + h * v) - gradient(parameters, x - h * v)) / (2 * h)
    found = product(parameters, x, v)
    assert_allclose(bend, found, rtol=1e-5, atol=1e-6 * np.abs(found).max())


# What SymPy does not simplify.


@pytest.mark.parametrize(
    ("text", "x", "loss"),
    [
        ("x[0]/x[0]", 0.0, np.nan),
        ("x[0] - x[0]", np.inf, np.nan),
        ("0*log(x[0])", -1.0, np.nan),
        ("sqrt(x[0])**2", -1.0, np.nan),
        ("(x[0]**2)**0.5", -3.0, 3.0),
        ("log(exp(x[0]))", 1e3, np.inf),
        ("exp(-x[0])*exp(x[0])", 1e3, np.nan),
        ("x[0]**3/x[0]**2", 0.0, np.nan),
        ("3*(x[0] - 0.1)", 0.1, 0.0),
        ("0.1 + 0.2 + x[0] - 0.3", 0.0, 0.1 + 0.2 - 0.3),
        ("x[0] + 1e17 - 1e17", 1.0, 0.0),
        ("(1e-200*x[0])**2", 1e200, 1.0),
        ("1e200*x[0]*1e200", 1e-200, 1e200),
    ],
)
def test_a_loss_is_computed_as_it_is_written(text: str, x: float, loss: float) -> None:
    source = Source(text, 1)
    assert_array_equal(numpy_functions(source).loss([], np.array([[x]])), [loss])
    assert_array_equal(torch_functions(source).loss([], torch.tensor([[x]], dtype=torch.float64)).numpy(), [loss])


@pytest.mark.parametrize("text", ["3*(x[0] - 0.1)**2", "(x[0] - 0.1)**3 - (0.1 - x[0])**3", "(1 - x[0]/0.1)**2*7/3"])
def test_at_an_optimum_the_slope_is_exactly_0(text: str) -> None:
    assert_array_equal(numpy_functions(Source(text, 1)).gradient([], np.array([0.1])), [0.0])


def test_what_float32_can_hold_does_not_underflow() -> None:
    loss, gradient, _ = numpy_functions(Source("(1e-25*x[0])**2", 1))
    x = np.array([1e25], np.float32)
    assert_allclose([loss([], x), gradient([], x)[0] * 1e25], [1, 2], rtol=1e-6)


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


def test_the_code_is_the_same_in_every_process_and_torch_is_not_needed() -> None:
    program = f"""
import hashlib, sys
from l2o_engine.tasks.formula import Formula
from l2o_engine.tasks.formula.expression import MOST_LEVELS, Source
from l2o_engine.tasks.formula.generate import kernel_functions
Formula(function="ackley")
assert 'sympy' not in sys.modules
for source in (Source({EVERYTHING!r}, 2, {PARAMETERS!r}), Formula(function="ackley", dims=5).source):
    for made in kernel_functions(source, float).values():
        code, constants = made.__code__, [(k, v) for k, v in made.__globals__.items() if isinstance(v, float)]
        print(hashlib.sha256(repr((code.co_code, code.co_names, code.co_varnames, constants)).encode()).hexdigest())
assert 'torch' not in sys.modules
"""
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1


def test_the_deepest_that_is_taken_is_differentiated_wherever_it_is_called() -> None:
    def called(levels: int) -> Doubles:
        return called(levels - 1) if levels else numpy_functions(source).gradient([], np.ones((1, 1)))

    source = Source("*".join(["x[0]"] * (MOST_LEVELS + 1)), 1)
    assert_array_equal(called(200), [[MOST_LEVELS + 1]])


def test_every_function_of_the_grammar_is_generated_and_tested() -> None:
    assert all(f"{name}(" in EVERYTHING for name in FUNCTIONS)
