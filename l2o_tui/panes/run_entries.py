"""The lines of a list of runs: a run, a study of many, one that cannot be read, and how many more there are."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from l2o_engine.runs.catalogue import Unreadable
from l2o_engine.runs.folder import Run
from l2o_engine.runs.listing import Listed, Study
from l2o_tui.panes.entry_table import Entry
from l2o_tui.panes.status import with_sign
from l2o_tui.text.numbers import age, compact, count, fixed

Thing = TypeVar("Thing")

_SINCE = re.compile(r"-[0-9]{8}-[0-9]{6}")  # in the name of a folder that we have named: its age is in the list


@dataclass(frozen=True)
class RunEntry:
    """A line of the runs; ``record`` is what its run.json says, as far as lists tell it."""

    record: Listed
    is_marked: bool = False

    @property
    def identity(self) -> Path:
        """The run's folder."""
        return self.record.folder

    @property
    def run(self) -> Run:
        """The run, which may have vanished: then this raises RunError."""
        return Run(self.record.folder)

    @property
    def cells(self) -> list[str]:
        """What the line shows."""
        record = self.record
        at = f"{compact(record.iteration)}/{compact(record.iterations)}"
        name = record.given_name or _SINCE.sub("", record.folder.name)
        return [
            "●" if self.is_marked else " ",
            f"  {name}" if record.study else name,
            ", ".join(record.changed_in_short),
            with_sign(record.status),
            at,
            fixed(record.average_log_result),
            age(record.updated).removesuffix(" ago"),
        ]

    @property
    def words(self) -> str:
        """What the filter looks into."""
        record = self.record
        names = [record.name, record.given_name, record.preset, record.status, *record.tags, record.label]
        settings = [f"{key}={pair[1]}" for key, pair in (record.changed or {}).items()]  # as --where has them
        return " ".join([*names, *record.changed_in_short, *settings]).lower()


@dataclass(frozen=True)
class StudyEntry:
    """A line of the runs for all runs of a study."""

    study: Study
    is_unfolded: bool = False

    @property
    def identity(self) -> Path:
        """The study's folder."""
        return self.study.folder

    @property
    def cells(self) -> list[str]:
        """What the line shows."""
        study, counts = self.study, self.study.counts
        status = next((name for name in ("running", "paused") if name in counts), next(iter(counts), ""))
        total = sum(counts.values())
        return [
            "▾" if self.is_unfolded else "▸",
            f"{study.name}/",
            ", ".join(f"{number} {name}" for name, number in counts.items()),
            with_sign(status),
            f"{counts.get('finished', 0)}/{total}",
            fixed(study.best),
            age(study.updated).removesuffix(" ago") if study.updated else "",
        ]

    @property
    def words(self) -> str:
        """What the filter looks into."""
        return " ".join(self.cells).lower()


@dataclass(frozen=True)
class MoreEntry:
    """The last line, where there are more runs than are listed: it says so in one of the list's columns."""

    hidden: int
    columns: int
    place: int

    @property
    def identity(self) -> Path:
        """No file's: there is one such line."""
        return Path()

    @property
    def cells(self) -> list[str]:
        """What the line shows."""
        said = f"… and {count(self.hidden)} more"
        return [said if place == self.place else "" for place in range(self.columns)]

    @property
    def words(self) -> str:
        """Nothing that a filter would look for."""
        return ""


@dataclass(frozen=True)
class UnreadableEntry:
    """A line of the runs, for one that cannot be read."""

    found: Unreadable

    @property
    def identity(self) -> Path:
        """The folder."""
        return self.found.folder

    @property
    def cells(self) -> list[str]:
        """What the line shows."""
        return ["", f"{self.found.name}: {self.found.reason}", "", "unreadable", "", "", ""]

    @property
    def words(self) -> str:
        """What the filter looks into."""
        return " ".join(self.cells).lower()


def shortened(
    found: Sequence[Thing], most: int, entry: Callable[[Thing], Entry], *, columns: int, place: int = 0
) -> list[Entry]:
    """Return as many entries as are listed at once, and behind them how many are not.

    Parameters
    ----------
    found
        All that there is.
    most
        How many of them are listed.
    entry
        Makes the line of one.
    columns, place
        How many the list has, and in which of them it is said how many are not listed.
    """
    left_out = len(found) - most
    return [*map(entry, found[:most]), *([MoreEntry(left_out, columns, place)] if left_out > 0 else [])]
