"""What is wrong with a preset, in sentences: file, table, key, what it must be, what it is, the nearest valid name."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from l2o_engine.support.wording import nearest, quote


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    args = get_args(annotation)
    if args:
        return [model for arg in args for model in _models_in(arg)]
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []


def _models_at(table: Sequence[str | int], root: type[BaseModel]) -> list[type[BaseModel]]:
    """Return what the table at this place can be."""
    models: list[type[BaseModel]] = [root]
    for step in table:
        if isinstance(step, str):
            models = [found for model in models for found in _models_in(model.model_fields[step].annotation)]
    return models


def _valid_keys(table: Sequence[str | int], tag: str | None, root: type[BaseModel]) -> list[str]:
    """Return the keys that the table at this place takes; ``tag`` is its ``kind``, where it can be of several."""
    models = _models_at(table, root)
    tagged = [model for model in models if tag in get_args(model.model_fields["kind"].annotation)] if tag else models
    return [key for model in tagged for key in model.model_fields]


def describe(
    details: ErrorDetails,
    raw: Mapping[str, Any],
    source: str,
    overridden: Mapping[tuple[str | int, ...], str],
    root: type[BaseModel],
) -> str:
    """Turn one of pydantic's errors into a sentence that names file, table, key and the nearest valid name.

    Parameters
    ----------
    details
        The error.
    raw
        The tables that were checked.
    source
        What is named as the place: a file, usually.
    overridden
        The places that were set on the command line, and by which option: that is named instead.
    root
        The model of the whole.
    """
    location, kind, value = list(details["loc"]), details["type"], details["input"]
    context: dict[str, Any] = details.get("ctx", {})
    tag = None
    # pydantic puts the kind of a table that can be of several kinds into the location, behind the table's name.
    at = {"transform": 1, "baseline": 2}.get(str(location[0]) if location else "", len(location))
    if len(location) > at:
        tag = str(location.pop(at))
    if kind.startswith("union_tag"):
        location.append("kind")
        value = _get(raw, location)
    where = _where(tuple(location), source, overridden)
    if kind == "extra_forbidden":
        if tag and any(location[-1] in model.model_fields for model in _models_at(location[:-1], root)):
            return f'{where}: means nothing with kind = "{tag}"'
        what = "table" if isinstance(value, dict | list) else "key"
        return f"{where}: unknown {what}{nearest(str(location[-1]), _valid_keys(location[:-1], tag, root))}"
    if kind in ("missing", "union_tag_not_found"):
        return f"{where}: is missing"
    if kind in ("literal_error", "union_tag_invalid"):
        valid = re.findall(r"'([^']*)'|(\d+)", context.get("expected") or context["expected_tags"])
        names = [text or number for text, number in valid]
        shown = ", ".join((text and quote(text)) or number for text, number in valid)
        hint = nearest(value, names) if isinstance(value, str) else ""
        return f"{where}: must be {'one of ' if len(names) > 1 else ''}{shown} (got {quote(value)}){hint}"
    limits = {
        name: int(limit) if isinstance(limit, float) and limit.is_integer() else limit
        for name, limit in context.items()
    }
    rule = _RULES[kind].format(**limits) if kind in _RULES else details["msg"]
    return f"{where}: {rule}{_got(value)}"


_RULES = {
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be a string",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "holds a character that is not allowed here",
    "tuple_type": "must be a list",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "too_long": "must have exactly {max_length} entries",
    "value_error": "{error}",
}


def _got(value: object) -> str:
    return "" if isinstance(value, dict) else f" (got {quote(value)})"


def _get(raw: object, place: Sequence[str | int]) -> Any:
    node: Any = raw
    for step in place:
        try:
            node = node[step]
        except (KeyError, IndexError, TypeError):
            return None
    return node


def _where(place: tuple[str | int, ...], source: str, overridden: Mapping[tuple[str | int, ...], str]) -> str:
    for set_place, setting in overridden.items():
        if place and place == set_place[: len(place)]:
            return setting
        if place[: len(set_place)] == set_place:
            return ": ".join([setting, *map(str, place[len(set_place) :][-1:])])
    if not place:
        return source
    *table, key = place
    names = [f"[{table[0]}]" if not isinstance(step, int) else f"entry {step}" for step in table[:1]]
    names += [f"entry {step}" if isinstance(step, int) else step for step in table[1:]]
    if isinstance(key, int):
        return f"{source}: {' '.join([*names, f'entry {key}'])}"
    return f"{source}: {' '.join([*names, key])}"
