"""A whole run in one call: what ``l2o-tui run --no-ui`` and ``resume`` do, for a script or a notebook."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from l2o_engine.live.observer import Audience, Observer, ProgressBar
from l2o_engine.live.resuming import resumable
from l2o_engine.live.session import Session
from l2o_engine.live.sizes import admit
from l2o_engine.live.threaded import drive
from l2o_engine.optimizers.learned.exported import Exported
from l2o_engine.presets.files import load_preset, override, setting_of
from l2o_engine.presets.schema import BackendName, Preset
from l2o_engine.presets.shipped import find
from l2o_engine.records.events import Event
from l2o_engine.runs import origin
from l2o_engine.runs.about import About
from l2o_engine.runs.catalogue import find_folder, new_folder
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.starting import checkpoint_meant, find_start, start_beside, started
from l2o_engine.support.user_code import permission


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
    name: str = "",
    note: str = "",
    tags: Sequence[str] = (),
    on_event: Callable[[Event], None] | None = None,
    watch: Observer | Sequence[Observer] = (),
    progress: bool = False,
    allow_code: str | Path | None = None,
) -> Run:
    """Train a preset to its end, and return the run.

    ctrl+c, be it in a notebook's cell, leaves the run "interrupted" behind a checkpoint, and raises KeyboardInterrupt,
    which has a note that says where the run is; :func:`resume` goes on with it. Any thread may call this.

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
    name, note, tags
        What people call the run, as ``l2o-tui note`` changes it: a name of up to 100 characters, what is to be
        remembered of it, and words to find it by.
    on_event
        Is given what happens (see :mod:`l2o_engine.records.events`), in the thread that has called. What it raises ends
        the training as ctrl+c does.
    watch
        Who watches: one :class:`~l2o_engine.live.observer.Observer` or several, for example
        ``l2o_tui.notebook.LivePlot()``. What an observer raises ends its watching, and not the training.
    progress
        Whether a bar tells how far it is: a widget in a notebook, else on stderr.
    allow_code
        A folder whose Python modules may be imported and run, by this process from now on: for a problem of
        ``kind = "python"``.

    Returns
    -------
    Run
        Its ``status()`` is "finished", "diverged" if every replicate went beyond its policy, or "interrupted" if
        another process has stopped it.

    Raises
    ------
    UserError
        If the preset, a setting or the folder cannot be used, or no run can be called so; nothing was started then.
    MissingLibraryError
        If a bar is wanted and tqdm is not installed, likewise.
    SessionError
        If something failed on the way; the message says where the last checkpoint is.
    """
    if allow_code is not None:
        permission.allow_code(allow_code)
    about = About(name, note, (tags,) if isinstance(tags, str) else tuple(tags))
    given = {"seed": seed, "seeds": seeds, "iterations": iterations, "backend": backend, "device": device}
    changes = {**(set or {}), **{f"run.{name}": value for name, value in given.items() if value is not None}}
    asked = (
        override(preset, [setting_of(name, value) for name, value in changes.items()])
        if isinstance(preset, Preset)
        else load_preset(preset, set=changes)
    )
    start = _start_of(start_from, asked, Path(runs_dir))
    if start is not None:
        asked, start = started(asked, start)
    elif asked.start is not None and not isinstance(preset, Preset):
        start = start_beside(asked, find(str(preset)).parent)
    admit(asked)  # what cannot be had is an error before anything is made
    audience = _audience(asked, watch, progress=progress)
    folder = Path(run_dir) if run_dir is not None else new_folder(Path(runs_dir), asked)
    made_of = origin.of_preset(preset) if isinstance(preset, Preset) else origin.of_file(find(str(preset)))
    return _driven(DrivenRun.create(asked, folder, start, about=about, origin=made_of), audience, on_event)


def resume(
    run: str | Path | Run,
    *,
    iterations: int | None = None,
    accept_changes: bool = False,
    backend: BackendName | None = None,
    device: str | None = None,
    runs_dir: str | Path = "runs",
    on_event: Callable[[Event], None] | None = None,
    watch: Observer | Sequence[Observer] = (),
    progress: bool = False,
    allow_code: str | Path | None = None,
) -> Run:
    """Go on with a run from its newest good checkpoint, to its end: the same, bit for bit, as if it had not stopped.

    A run that is finished is returned as it is, unless a new total is given.

    Parameters
    ----------
    run
        The run; or its folder, its name in the runs folder, the beginning of one, or "last".
    iterations
        A new total of meta-iterations.
    accept_changes
        Whether to go on though the run's preset.toml was edited since, as another experiment; it is recorded.
    backend, device
        What computes, and where; the preset's, if not given.
    runs_dir
        The runs folder.
    on_event, watch, progress, allow_code
        As those of :func:`train`.

    Returns
    -------
    Run
        As of :func:`train`.

    Raises
    ------
    RunError
        If there is no such run, another process drives it, its preset.toml was edited, it has diverged, or is beyond
        the new total. It is a UserError; nothing is changed then.
    UserError, MissingLibraryError, SessionError
        As those of :func:`train`.
    """
    if allow_code is not None:
        permission.allow_code(allow_code)
    folder = run.folder if isinstance(run, Run) else find_folder(str(run), Path(runs_dir))
    found = resumable(folder, iterations=iterations, backend=backend, device=device)
    if found.is_done:
        return found.run
    audience = _audience(found.run.preset(), watch, progress=progress)
    return _driven(found.take(accept_changes=accept_changes), audience, on_event, backend=backend, device=device)


def _audience(preset: Preset, watch: Observer | Sequence[Observer], *, progress: bool) -> Audience:
    watching = list(watch) if isinstance(watch, Sequence) else [watch]
    return Audience([*watching, *([ProgressBar(preset)] if progress else [])])


def _driven(
    run: DrivenRun,
    audience: Audience,
    on_event: Callable[[Event], None] | None,
    *,
    backend: str | None = None,
    device: str | None = None,
) -> Run:
    session = Session(run, backend=backend, device=device, watched=audience.wants_curves)

    def tell(event: Event) -> None:
        audience.tell(event)
        if on_event is not None:
            on_event(event)

    try:
        try:
            audience.begin(run.current)
        except BaseException:  # ctrl+c: nothing drives it yet
            run.close()
            raise
        drive(session, tell)
    finally:
        audience.end()
    return Run(run.folder)


def _start_of(start_from: str | Path | Run | Exported | None, preset: Preset, runs_dir: Path) -> Exported | None:
    meant = checkpoint_meant(preset)
    if isinstance(start_from, Run):
        return start_from.exported(checkpoint=meant)
    if isinstance(start_from, str | Path):
        return find_start(str(start_from), runs_dir, meant=meant)
    return start_from
