"""A study: what is run, over which settings and seeds; its file, and its folder.

``study.toml`` says what was asked for, with the presets written out, so the folder alone is enough to go on; who
writes one by hand names presets instead. ``study.json`` says the same of every run, and how far it all is, for who
looks at it. Each run has a folder of its own below.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from l2o_engine.presets.files import check, load, override, setting_of
from l2o_engine.presets.identity import told_settings
from l2o_engine.presets.labels import short_number
from l2o_engine.presets.messages import PresetError, rule_of
from l2o_engine.presets.schema import Preset, Table
from l2o_engine.presets.shipped import find
from l2o_engine.presets.tables import to_dict
from l2o_engine.studies.sweep.halving import Halving
from l2o_engine.studies.sweep.jobs import Job
from l2o_engine.studies.sweep.over import Over, SweepError, check_number, combinations, drawn, over_of
from l2o_engine.support.files import read_bytes
from l2o_engine.support.settings import list_to_tuple

STUDY_FILE = "study.toml"
STATE_FILE = "study.json"
STOP_FILE = "stop"
"""In a study's folder: whoever works on the study begins nothing more while it is there."""
PAUSE_FILE = "pause"
"""In a study's folder: whoever works on the study waits while it is there, and so do its runs."""

Draw = Literal["grid", "random", "latin"]

_MOST_BYTES = 50_000_000  # of a study's file
_LONGEST_NAME = 64
_LONGEST_SLUG = 80  # characters of a run's folder that say its settings
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_UNFIT = re.compile(r"[^A-Za-z0-9.+-]+")  # what is no part of a folder's name
_SHORT = {"learning_rate": "lr"}
_Names = Annotated[tuple[str, ...], BeforeValidator(list_to_tuple)]
_Tables = Annotated[tuple[dict[str, Any], ...], BeforeValidator(list_to_tuple)]


class StudySettings(Table):
    """A study's file.

    Attributes
    ----------
    format
        Of the file.
    name
        The study's, and its folder's; made of the presets and of what is varied, if not given.
    presets
        Shipped presets by name, and files by their path, from the folder on that the study's file is in.
    preset
        Presets that are written out, in place of names.
    set
        What is changed of all of them, as ``--set`` has it.
    over
        "table.key" → values, or a text: a range "low:high" or "low:high:log".
    draw
        Whether every combination is run, or points that are drawn: "random" or "latin".
    points
        How many are drawn.
    draw_seed
        Decides the draws.
    seed, seeds
        The first seed, the presets' own if not given, and how many.
    halving, halving_from
        Whether hopeless settings are given up, and the meta-iteration before which none is.
    """

    format: Literal[1] = 1
    name: str | None = Field(None, max_length=_LONGEST_NAME, pattern=rf"^{_NAME.pattern}$")
    presets: _Names = ()
    preset: _Tables = ()
    set: _Names = ()
    over: dict[str, list[Any] | str] = Field(default_factory=dict)
    draw: Draw = "grid"
    points: int | None = Field(None, ge=1)
    draw_seed: int = Field(0, ge=0)
    seed: int | None = Field(None, ge=0, lt=2**63)
    seeds: int = Field(1, ge=1, le=1024)
    halving: bool = False
    halving_from: int = Field(0, ge=0)


@dataclass(frozen=True, eq=False)
class Variation:
    """One combination of settings, of one preset.

    Attributes
    ----------
    preset
        What is trained, of the first seed.
    settings
        What is varied: "table.key" → its value there.
    slug
        What its runs' folders are called by.
    """

    preset: Preset
    settings: Mapping[str, Any]
    slug: str


@dataclass(frozen=True)
class Study:
    """What is run.

    Attributes
    ----------
    name
        Its folder's, in the runs folder.
    presets
        What is trained, before anything is varied, each of one seed.
    overs
        What is varied.
    draw, points, draw_seed
        See :class:`StudySettings`.
    seeds
        How many seeds, from each preset's on.
    halving
        How hopeless settings are given up; None if they are not.
    """

    name: str
    presets: tuple[Preset, ...]
    overs: tuple[Over, ...] = ()
    draw: Draw = "grid"
    points: int | None = None
    draw_seed: int = 0
    seeds: int = 1
    halving: Halving | None = None

    @cached_property
    def variations(self) -> list[Variation]:
        """All combinations of settings, by preset, then in the order in which values were given.

        Raises
        ------
        SweepError
            If there are too many, or two are the same.
        PresetError
            If one is impossible.
        """
        points = self._points()
        check_number(len(points) * len(self.presets) * self.seeds)
        found: dict[str, Variation] = {}
        for preset in self.presets:
            for point in points:
                variation = self._variation(preset, point)
                if variation.slug in found:  # 1e-3 and 0.001
                    if found[variation.slug].settings != variation.settings:
                        raise SweepError(f"two of the settings would share the folder {variation.slug}")
                    continue
                found[variation.slug] = variation
        return list(found.values())

    def _points(self) -> list[tuple[str, ...]]:
        if self.draw == "grid":
            return combinations(self.overs)
        if not self.overs or self.points is None:
            raise SweepError("points are drawn of something: --over table.key=low:high, and so many of them")
        return drawn(self.overs, self.points, seed=self.draw_seed, is_latin=self.draw == "latin")

    def _variation(self, preset: Preset, point: tuple[str, ...]) -> Variation:
        try:
            varied = override(preset, point) if point else preset
        except PresetError as error:  # which speaks of the option that sets a preset's settings
            raise SweepError(*(line.replace("--set ", "--over ") for line in error.lines)) from error
        tables = to_dict(varied)
        settings = {over.key: _at(tables, over.key) for over in self.overs}
        return Variation(varied, settings, slug_of(preset.name, settings))

    def jobs(self, folder: Path) -> list[Job]:
        """Return a job for every seed of every variation, the longest first; equals, seed by seed.

        Seed by seed, so that soon there is something to be said of every setting.

        Parameters
        ----------
        folder
            The study's, absolute: an executor's workers may work elsewhere.
        """
        found = [
            Job(_of_seed(one.preset, seed), folder / f"{one.slug}-s{one.preset.run.seed + seed}", one.slug)
            for seed in range(self.seeds)
            for one in self.variations
        ]
        return sorted(found, key=lambda job: -job.iterations)

    def to_toml(self) -> str:
        """Return the study's file, the presets written out; :func:`read_study` takes it back."""
        tables: dict[str, Any] = {
            "format": 1,
            "name": self.name,
            "seeds": self.seeds,
            "draw": self.draw,
            "draw_seed": self.draw_seed,
        }
        if self.points is not None:
            tables["points"] = self.points
        if self.halving is not None:
            tables |= {"halving": True, "halving_from": self.halving.first}
        tables["over"] = {over.key: over.said if over.range else _values(over) for over in self.overs}
        tables["preset"] = [to_dict(preset) for preset in self.presets]
        return tomli_w.dumps(tables)


def _of_seed(preset: Preset, more: int) -> Preset:
    run = preset.run.model_copy(update={"seed": preset.run.seed + more, "seeds": 1})
    return preset.model_copy(update={"run": run})


def _values(over: Over) -> list[Any]:
    """Return values as TOML has them; a plain string is a string."""
    found = []
    for value in over.values:
        try:
            found.append(tomllib.loads(f"value = {value}")["value"])
        except (tomllib.TOMLDecodeError, KeyError):
            found.append(value)
    return found


def _at(tables: Mapping[str, Any], key: str) -> Any:
    """Return what effective tables have under "table.key"; None where that is not set."""
    node: Any = tables
    for part in key.split("."):
        try:
            node = node[int(part)] if isinstance(node, list) else node[part.strip()]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return node


def slug_of(name: str, settings: Mapping[str, Any]) -> str:
    """Return what folders are called by: the preset's name and the settings, shortly; with a digest if that is not all.

    Parameters
    ----------
    name
        The preset's.
    settings
        "table.key" → value.
    """
    lasts = [key.rpartition(".")[2] for key in settings]
    parts, is_whole = [], True
    for (key, value), last in zip(settings.items(), lasts, strict=True):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        short = last if lasts.count(last) == 1 and last != "kind" else key.replace(".", "-")
        text = short_number(value) if is_number else f"-{value}"
        part = _UNFIT.sub("", f"{_SHORT.get(short, short)}{text}".replace("_", "-"))
        is_whole &= isinstance(value, str | int | float | bool) and _UNFIT.search(str(value).replace("_", "-")) is None
        parts.append(part)
    said = "_".join([name, *parts])
    if is_whole and len(said) <= _LONGEST_SLUG + len(name):
        return said
    digest = sha256(json.dumps(dict(settings), sort_keys=True, default=str).encode()).hexdigest()[:8]
    return f"{said[: _LONGEST_SLUG + len(name)]}-{digest}"


def digest_of(preset: Preset) -> str:
    """Return a digest of all that makes a job's run another run."""
    told = told_settings(preset) | {"iterations": preset.run.iterations, "backend": preset.run.backend}
    return sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]


# Reading one.


def is_study(path: Path) -> bool:
    """Return whether a TOML file is a study's, and no preset: by the tables that only one of them has."""
    try:
        tables = tomllib.loads(read_bytes(path, _MOST_BYTES, follows=True).decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError):  # who reads it as a preset says what is wrong
        return False
    return bool({"presets", "preset", "over"} & tables.keys())


def read_settings(path: Path, *, follows: bool = True) -> StudySettings:
    """Read a study's file.

    Raises
    ------
    SweepError
        If it cannot be read, or is no study's.
    """
    try:
        tables = tomllib.loads(read_bytes(path, _MOST_BYTES, follows=follows).decode("utf-8-sig"))
    except OSError as error:
        raise SweepError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise SweepError(f"{path}: is not valid TOML: {error}") from error
    try:
        return StudySettings.model_validate(tables)
    except ValidationError as error:
        lines = [
            f"{path}: {' '.join(map(str, one['loc']))}: "
            + ("unknown key" if one["type"] == "extra_forbidden" else rule_of(one))
            for one in error.errors()
        ]
        raise SweepError(*lines) from error


def overs_of(settings: StudySettings, source: str) -> list[Over]:
    """Return what a study's file varies.

    Raises
    ------
    SweepError
        If a setting has no values, or a text that is no range.
    """
    found = []
    for key, said in settings.over.items():
        if isinstance(said, str):
            over = over_of(key, said, f"{source}: [over] {key}")
        else:
            over = Over(key, tuple(dict.fromkeys(setting_of(key, value).partition("=")[2] for value in said)))
            if not over.values:
                raise SweepError(f"{source}: [over] {key}: a value is missing")
        found.append(over)
    return found


def presets_of(settings: StudySettings, source: Path) -> list[Preset]:
    """Return the presets of a study's file.

    Raises
    ------
    PresetError
        If one is not there, or wrong.
    SweepError
        If two have one name, or there is none.
    """
    found = [check(tables, source=f"{source}: preset {place}") for place, tables in enumerate(settings.preset, 1)]
    for name in settings.presets:
        beside = source.parent / name
        found.append(load(beside if name.endswith(".toml") and beside.is_file() else find(name)))
    return found


def name_of(presets: Sequence[Preset], overs: Sequence[Over]) -> str:
    """Return a name for a study that has none: its presets, and what it varies."""
    names = [preset.name for preset in presets]
    more = [f"{len(names) - 2}-more"] if len(names) > 2 else []
    keys = [over.key.rpartition(".")[2] for over in overs] or ["seeds"]
    return "-".join([*names[:2], *more, "over", *keys])[:_LONGEST_NAME].strip("-.")


def read_study(path: Path, *, follows: bool = True) -> Study:
    """Return the study of a file, or of a study's folder.

    Raises
    ------
    SweepError, PresetError
        If it cannot be read, or something is wrong with it.
    """
    file = path / STUDY_FILE if path.is_dir() else path
    settings = read_settings(file, follows=follows)
    return study_of(settings, presets_of(settings, file), overs_of(settings, str(file)))


def study_of(settings: StudySettings, presets: Sequence[Preset], overs: Sequence[Over]) -> Study:
    """Return the study that settings ask for, of these presets and of what is varied of them.

    Raises
    ------
    SweepError
        If there is no preset, two have one name, one trains nothing, or the study's name is none.
    PresetError
        If a setting is wrong.
    """
    if not presets:
        raise SweepError('a study needs a preset: presets = ["log30"]')
    names = [preset.name for preset in presets]
    for name in names:
        if names.count(name) > 1:
            raise SweepError(f'two of the presets are called "{name}"; give them names that differ')
    changes = list(settings.set) + ([] if settings.seed is None else [f"run.seed={settings.seed}"])
    changed = tuple(override(preset, [*changes, "run.seeds=1"]) for preset in presets)
    for preset in changed:
        if not preset.learns:
            raise SweepError(f"{preset.name} trains nothing; l2o-tui tune searches the settings of its optimizers")
    for over in overs:
        if over.key in ("run.seed", "run.seeds", "name"):
            raise SweepError(f"{over.key} is not varied: --seeds N says how many seeds each setting gets")
    if settings.name is not None and not (_NAME.fullmatch(settings.name) and len(settings.name) <= _LONGEST_NAME):
        raise SweepError(
            f'a study cannot be called "{settings.name}": a name is of letters, digits, "_", "." and "-", begins with '
            f"a letter or a digit, and has {_LONGEST_NAME} characters at most"
        )
    if settings.draw != "grid" and settings.points is None:
        raise SweepError(f'draw = "{settings.draw}" needs points, how many')
    return Study(
        name=settings.name or name_of(changed, overs),
        presets=changed,
        overs=tuple(overs),
        draw=settings.draw,
        points=settings.points if settings.draw != "grid" else None,
        draw_seed=settings.draw_seed,
        seeds=settings.seeds,
        halving=Halving(settings.halving_from) if settings.halving else None,
    )


# Its state.


@dataclass(frozen=True)
class StoredJob:
    """A run of a study, as ``study.json`` has it.

    Attributes
    ----------
    folder
        Its name, below the study's.
    preset
        The preset's name.
    settings
        What is varied: "table.key" → value.
    seed
        Its seed.
    digest
        What :func:`digest_of` says of it.
    iterations
        The meta-iterations of its run; 0 where an older program wrote the file.
    """

    folder: str
    preset: str
    settings: dict[str, Any]
    seed: int
    digest: str
    iterations: int = 0


@dataclass(frozen=True)
class StudyState:
    """What ``study.json`` says.

    Attributes
    ----------
    format
        Of the file.
    name
        The study's.
    status
        "running", "finished", "interrupted" or "failed", as the process that works on it last wrote.
    created, updated
        When, in ISO format.
    pid, host
        The process that works on it, or did last.
    done, stopped, failed
        How many of the runs are done, were given up by halving, and failed.
    jobs
        All runs.
    given_up
        The folder's name of each run that halving has given up → the meta-iteration at which it has.
    failures
        The folder's name of each run that has failed → why.
    preparing
        How many runs wait for a kernel that is being compiled.
    """

    name: str
    status: Literal["running", "finished", "interrupted", "failed"]
    created: str
    updated: str
    pid: int
    host: str
    done: int
    stopped: int
    failed: int
    jobs: tuple[StoredJob, ...]
    given_up: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    preparing: int = 0
    format: int = 1


_STATES = TypeAdapter(StudyState)


def jobs_text(jobs: Iterable[StoredJob]) -> str:
    """Return the runs of a study as ``study.json`` has them: once, for they stay as they are while the rest changes."""
    return json.dumps([vars(job) for job in jobs])


def state_text(state: StudyState, jobs: str) -> str:
    """Return ``study.json``.

    Parameters
    ----------
    state
        What it says, of no jobs.
    jobs
        What :func:`jobs_text` made of them.
    """
    said = {name: value for name, value in vars(state).items() if name != "jobs"}
    return f'{json.dumps(said)[:-1]}, "jobs": {jobs}}}\n'


def read_state(folder: Path) -> StudyState | None:
    """Return what a study's folder says of itself; None where it says nothing that can be read.

    Nothing depends on it but what is shown: what is done is read from the runs' folders.
    """
    try:
        return _STATES.validate_json(read_bytes(folder / STATE_FILE, _MOST_BYTES))
    except (OSError, ValidationError):
        return None
