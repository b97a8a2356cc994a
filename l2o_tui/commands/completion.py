"""What the shell's completion offers: presets, runs, studies, tags, groups, settings and what they may be."""

from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from l2o_engine.presets.schema import PIECES, Preset
from l2o_engine.presets.shipped import shipped_names
from l2o_engine.presets.story import GROUPS
from l2o_engine.runs.catalogue import list_runs
from l2o_engine.runs.listing import Surveyor
from l2o_engine.support.settings import fields_of

_REPEATED = "baseline"  # a list of tables, which --set cannot reach into


def presets(incomplete: str) -> list[str]:
    """Return the shipped presets and the files that begin so."""
    return [*_beginning(incomplete, shipped_names()), *_files(incomplete, ".toml")]


def runs(incomplete: str, runs_dir: Path) -> list[str]:
    """Return the runs of a folder that begin so, the newest first, and "last"."""
    names = [run.name for run in reversed(list_runs(runs_dir)) if run.name.isprintable()]
    return _beginning(incomplete, ["last", *names] if names else [])


def studies(incomplete: str, runs_dir: Path) -> list[str]:
    """Return the studies of a folder that begin so, the newest first."""
    from l2o_engine.studies.sweep import STUDY_FILE

    names = [study.name for study in Surveyor(runs_dir).look().studies if (study.folder / STUDY_FILE).is_file()]
    return _beginning(incomplete, [name for name in names if name.isprintable()])


def tags(incomplete: str, runs_dir: Path) -> list[str]:
    """Return the tags that runs of a folder have, and that begin so."""
    found = {tag for run in Surveyor(runs_dir).look().all_runs for tag in run.tags}
    return _beginning(incomplete, sorted(found))


def groups(incomplete: str) -> list[str]:
    """Return what can be reproduced and begins so."""
    return _beginning(incomplete, [*GROUPS, "all"])


def settings(incomplete: str) -> list[str]:
    """Return ``table.key=`` of every setting that begins so; behind the sign, what it may be where that can be listed.

    A table of several kinds has the keys of them all: which kind it will be is not known yet.
    """
    name, sign, begun = incomplete.partition("=")
    known = dict(_settings())
    if not sign:
        return [f"{one}=" for one in _beginning(incomplete, list(known))]
    return [f"{name}={value}" for value in _beginning(begun, known.get(name, []))]


def varied(incomplete: str) -> list[str]:
    """Return as :func:`settings` does, of a list of values the one that is begun: those before it are not offered."""
    given, comma, _ = incomplete.rpartition(",")
    name, sign, _ = incomplete.partition("=")
    if not comma or not sign:
        return settings(incomplete)
    before = given.partition("=")[2].split(",")
    left = [one for one in settings(f"{name}=") if one.partition("=")[2] not in before]
    return _beginning(incomplete, [f"{given},{one.partition('=')[2]}" for one in left])


def conditions(incomplete: str) -> list[str]:
    """Return as :func:`settings` does, with the preset's name beside them."""
    names = [f"name={name}" for name in shipped_names()] if incomplete.startswith("name=") else ["name="]
    return [*_beginning(incomplete, names), *settings(incomplete)]


def _settings() -> Iterator[tuple[str, list[str]]]:
    """Yield each setting and what it may be; nothing where that is no list."""
    for table, field in Preset.model_fields.items():
        if table == _REPEATED:
            continue
        kinds = PIECES[table].kinds if table in PIECES else {}
        if kinds:
            yield f"{table}.kind", list(kinds)
        there: list[Any] = [field.annotation, *get_args(field.annotation)]  # a table that may be left out
        for cls in kinds.values() or [one for one in there if fields_of(one)]:
            for key, of_key in fields_of(cls).items():
                if key != "kind":
                    yield f"{table}.{key}", _options(of_key.annotation)


def _options(annotation: Any) -> list[str]:
    """Return what a setting may be, where that can be listed."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is bool:
        return ["true", "false"]
    if origin is Literal:
        return [str(option) for option in args]
    if origin is Annotated:
        return _options(args[0])
    return [one for arg in args for one in _options(arg)] if origin in (Union, UnionType) else []


def _files(incomplete: str, suffix: str) -> list[str]:
    """Return the files of this kind, and the folders, that begin so."""
    folder = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
    try:
        found = sorted(folder.iterdir())
    except OSError:
        return []
    names = [f"{path}/" if path.is_dir() else str(path) for path in found if path.is_dir() or path.suffix == suffix]
    return [name for name in _beginning(incomplete, names) if name.isprintable()]


def _beginning(incomplete: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
