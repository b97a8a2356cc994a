"""The health pane: what the last look at the run measured, and what is wrong, with its evidence and a remedy."""

from collections.abc import Iterator
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual.content import Content
from textual.widgets import Static

from l2o_tui.panes.pane import Pane
from l2o_tui.state import keys
from l2o_tui.state.feed import View
from l2o_tui.text.health import details_of, findings_of, vitals_of
from l2o_tui.text.names import left
from l2o_tui.text.numbers import count

if TYPE_CHECKING:
    from l2o_engine.records.health import Finding

_GAP = 3  # cells between two columns of the grid
_FORMS = (  # with the findings' evidence; as a grid; with what was measured part by part
    (True, True, True),
    (True, True, False),
    (True, False, False),
    (False, False, False),
)
_PERIOD = 1.0  # seconds between two looks shown while training: figures that change faster cannot be read


class HealthPane(Static, Pane):
    """What is wrong, then what was measured: a grid, or where there is no room for it, shorter forms of both."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__("the first look is at 500, or at the end", id=id)
        self._drawn = View(phase="loading")
        self._vitals: list[tuple[str, str]] = []
        self._details: list[tuple[str, str]] = []
        self._findings: list[tuple[str, Finding]] | None = None
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
        # A new layout of the whole screen only where there are more lines, or fewer.
        is_same_height = self._findings is not None and len(findings) == len(self._findings) and self.size.width > 0
        looks = list(diagnoses.values())
        self._findings, self._vitals, self._details = findings, vitals_of(looks), details_of(looks)
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
            with self.drawing():
                self.update(self._content(), layout=False)

    def _content(self) -> Content:
        """Return all of it in the first of its forms that there is room for."""
        width, height = self.content_size
        for has_evidence, is_grid, has_details in _FORMS:
            vitals = self._grid(width) if is_grid else self._flow()
            details = self._detail_lines() if has_details else ()
            content = Content("\n").join([*self._finding_lines(has_evidence=has_evidence), *vitals, *details])
            if content.get_height({}, max(width, 1)) <= height:
                break
        return content

    def _finding_lines(self, *, has_evidence: bool) -> Iterator[Content]:
        """Yield what is wrong and the remedy; without its evidence where there is no room."""
        for owners, finding in self._findings or ():
            code, arrow = (f"⚠ {finding.code} ", "$text-warning bold"), ("→ ", "$text-success")
            if has_evidence:
                yield Content.assemble(code, f"{owners}{finding.message}")
                yield Content.assemble("  ", arrow, finding.remedy)
            else:
                yield Content.assemble(code, owners, arrow, finding.remedy)

    def _detail_lines(self) -> Iterator[Content]:
        """Yield what was measured part by part: a line for each, which may take several."""
        for name, values in self._details:
            yield Content.assemble((f"{name} ", "$text-muted"), values)

    def _grid(self, width: int) -> Iterator[Content]:
        """Yield what was measured, a label and a value each, in as many columns as there is room for."""
        (name, trend), *vitals = self._vitals  # in words, and longer than a number
        names, values = (max(map(cell_len, column)) for column in zip(*vitals, strict=True))
        columns = max((width + _GAP) // (names + 1 + values + _GAP), 1)
        rows = -(-len(vitals) // columns)
        is_aligned = names + 1 + cell_len(trend) <= width
        yield Content.assemble((left(name, names + 1) if is_aligned else f"{name} ", "$text-muted"), trend)
        for row in range(rows):
            there = [
                Content.assemble((left(name, names + 1), "$text-muted"), left(value, values))
                for name, value in vitals[row::rows]
            ]
            yield Content(" " * _GAP).join(there).rstrip()

    def _flow(self) -> Iterator[Content]:
        """Yield the same in fewer lines, one behind the other."""
        yield Content(" · ").join(Content.assemble((f"{name} ", "$text-muted"), value) for name, value in self._vitals)
