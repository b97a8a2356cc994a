"""The keys at the foot of a screen: as many as there is room for, each whole."""

from textual.app import ComposeResult
from textual.events import Resize
from textual.widgets import Footer

from l2o_tui.textual_private import cells_of_key


class KeyFooter(Footer):
    """textual's footer, without what would be cut off: the first keys of the key table are what matters most."""

    def __init__(self) -> None:
        super().__init__(show_command_palette=False)
        self._laid_out: object = None

    async def recompose(self) -> None:
        """Lay the keys out anew, if they or the room are others: they are asked for whenever the focus moves."""
        if not self.is_attached:  # the screen has been left meanwhile
            return
        active = self.screen.active_bindings.values()
        wanted = (self.app.size.width, [(binding, enabled, tooltip) for _, binding, enabled, tooltip in active])
        if wanted != self._laid_out:
            self._laid_out = wanted
            await super().recompose()

    def compose(self) -> ComposeResult:
        """Lay out the keys that fit."""
        room = self.app.size.width
        for key in super().compose():
            room -= cells_of_key(key)
            if room < 0:
                return
            yield key

    def on_resize(self, event: Resize) -> None:
        """Choose anew what fits."""
        self.call_after_refresh(self.recompose)
