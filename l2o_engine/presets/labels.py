"""Short labels for experiments that are told apart: what they have in common is dropped, what differs is said."""

import json
import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

SHORT_NAMES = {
    "meta.learning_rate": "lr",
    "meta.epsilon": "ε",
    "meta.beta1": "β1",
    "meta.beta2": "β2",
    "run.seed": "seed",
}
"""Settings by the names that papers have for them; any other goes by the last part of its key."""

_SYMBOLS = ("ε", "lr")  # before a number they need nothing between; β1 would
_MOST_IN_LABEL = 3

Settings = Mapping[str, Any]
"""An experiment's settings, "table.key" → value, see :func:`~l2o_engine.presets.identity.experiment_settings`."""


def level_label(name: str, *, is_tuned: bool) -> str:
    """Return what a rival's level is called: one whose settings are the best found on this problem says so."""
    return f"{name}, tuned" if is_tuned else name


def short_number(value: float) -> str:
    """Return a number in as few characters as say all of it: 1e-4, 0.03, -30, 32."""
    if not isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 10_000:
        return str(int(value))
    plain = str(int(value)) if value == int(value) else repr(float(value))
    mantissa, _, exponent = f"{value:e}".partition("e") if float(f"{value:e}") == value else (repr(value), "", "")
    if not exponent:
        return mantissa
    digits = mantissa.rstrip("0").rstrip(".")
    scientific = f"{digits}e{int(exponent)}"
    return min(plain, scientific, key=len)


def what_differs(experiments: Sequence[Settings]) -> list[str]:
    """Return for each experiment the settings by which they differ, shortly named: "lr 1e-4, hidden 32".

    What only some of them have goes with a choice that is said already (the settings of another kind of network), as
    long as the experiments can be told apart without.
    """
    keys = sorted({key for one in experiments for key in one})
    differing = [key for key in keys if any(one.get(key, ...) != experiments[0].get(key, ...) for one in experiments)]
    telling = [key for key in differing if _differs_where_it_is(key, experiments)]
    said = _said(telling, experiments)
    return said if len(set(said)) == len(said) else _said(differing, experiments)


def in_short(changed: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return settings that were changed as short as papers have them, one each: "ε 1e-12", "hidden 32".

    Parameters
    ----------
    changed
        "table.key" → (before, now), see :data:`~l2o_engine.presets.changed.Changed`. What is there with another kind,
        or with a table that was not there before, goes without saying; so does how a run is reported.
    """
    changed = {key: pair for key, pair in changed.items() if not key.startswith("report.")}
    owners = {key.removesuffix(".kind") for key in changed if key.endswith(".kind")}
    owners |= {key for key, (before, _) in changed.items() if isinstance(before, bool)}  # an optional table
    told = [key for key, pair in changed.items() if None not in pair or not _is_below(key, owners)]
    names = [_name(key, {}) for key in told]
    clear = [name if names.count(name) == 1 else key for key, name in zip(told, names, strict=True)]
    values = ["none" if changed[key][1] is None else _value(changed[key][1]) for key in told]
    return [f"{name} {value}" for name, value in zip(clear, values, strict=True)]


def run_label(name: str, changed: Sequence[str], seed: int, seeds: int) -> str:
    """Return what a run is called that nobody gave a name: its preset, what was changed, its seeds: "log30 ε1e-12 s3".

    Parameters
    ----------
    name
        The preset's name.
    changed
        What was changed of it, as :func:`in_short` says it.
    seed, seeds
        The first seed, and how many there are.
    """
    shortest = [_glued(one) for one in changed]
    least = [*shortest[:_MOST_IN_LABEL], *([f"+{len(shortest) - _MOST_IN_LABEL}"] * (len(shortest) > _MOST_IN_LABEL))]
    return " ".join([name, *least, f"s{seed}" if seeds == 1 else f"s{seed}-{seed + seeds - 1}"])


def _glued(said: str) -> str:
    """Return "ε 1e-12" as "ε1e-12", and "hidden 32" as "hidden=32", for it is one word of a label."""
    name, _, value = said.rpartition(" ")
    return f"{name}{value}" if name in _SYMBOLS else f"{name}={value}".replace(" ", "_")


def _is_below(key: str, owners: set[str]) -> bool:
    parts = key.split(".")
    return any(".".join(parts[:depth]) in owners for depth in range(1, len(parts)))


def without_common_beginning(names: Sequence[str]) -> list[str]:
    """Return names without the words that all of them begin with; one that is a beginning itself keeps its last word.

    Words end at a space, or at one of ``._,-/``.
    """
    if len(set(names)) < 2:
        return list(names)
    words = [re.findall(r"[^ ._,/-]*[ ._,/-]*", name)[:-1] for name in names]
    least = min(len(own) for own in words) - 1
    shared = next((place for place in range(least) if len({own[place] for own in words}) > 1), least)
    return ["".join(own[shared:]) for own in words]


def _differs_where_it_is(key: str, experiments: Sequence[Settings]) -> bool:
    values = [one[key] for one in experiments if key in one]
    return len(values) == len(experiments) or any(value != values[0] for value in values)


def _said(keys: Sequence[str], experiments: Sequence[Settings]) -> list[str]:
    said = []
    for one in experiments:
        there = [key for key in keys if key in one]
        names = [_name(key, one) for key in there]
        clear = [name if names.count(name) == 1 else key for key, name in zip(there, names, strict=True)]
        said.append(", ".join(f"{name} {_value(one[key])}" for key, name in zip(there, clear, strict=True)))
    return said


def _name(key: str, settings: Settings) -> str:
    """Return a setting's short name: a kind goes by its table, a baseline's setting by the baseline."""
    *tables, last = key.split(".")
    if key in SHORT_NAMES or not tables:
        return SHORT_NAMES.get(key, last)
    if last == "kind":
        return tables[-1] if not tables[-1].isdigit() else tables[0]
    if tables[0] == "baseline":
        owner = settings.get(f"{'.'.join(tables)}.name", tables[-1])
        return f"{owner} {'lr' if last == 'learning_rate' else last}"
    return last


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return short_number(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
