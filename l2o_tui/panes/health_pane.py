"""The health pane: what the last look at the run measured, and what is wrong, with its evidence and a remedy."""

from textual.content import Content
from textual.widgets import Static

from l2o_tui.panes.pane import Pane
from l2o_tui.state.feed import View
from l2o_tui.text.health import findings_of, vitals_of
from l2o_tui.text.numbers import count


class HealthPane(Static, Pane):
    """As high as what it has to say."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__("the first look is at 500, or at the end", id=id)
        self._drawn = View(phase="loading")
        self._findings = -1
        self.border_title = "health"

    def show_view(self, view: View) -> None:
        """Show what the last looks say."""
        diagnoses = view.diagnoses
        if not diagnoses or diagnoses is self._drawn.diagnoses:
            return
        self._drawn = view
        findings = findings_of(diagnoses)
        vitals = vitals_of(list(diagnoses.values()))
        parts = [Content.assemble((f"{name} ", "$text-muted"), value.replace(" ", "\u00a0")) for name, value in vitals]
        lines = [Content(" · ").join(parts)]
        for owners, finding in findings:
            lines.append(Content.assemble((f"⚠ {finding.code} ", "$text-warning bold"), f"{owners}{finding.message}"))
            lines.append(Content.assemble(("  → ", "$text-success"), finding.remedy))
        # A new layout of the whole screen only where there are more lines, or fewer.
        is_same_height = len(findings) == self._findings and self.size.width > 0
        self._findings = len(findings)
        self.update(Content("\n").join(lines), layout=not is_same_height)
        last = max(diagnosis.vitals.iteration for diagnosis in diagnoses.values())
        title = f"health: {len(findings)} finding{'s' * (len(findings) > 1)}" if findings else "health"
        if title != self.border_title:
            self.border_title = title
        self.border_subtitle = f"at {count(last)}"
