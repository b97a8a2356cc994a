"""The runs of a folder as lists tell them, of ten thousand too: little is read of each, and nothing twice.

Of a run that is over only ``run.json`` is read, and that again only when it has been written since. A folder that holds
runs and is none itself is a study: its runs are listed together.
"""

import os
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from sys import intern

from l2o_engine.presets.changed import Changed
from l2o_engine.presets.labels import in_short, run_label
from l2o_engine.records.events import Status
from l2o_engine.runs.catalogue import Unreadable, seen_as_run, unreadable_of
from l2o_engine.runs.lock import is_driven
from l2o_engine.runs.record import ACTIVE, SETTLED_NS, Record, RunError, Stamp, read_record_once, stamp_of
from l2o_engine.support.files import folders_in

_DEEPEST = 2  # folders below a study's in which its runs are looked for
_MOST_FOLDERS = 200_000  # that are looked into below one that is no run: it may be anybody's


@dataclass(frozen=True, slots=True)
class Listed:
    """A run in a list: what lists tell of its run.json, and no more, for there may be ten thousand.

    Attributes
    ----------
    folder
        The run's folder.
    study
        The folder's name of the study that the run is of; empty for one that is of none.
    status
        "interrupted" where run.json says it is active and its process is gone.
    is_driven
        Whether a process drives it; of one that is over this is not asked.
    changed
        See :class:`~l2o_engine.runs.record.Record`, as the rest.
    """

    folder: Path
    study: str
    status: Status
    is_driven: bool
    preset: str
    seed: int
    seeds: int
    iteration: int
    iterations: int
    created: str
    updated: str
    elapsed_seconds: float
    average_log_result: float | None
    given_name: str
    tags: tuple[str, ...]
    changed: Changed | None
    origin: str

    @property
    def name(self) -> str:
        """By which the run is found in the runs folder: its folder's name, behind that of its study."""
        return f"{self.study}/{self.folder.name}" if self.study else self.folder.name

    @property
    def changed_in_short(self) -> list[str]:
        """What was changed of the preset, shortly, one each; nothing where that is not known."""
        return in_short(self.changed) if self.changed else []

    @property
    def label(self) -> str:
        """What the run is called that has no given name."""
        return run_label(self.preset, self.changed_in_short, self.seed, self.seeds)


@dataclass(frozen=True, slots=True)
class Study:
    """A folder of runs: those of a sweep or a reproduction, the newest first, and how many cannot be read."""

    folder: Path
    runs: tuple[Listed, ...]
    unreadable: int = 0

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    def among(self, meant: Collection[Listed]) -> "Study":
        """Return the study with those of its runs that are among these; what cannot be read goes with all of them."""
        chosen = tuple(run for run in meant if run.study == self.name or run.study.startswith(f"{self.name}/"))
        return Study(self.folder, chosen, self.unreadable if len(chosen) == len(self.runs) else 0)

    @property
    def counts(self) -> dict[str, int]:
        """How many runs have which status, the most frequent first."""
        unreadable = {"unreadable": self.unreadable} if self.unreadable else {}
        return dict(Counter(run.status for run in self.runs).most_common()) | unreadable

    @property
    def updated(self) -> str:
        """When the last of its runs was written to; empty where there is none."""
        return max((run.updated for run in self.runs), default="")

    @property
    def created(self) -> str:
        """When the newest of its runs was begun; empty where there is none."""
        return self.runs[0].created if self.runs else ""

    @property
    def best(self) -> float | None:
        """The lowest of its runs' mean log10 of the last loss."""
        figures = [run.average_log_result for run in self.runs if run.average_log_result is not None]
        return min(figures, default=None)


@dataclass(frozen=True)
class Survey:
    """What is in a runs folder: runs and studies, the newest first, and what cannot be read, by name."""

    runs: list[Listed]
    studies: list[Study]
    unreadable: list[Unreadable]

    @property
    def all_runs(self) -> list[Listed]:
        """The runs with those of the studies, the newest first."""
        return newest_first([*self.runs, *(run for study in self.studies for run in study.runs)])


class Surveyor:
    """Looks through a runs folder, again and again: what has not been written since is not read again.

    Parameters
    ----------
    runs_dir
        The runs folder.
    """

    def __init__(self, runs_dir: Path) -> None:
        self._runs_dir = runs_dir
        self._known: dict[str, tuple[Stamp, Listed]] = {}
        self._next: dict[str, tuple[Stamp, Listed]] = {}

    def look(self) -> Survey:
        """Return what is there now. What is wrong with one folder keeps no other from being listed."""
        runs: list[Listed] = []
        studies: list[Study] = []
        unreadable: list[Unreadable] = []
        self._next = {}
        for path, stamp in _folders_in(self._runs_dir, follows=True):
            found = self._one(path, stamp, "")
            if isinstance(found, Listed):
                runs.append(found)
            elif isinstance(found, Unreadable):
                unreadable.append(found)
            elif (study := self._study(path)) is not None:
                studies.append(study)
        self._known, self._next = self._next, {}
        studies.sort(key=lambda study: (study.created, study.name), reverse=True)
        return Survey(newest_first(runs), studies, sorted(unreadable, key=lambda one: one.name))

    def _study(self, path: str) -> Study | None:
        """Return the study in a folder that is no run, None where there is none."""
        runs, unreadable = [], 0
        waiting, left = [(path, 1)], _MOST_FOLDERS
        while waiting and left > 0:
            place, depth = waiting.pop()
            for inner, stamp in _folders_in(place, follows=False):
                left -= 1
                found = self._one(inner, stamp, os.path.relpath(place, self._runs_dir))
                if isinstance(found, Listed):
                    runs.append(found)
                elif found is not None:
                    unreadable += 1
                elif depth < _DEEPEST:
                    waiting.append((inner, depth + 1))
        return Study(Path(path), tuple(newest_first(runs)), unreadable) if runs else None

    def _one(self, path: str, stamp: Stamp | None, study: str) -> Listed | Unreadable | None:
        """Return the run in a folder; None where there is none."""
        if stamp is not None and (known := self._known.get(path)) is not None and known[0] == stamp:
            self._next[path] = known
            return known[1]
        folder = Path(path)
        try:
            if stamp is None:  # a link, or no run.json at all
                raise RunError(f"{folder} holds no run (there is no run.json)")
            record = read_record_once(folder / "run.json")
            listed = _listed(folder, study, record)
        except RunError as error:
            return unreadable_of(folder, error) if seen_as_run(folder) else None
        except Exception as error:  # noqa: BLE001 (damaged in a way of its own: the others are none the worse)
            return Unreadable(folder, f"{type(error).__name__}: {error}")
        if record.status not in ACTIVE and time.time_ns() - stamp[1] > SETTLED_NS:
            self._next[path] = stamp, listed
        return listed


def _listed(folder: Path, study: str, record: Record) -> Listed:
    is_active = record.status in ACTIVE
    driven = is_active and is_driven(folder, lambda: record)
    return Listed(
        folder=folder,
        study=study,
        status="interrupted" if is_active and not driven else record.status,
        is_driven=driven,
        preset=intern(record.preset),
        seed=record.seed,
        seeds=record.seeds,
        iteration=record.iteration,
        iterations=record.iterations,
        created=record.created,
        updated=record.updated,
        elapsed_seconds=record.elapsed_seconds,
        average_log_result=record.average_log_result,
        given_name=record.given_name,
        tags=tuple(map(intern, record.tags)),
        changed={name: (before, after) for name, (before, after) in record.changed.items()} if record.changed else None,
        origin=intern(record.origin),
    )


def _folders_in(folder: str | Path, *, follows: bool) -> Iterator[tuple[str, Stamp | None]]:
    """Yield the folders in a folder, with the stamp of their run.json where there is one."""
    with suppress(OSError):  # there is none, or it may not be read
        for path in folders_in(folder, follows=follows):
            yield path, stamp_of(f"{path}{os.sep}run.json")


def newest_first(runs: Iterable[Listed]) -> list[Listed]:
    """Return runs, that of the newest beginning first."""
    return sorted(runs, key=lambda run: (run.created, run.name), reverse=True)
