"""Straight-line code of a formula: one text, whose names mean NumPy's, torch's or the kernel's functions.

Each operation of the formula and of its derivatives (:mod:`.derivatives`) becomes one line, and whole powers become
products. The text is made of the spellings below, numbers of places and names of ours, and of nothing that a user
wrote: constants are values that its names stand for, rounded to the kernel's float type where it is the kernel's. The
same formula gives the same text in any process.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from l2o_engine.tasks.base import Array
from l2o_engine.tasks.formula.expression import Source
from l2o_engine.tasks.formula.grammar import FUNCTIONS

if TYPE_CHECKING:  # it loads SymPy
    from l2o_engine.tasks.formula.derivatives import Expression, Program

_SPELLINGS = {
    "multiply": "{} * {}",
    "divide": "{} / {}",
    "real_power": "{} ** {}",
    **{name: f"{name}({{}})" for name in (*FUNCTIONS, "sign", "inverse")},
}
_KERNEL_SPELLINGS = _SPELLINGS | {
    "sign": "one if {0} > zero else (-one if {0} < zero else {0})",
    "inverse": "one / {0} if {0} != zero else zero",
}


class ArrayFunctions(NamedTuple):
    """A formula for arrays, or for tensors; coordinates are [..., dims], parameters one [...] a number.

    Attributes
    ----------
    loss
        (parameters, x) → f [...].
    gradient
        (parameters, x) → ∇f [..., dims].
    hessian_product
        (parameters, x, v) → ∇²f·v [..., dims].
    """

    loss: Callable[[Sequence[Array], Array], Array]
    gradient: Callable[[Sequence[Array], Array], Array]
    hessian_product: Callable[[Sequence[Array], Array, Array], Array]


@lru_cache(maxsize=256)
def numpy_functions(source: Source) -> ArrayFunctions:
    """Return a formula's functions for NumPy arrays; what is beyond the reals or infinite is so without a warning."""

    def inverse(u: Any) -> Any:
        return np.where(u == 0, 0.0, 1.0 / u)

    names = {name: getattr(np, name) for name in (*FUNCTIONS, "sign")}
    loss, gradient, product = _functions_of_lists(source, names | {"inverse": inverse})

    def stacked(parts: Sequence[Any], like: Any) -> Any:
        found = np.empty_like(like)
        for place, part in enumerate(parts):
            found[..., place] = part
        return found

    @np.errstate(all="ignore")
    def loss_of(parameters: Sequence[Any], x: Any) -> Any:
        return loss(parameters, np.moveaxis(x, -1, 0))

    @np.errstate(all="ignore")
    def gradient_of(parameters: Sequence[Any], x: Any) -> Any:
        return stacked(gradient(parameters, np.moveaxis(x, -1, 0)), x)

    @np.errstate(all="ignore")
    def product_of(parameters: Sequence[Any], x: Any, v: Any) -> Any:
        return stacked(product(parameters, np.moveaxis(x, -1, 0), np.moveaxis(v, -1, 0)), v)

    return ArrayFunctions(loss_of, gradient_of, product_of)


@lru_cache(maxsize=256)
def torch_functions(source: Source) -> ArrayFunctions:
    """Return a formula's functions for tensors. autograd goes through them, and finds the same derivatives at 0."""
    import torch

    def inverse(u: Any) -> Any:
        is_zero = u == 0
        return torch.where(is_zero, 0.0, 1.0 / torch.where(is_zero, 1.0, u))

    def sqrt(u: Any) -> Any:
        is_zero = u == 0  # there autograd would find an infinite slope, and 0 times it
        return torch.where(is_zero, 0.0, torch.sqrt(torch.where(is_zero, 1.0, u)))

    names = {name: getattr(torch, name) for name in (*FUNCTIONS, "sign")}
    loss, gradient, product = _functions_of_lists(source, names | {"inverse": inverse, "sqrt": sqrt})

    def stacked(parts: Sequence[Any], like: Any) -> Any:
        shape = like.shape[:-1]
        return torch.stack(
            [part.expand(shape) if isinstance(part, torch.Tensor) else like.new_full(shape, part) for part in parts], -1
        )

    return ArrayFunctions(
        lambda parameters, x: loss(parameters, x.movedim(-1, 0)),
        lambda parameters, x: stacked(gradient(parameters, x.movedim(-1, 0)), x),
        lambda parameters, x, v: stacked(product(parameters, x.movedim(-1, 0), v.movedim(-1, 0)), v),
    )


def kernel_functions(source: Source, real: Callable[[float], Any]) -> dict[str, Callable[..., Any]]:
    """Return the functions of a kernel's problem (backends/fused/pieces/problems.py), to be compiled by Numba.

    Parameters
    ----------
    source
        The formula. The kernel's ``parameters`` are its numbers, in their order.
    real
        The kernel's float type: all constants are of it, so that float32 arithmetic stays that.
    """
    program = _program_of(source)
    code = _Code(program, _KERNEL_SPELLINGS)
    code.define(
        "loss_and_gradient(p, x, g)",
        *((f"g[{place}] = {{}}", [slope]) for place, slope in enumerate(program.gradient)),
        ("return {}", [program.loss]),
    )
    code.define(
        "add_hessian_product(p, x, v, out)",
        *((f"out[{place}] += {{}}", [bend]) for place, bend in enumerate(program.product)),
    )
    names = {name: getattr(math, name) for name in FUNCTIONS if name != "abs"}
    made = code.run(names | {"abs": abs, "zero": real(0.0), "one": real(1.0)}, real)
    return {name: made[name] for name in ("loss_and_gradient", "add_hessian_product")}


def _functions_of_lists(source: Source, names: Mapping[str, Any]) -> tuple[Callable[..., Any], ...]:
    """Return loss, gradient and product of lists: one entry a coordinate, or a number of the parameters."""
    program = _program_of(source)
    code = _Code(program, _SPELLINGS)
    listed = f"return [{', '.join(['{}'] * source.dims)}]"
    code.define("loss(p, x)", ("return {}", [program.loss]))
    code.define("gradient(p, x)", (listed, program.gradient))
    code.define("product(p, x, v)", (listed, program.product))
    made = code.run(names, float)
    return made["loss"], made["gradient"], made["product"]


def _program_of(source: Source) -> "Program":
    from l2o_engine.tasks.formula.derivatives import program_of  # it loads SymPy

    return program_of(source)


class _Code:
    """The text of a program's functions, as it grows.

    Parameters
    ----------
    program
        What is computed.
    spellings
        Operation → what computes it of its operands.
    """

    def __init__(self, program: "Program", spellings: Mapping[str, str]) -> None:
        self._shared = program.shared
        self._spellings = spellings
        self._constants: dict[float, str] = {}
        self._texts: list[str] = []
        # Of the function that is being written.
        self._lines: list[str] = []
        self._names: dict[Expression, str] = {}
        self._powers: set[str] = set()

    def define(self, head: str, *results: "tuple[str, Sequence[Expression]]") -> None:
        """Add a function, which ends with what is done with some expressions: a line in which their names go."""
        self._lines, self._names, self._powers = [], {}, set()
        last = [line.format(*map(self._name_of, expressions)) for line, expressions in results]
        self._texts.append("\n    ".join([f"def {head}:", *self._lines, *last]))

    def run(self, names: Mapping[str, Any], real: Callable[[float], Any]) -> dict[str, Any]:
        """Return the functions, in which names mean this, and constants are of this type."""
        with np.errstate(over="ignore"):  # beyond float32 it is infinite
            constants = {name: real(value) for value, name in self._constants.items()}
        namespace = {**names, **constants, "__name__": __name__}
        exec("\n".join(self._texts), namespace)  # noqa: S102 (our own text: the module says what it is made of)
        return namespace

    def _name_of(self, expression: "Expression") -> str:
        """Return the name of what an expression gives, after the lines that compute it."""
        if expression in self._shared:
            return self._name_of(self._shared[expression])
        if expression not in self._names:
            self._names[expression] = self._written(expression)
        return self._names[expression]

    def _written(self, expression: "Expression") -> str:
        if expression.is_Integer:
            return self._constant(float(expression))
        if expression.is_Symbol:
            letter, number = expression.name[0], expression.name[1:]
            if letter not in "pvx":
                return self._constant(float(expression.name))
            self._lines.append(f"{expression.name} = {letter}[{number}]")
            return str(expression.name)
        operation, operands = expression.func.__name__, expression.args
        if operation in ("power", "Pow"):
            base, exponent = self._name_of(operands[0]), int(operands[1])
            self._lines += _products(base, exponent, self._powers)
            return _power(base, exponent)
        if operation in ("add", "Add"):
            text = self._sum(operands)
        elif operation == "Mul":
            text = self._product(operands)
        else:
            text = self._spellings[operation].format(*map(self._name_of, operands))
        name = f"t{len(self._lines)}"
        self._lines.append(f"{name} = {text}")
        return name

    def _sum(self, terms: "Sequence[Expression]") -> str:
        text = ""
        for term in terms:
            is_negative = term.as_coeff_Mul()[0].is_negative
            text += (" - " if is_negative else " + ") + self._name_of(-term if is_negative else term)
        return text.removeprefix(" + ").lstrip()

    def _product(self, factors: "Sequence[Expression]") -> str:
        sign, factors = ("-", factors[1:]) if factors[0] == -1 else ("", factors)
        return sign + " * ".join(map(self._name_of, factors))

    def _constant(self, value: float) -> str:
        return self._constants.setdefault(value, f"c{len(self._constants)}")


def _power(base: str, exponent: int) -> str:
    return base if exponent == 1 else f"{base}_{exponent}"


def _products(base: str, exponent: int, known: set[str]) -> Iterator[str]:
    """Yield the lines that make a whole power, and those that it is made of, of squares and products."""
    name = _power(base, exponent)
    if exponent == 1 or name in known:
        return
    known.add(name)
    left, right = (exponent // 2, exponent // 2) if exponent % 2 == 0 else (exponent - 1, 1)
    yield from _products(base, left, known)
    yield f"{name} = {_power(base, left)} * {_power(base, right)}"
