"""Which experiments there are to reproduce."""

from collections.abc import Iterable, Sequence

from l2o_engine.presets import story
from l2o_engine.presets.files import load
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find, shipped_names
from l2o_engine.support.errors import UserError
from l2o_engine.support.wording import nearest

GROUPS = (*story.GROUPS, "all")
"""What can be reproduced: each part of the story, and all but DeepMind's, which take hours each."""


class ReproductionError(UserError):
    """What was asked for cannot be reproduced. The message is meant for the user."""


def experiments_of(group: str, only: Sequence[str] = ()) -> list[Preset]:
    """Return a group's shipped experiments in the order of the story: the notebook's from its worst result to its best.

    Parameters
    ----------
    group
        One of :data:`GROUPS`.
    only
        Names of experiments, to take only these, and what they begin with.

    Raises
    ------
    ReproductionError
        If there is no such group, or no such experiment in it.
    """
    if group not in GROUPS:
        hint = nearest(group, GROUPS) or "."
        raise ReproductionError(f'cannot reproduce "{group}"{hint} Choose one of {", ".join(GROUPS)}')
    shipped = [load(find(name)) for name in shipped_names()]
    found = {preset.name: preset for preset in shipped if preset.learns}
    names = [name for name, preset in found.items() if _is_in(group, preset)]
    for name in only:
        if name not in names:
            hint = nearest(name, names) or f": it has {', '.join(names)}"
            elsewhere = f"; it is in {story.group_of(found[name])}" if name in found else hint
            raise ReproductionError(f'there is no experiment "{name}" in {group}{elsewhere}')
    wanted = [name for name in names if not only or name in only]
    for name in wanted:  # which grows meanwhile
        before = begins_with(found[name])
        if before is not None and before not in wanted:
            wanted.append(before)
    return story.in_order(found[name] for name in wanted)


def begins_with(preset: Preset) -> str | None:
    """Return of which preset the run is that an experiment begins with; None where it begins with drawn weights."""
    return preset.start.preset if preset.start else None


def whose_data_is_there(experiments: Iterable[Preset]) -> tuple[list[Preset], dict[str, list[str]]]:
    """Return experiments of which all data can be read, and by message, why the others' cannot, their names."""
    there, lacking = list(experiments), dict[str, list[str]]()
    why: dict[str, str] = {}
    for preset in there:
        try:
            _ = preset.problem.sources
        except UserError as error:
            why[preset.name] = str(error)
    named = {preset.name: preset for preset in there}

    def reason(preset: Preset) -> str:
        """Return why the data of an experiment, or of what it begins with, cannot be read."""
        before = named.get(begins_with(preset) or "")
        return why.get(preset.name, "") or (reason(before) if before else "")

    for preset in there:
        if message := reason(preset):
            lacking.setdefault(message, []).append(preset.name)
    return [preset for preset in there if not reason(preset)], lacking


def _is_in(group: str, preset: Preset) -> bool:
    own = story.group_of(preset)
    return own == group or (group == "all" and own != story.DEEPMIND)
