"""Names where there is little room: measured in the terminal's cells, cut in the middle, told apart by what differs.

What is measured is a name as it is shown (:func:`~l2o_engine.support.wording.shown`), for escapes take cells.
A cell is what a terminal gives a Latin letter; an East Asian character takes two, a combining mark none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from l2o_engine.presets.identity import experiment_settings
from l2o_engine.presets.labels import what_differs, without_common_beginning
from l2o_engine.presets.schema import Preset
from l2o_engine.support.wording import shown, shown_lines

ELLIPSIS = "…"
_MOST_DIFFERING = 40  # cells of settings; where there is more to say the experiment's name says it better


def cut(text: str, cells: int) -> str:
    """Return a text that fits into so many cells: itself, or its beginning and end with an ellipsis between them.

    What tells names apart is mostly at their end, which has the greater half.
    """
    text = shown(text)
    if cell_len(text) <= cells:
        return text
    if cells < 1:
        return ""
    head = _beginning(text, (cells - 1) // 2)
    return head + ELLIPSIS + _end(text, cells - 1 - cell_len(head))


def named(name: str, value: str, cells: int) -> str:
    """Return a name and the value behind it, in so many cells: the name is cut where both do not fit."""
    return f"{cut(name, cells - cell_len(value) - 1)} {value}".strip() if value else cut(name, cells)


def left(text: str, cells: int) -> str:
    """Return a text that fills so many cells, at the left of them."""
    text = shown(text)
    return text + " " * (cells - cell_len(text))


def right(text: str, cells: int) -> str:
    """Return a text that fills so many cells, at the right of them."""
    text = shown(text)
    return " " * (cells - cell_len(text)) + text


def wrapped(text: str, cells: int) -> list[str]:
    """Return a text in lines of so many cells, broken between words; a word that is longer is broken, too."""
    lines = [""]
    for word in shown_lines(text).split():
        rest = word
        joined = f"{lines[-1]} {rest}".lstrip()
        if cell_len(joined) <= cells:
            lines[-1] = joined
            continue
        while cell_len(rest) > cells:
            part = _beginning(rest, cells) or rest[0]
            lines.append(part)
            rest = rest[len(part) :]
        lines.append(rest)
    return [line for line in lines if line]


@dataclass(frozen=True)
class Shown:
    """A run in a chart, or one optimizer of it, as far as its name depends on it; ``run`` is the folder's name."""

    preset: Preset
    run: str
    optimizer: str = ""


def names_beside(shown: Shown, others: Sequence[Shown]) -> list[str]:
    """Return names for runs that are drawn beside the one shown: by what each differs from it, "lr 3e-4, 4 seeds".

    One of another experiment has that one's name, and those of one such experiment what differs between them. Where
    settings do not tell two runs apart, or there are too many of them, the runs' names do.
    """
    runs = [one.run for one in (shown, *others)]
    short = dict(zip(dict.fromkeys(runs), without_common_beginning(list(dict.fromkeys(runs))), strict=True))
    names = []
    for other in others:
        preset = other.preset
        if preset.name == shown.preset.name:
            name, (_, said) = "", what_differs([experiment_settings(one.preset) for one in (shown, other)])
        else:
            name, alike = preset.name, [one.preset for one in others if one.preset.name == preset.name]
            said = what_differs([experiment_settings(one) for one in alike])[alike.index(preset)]
        said = short[other.run] if cell_len(said) > _MOST_DIFFERING else said
        parts = [other.optimizer, f"{name} {said}".strip()]
        if preset.run.seeds > 1:
            parts.append(f"{preset.run.seeds} seeds")
        elif preset.seeds != shown.preset.seeds or not any(parts):
            parts.append(f"seed {preset.run.seed}")
        names.append(", ".join(filter(None, parts)))
    return [
        name if names.count(name) == 1 else f"{name}, {short[other.run]}"
        for name, other in zip(names, others, strict=True)
    ]


def _beginning(text: str, cells: int) -> str:
    """Return as much of a text's beginning as fits, with the marks that belong to its last character."""
    end = 0
    while end < len(text) and cell_len(text[: end + 1]) <= cells:
        end += 1
    return text[:end]


def _end(text: str, cells: int) -> str:
    """Return as much of a text's end as fits; it does not begin with a mark that belongs to what is left out."""
    start = len(text)
    while start > 0 and cell_len(text[start - 1 :]) <= cells:
        start -= 1
    while start < len(text) and cell_len(text[start]) == 0:
        start += 1
    return text[start:]
