"""The lines of a list of presets: those that are shipped and those of the working folder, and what became of them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from l2o_engine.presets.files import load
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find, shipped_names
from l2o_engine.presets.story import in_order
from l2o_engine.runs.listing import Listed
from l2o_engine.support.wording import shown
from l2o_tui.panes.status import MARKS
from l2o_tui.state.workers import message_of
from l2o_tui.text.names import cut
from l2o_tui.text.numbers import compact, fixed, relative

_OTHER_TOOLS = ("pyproject.toml", "Cargo.toml")  # TOML files of a project, not presets
_LONGEST_NAME = 44  # cells of a preset's name, or of a broken one's file


@dataclass(frozen=True)
class PresetEntry:
    """A line of the presets; ``problem`` says what is wrong with one that cannot be started, and has no ``preset``."""

    path: Path
    name: str
    iterations: int
    title: str
    problem: str = ""
    preset: Preset | None = None
    runs: tuple[tuple[str, int], ...] = ()  # how many runs of it have which status
    best: float | None = None  # the lowest log10 that one of them has reached

    @property
    def identity(self) -> Path:
        """The file."""
        return self.path

    @property
    def cells(self) -> list[str]:
        """What the line shows."""
        return [
            cut(self.name, _LONGEST_NAME),
            compact(self.iterations) if self.iterations else "",
            " ".join(f"{MARKS.get(status, ('?', ''))[0]}{compact(number)}" for status, number in self.runs),
            fixed(self.best),
            self.problem or self.title,
        ]

    @property
    def words(self) -> str:
        """What the filter looks into."""
        return " ".join(self.cells).lower()


def read_presets() -> list[PresetEntry]:
    """Return the shipped presets, then those of the working folder and its folder ``presets``."""
    shipped = _in_order(_read_preset(find(name)) for name in shipped_names())
    here = sorted({_resolved(path) for folder in (Path(), Path("presets")) for path in folder.glob("*.toml")})
    known = {_resolved(entry.path) for entry in shipped}
    local = [path for path in here if path not in known and path.name not in _OTHER_TOOLS]
    return [*shipped, *map(_read_preset, local)]


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a link to itself
        return path.absolute()


def _in_order(entries: Iterable[PresetEntry]) -> list[PresetEntry]:
    """Return entries in the order of the story, those that cannot be read behind."""
    known = {entry.path: entry for entry in entries}
    readable = {entry.preset.name: entry for entry in known.values() if entry.preset is not None}
    told = [readable[preset.name] for preset in in_order(e.preset for e in readable.values() if e.preset is not None)]
    return [*told, *(entry for entry in known.values() if entry not in told)]


def _read_preset(path: Path) -> PresetEntry:
    try:
        preset = load(path)
    except Exception as error:  # noqa: BLE001 (the home screen shows what is wrong with a file, whatever that is)
        problem = message_of(error).splitlines()[0].removeprefix(shown(f"{path}: "))
        return PresetEntry(path, relative(str(path)), 0, "", problem)
    return PresetEntry(path, preset.name, preset.run.iterations, preset.title, preset=preset)


def with_state(presets: Sequence[PresetEntry], runs: Sequence[Listed]) -> list[PresetEntry]:
    """Return presets with how many of these runs each has in which state, and the best of them."""
    states: dict[str, Counter[str]] = {}
    best: dict[str, float] = {}
    for run in runs:
        states.setdefault(run.preset, Counter())[run.status] += 1
        if run.average_log_result is not None:
            best[run.preset] = min(run.average_log_result, best.get(run.preset, inf))
    return [
        replace(one, runs=tuple(states.get(one.name, Counter()).most_common()), best=best.get(one.name))
        for one in presets
    ]
