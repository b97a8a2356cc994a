"""The runs of a folder: making a place for a new one, listing and finding them, removing one."""

import shutil
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path

from l2o_engine.presets.schema import Preset
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import RunError


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


def list_runs(runs_dir: Path) -> list[Run]:
    """Return the readable runs of a folder, the oldest first."""
    found = []
    for record in runs_dir.glob("*/run.json"):
        try:
            run = Run(record.parent)
            found.append((run.record().created, run.name, run))
        except RunError:
            continue
    return [run for _, _, run in sorted(found, key=lambda entry: entry[:2])]


def find_run(reference: str, runs_dir: Path) -> Run:
    """Return the run that a user means: a path, a name in the runs folder, the beginning of one, or "last".

    Raises
    ------
    RunError
        If there is none, or more than one.
    """
    if not reference:
        raise RunError('name a run: a folder, a name in the runs folder, or "last"')
    for folder in (Path(reference), runs_dir / reference):
        try:
            if (folder / "run.json").is_file():
                return Run(folder)
        except OSError:  # no name that the file system knows
            continue
    runs = list_runs(runs_dir)
    if reference == "last" and runs:
        return runs[-1]
    matches = [run for run in runs if run.name.startswith(reference)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise RunError(f'"{reference}" may be any of {", ".join(run.name for run in matches)}')
    close = get_close_matches(reference, [run.name for run in runs], n=1, cutoff=0.4)
    hint = f'; did you mean "{close[0]}"?' if close else ""
    raise RunError(f'there is no run "{reference}" in {runs_dir}{hint}')


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


def delete(run: Run) -> None:
    """Remove a run's folder with all that is in it.

    Raises
    ------
    RunError
        If a process drives the run, or the folder cannot be removed.
    """
    if run.is_driven():
        raise RunError(f"{run.name} is being driven; stop it before it is deleted")
    try:
        shutil.rmtree(run.folder)
    except OSError as error:
        raise RunError(f"cannot remove {run.folder}: {error.strerror}") from error
