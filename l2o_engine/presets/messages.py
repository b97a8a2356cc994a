"""What is wrong with a preset, in sentences: file, table, key, what it must be, what it is, the nearest valid name."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

from pydantic_core import ErrorDetails

from l2o_engine.presets.schema import Preset
from l2o_engine.support.errors import UserError
from l2o_engine.support.registry import kind_of
from l2o_engine.support.settings import SettingError, fields_of
from l2o_engine.support.wording import nearest, quote, shown


class PresetError(UserError):
    """A preset, or a setting given on top of one, that cannot be used. The message is meant for the user."""


class _Place(NamedTuple):
    """Where in a preset something is wrong."""

    keys: list[str | int]
    tables: list[type[Any]]  # what the table of the last key can be: models, and classes of pieces
    tag: str | None  # the ``kind`` of that table, where it can be of several


def _placed(location: Sequence[str | int]) -> _Place:
    """Return the place that pydantic calls by this location.

    It puts the kind of a table that can be of several kinds behind the table's name, or its number in a list.
    """
    keys: list[str | int] = []
    inside: list[type[Any]] = [Preset]  # what the table can be that the next key is of
    place = _Place(keys, inside, None)
    tag = None
    for step in location:
        pieces = [one for one in inside if "kind" in fields_of(one)] if len(inside) > 1 and tag is None else []
        if step in [kind_of(one) for one in pieces]:
            tag = str(step)
            continue
        keys.append(step)
        if isinstance(step, str):
            place = _Place(keys, inside, tag)
            known = [one for one in inside if tag is None or kind_of(one) == tag]
            fields = [fields_of(one)[step] for one in known if step in fields_of(one)]
            inside, tag = [inner for field in fields for inner in _tables_in(field.annotation)], None
    return place


def _tables_in(annotation: Any) -> list[type[Any]]:
    args = get_args(annotation)
    if args:
        return [table for arg in args for table in _tables_in(arg)]
    return [annotation] if isinstance(annotation, type) and fields_of(annotation) else []


def describe(
    details: ErrorDetails,
    raw: Mapping[str, Any],
    source: str,
    overridden: Mapping[tuple[str | int, ...], str],
    former: Mapping[str, str],
) -> tuple[str, ...]:
    """Turn one of pydantic's errors into a sentence that names file, table, key and the nearest valid name.

    A formula's text, with the place marked where it is wrong, is in the lines behind it.

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
    former
        Tables that are called by a former name there: present name → former name.
    """
    kind, value = details["type"], details["input"]
    context: dict[str, Any] = details.get("ctx", {})
    location, tables, tag = _placed(details["loc"])
    error = context.get("error")
    if isinstance(error, SettingError):
        where = _where((*location, error.key), source, overridden, former)
        return f"{where}: {error.said}", *error.shown_below
    if kind.startswith("union_tag"):
        location.append("kind")
        value = _get(raw, location)
    is_table = isinstance(value, dict) and kind != "missing"  # of what is missing it is the table around
    where = _where(tuple(location), source, overridden, former, is_table=is_table)
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        known = [one for one in tables if tag is None or kind_of(one) == tag]
        if tag and any(location[-1] in fields_of(one) for one in tables):
            return (_meaningless(where, location, tag, overridden),)
        what = "table" if isinstance(value, dict | list) else "key"
        hint = nearest(str(location[-1]), [key for one in known for key in fields_of(one)])
        return (f"{where}: unknown {what}{hint}",)
    if kind in ("missing", "union_tag_not_found"):
        return (f"{where}: is missing",)
    if kind in ("literal_error", "union_tag_invalid"):
        valid = re.findall(r"'([^']*)'|(\d+)", context.get("expected") or context["expected_tags"])
        names = [text or number for text, number in valid]
        choices = ", ".join((text and quote(text)) or number for text, number in valid)
        hint = nearest(value, names) if isinstance(value, str) else ""
        return (f"{where}: must be {'one of ' if len(names) > 1 else ''}{choices} (got {quote(value)}){hint}",)
    rule = rule_of(details)
    for present, name in former.items():  # a rule of the whole file may speak of a table
        rule = rule.replace(f"[{present}]", f"[{name}]").replace(f"{present}.", f"{name}.")
    return (f"{where}: {rule}{_got(value)}",)


def _meaningless(
    where: str, location: Sequence[str | int], tag: str, overridden: Mapping[tuple[str | int, ...], str]
) -> str:
    """Say that a key is none of a table of this kind; where the option chose that, what is to be given in its place."""
    chosen, path = overridden.get((*location[:-1], "kind")), ".".join(map(str, location[:-1]))
    if not chosen or tuple(location) in overridden:
        return f'{where}: means nothing with kind = "{tag}"'
    whole = f"--set '{path}={{kind={quote(tag)}}}'"
    return f"{chosen}: other keys that [{path}] has mean nothing then: set the whole table, {whole}"


def rule_of(details: ErrorDetails) -> str:
    """Return in words what is asked of a value that pydantic has refused."""
    context: dict[str, Any] = details.get("ctx", {})
    limits = {
        name: int(limit) if isinstance(limit, float) and limit.is_integer() else limit
        for name, limit in context.items()
    }
    kind = details["type"]
    return _RULES[kind].format(**limits) if kind in _RULES else details["msg"]


_RULES = {
    "missing": "is missing",
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
    "too_short": "must have at least {min_length} entries",
    "model_type": "must be a table",
    "dataclass_type": "must be a table",
    "dict_type": "must be a table",
    "model_attributes_type": "must be a table",
    "too_long": "must have at most {max_length} entries",
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


def _where(
    place: tuple[str | int, ...],
    source: str,
    overridden: Mapping[tuple[str | int, ...], str],
    former: Mapping[str, str],
    *,
    is_table: bool = False,
) -> str:
    """Return how the place of an error is written: the option that it was set by, or "file: [table] key"."""
    for set_place, setting in overridden.items():
        if place and place == set_place[: len(place)]:
            return setting
        if place[: len(set_place)] == set_place:
            return ": ".join([setting, *map(str, place[len(set_place) :][-1:])])
    if not place:
        return source
    if is_table and len(place) == 1:
        return f"{source}: [{shown(str(former.get(str(place[0]), place[0])))}]"
    *table, key = place
    names = [
        f"[{former.get(str(table[0]), table[0])}]" if not isinstance(step, int) else f"entry {step}"
        for step in table[:1]
    ]
    names += [f"entry {step}" if isinstance(step, int) else step for step in (*table[1:], key)]
    return f"{source}: {' '.join(map(shown, names))}"
