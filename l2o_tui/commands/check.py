"""``l2o-tui check``: whether presets are right, without running them."""

from collections.abc import Sequence

from l2o_engine.live.sizes import admit
from l2o_engine.presets.files import load
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find
from l2o_engine.support.errors import UserError
from l2o_engine.support.user_code import NotAllowedError
from l2o_engine.support.wording import shown
from l2o_tui import exit_codes
from l2o_tui.commands.ended import EndedError, ended_by_signals
from l2o_tui.text.output import write_out


def check_presets(files: Sequence[str]) -> int:
    """Print a line for each that is right; return the exit code: done, or that of the signal that ended it.

    A problem that is code is made and tried where its code is allowed, and else nothing of it runs.

    Raises
    ------
    PresetError
        What is wrong with the others, all of it.
    """
    wrong: list[str] = []
    for file in files:
        try:
            with ended_by_signals():
                preset = load(find(file))
                tried = _tried(preset) if preset.problem.is_code else ""
        except UserError as error:
            wrong += error.lines
        except EndedError as ended:
            return ended.tell()
        else:
            write_out(f"{shown(file)}: {preset.name} is a valid preset ({preset.kind}){tried}")
    if wrong:
        raise PresetError(*wrong)
    return exit_codes.DONE


def _tried(preset: Preset) -> str:
    """Return what is to be said of a problem that is code: what it is, once it was made, or that it was not."""
    try:
        admit(preset)
    except NotAllowedError:
        return "; the code of its problem was not run: --allow-code DIR tries that too"
    family = preset.problem.family
    groups = f" in {len(family.groups)} tensors" if family.groups else ""
    one_by_one = getattr(family, "why_one_by_one", "")
    slow = f"; several tasks are computed one after the other, for torch.func.vmap cannot: {one_by_one}"
    return f"; its problem has {family.size:,} coordinates{groups}{slow if one_by_one else ''}"
