"""The page that lists every table of a preset, its keys, kinds and ranges: made of the schema and its docstrings."""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from l2o_engine.presets.published import NotebookRow, NotebookSettings, ReferenceRow, ReferenceSettings
from l2o_engine.presets.schema import DEFAULT_KINDS, FORMER_NAMES, OPTIONAL_TABLES, PIECES, Preset
from l2o_engine.support.settings import Words, fields_of

_HEAD = """\
# Presets: every table and key

Written by `docs/make_presets.py` from the schema; do not edit it. A preset is one TOML file; what it leaves out has the
default, and `l2o-tui check FILE` says what is wrong with it. `--set TABLE.KEY=VALUE` changes a key for one run.
[presets/log30.toml](../presets/log30.toml) is a whole one, with a comment at every key.
"""
_PUBLISHED: dict[str, tuple[type[BaseModel], type[BaseModel], str]] = {
    "notebook": (
        NotebookSettings,
        NotebookRow,
        "What the notebook printed of an experiment, shown beside ours; our own presets need none.",
    ),
    "reference": (ReferenceSettings, ReferenceRow, ""),
}
_TYPES: dict[Any, str] = {int: "whole number", float: "number", bool: "true or false", str: "text"}
_BOUNDS = ((Ge, "ge", "≥"), (Gt, "gt", ">"), (Le, "le", "≤"), (Lt, "lt", "<"))


def markdown() -> str:
    """Return the page."""
    return "\n".join([_HEAD, *_pages()])


def _pages() -> Iterator[str]:
    tables = Preset.model_fields
    plain = {name: field for name, field in tables.items() if name not in PIECES and not fields_of(_model(field))}
    yield "## The top of the file\n"
    yield from _keys(plain, _meanings(Preset))
    for name, field in tables.items():
        if name in PIECES:
            yield from _piece(name)
        elif name not in plain and name not in _PUBLISHED:
            yield f"## [{name}]\n"
            yield from _table(_model(field))
            if name in OPTIONAL_TABLES:
                yield "Where the table is left out, there is nothing of this.\n"
    for name, (table, row, said) in _PUBLISHED.items():
        yield f"## [{name}]\n"
        yield f"{said or _summary(table)}\n"
        yield from _keys(fields_of(table), _meanings(table))
        yield "Each of `rows`:\n"
        yield from _keys(fields_of(row), _meanings(row))


def _piece(name: str) -> Iterator[str]:
    registry = PIECES[name]
    heading = f"[[{name}]], any number of them" if name == "baseline" else f"[{name}]"
    yield f"## {heading}\n"
    former = [old for old, present in FORMER_NAMES.items() if present == name]
    if former:
        yield f"Formerly `[{former[0]}]`, which is still read.\n"
    kinds = registry.kinds
    default = DEFAULT_KINDS.get(name)
    said = " or ".join(f'`"{kind}"`' for kind in kinds)
    else_default = f'; `"{default}"` if it is left out' if default else ""
    yield f"`kind` is {said}{else_default if len(kinds) > 1 else ', the only one so far'}.\n"
    for kind, cls in kinds.items():
        yield f'### kind = "{kind}"\n'
        yield from _table(cls)


def _table(cls: type[Any]) -> Iterator[str]:
    summary = _summary(cls)
    if summary:
        yield f"{summary}\n"
    fields = {name: field for name, field in fields_of(cls).items() if name != "kind"}
    if fields:
        yield from _keys(fields, _meanings(cls))


def _keys(fields: Mapping[str, FieldInfo], meanings: Mapping[str, str]) -> Iterator[str]:
    yield "| key | is | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, field in fields.items():
        yield f"| `{name}` | {_what(field)} | {_default(field)} | {meanings[name]} |"
    yield ""


def _what(field: FieldInfo) -> str:
    """Return what a key may be, in words."""
    annotation, notes = _bare(field.annotation, list(field.metadata))
    for note in notes:
        if isinstance(note, Words):
            return note.text
    args = get_args(annotation)
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{json.dumps(option)}`" for option in args)
    if get_origin(annotation) is tuple:
        entry, _ = _bare(args[0], [])
        return f"a list: {_TYPES[entry]}" if entry in _TYPES else "a list of tables"
    bounds = [
        f"{sign} {getattr(note, attribute):,}"
        for kind, attribute, sign in _BOUNDS
        for note in notes
        if isinstance(note, kind)
    ]
    return " ".join([_TYPES[annotation], " and ".join(bounds)]).strip()


def _bare(annotation: Any, notes: list[Any]) -> tuple[Any, list[Any]]:
    """Return a type without what is around it (that it may be left out, notes), and all of its notes."""
    if get_origin(annotation) in (Union, UnionType):
        inner = [arg for arg in get_args(annotation) if arg is not type(None)]
        return _bare(inner[0], notes) if len(inner) == 1 else (annotation, notes)
    if get_origin(annotation) is Annotated:
        base, *own = get_args(annotation)
        flat = [note for one in own for note in (one.metadata if isinstance(one, FieldInfo) else [one])]
        return _bare(base, [*notes, *flat])
    return annotation, notes


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "must be given"
    if value is None:
        return "none"
    if is_dataclass(value):  # a distribution, or another table
        given = {name: inner for name, inner in vars(value).items() if inner is not None}
        return f"`{{ {', '.join(f'{name} = {json.dumps(inner)}' for name, inner in given.items())} }}`"
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value)}`"


def _model(field: FieldInfo) -> Any:
    """Return the class of a table's settings, which may be left out; what else a field is, as it is."""
    models = [arg for arg in get_args(field.annotation) if isinstance(arg, type) and fields_of(arg)]
    return models[0] if models else field.annotation


def _summary(cls: type[Any]) -> str:
    """Return a docstring up to its first section, as one paragraph a paragraph."""
    text = inspect.getdoc(cls) or ""
    head = re.split(r"\n(?:Attributes|Parameters|Raises)\n-+\n", text)[0]
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in head.strip().split("\n\n"))


def _meanings(cls: type[Any]) -> dict[str, str]:
    """Return name → what the Attributes section of a class's docstring, or of one that it is made of, says of it.

    Raises
    ------
    KeyError
        By who asks for a field that the section lacks.
    """
    found: dict[str, str] = {}
    names: list[str] = []
    for line in [line for base in reversed(cls.__mro__) for line in _attributes(base)]:
        if line and not line[0].isspace():
            names = [name.strip() for name in line.split(",")]
            found |= dict.fromkeys(names, "")
        elif line.strip():
            for name in names:
                found[name] = f"{found[name]} {line.strip()}".strip()
    return {name: re.sub(r":\w+:`(\w+)`", r"`\1`", said).replace("|", "\\|") for name, said in found.items()}


def _attributes(cls: type[Any]) -> list[str]:
    """Return the lines of the Attributes section of a class's own docstring."""
    _, _, section = inspect.cleandoc(vars(cls).get("__doc__") or "").partition("\nAttributes\n----------\n")
    return re.split(r"\n[A-Z]\w+\n-+\n", section)[0].splitlines()
