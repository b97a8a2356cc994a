"""``l2o-tui presets``: the shipped presets, as a table for people or JSON for scripts."""

from l2o_engine.presets.files import load
from l2o_engine.presets.shipped import find, shipped_names
from l2o_tui.text.numbers import count
from l2o_tui.text.output import Page, write_json
from l2o_tui.text.tables import plain_table


def print_presets(*, as_json_document: bool) -> None:
    """Print the shipped presets, a line each."""
    shipped = [(name, load(find(name))) for name in shipped_names()]
    if as_json_document:
        found = [
            {"name": name, "title": preset.title, "iterations": preset.run.iterations, "path": str(find(name))}
            for name, preset in shipped
        ]
        return write_json(found)
    table = plain_table("preset", "iterations", "what it is")
    for name, preset in shipped:
        table.add_row(name, count(preset.run.iterations), preset.title)
    page = Page()
    page.console.print(table)
    return page.write()
