"""Which part of the story a preset is of, and where it stands there: how lists and reports are grouped and ordered."""

from collections.abc import Iterable
from itertools import groupby

from l2o_engine.presets.schema import Preset

BEYOND = "beyond"
EPISODE3 = "episode3"
DEEPMIND = "deepmind"
EPISODES = ("episode1", "episode2", EPISODE3)
GROUPS = (*EPISODES, DEEPMIND, BEYOND)
"""The parts, in the order in which they are told: the notebook's two episodes, the third, which is ours, DeepMind's
experiments and those that came of them, and others."""


_LAST = 1_000_000  # behind every place


def episode_of(preset: Preset) -> int | str | None:
    """Return the episode that a preset is of: its own word, or else [notebook]'s; None for one of none."""
    return preset.episode or (preset.notebook.episode if preset.notebook else None)


def group_of(preset: Preset) -> str:
    """Return the part of the story that a preset is of, one of :data:`GROUPS`."""
    episode = episode_of(preset)
    if episode is None:
        return BEYOND
    return DEEPMIND if episode == DEEPMIND else f"episode{episode}"


def in_order(presets: Iterable[Preset]) -> list[Preset]:
    """Return presets in the order in which they are told.

    Part by part; in each first by their place, then the notebook's from its worst result to its best and the rest by
    name, and last what trains nothing.
    """
    return sorted(presets, key=_place)


def by_part(presets: Iterable[Preset]) -> list[tuple[str, list[Preset]]]:
    """Return part → its presets, both in the order in which they are told; parts without any are left out."""
    return [(part, list(found)) for part, found in groupby(in_order(presets), key=group_of)]


def _place(preset: Preset) -> tuple[int, int, bool, float, str]:
    final = preset.notebook.final if preset.notebook else None
    return (
        GROUPS.index(group_of(preset)),
        _LAST if preset.place is None else preset.place,
        not preset.learns,
        -(final or 0.0),
        preset.name,
    )
