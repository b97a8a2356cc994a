"""Reading, overriding, checking and writing presets.

Whatever is wrong with one (an unknown key, a wrong type, an impossible value) raises
:class:`~l2o_engine.presets.messages.PresetError`, whose message names the file, the table and the key, and the nearest
valid name.
"""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from l2o_engine.presets.identity import trained_settings
from l2o_engine.presets.messages import PresetError, describe
from l2o_engine.presets.schema import DEFAULT_KINDS, FORMER_NAMES, Preset, take_plugins
from l2o_engine.presets.shipped import find
from l2o_engine.presets.tables import to_dict
from l2o_engine.support.files import read_bytes
from l2o_engine.support.user_code import permission, seen_beside
from l2o_engine.support.wording import quote, shown

_MOST_BYTES = 1_000_000  # of a file; the shipped ones have some thousand
_DEEPEST = 20  # tables within tables; a preset has three
_TOO_DEEP = "is nested too deeply"
_NO_TEXT = "holds what is no text: bytes that are not UTF-8"
_LONGEST_SETTING = 200  # characters, in a message
_PUBLISHED = ("notebook", "reference")  # tables of what is known of an experiment
_ENTRY = re.compile(r"[0-9]{1,6}")  # the number of a list's entry, in a setting's name


def load(
    path: Path, settings: Sequence[str] = (), options: Mapping[str, Any] | None = None, *, follows: bool = True
) -> Preset:
    """Read, override and check a preset.

    Settings that make another experiment of it take away [notebook] and [reference], unless they set that too: what
    was printed or measured is not of this one.

    Parameters
    ----------
    path
        The TOML file.
    settings
        Overrides as a user writes them, ``"table.key=value"``; the value is TOML, or else a plain string.
    options
        Values of the [run] table that come from options of their own: ``{"seed": 3}`` from ``--seed 3``. They win.
    follows
        Whether the file may be a link, which one that the user names may be.

    Raises
    ------
    PresetError
        If the file cannot be read, is no regular file or too long, is not TOML, or describes no possible experiment.
    """
    try:
        # Some editors begin a file with a byte order mark.
        text = read_bytes(path, _MOST_BYTES, follows=follows).decode("utf-8-sig")
    except OSError as error:
        raise PresetError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise PresetError(f"{path}: is not UTF-8 text") from error
    if follows:
        seen_beside(path.parent)
    raw = _parsed(text, str(path))
    _check_shape(raw, str(path))
    raw, former = _normalised(raw, str(path))
    original = deepcopy(raw)
    overridden = {_apply(raw, setting): _option(setting) for setting in settings}
    for key, value in (options or {}).items():
        place = _apply(raw, f"run.{key}={value}")
        overridden = {other: name for other, name in overridden.items() if other != place}
        overridden[place] = f"--{key} {shown(str(value), most=_LONGEST_SETTING)}"
    checked = _checked(raw, str(path), overridden, former)
    return _without_foreign_rows(checked, original, overridden)


def check(
    raw: Mapping[str, Any], *, source: str = "preset", overridden: Mapping[tuple[str | int, ...], str] | None = None
) -> Preset:
    """Check a preset given as plain tables.

    Parameters
    ----------
    raw
        The tables as TOML gives them.
    source
        What error messages name as the place: a file, usually.
    overridden
        The places that were set on the command line, so that an error there names the option instead.

    Raises
    ------
    PresetError
        With one line for each thing wrong.
    """
    _check_shape(raw, source)
    raw, former = _normalised(raw, source)
    return _checked(raw, source, overridden or {}, former)


def _parsed(text: str, source: str) -> dict[str, Any]:
    """Return the tables of a TOML text."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PresetError(f"{source}: is not valid TOML: {error}") from error
    except ValueError as error:  # what Python says of a whole number of more than 4,300 digits
        raise PresetError(f"{source}: holds a number of thousands of digits") from error
    except RecursionError as error:
        raise PresetError(f"{source}: {_TOO_DEEP}") from error


def _check_shape(raw: object, source: str) -> None:
    """Check what no preset has and what follows could not take: tables in tables without end, texts that are none."""
    level: list[Any] = [raw]
    for _ in range(_DEEPEST):
        texts = [key for node in level if isinstance(node, Mapping) for key in node]
        if not all(map(_is_text, [*texts, *(node for node in level if isinstance(node, str))])):
            raise PresetError(f"{source}: {_NO_TEXT}")
        lists = [node for node in level if isinstance(node, list | tuple)]
        tables = [node.values() for node in level if isinstance(node, Mapping)]
        level = [inner for node in (*lists, *tables) for inner in node]
        if not level:
            return
    raise PresetError(f"{source}: {_TOO_DEEP}")


def _is_text(value: object) -> bool:
    """Return whether a text can be written into a file; anything but a text is not meant."""
    try:
        return not isinstance(value, str) or value.encode() is not None
    except UnicodeEncodeError:  # bytes that are no UTF-8 came through the command line
        return False


def _checked(
    raw: Mapping[str, Any],
    source: str,
    overridden: Mapping[tuple[str | int, ...], str],
    former: Mapping[str, str],
) -> Preset:
    tables = _with_kinds(raw)
    take_plugins(tables)
    try:
        return Preset.model_validate(tables)
    except ValidationError as error:
        told = dict.fromkeys(describe(details, tables, source, overridden, former) for details in error.errors())
        raise PresetError(*(line for lines in told for line in lines)) from error


def _normalised(raw: Mapping[str, Any], source: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return tables by the names that they have now, and which are there by a former name, present → former."""
    former = {present: name for name, present in FORMER_NAMES.items() if name in raw}
    for present, name in former.items():
        if present in raw:
            raise PresetError(f"{source}: [{name}] is the former name of [{present}], which is there too; keep one")
    return {FORMER_NAMES.get(name, name): table for name, table in raw.items()}, former


def _with_kinds(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return tables with the kind of those that may leave it out: presets of when there was one kind stay valid."""
    return {
        name: {"kind": DEFAULT_KINDS[name]} | table if name in DEFAULT_KINDS and isinstance(table, dict) else table
        for name, table in raw.items()
    }


def override(preset: Preset, settings: Sequence[str]) -> Preset:
    """Return the preset with ``"table.key=value"`` settings applied and checked; see :func:`load` on [notebook]."""
    raw = to_dict(preset)
    overridden = {_apply(raw, setting): _option(setting) for setting in settings}
    return _without_foreign_rows(check(raw, source=preset.name, overridden=overridden), to_dict(preset), overridden)


def _without_foreign_rows(
    preset: Preset, original: Mapping[str, Any], overridden: Mapping[tuple[str | int, ...], str]
) -> Preset:
    """Take away what is known of the original, where the settings made another experiment of it."""
    if preset.published is None or not overridden or any(place[0] in _PUBLISHED for place in overridden):
        return preset
    try:
        before = Preset.model_validate(_with_kinds(original))
    except ValidationError:  # the settings complete it
        return preset
    is_the_same = trained_settings(preset) == trained_settings(before)
    return preset if is_the_same else preset.model_copy(update=dict.fromkeys(_PUBLISHED))


def load_preset(
    reference: str | Path,
    *,
    set: Mapping[str, Any] | None = None,  # noqa: A002 (the option)
    allow_code: str | Path | None = None,
) -> Preset:
    """Read a preset, as ``l2o-tui run`` does: for the library.

    Parameters
    ----------
    reference
        A TOML file, or the name of a shipped preset.
    set
        What to change, "table.key" → value.
    allow_code
        A folder whose Python modules may be imported and run, by this process from now on: for a problem of
        ``kind = "python"``.

    Raises
    ------
    PresetError
        If there is no such preset, or something is wrong with it or with what is to be changed.
    UserError
        If there is no such folder.
    """
    if allow_code is not None:
        permission.allow_code(allow_code)
    return load(find(str(reference)), [setting_of(name, value) for name, value in (set or {}).items()])


def setting_of(name: str, value: Any) -> str:
    """Return a setting as a user writes it after ``--set``.

    Raises
    ------
    PresetError
        If TOML has no such value.
    """
    try:
        text = tomli_w.dumps({"value": [value]})
    except (TypeError, ValueError) as error:
        raise PresetError(f"{name}: {quote(value)} is nothing that a preset can hold") from error
    return f"{name}={text.partition('[')[2].rpartition(']')[0].strip().rstrip(',')}"


def setting_names(name: str) -> list[str]:
    """Return the tables and the key of a setting's name, a table by the name that it has today."""
    keys = [key.strip() for key in name.split(".")]
    return [FORMER_NAMES.get(keys[0], keys[0]), *keys[1:]]


def _as_text(setting: str) -> str:
    """Return a setting as text: UTF-8, whatever the locale has the command line decoded as."""
    if _is_text(setting):
        return setting
    try:
        return os.fsencode(setting).decode()
    except UnicodeError as error:
        raise PresetError(f"{_option(setting)}: {_NO_TEXT}") from error


def _option(setting: str) -> str:
    """Return what messages call a setting: the option that it was given by, without the middle of a very long one."""
    return f"--set {shown(setting, most=_LONGEST_SETTING)}"


def _apply(raw: dict[str, Any], setting: str) -> tuple[str | int, ...]:
    setting = _as_text(setting)
    name, equals, text = setting.partition("=")
    keys = setting_names(name)
    if not equals or not all(keys):
        raise PresetError(f"{_option(setting)}: write it as table.key=value, for example --set meta.epsilon=1e-16")
    if len(keys) > _DEEPEST:
        raise PresetError(f"{_option(setting)}: {_TOO_DEEP}")
    place: list[str | int] = []
    node: Any = raw
    for depth, key in enumerate(keys):
        step: str | int = key
        if isinstance(node, list):
            entry = int(key) if _ENTRY.fullmatch(key) else len(node)
            if entry >= len(node):
                raise PresetError(f"{_option(setting)}: {'.'.join(keys[:depth])} has the entries 0 to {len(node) - 1}")
            step = entry
        elif not isinstance(node, dict):
            raise PresetError(f"{_option(setting)}: {'.'.join(keys[:depth])} is a value, not a table")
        place.append(step)
        if depth == len(keys) - 1:
            node[step] = _toml_value(text.strip(), _option(setting))
        elif isinstance(node, dict):
            # The default baselines are no part of the file; a setting that reaches into them needs them there.
            default = to_dict(Preset(name="default"))["baseline"] if place == ["baseline"] else {}
            node = node.setdefault(step, default)
        else:
            node = node[step]
    return tuple(place)


def _toml_value(text: str, source: str) -> Any:
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return text
    except (ValueError, RecursionError):
        value = _parsed(f"value = {text}", source)  # which says what is wrong
    _check_shape(value, source)
    return value
