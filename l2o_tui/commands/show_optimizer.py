"""``l2o-tui show FILE``: what an optimizer file holds, where it comes from and how it is used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from l2o_engine.optimizers.learned.exported import Exported
from l2o_engine.optimizers.learned.exported_file import FORMAT
from l2o_engine.presets.shipped import shipped_names
from l2o_engine.support.settings import table_of
from l2o_tui.commands.show import in_a_line
from l2o_tui.text.commands import proposed
from l2o_tui.text.numbers import count
from l2o_tui.text.output import Page, write_json
from l2o_tui.text.tables import plain_table


def print_optimizer(path: Path, *, as_json_document: bool) -> None:
    """Print an optimizer file: a table for people, or JSON for scripts.

    Raises
    ------
    OptimizerFileError
        If it is none, or damaged.
    """
    exported = Exported.load(path)
    if as_json_document:
        return write_json(document(exported, path))
    origin, tables = exported.origin, exported.tables
    title = tables.get("title")
    page, state = Page(), plain_table("", "")
    state.add_row("optimizer", f"{path}, {FORMAT}")
    state.add_row("network", _settings(table_of(exported.learned.network)))
    state.add_row("inputs", _settings(table_of(exported.learned.inputs)))
    for name, value in exported.numbers.items():
        state.add_row(name, f"{value:g}, where training has left it")
    state.add_row("weights", f"{count(exported.weights.size)}, {exported.weights.dtype}")
    state.add_row("digest", exported.digest)
    state.add_row("trained as", f"{origin.run}, seed {origin.seed}, up to meta-iteration {count(origin.iteration)}")
    if origin.preset:
        state.add_row("preset", f"{origin.preset}: {title}" if title else origin.preset)
    problem = tables.get("problem")
    if origin.problem:
        state.add_row("problem", _settings(problem) if isinstance(problem, Mapping) else origin.problem)
    state.add_row("trained over", f"{count(origin.steps)} steps at most: beyond, nobody knows what it does")
    if origin.seen is None:
        state.add_row("it has met", "not known")
    else:
        state.add_row("it has met", f"losses from {_range(origin.seen.loss)}, 9 of 10")
        state.add_row("", f"gradients from {_range(origin.seen.gradient_rms)}, root mean squares of a tensor")
    if origin.versions:
        state.add_row("versions", ", ".join(f"{name} {number}" for name, number in origin.versions.items()))
    # A path as Python writes it: quotation marks and backslashes are escaped.
    state.add_row("in Python", f"l2o_engine.torch_optimizer({str(path)!r}, model.parameters())")
    state.add_row("here", proposed("evaluate", path) if tables else proposed("evaluate", path, "--on", "PRESET"))
    known = origin.preset if origin.preset in shipped_names() else "PRESET"  # else it is anybody's word
    state.add_row("", proposed("run", known, "--from", path))
    page.console.print(state)
    return page.write()


def document(exported: Exported, path: Path) -> dict[str, Any]:
    """Return what ``--json`` says of an optimizer file."""
    origin = exported.origin
    seen = origin.seen and {name: list(values) for name, values in vars(origin.seen).items()}
    return {
        "format": FORMAT,
        "file": str(path),
        "digest": exported.digest,
        "network": table_of(exported.learned.network),
        "inputs": table_of(exported.learned.inputs),
        "numbers": dict(exported.numbers),
        "weights": exported.weights.size,
        "dtype": str(exported.weights.dtype),
        "origin": vars(origin) | {"seen": seen, "versions": dict(origin.versions)},
        "preset": dict(exported.tables),
    }


def _settings(table: Mapping[str, Any]) -> str:
    """Return a table in a line, its kind first."""
    rest = {key: value for key, value in table.items() if key != "kind"}
    return ", ".join(filter(None, [str(table.get("kind", "")), in_a_line(rest)]))


def _range(ends: tuple[float, float]) -> str:
    low, high = ends
    return f"{low:.2g} to {high:.2g}"
