"""Which of many runs are meant: by setting, tag and state, and in which order."""

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from math import inf
from typing import Any, Literal

from l2o_engine.presets.changed import digest_of, shipped_settings
from l2o_engine.presets.files import setting_names
from l2o_engine.presets.identity import all_settings
from l2o_engine.runs.folder import Run
from l2o_engine.runs.listing import Listed, Study, newest_first
from l2o_engine.runs.record import RunError
from l2o_engine.support.errors import UserError
from l2o_engine.support.wording import nearest, shown

Order = Literal["newest", "oldest", "name", "preset", "result"]

_KEYS: dict[str, Callable[[Listed], Any]] = {
    "newest": lambda run: 0,  # as they are given
    "oldest": lambda run: 0,
    "name": lambda run: (run.given_name or run.name).lower(),
    "preset": lambda run: run.preset,
    "result": lambda run: inf if run.average_log_result is None else run.average_log_result,
}


def sorted_by(runs: Sequence[Listed], order: Order) -> list[Listed]:
    """Return runs, which come newest first, in an order; those that are equal in it stay newest first."""
    return list(reversed(runs)) if order == "oldest" else sorted(runs, key=_KEYS[order])


def folded(runs: Iterable[Listed], studies: Sequence[Study], order: Order) -> list[Listed | Study]:
    """Return runs and studies in an order: a study is where the first of its runs would be, one without runs behind.

    Parameters
    ----------
    runs
        Those that are of no study.
    studies
        The studies, with their runs.
    order
        The order.
    """
    owner = {id(run): study for study in studies for run in study.runs}
    everything = newest_first([*runs, *(run for study in studies for run in study.runs)])
    lines = {id(line): line for run in sorted_by(everything, order) for line in [owner.get(id(run), run)]}
    return [*lines.values(), *(study for study in studies if not study.runs)]


@dataclass(frozen=True)
class Selection:
    """What a run must be to be meant; nothing is asked where nothing is given.

    Attributes
    ----------
    where
        Settings as a user writes them, "table.key=value"; all must hold.
    tags
        Tags; it must have all.
    states
        Statuses; it must have one.
    """

    where: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    states: tuple[str, ...] = ()

    @property
    def is_all(self) -> bool:
        """Whether every run is meant."""
        return not (self.where or self.tags or self.states)

    @cached_property
    def _wanted(self) -> list[tuple[str, Any]]:
        return [_condition(text) for text in self.where]

    def of(self, runs: Iterable[Listed]) -> list[Listed]:
        """Return the runs that are meant.

        Raises
        ------
        UserError
            If a condition is none, or is of a setting that none of the runs has.
        """
        wanted = self._wanted
        there = [run for run in runs if self._has_words(run)]
        shipped = cache(_shipped)  # for this list: the folder of the presets is not read again for every run
        missing = {name for name, _ in wanted}
        found = []
        for run in there:
            values = [(_value_of(run, name, shipped), value) for name, value in wanted]
            missing -= {name for (name, _), (own, _) in zip(wanted, values, strict=True) if own}
            if all(value in own for own, value in values):
                found.append(run)
        if missing and there:
            name = min(missing)
            raise UserError(f"--where {name}: none of the runs has this setting{nearest(name, _known_names(there))}")
        return found

    def _has_words(self, run: Listed) -> bool:
        return set(self.tags) <= set(run.tags) and (not self.states or run.status in self.states)


def _condition(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UserError(f"--where {shown(text)}: write it as table.key=value, for example meta.epsilon=1e-12")
    try:
        parsed = tomllib.loads(f"value = {value.strip()}")["value"]
    except (ValueError, KeyError, RecursionError):  # a plain string, as after --set
        parsed = value.strip()
    return ".".join(setting_names(name)), parsed


Shipped = tuple[Mapping[str, Any], str]
"""The settings of a shipped preset, and their digest; of one that is not there "" for that."""


def _shipped(preset: str) -> Shipped:
    settings = shipped_settings(preset)
    return ({}, "") if settings is None else (settings, digest_of(settings))


def _value_of(run: Listed, name: str, shipped: Callable[[str], Shipped]) -> Sequence[Any]:
    """Return the values that a run has of a setting: one, of seeds several, or none.

    Most are known from run.json and the shipped preset; else preset.toml is read.
    """
    own: Mapping[str, Sequence[Any]] = {
        "run.seed": range(run.seed, run.seed + run.seeds),
        "run.seeds": (run.seeds,),
        "run.iterations": (run.iterations,),
        "name": (run.preset,),
    }
    if name in own:
        return own[name]
    if run.origin and not name.startswith("run."):
        changed = run.changed or {}
        if name in changed:
            return () if changed[name][1] is None else (changed[name][1],)
        settings, digest = shipped(run.preset)
        if run.origin == digest:
            return (settings[name],) if name in settings else ()
    try:
        there = all_settings(Run(run.folder).preset())
    except RunError:  # vanished, or damaged: it has nothing
        return ()
    return (there[name],) if name in there else ()


def _known_names(runs: Iterable[Listed]) -> set[str]:
    known = {"run.seed", "run.seeds", "run.iterations"}
    for preset in {run.preset for run in runs}:
        known |= set(shipped_settings(preset) or ())
    return known
