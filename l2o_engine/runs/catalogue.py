"""The runs of a folder: making a place for a new one, listing and finding them, removing one."""

import shutil
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path

from l2o_engine.presets.schema import Preset
from l2o_engine.runs.folder import NAMES, TEMPORARY, Run, is_beginning
from l2o_engine.runs.lock import seems_driven
from l2o_engine.runs.record import LaterFormatError, RunError
from l2o_engine.support.files import names_in
from l2o_engine.support.wording import some_of

_OF_A_RUN = {"preset.toml", "metrics.csv", "checkpoints"}  # by which one without run.json is known


@dataclass(frozen=True)
class Unreadable:
    """A folder that holds a run, or the beginning of one, which cannot be read.

    ``reason`` says why, ``remedy`` what may be done; it is empty where nothing can.
    """

    folder: Path
    reason: str
    remedy: str = ""

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name


@dataclass(frozen=True)
class Listing:
    """The runs of a folder: those that can be read, the oldest first, and the others, by name."""

    runs: list[Run]
    unreadable: list[Unreadable]


def new_folder(runs_dir: Path, preset: Preset) -> Path:
    """Make a folder for a new run, named by preset, seed and time; two runs that start at once get two.

    Raises
    ------
    RunError
        If it cannot be made.
    """
    stem = f"{preset.name}-s{preset.run.seed}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        folder, count = runs_dir / stem, 1
        while True:
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                count += 1
                folder = runs_dir / f"{stem}-{count}"
    except OSError as error:
        raise RunError(f"cannot make a folder for the run in {runs_dir}: {error.strerror}") from error


def look_through(runs_dir: Path) -> Listing:
    """Return all runs of a folder; what is wrong with one keeps no other from being listed."""
    found, unreadable = [], []
    for folder in sorted(runs_dir.glob("*/")):
        try:
            run = Run(folder)
            found.append((run.record().created, run.name, run))
        except RunError as error:
            if seen_as_run(folder):
                unreadable.append(unreadable_of(folder, error))
    return Listing([run for _, _, run in sorted(found, key=lambda entry: entry[:2])], unreadable)


def list_runs(runs_dir: Path) -> list[Run]:
    """Return the readable runs of a folder, the oldest first."""
    return look_through(runs_dir).runs


def runs_of_preset(name: str, runs_dir: Path) -> list[Run]:
    """Return the readable runs of a folder that were started from the preset of this name, the oldest first."""
    return [run for run in list_runs(runs_dir) if run.record().preset == name]


def holds_run(folder: Path) -> bool:
    """Return whether a folder holds a run, though it be damaged; the mere beginning of one is none."""
    return folder.is_dir() and seen_as_run(folder) and not is_beginning(folder)


def seen_as_run(folder: Path) -> bool:
    """Return whether a folder holds a run by the names in it, or the beginning of one."""
    try:
        names = set(names_in(folder))
    except OSError:
        return False
    return "run.json" in names or names >= _OF_A_RUN or is_beginning(folder)


def unreadable_of(folder: Path, error: RunError) -> Unreadable:
    """Return a run that cannot be read, with what was wrong and what may be done."""
    if is_beginning(folder):
        return Unreadable(folder, "unfinished: who made it was killed", "`run` with this --run-dir takes it")
    if isinstance(error, LaterFormatError):
        return Unreadable(folder, str(error).removeprefix(f"{folder} "))
    is_there = (folder / "run.json").exists()
    reason = str(error).removeprefix(f"{folder / 'run.json'} ") if is_there else "there is no run.json"
    return Unreadable(folder, reason, "`resume` rebuilds run.json, if the rest is whole")


def find_folder(reference: str, runs_dir: Path) -> Path:
    """Return the folder of the run that a user means, which may be one that cannot be read; see :func:`find_run`.

    Raises
    ------
    RunError
        If there is none, or more than one.
    """
    if not reference:
        raise RunError('name a run: a folder, a name in the runs folder, or "last"')
    for folder in (Path(reference), runs_dir / reference):
        try:
            if folder.is_dir() and seen_as_run(folder):
                return folder
        except OSError:  # no name that the file system knows
            continue
    listing = look_through(runs_dir)
    if reference == "last" and listing.runs:
        return listing.runs[-1].folder
    there: list[Run | Unreadable] = [*listing.runs, *listing.unreadable]
    called: list[Run | Unreadable] = [run for run in listing.runs if run.record().given_name == reference]
    matches = called or [run for run in there if run.name.startswith(reference)]
    if len(matches) == 1:
        return matches[0].folder
    if matches:
        raise RunError(f'"{reference}" may be any of {", ".join(run.name for run in matches)}')
    close = get_close_matches(reference, [run.name for run in there], n=1, cutoff=0.4)
    hint = f'; did you mean "{close[0]}"?' if close else ""
    raise RunError(f'there is no run "{reference}" in {runs_dir}{hint}')


def find_run(reference: str, runs_dir: Path) -> Run:
    """Return the run that a user means: a path, a name in the runs folder or its beginning, a given name, or "last".

    Raises
    ------
    RunError
        If there is none, or more than one, or it cannot be read.
    """
    return Run(find_folder(reference, runs_dir))


def find_study(reference: str, runs_dir: Path) -> Path | None:
    """Return the folder of runs that a user means, by its path or its name in the runs folder; None if it is none."""
    for folder in (Path(reference), runs_dir / reference) if reference else ():
        try:
            if folder.is_dir() and not seen_as_run(folder) and _holds_runs(folder):
                return folder
        except OSError:  # no name that the file system knows
            continue
    return None


def _holds_runs(folder: Path) -> bool:
    return any((folder / name / "run.json").is_file() for name in names_in(folder))


def load_run(reference: str | Path, *, runs_dir: str | Path = "runs") -> Run:
    """Return a run that is there, for the library; see :func:`find_run`.

    Parameters
    ----------
    reference
        A run's folder, its name in the runs folder, the beginning of one, or "last".
    runs_dir
        The runs folder.

    Raises
    ------
    RunError
        If there is none, or more than one.
    """
    return find_run(str(reference), Path(runs_dir))


def delete(folder: Path) -> None:
    """Remove a run's folder with all that is in it; of one that is a link, the link.

    Of a run that cannot be read, for which a folder of something else might be taken, there must be nothing in it that
    runs do not have.

    Raises
    ------
    RunError
        If a process drives the run, or the folder cannot be removed.
    """
    try:
        if folder.is_symlink():
            folder.unlink()
            return
        try:
            is_driven = Run(folder).is_driven()
        except RunError:
            is_driven = seems_driven(folder)
            foreign = sorted(name for name in names_in(folder) if not (name in NAMES or TEMPORARY.fullmatch(name)))
            if foreign:
                what = f"{folder} cannot be read as a run, and holds what no run does: {some_of(foreign)}"
                raise RunError(f"{what}. If nothing of it is wanted, remove it by hand") from None
        if is_driven:
            raise RunError(f"{folder.name} is being driven; stop it before it is deleted")
        shutil.rmtree(folder)  # which follows no links
    except OSError as error:
        raise RunError(f"cannot remove {folder}: {error.strerror or error}") from error
