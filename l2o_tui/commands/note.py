"""``l2o-tui note``: what a run is called, and what is to be remembered of it."""

from collections.abc import Sequence
from pathlib import Path

from l2o_engine.runs.about import About
from l2o_engine.runs.catalogue import find_run
from l2o_engine.runs.describe import about_of, describe
from l2o_tui.text.output import write_out
from l2o_tui.text.streams import say


def note_run(
    reference: str,
    *,
    note: str | None,
    name: str | None,
    tags: Sequence[str],
    untags: Sequence[str],
    runs_dir: Path,
) -> None:
    """Change what a run is called, or print it where nothing is to be changed.

    Parameters
    ----------
    reference
        A folder, a name in the runs folder, or "last".
    note, name
        The new ones, which may be empty; None for those it has.
    tags, untags
        Tags to add and to take away.
    runs_dir
        Where runs are kept.

    Raises
    ------
    UserError
        If there is no such run, or it cannot be called so.
    """
    run = find_run(reference, runs_dir)
    if note is None and name is None and not tags and not untags:
        about = about_of(run.record())
        lines = [("name", about.name), ("tags", " ".join(about.tags)), ("note", about.note)]
        return write_out("\n".join(f"{heading}: {text}" for heading, text in lines if text))

    def change(about: About) -> About:
        told = About(about.name if name is None else name, about.note if note is None else note, about.tags)
        return told.with_tags(tags, untags)

    if not describe(run.folder, change):
        say(f"l2o-tui: {run.name}: the process that drives it has been asked, and has not answered yet")
    return None
