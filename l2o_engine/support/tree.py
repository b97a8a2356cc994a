"""A state as a tree with names: dataclasses and dicts inside one another, arrays and plain values at the leaves.

What is saved is the value, not a list of its fields that somebody has to keep: a state that grows a part is saved with
it. Arrays go one way, by dotted names; the rest is JSON.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from math import isfinite
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Tree: TypeAlias = dict[str, Any]
Arrays: TypeAlias = dict[str, NDArray[Any]]

_ARRAY, _FLOAT = (
    "$array",
    "$float",
)  # the one key of what stands in the JSON for an array, or for a float that is not finite


def to_tree(value: Any) -> Any:
    """Return a value with dataclasses and named tuples as dicts."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_tree(getattr(value, field.name)) for field in fields(value)}
    if hasattr(value, "_asdict"):
        return to_tree(value._asdict())
    if isinstance(value, Mapping):
        return {str(name): to_tree(inner) for name, inner in value.items()}
    return value


def part(tree: Any, name: str = "") -> tuple[Arrays, Any]:
    """Part a tree: its arrays by dotted names, and the rest as JSON has it; a float that is not finite is a text.

    Raises
    ------
    ValueError
        If a leaf is neither an array nor what JSON has.
    """
    if isinstance(tree, np.ndarray):
        return {name: np.ascontiguousarray(tree)}, {_ARRAY: True}
    if isinstance(tree, dict):
        arrays: Arrays = {}
        rest = {}
        for key, inner in tree.items():
            if key.startswith("$"):
                raise ValueError(f"{name} has a part called {key}, which is not saved")
            found, rest[key] = part(inner, f"{name}.{key}" if name else key)
            arrays |= found
        return arrays, rest
    if isinstance(tree, float) and not isfinite(tree):
        return {}, {_FLOAT: str(tree)}
    if tree is None or isinstance(tree, bool | int | float | str):
        return {}, tree
    raise ValueError(f"{name} is a {type(tree).__name__}, which is not saved")


def join(arrays: Mapping[str, NDArray[Any]], rest: Any, name: str = "") -> Any:
    """Return the tree that :func:`part` parted.

    Raises
    ------
    KeyError
        If an array is missing.
    """
    if isinstance(rest, dict):
        if _ARRAY in rest:
            return arrays[name]
        if _FLOAT in rest:
            return float(rest[_FLOAT])
        return {key: join(arrays, inner, f"{name}.{key}" if name else key) for key, inner in rest.items()}
    return rest
