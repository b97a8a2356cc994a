"""``l2o-tui export``: a run's metrics in another tool's format, or its trained optimizer as a file."""

import os
from io import BufferedWriter
from pathlib import Path
from typing import Literal

from l2o_engine.runs.export import (
    DecimalMark,
    ExportError,
    export_file,
    export_optimizer,
    export_tensorboard,
    write_metrics,
)
from l2o_engine.runs.exported import choice_of
from l2o_engine.runs.folder import Run
from l2o_engine.support.errors import Failure
from l2o_tui.text.numbers import count
from l2o_tui.text.streams import TerminalBytes, say

STDOUT = Path("-")


def export_run(
    run: Run,
    file_format: Literal["csv", "json", "parquet", "tensorboard"],
    output: Path,
    *,
    every: int,
    decimal: DecimalMark,
    force: bool,
) -> None:
    """Write a run's metrics to a file, a folder or stdout; on stderr, what is known to be damaged of the run.

    Parameters
    ----------
    run
        The run.
    file_format
        The format.
    output
        A file, "-" for stdout, or for tensorboard a folder.
    every
        Only meta-iterations that this divides, and the last.
    decimal
        What stands before the decimals in CSV.
    force
        Whether an output that is there is replaced.

    Raises
    ------
    ExportError
        If the output does not suit the format, is there already, or cannot be written.
    Failure
        If stdout cannot be written to.
    """
    if file_format == "tensorboard":
        if output == STDOUT:
            raise ExportError("--format tensorboard writes a folder; name it: --output DIR")
        export_tensorboard(run, output, every=every, force=force)
    elif output != STDOUT:
        export_file(run, file_format, output, every=every, decimal=decimal, force=force)
    else:
        if file_format == "parquet" and os.isatty(1):
            raise ExportError("--format parquet writes bytes, which no terminal shows; name a file: --output FILE")
        try:
            terminal = BufferedWriter(TerminalBytes(1)) if os.isatty(1) else None
            with terminal or os.fdopen(1, "wb", closefd=False) as stdout:
                write_metrics(run, file_format, stdout, every=every, decimal=decimal)
        except BrokenPipeError:
            return  # who reads, such as head, has seen enough
        except OSError as error:
            raise Failure(f"stdout: {error.strerror}") from error
    for note in run.damage():
        say(f"l2o-tui: {run.name}: {note}")


def export_run_optimizer(run: Run, output: Path, *, seed: int | None, checkpoint: str, force: bool) -> None:
    """Write a run's trained optimizer into a file, and say on stderr which it is.

    Parameters
    ----------
    run
        The run.
    output
        The file.
    seed
        The replicate's; the first one's, if None.
    checkpoint
        "best", "newest" or the number of a meta-iteration.
    force
        Whether a file that is there is replaced.

    Raises
    ------
    ExportError
        If no file was named, it is there already or cannot be written.
    RunError
        If the run has no such optimizer.
    """
    if output == STDOUT:
        raise ExportError("--format optimizer writes one file; name it: --output FILE")
    exported, why_not = export_optimizer(run, output, seed=seed, checkpoint=choice_of(checkpoint), force=force)
    if why_not:
        say(f"l2o-tui: {output} was written without the losses that it meets: {why_not}")
    origin = exported.origin
    say(f"l2o-tui: {output}: seed {origin.seed} of {origin.run} at {count(origin.iteration)}, {exported.digest[:12]}")
