"""The family of tasks that a formula makes."""

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import BeforeValidator, Field, PlainSerializer, model_validator
from pydantic_core import ArgsKwargs

from l2o_engine.support.arrays import Doubles, Floats
from l2o_engine.support.settings import (
    SettingError,
    Text,
    Whole,
    Words,
    fields_of,
    is_number,
    list_to_tuple,
    settings,
)
from l2o_engine.support.wording import nearest, quote
from l2o_engine.tasks.base import TASKS, Array, Arrays, Task
from l2o_engine.tasks.distributions import Constant, Distribution, LogUniform, Normal, Uniform, distribution_of
from l2o_engine.tasks.formula.expression import MOST_DIMS, Source, expression_of
from l2o_engine.tasks.formula.functions import shipped_functions
from l2o_engine.tasks.formula.generate import ArrayFunctions, numpy_functions, torch_functions
from l2o_engine.tasks.formula.grammar import RESERVED
from l2o_engine.tasks.small import ROTATION, SHIFT, Compiled, SmallTask, arrays_of

MOST_LENGTH = 1024
"""Numbers of a parameter."""
_MOST_PARAMETERS = 100
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


@settings
class Parameter:
    """What the numbers of a parameter are drawn from.

    Attributes
    ----------
    each
        What each of them is drawn from.
    length
        How many there are; None for a parameter that is one number, and has no index.
    """

    each: Distribution
    length: Annotated[Whole, Field(ge=1, le=MOST_LENGTH)] | None = None


def _parameter(value: object) -> object:
    """Return the parameter that a preset's value means: a distribution, perhaps with a length in its table."""
    if isinstance(value, Parameter):
        return value
    if not isinstance(value, dict) or "length" not in value:
        return Parameter(distribution_of(value))
    length = value["length"]
    if not isinstance(length, int) or isinstance(length, bool) or not 1 <= length <= MOST_LENGTH:
        raise ValueError(f"length must be a whole number from 1 to {MOST_LENGTH:,}")
    return Parameter(distribution_of({key: inner for key, inner in value.items() if key != "length"}), length)


def _as_table(parameter: Parameter) -> dict[str, Any]:
    """Return a parameter as a preset has it."""
    return vars(parameter.each) | ({} if parameter.length is None else {"length": parameter.length})


def _start(value: object) -> object:
    """Return one distribution for all coordinates, or, of a list that is no range, one for each."""
    value = list_to_tuple(value)
    if not isinstance(value, tuple) or (len(value) == 2 and all(map(is_number, value))):
        return distribution_of(value)
    found = []
    for place, one in enumerate(value):
        try:
            found.append(distribution_of(one))
        except ValueError as error:
            raise ValueError(f"coordinate {place}: {error}") from error
    return tuple(found)


def _point(value: object) -> object:
    """Return a number for all coordinates, or one for each."""
    value = list_to_tuple(value)
    numbers = value if isinstance(value, tuple) else (value,)
    if not all(map(is_number, numbers)):
        raise ValueError("must be a number, or a list of a number for each coordinate")
    return tuple(map(float, numbers)) if isinstance(value, tuple) else float(numbers[0])


_Parameter: TypeAlias = Annotated[Parameter, BeforeValidator(_parameter), PlainSerializer(_as_table)]
_Start: TypeAlias = Annotated[
    Uniform | Normal | LogUniform | Constant | tuple[Distribution, ...],
    BeforeValidator(_start),
    Words("what each coordinate is drawn from, or a list of that for each"),
]
_Point: TypeAlias = Annotated[
    float | tuple[float, ...], BeforeValidator(_point), Words("a number, or a list of one for each coordinate")
]


_KEYS = {"text": "loss", "best": "optimum"}  # what a preset calls these fields; `replace` names them


@TASKS.register
@settings
class Formula(SmallTask):
    """A function of your own, written as a formula (docs/problems.md has the grammar), or one that is shipped.

    Attributes
    ----------
    loss
        The formula: of the coordinates x[0], x[1], … and the parameters. To be given unless function is. In Python the
        attribute is called text.
    dims
        Coordinates.
    start
        What each coordinate of the starting point is drawn from.
    parameters
        Name → what it is drawn from, anew for every task; { …, length = 3 } for one of three numbers, b[0], b[1], b[2].
    optimum
        Where the loss is least, if that is known: a run's diagnosis looks at the distance. In Python: best.
    function
        A shipped function by its name, whose settings these are unless they are given.

    Raises
    ------
    SettingError
        If the formula cannot be used, with the place marked, or the settings do not fit it.
    """

    text: Annotated[Text, Words("text")] = Field(default="", alias="loss")
    dims: Annotated[Whole, Field(ge=1, le=MOST_DIMS)] = 2
    start: _Start = Normal((0.0, 1.0))
    parameters: Annotated[Mapping[str, _Parameter], Words("a table of distributions")] = field(
        default_factory=dict, hash=False
    )
    best: _Point | None = Field(default=None, alias="optimum")
    function: Annotated[Text, Words("the name of a shipped function")] | None = None
    kind: Literal["formula"] = "formula"

    @model_validator(mode="before")
    @classmethod
    def _with_what_is_shipped(cls, given: Any) -> Any:
        """Put what a shipped function says beside what is given."""
        if isinstance(given, ArgsKwargs):
            positional = [key for key, setting in fields_of(cls).items() if not setting.kw_only]
            named = {_KEYS.get(name, name): value for name, value in (given.kwargs or {}).items()}
            given = dict(zip(positional, given.args, strict=False)) | named
        if not isinstance(given, dict) or given.get("function") is None:
            return given
        functions, name = shipped_functions(), given["function"]
        if not isinstance(name, str) or name not in functions:
            hint = nearest(name, functions) if isinstance(name, str) else ""
            raise SettingError("function", f"{quote(name)} is none of {', '.join(functions)}{hint}")
        if "loss" in given:
            raise SettingError("function", "the loss is given, too: keep one of them")
        shipped, own = functions[name], {key: value for key, value in given.items() if key != "function"}
        if isinstance(own.get("parameters"), Mapping):
            own["parameters"] = {**shipped.get("parameters", {}), **own["parameters"]}
        return {**shipped, **own}

    def __post_init__(self, rotated: bool | None) -> None:
        super().__post_init__(rotated)
        if not self.text:
            raise SettingError("loss", "is missing")
        if len(self.parameters) > _MOST_PARAMETERS:
            raise SettingError("parameters", f"there are {len(self.parameters):,}: {_MOST_PARAMETERS} at most")
        for name in self.parameters:
            if not _NAME.fullmatch(name):
                raise SettingError(
                    "parameters", f"{quote(name)} is no name: letters, digits and _, a letter first, at most 64"
                )
            if name in RESERVED or name in (ROTATION, SHIFT):
                raise SettingError("parameters", f"{name} has a meaning of its own: choose another name")
        for key, values in (("start", self.start), ("optimum", self.best)):
            if isinstance(values, tuple) and len(values) != self.dims:
                raise SettingError(key, f"there are {len(values)} for {self.dims} coordinates")
        expression_of(self.source)

    @property
    def source(self) -> Source:
        """What code is generated of."""
        lengths = ((name, one.length or 0) for name, one in self.parameters.items())
        return Source(self.text, self.dims, tuple(lengths))

    @property
    def shape(self) -> tuple[int, ...]:
        """[dims]."""
        return (self.dims,)

    @property
    def numbers(self) -> int:
        """The start, then the parameters in their order."""
        return self.dims + self.source.numbers

    def made(self, uniform: Doubles) -> tuple[Doubles, dict[str, Doubles]]:
        """Return start [..., dims] and the parameters, [...] or [..., length] each."""
        own, rest = uniform[..., : self.dims], uniform[..., self.dims :]
        starts = self.start if isinstance(self.start, tuple) else (self.start,) * self.dims
        start = np.stack([one.of(own[..., place]) for place, one in enumerate(starts)], -1)
        drawn = arrays_of(rest, self.bare_shapes)
        return start, {name: one.each.of(drawn[name]) for name, one in self.parameters.items()}

    @property
    def bare_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """[], or [length]."""
        return {name: () if one.length is None else (one.length,) for name, one in self.parameters.items()}

    @property
    def compiled(self) -> Compiled:
        """The formula, as :meth:`~l2o_engine.tasks.formula.expression.Source.of` reads it."""
        return self.source.settings

    def bare_loss(self, z: Array, parameters: Arrays) -> Array:
        """Return f [...]."""
        return self._functions(z).loss(self._flat(parameters), z)

    def bare_gradient(self, z: Array, parameters: Arrays) -> Array:
        """Return ∇f [..., dims]."""
        return self._functions(z).gradient(self._flat(parameters), z)

    def bare_hessian_product(self, z: Array, v: Array, parameters: Arrays) -> Array:
        """Return ∇²f·v [..., dims]."""
        return self._functions(z).hessian_product(self._flat(parameters), z, v)

    def bare_optimum(self, task: Task) -> Floats | None:
        """Return the optimum that the settings name."""
        if self.best is None:
            return None
        found: Floats = np.broadcast_to(np.array(self.best, task.start.dtype), task.start.shape)
        return found

    def _functions(self, z: Array) -> ArrayFunctions:
        return (numpy_functions if isinstance(z, np.ndarray | np.generic) else torch_functions)(self.source)

    def _flat(self, parameters: Arrays) -> list[Array]:
        """Return the parameters' numbers one behind the other, [...] each."""
        return [
            parameters[name] if one.length is None else parameters[name][..., place]
            for name, one in self.parameters.items()
            for place in range(one.length or 1)
        ]
