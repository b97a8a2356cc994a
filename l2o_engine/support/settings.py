"""Frozen settings: a piece's constants, checked the same way in Python and in a preset's table.

A piece (a task, an optimizer, a network's inputs, …) is a frozen dataclass of its settings, and its methods are what
it does. pydantic checks what it is made of: without conversions (no number from text, no whole number from a fraction)
and without infinities or NaN.
"""

import ctypes
from dataclasses import dataclass, field, fields, is_dataclass
from math import inf, isfinite
from typing import Annotated, Any, TypeAlias, TypeVar, cast, dataclass_transform

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, Strict
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic.fields import FieldInfo

Class = TypeVar("Class", bound=type)


class SettingError(ValueError):
    """What is wrong with one setting, found where several are looked at together.

    Parameters
    ----------
    key
        The setting's name.
    said
        What is wrong, in a sentence.
    shown_below
        Lines that are shown below it as they are.
    """

    def __init__(self, key: str, said: str, *shown_below: str) -> None:
        super().__init__(key, said, *shown_below)
        self.key = key
        self.said = said
        self.shown_below = shown_below

    def __str__(self) -> str:
        return "\n".join([f"{self.key}: {self.said}", *self.shown_below])


@dataclass_transform(frozen_default=True, field_specifiers=(Field, field))
def settings(cls: Class) -> Class:
    """Make a class a frozen dataclass whose fields are checked; what is wrong raises pydantic's ValidationError.

    Fields are declared with the types below, for a plain ``int`` would take "3".
    """
    made: Any = pydantic_dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))(cls)
    return cast("Class", made)


def as_float32(value: float) -> float:
    """Return the float32 nearest to a number."""
    return ctypes.c_float(value).value


def is_number(value: object) -> bool:
    """Return whether a value is a finite number, and no truth value."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return isfinite(value)
    except OverflowError:  # a whole number beyond the greatest float
        return False


def list_to_tuple(value: object) -> object:
    """Return a list, which TOML has, as a tuple, which is frozen; anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


def _check_float32(value: float) -> float:
    if not 0 < as_float32(value) < inf:
        raise ValueError("must be a number that float32 can hold: Adam's constants are float32")
    return value


def _check_float32_fraction(value: float) -> float:
    if as_float32(value) >= 1:
        raise ValueError("must be below 1 in float32: Adam's constants are float32")
    return value


def _check_interval(value: object) -> object:
    numbers = list_to_tuple(value)
    if not isinstance(numbers, tuple) or len(numbers) != 2 or not all(map(is_number, numbers)):
        raise ValueError("must be [low, high], two finite numbers")
    if numbers[0] > numbers[1]:
        raise ValueError("must be [low, high] with low <= high")
    return numbers


@dataclass(frozen=True)
class Words:
    """What a setting may be, in words, for a type that does not say it by itself: a note in its annotation."""

    text: str


Whole: TypeAlias = Annotated[int, Strict()]
Number: TypeAlias = Annotated[float, Strict()]
Flag: TypeAlias = Annotated[bool, Strict()]
Text: TypeAlias = Annotated[str, Strict()]
Positive: TypeAlias = Annotated[Number, Field(gt=0)]
Fraction: TypeAlias = Annotated[Number, Field(ge=0, lt=1)]

AdamConstant: TypeAlias = Annotated[Positive, AfterValidator(_check_float32), Words("number > 0, in float32 too")]
AdamDecay: TypeAlias = Annotated[
    Fraction, AfterValidator(_check_float32_fraction), Words("number ≥ 0 and < 1, in float32 too")
]

Interval: TypeAlias = Annotated[tuple[float, float], BeforeValidator(_check_interval), Words("[low, high], low ≤ high")]
"""A closed range [low, high] that numbers are drawn from, uniformly."""

Label: TypeAlias = Annotated[
    Text,
    Field(min_length=1, max_length=24, pattern=r"^[^,\"\s\x00-\x1f\x7f-\x9f]+$"),
    Words("text of 1 to 24 characters without comma, quotation mark, space and control characters"),
]
"""A name in charts, tables and metrics.csv: no comma, quotation mark, space or control character."""


def fields_of(cls: type[Any]) -> dict[str, FieldInfo]:
    """Return key → field of a class of settings, or of a pydantic model; nothing for any other class.

    A key is what a preset calls the field: its alias, where it has one. What only stands in a call is no field.
    """
    found: dict[str, FieldInfo] = getattr(cls, "__pydantic_fields__", {})
    return {one.alias or name: one for name, one in found.items() if not one.init_var}


def table_of(piece: Any, *, with_defaults: bool = True) -> dict[str, Any]:
    """Return a piece's settings as a preset's table has them: plain values, lists and tables, and no setting of None.

    Parameters
    ----------
    piece
        The piece; those that it is made of become tables in its own.
    with_defaults
        Whether settings that are at their default are there too. ``kind`` always is.
    """
    table = {}
    for key, name, default in _settings_of(type(piece)):
        value = getattr(piece, name)
        if value is not None and (with_defaults or key == "kind" or value != default):
            table[key] = _plain(value, with_defaults=with_defaults)
    return table


def _settings_of(cls: type[Any]) -> list[tuple[str, str, Any]]:
    """Return each setting's key, the field's name, and its default."""
    if found := getattr(cls, "__pydantic_fields__", {}):
        return [(one.alias or name, name, one.get_default(call_default_factory=True)) for name, one in found.items()]
    return [(one.name, one.name, one.default) for one in fields(cls)]  # of a plain dataclass, a notebook's


def _plain(value: Any, *, with_defaults: bool) -> Any:
    if is_dataclass(value):
        return table_of(value, with_defaults=with_defaults)
    if isinstance(value, tuple | list):
        return [_plain(one, with_defaults=with_defaults) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one, with_defaults=with_defaults) for name, one in value.items()}
    return value
