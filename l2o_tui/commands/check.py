"""``l2o-tui check``: whether presets are right, without running them."""

from collections.abc import Sequence

from l2o_engine.presets.files import load
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.shipped import find
from l2o_engine.support.wording import shown
from l2o_tui.text.output import write_out


def check_presets(files: Sequence[str]) -> None:
    """Print a line for each that is right.

    Raises
    ------
    PresetError
        What is wrong with the others, all of it.
    """
    wrong: list[str] = []
    for file in files:
        try:
            preset = load(find(file))
        except PresetError as error:
            wrong += error.lines
        else:
            write_out(f"{shown(file)}: {preset.name} is a valid preset ({preset.kind})")
    if wrong:
        raise PresetError(*wrong)
