"""A whole run in one call: what ``l2o-tui run --no-ui`` does, for a script or a notebook."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from l2o_engine.live.session import Session
from l2o_engine.live.sizes import admit
from l2o_engine.optimizers.learned.exported import Exported
from l2o_engine.presets.files import load_preset, override, setting_of
from l2o_engine.presets.schema import BackendName, Preset
from l2o_engine.presets.shipped import find
from l2o_engine.records.events import Event
from l2o_engine.runs.catalogue import new_folder
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.starting import find_start, start_beside, started


def train(
    preset: str | Path | Preset,
    *,
    seed: int | None = None,
    seeds: int | None = None,
    iterations: int | None = None,
    backend: BackendName | None = None,
    device: str | None = None,
    set: Mapping[str, Any] | None = None,  # noqa: A002 (the option's name)
    runs_dir: str | Path = "runs",
    run_dir: str | Path | None = None,
    start_from: str | Path | Run | Exported | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Run:
    """Train a preset to its end, and return the run.

    Parameters
    ----------
    preset
        The name of a shipped preset, a TOML file, or a preset that was loaded.
    seed, seeds
        Of the first replicate, and how many there are; the preset's, if not given.
    iterations
        Meta-iterations in all; the preset's, if not given.
    backend
        "auto", "fused", "coordinatewise" or "torch"; the preset's, if not given.
    device
        "cpu", or where "torch" is to compute: "cuda", "cuda:1", "mps", "auto"; the preset's, if not given.
    set
        What else to change of the preset, "table.key" → value.
    runs_dir
        Where the run gets a folder of its own.
    run_dir
        Its exact folder instead; never one that is in use.
    start_from
        What it begins with, in place of drawn weights: a run (its folder, its name in the runs folder, or
        :class:`Run`), whose best network is meant; an optimizer file; or an exported optimizer. Of it come the weights
        and the adaptive numbers, and neither the count nor what the meta-optimizer remembers; all replicates begin with
        the same.
    on_event
        Is given what happens (see :mod:`l2o_engine.records.events`), between two chunks of the training.

    Returns
    -------
    Run
        Its ``status()`` is "finished", or "diverged" if every replicate went beyond its policy.

    Raises
    ------
    UserError
        If the preset, a setting or the folder cannot be used; nothing was started then.
    SessionError
        If something failed on the way; the message says where the last checkpoint is.
    """
    given = {"seed": seed, "seeds": seeds, "iterations": iterations, "backend": backend, "device": device}
    changes = {**(set or {}), **{f"run.{name}": value for name, value in given.items() if value is not None}}
    asked = (
        override(preset, [setting_of(name, value) for name, value in changes.items()])
        if isinstance(preset, Preset)
        else load_preset(preset, set=changes)
    )
    start = _start_of(start_from, Path(runs_dir))
    if start is not None:
        asked = started(asked, start)
    elif asked.start is not None and not isinstance(preset, Preset):
        start = start_beside(asked, find(str(preset)).parent)
    admit(asked)  # what cannot be had is an error before anything is made
    folder = Path(run_dir) if run_dir is not None else new_folder(Path(runs_dir), asked)
    session = Session(DrivenRun.create(asked, folder, start))
    for event in session.events():
        if on_event is not None:
            on_event(event)
    return Run(folder)


def _start_of(start_from: str | Path | Run | Exported | None, runs_dir: Path) -> Exported | None:
    if isinstance(start_from, Run):
        return start_from.exported()
    return find_start(str(start_from), runs_dir) if isinstance(start_from, str | Path) else start_from
