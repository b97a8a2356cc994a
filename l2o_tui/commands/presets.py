"""``l2o-tui presets``: the shipped presets, as a table for people or JSON for scripts."""

from l2o_engine.presets.files import load
from l2o_engine.presets.shipped import find, shipped_names
from l2o_engine.presets.story import by_part, episode_of
from l2o_tui.text.numbers import count
from l2o_tui.text.output import Page, write_json
from l2o_tui.text.tables import plain_table


def print_presets(*, as_json_document: bool) -> None:
    """Print the shipped presets, a line each, those of an episode together."""
    shipped = by_part(load(find(name)) for name in shipped_names())
    if as_json_document:
        found = [
            {
                "name": preset.name,
                "title": preset.title,
                "iterations": preset.run.iterations,
                "path": str(find(preset.name)),
                "episode": episode_of(preset),
            }
            for _, presets in shipped
            for preset in presets
        ]
        return write_json(found)
    table = plain_table("preset", "iterations", "what it is")
    for place, (_, presets) in enumerate(shipped):
        if place:
            table.add_row()
        for preset in presets:
            table.add_row(preset.name, count(preset.run.iterations), preset.title)
    page = Page()
    page.console.print(table)
    return page.write()
