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
