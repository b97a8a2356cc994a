"""The health pane: what the last look at the run measured, and what is wrong, with its evidence and a remedy."""

from math import inf
from time import monotonic

from rich.cells import cell_len
from textual.content import Content
from textual.widgets import Static

from l2o_tui.panes.pane import Pane
from l2o_tui.state import keys
from l2o_tui.state.feed import View
from l2o_tui.text.health import findings_of, vitals_of
from l2o_tui.text.names import left
from l2o_tui.text.numbers import count

_GAP = 3  # cells between two columns of the grid
_PERIOD = 1.0  # seconds between two looks shown while training: figures that change faster cannot be read


class HealthPane(Static, Pane):
    """What is wrong, then a grid of what was measured, in as many columns as there is room for."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__("the first look is at 500, or at the end", id=id)
        self._drawn = View(phase="loading")
        self._vitals: list[tuple[str, str]] = []
        self._lines: list[Content] = []
        self._findings = -1
        self._shown_at = -inf
        self._is_due = False  # a timer will show what waits
        self.border_title = "health"

    def show_view(self, view: View) -> None:
        """Show what the last looks say."""
        diagnoses = view.diagnoses
        if not diagnoses or diagnoses is self._drawn.diagnoses:
            return
        wait = self._shown_at + _PERIOD - monotonic()
        if wait > 0 and view.phase == keys.RUNNING:
            if not self._is_due:
                self._is_due = True
                self.set_timer(wait, self._catch_up)
            return
        self._drawn, self._shown_at = view, monotonic()
        findings = findings_of(diagnoses)
        self._vitals = vitals_of(list(diagnoses.values()))
        self._lines = []
        for owners, finding in findings:
            self._lines.append(
                Content.assemble((f"⚠ {finding.code} ", "$text-warning bold"), f"{owners}{finding.message}")
            )
            self._lines.append(Content.assemble(("  → ", "$text-success"), finding.remedy))
        # A new layout of the whole screen only where there are more lines, or fewer.
        is_same_height = len(findings) == self._findings and self.size.width > 0
        self._findings = len(findings)
        self.update(self._content(), layout=not is_same_height)
        last = max(diagnosis.vitals.iteration for diagnosis in diagnoses.values())
        title = f"health: {len(findings)} finding{'s' * (len(findings) > 1)}" if findings else "health"
        if title != self.border_title:
            self.border_title = Content(title)
        self.border_subtitle = Content(f"at {count(last)}")

    def _catch_up(self) -> None:
        self._is_due = False
        self.watch_view(self.view)

    def on_resize(self) -> None:
        """Lay out the grid anew."""
        if self._vitals:
            self.update(self._content(), layout=False)

    def _content(self) -> Content:
        (name, trend), *vitals = self._vitals  # in words, and longer than a number
        names, values = (max(map(cell_len, column)) for column in zip(*vitals, strict=True))
        columns = max((self.content_size.width + _GAP) // (names + 1 + values + _GAP), 1)
        rows = -(-len(vitals) // columns)
        is_aligned = names + 1 + cell_len(trend) <= self.content_size.width
        lines = [Content.assemble((left(name, names + 1) if is_aligned else f"{name} ", "$text-muted"), trend)]
        for row in range(rows):
            there = [
                Content.assemble((left(name, names + 1), "$text-muted"), left(value, values))
                for name, value in vitals[row::rows]
            ]
            lines.append(Content(" " * _GAP).join(there).rstrip())
        return Content("\n").join([*self._lines, *lines])
