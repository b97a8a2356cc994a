"""Straight-line code of a formula: one text, whose names mean NumPy's, torch's or the kernel's functions.

Each operation of the graph (:mod:`.graph`) becomes one line, and whole powers become products. The text is made of
the spellings below, numbers of places and names of ours, and of nothing that a user wrote: constants are values that
its names stand for, rounded to the kernel's float type where it is the kernel's. The same formula gives the same text
in any process.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from l2o_engine.tasks.base import Array
from l2o_engine.tasks.formula.expression import Program, Source, program_of
from l2o_engine.tasks.formula.grammar import FUNCTIONS
from l2o_engine.tasks.formula.graph import Place, needed_for

_LEAVES = {"coordinate": "x", "direction": "v", "parameter": "p"}
_SPELLINGS = {
    "add": "{} + {}",
    "subtract": "{} - {}",
    "multiply": "{} * {}",
    "divide": "{} / {}",
    "negate": "-{}",
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
        shape, dtype = like.shape[:-1], like.dtype
        return torch.stack([torch.as_tensor(part, dtype=dtype).expand(shape) for part in parts], -1)

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
    program = program_of(source)
    names = {name: getattr(math, name) for name in FUNCTIONS if name != "abs"}
    names |= {"abs": abs, "zero": real(0.0), "one": real(1.0)}
    slopes = [f"g[{i}] = {_name(place)}" for i, place in enumerate(program.gradient)]
    bends = [f"out[{i}] += {_name(place)}" for i, place in enumerate(program.product)]
    everything = (program.loss, *program.gradient)
    texts = [
        _text(
            program,
            "loss_and_gradient(p, x, g)",
            everything,
            [*slopes, f"return {_name(program.loss)}"],
            _KERNEL_SPELLINGS,
        ),
        _text(program, "add_hessian_product(p, x, v, out)", program.product, bends, _KERNEL_SPELLINGS),
    ]
    made = _run(texts, names | _constants(program, real))
    return {name: made[name] for name in ("loss_and_gradient", "add_hessian_product")}


def _functions_of_lists(source: Source, names: Mapping[str, Any]) -> tuple[Callable[..., Any], ...]:
    """Return loss, gradient and product of lists: one entry a coordinate, or a number of the parameters."""
    program = program_of(source)

    def listed(places: Sequence[Place]) -> list[str]:
        return [f"return [{', '.join(map(_name, places))}]"]

    texts = [
        _text(program, "loss(p, x)", [program.loss], [f"return {_name(program.loss)}"], _SPELLINGS),
        _text(program, "gradient(p, x)", program.gradient, listed(program.gradient), _SPELLINGS),
        _text(program, "product(p, x, v)", program.product, listed(program.product), _SPELLINGS),
    ]
    made = _run(texts, {**names, **_constants(program, float)})
    return made["loss"], made["gradient"], made["product"]


def _constants(program: Program, real: Callable[[float], Any]) -> dict[str, Any]:
    """Return name → value of a graph's constants."""
    with np.errstate(over="ignore"):  # beyond float32 it is infinite
        return {
            _name(place): real(operation.detail)
            for place, operation in enumerate(program.operations)
            if operation.name == "number"
        }


def _name(place: Place) -> str:
    return f"t{place}"


def _text(
    program: Program, head: str, places: Sequence[Place], results: Sequence[str], spellings: Mapping[str, str]
) -> str:
    """Return the text of a function that computes what stands at some places."""
    lines = [f"def {head}:"]
    powers: set[str] = set()
    for place in needed_for(program.operations, places):
        name, operands, detail = program.operations[place]
        if name in _LEAVES:
            lines.append(f"{_name(place)} = {_LEAVES[name]}[{int(detail)}]")
        elif name == "power":
            lines += _products(_name(operands[0]), int(detail), powers)
            lines.append(f"{_name(place)} = {_power(_name(operands[0]), int(detail))}")
        elif operands:  # a constant has its name already
            lines.append(f"{_name(place)} = {spellings[name].format(*map(_name, operands))}")
    return "\n    ".join([*lines, *results])


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


def _run(texts: Sequence[str], names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the functions that texts of ours define."""
    namespace = {**names, "__name__": __name__}
    exec("\n".join(texts), namespace)  # noqa: S102 (our own text: the module says what it is made of)
    return namespace
