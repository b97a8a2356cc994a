"""``l2o-tui new-task``: a problem of one's own to begin with, that works, and what to do next."""

from pathlib import Path

from l2o_engine.presets.examples import write_example
from l2o_tui.text.commands import proposed
from l2o_tui.text.output import write_out
from l2o_tui.text.streams import say


def write_task(file: Path, example: str, *, force: bool) -> None:
    """Write an example under a new name; print its files, and on stderr the next commands.

    Raises
    ------
    UserError
        If it cannot be written there.
    """
    preset = write_example(file, example, force=force)
    write_out(f"{file}\n{preset}")
    folder = file.parent
    say(f"The problem is in {file}, and how an optimizer is trained for it in {preset}. Edit them; then")
    for command, why in (
        (("check", preset), "is it right?"),
        (("run", preset), "train an optimizer, and watch"),
        (("tune", preset), "the best settings of its rivals"),
        (("evaluate", "last"), "both, on tasks that nobody trained on"),
    ):
        say(f"  {proposed(*command, '--allow-code', folder)}   # {why}")
    say("--allow-code lets the Python code of that folder run; nothing of it runs without.")
