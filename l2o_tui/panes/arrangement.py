"""How the panes stand on the screen: as many as there is room for, or the active one alone."""

from textual.containers import Container
from textual.events import Click
from textual.geometry import Size
from textual.reactive import var
from textual.widget import Widget

SEVERAL = (100, 30)  # from this size of the terminal on, several panes are shown at once
BESIDE = 118  # from this many columns on, what the run measures stands beside its table
WIDE = (190, 45)  # from this size on, all of them
_CHARTS = 2  # of the panes, the first ones
_BELOW = 3  # panes that there are below them; of fewer, the last one has room beside the table


class Panes(Container):
    """The panes, one of which is active: the keys are about it, and it is what is shown where there is room for one.

    The charts are the upper row, the others the lower one.

    Parameters
    ----------
    panes
        The panes, in the order that ``tab`` goes through them, the charts first.
    """

    caption: var[str] = var("", init=False)
    """Which pane it is that is shown alone; empty where several are."""

    def __init__(self, *panes: Widget, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(Container(*panes[:_CHARTS], id="charts"), Container(*panes[_CHARTS:], id="below"), id=id)
        self._panes = panes
        self._active = 0
        self._is_maximised = False

    @property
    def active(self) -> Widget:
        """The pane that the keys are about."""
        return self._panes[self._active]

    @property
    def is_maximised(self) -> bool:
        """Whether the active pane is shown alone although there is room for more."""
        return self._is_maximised

    @is_maximised.setter
    def is_maximised(self, value: bool) -> None:
        self._is_maximised = value
        self.fit(self.app.size)

    @staticmethod
    def has_room_in(size: Size) -> bool:
        """Return whether there is room for several in a terminal of this size."""
        return size.width >= SEVERAL[0] and size.height >= SEVERAL[1]

    def fit(self, size: Size) -> None:
        """Choose the layout for a terminal of this size."""
        self.set_class(size.width >= WIDE[0] and size.height >= WIDE[1], "wide")
        self.set_class(size.width >= BESIDE, "beside")
        self.set_class(size.width >= BESIDE and len(self._panes) < _CHARTS + _BELOW, "spare")
        self.set_class(self._is_maximised or not self.has_room_in(size), "one")
        self._tell_place()

    def activate(self, place: int) -> None:
        """Make the pane at this place the active one."""
        self._active = place
        for other, pane in enumerate(self._panes):
            pane.set_class(other == place, "active")
        for row in self.children:
            row.set_class(self.active in row.children, "active")
        self._tell_place()
        self.screen.set_focus(self.active if self.active.can_focus else None)

    def bring(self, pane: Widget) -> None:
        """Make a pane the active one if it cannot be seen: where one is shown alone, it is another."""
        if not pane.display:
            self.activate(self._panes.index(pane))

    def go(self, by: int) -> None:
        """Make the next pane the active one, or for -1 the one before."""
        places = range(len(self._panes))
        shown = places if self.has_class("one") else [k for k in places if self._panes[k].display]
        further = [place for place in shown if (place - self._active) * by > 0] or list(shown)
        self.activate(min(further) if by > 0 else max(further))

    def on_click(self, event: Click) -> None:
        """Go to the pane that was clicked."""
        for place, pane in enumerate(self._panes):
            if event.widget is not None and pane in event.widget.ancestors_with_self and place != self._active:
                self.activate(place)

    def _tell_place(self) -> None:
        back = ", m for all" if self._is_maximised else ""
        place = f"pane {self._active + 1} of {len(self._panes)}{back}"
        self.caption = place if self.has_class("one") else ""
