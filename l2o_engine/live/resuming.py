"""Going on with a run: what can be gone on with, and to which total."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from l2o_engine.live.sizes import admit
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.rebuild import mend_record
from l2o_engine.runs.record import RunError


@dataclass(frozen=True)
class Resumable:
    """A run that can be gone on with.

    Attributes
    ----------
    run
        The run.
    iterations
        The new total; None for the one that it has.
    notices
        What is to be told of it, once it is taken.
    """

    run: Run
    iterations: int | None
    notices: tuple[str, ...]

    @property
    def is_done(self) -> bool:
        """Whether it is finished, and nothing more is asked of it."""
        record = self.run.record()
        return record.status == "finished" and self.iterations in (None, record.iteration)

    def take(self, *, accept_changes: bool, tell: Callable[[str], None] | None = None) -> DrivenRun:
        """Take it: see :meth:`~l2o_engine.runs.driven.DrivenRun.take`."""
        driven = DrivenRun.take(self.run.folder, accept_changes=accept_changes, notices=self.notices, tell=tell)
        if self.iterations is not None:
            driven.set_iterations(self.iterations)
        return driven


def resumable(
    folder: Path, *, iterations: int | None = None, backend: str | None = None, device: str | None = None
) -> Resumable:
    """Make sure that a run can be gone on with, as far as that can be told before it is taken.

    Parameters
    ----------
    folder
        The run's folder; a run.json that is missing or damaged is made anew.
    iterations
        A new total, with which a finished run goes on; None for the one that it has.
    backend, device
        What is asked for; None for what the preset says.

    Raises
    ------
    RunError
        If it cannot be read, has ended for good, or is beyond the new total.
    UserError
        If it cannot be had here: see :func:`~l2o_engine.live.sizes.admit`.
    """
    notices = mend_record(folder)
    run = Run(folder)
    record = run.record()
    if iterations == record.iterations:
        iterations = None  # it asks for what was asked for before, as a job does that is repeated
    least = record.iteration + (record.status != "finished")
    if iterations is not None and iterations < least:
        raise RunError(f"{run.name} is already at {record.iteration:,}: --iterations must be above that")
    if iterations is not None and record.status == "diverged" and record.seeds == 1:
        raise RunError(f"{run.name} has diverged at {record.iteration:,}; there is nothing to continue")
    if iterations is not None and record.has_ended_early:
        raise RunError(f"{run.name} has ended at {record.iteration:,}: {record.message}")
    found = Resumable(run, iterations, tuple(notices))
    if not found.is_done:
        admit(run.preset(), backend, device)
    return found
