"""The settings in which two runs differ, in a small screen."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from l2o_engine.presets.changed import Changed
from l2o_engine.runs.folder import Run
from l2o_tui.panes.plain import PlainText
from l2o_tui.text.difference import difference_table

_MARGINS = 8  # cells: the dialog's, its frame's, its scrollbar's


class DifferenceScreen(ModalScreen[None]):
    """A line a setting: its name, and the value that each of two runs has.

    Parameters
    ----------
    runs
        The two runs.
    settings
        In what they differ.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter,ctrl+c", "dismiss(None)", "close", priority=True)]

    def __init__(self, runs: Sequence[Run], settings: Changed) -> None:
        super().__init__()
        self._runs = runs
        self._settings = settings

    def compose(self) -> ComposeResult:
        """Lay out the table, for the width that there is."""
        width = int(self.app.size.width * 0.95) - _MARGINS
        lines = difference_table(self._runs, self._settings, width)
        with VerticalScroll(classes="dialog difference"):
            yield Static("In what they differ", classes="dialog-title")
            yield PlainText("\n".join(lines) if self._settings else "They have the same settings.")
            yield Static("\n[$text-muted]esc closes this[/]")
