"""The fields for what a run is called, in any dialog that asks for that."""

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, Label

from l2o_engine.runs.about import NOTHING_SAID, About

_PLACEHOLDERS = {
    "name": "what lists call it, not its folder",
    "tags": "words to find it by",
    "note": "what is to be remembered of it",
}


class AboutFields(Vertical):
    """Name, tags and note, a line each; of a note of several lines the lines stand beside one another.

    Parameters
    ----------
    about
        What it is called now.
    """

    def __init__(self, about: About = NOTHING_SAID) -> None:
        super().__init__()
        self._before = about

    def compose(self) -> ComposeResult:
        """Lay out the fields."""
        about = self._before
        fields = {"name": about.name, "tags": " ".join(about.tags), "note": _in_a_line(about.note)}
        for name, value in fields.items():
            with Horizontal(classes="field"):
                yield Label(Content(name))
                yield Input(value, placeholder=_PLACEHOLDERS[name], id=f"about-{name}", compact=True)

    @property
    def about(self) -> About:
        """What stands in the fields.

        Raises
        ------
        AboutError
            If no run can be called so.
        """
        name, tags, note = (self.query_one(f"#about-{field}", Input).value for field in ("name", "tags", "note"))
        note = self._before.note if note == _in_a_line(self._before.note) else note
        return About(name.strip(), note.strip(), tuple(tags.replace(",", " ").split()))


def _in_a_line(note: str) -> str:
    return note.replace("\n", " / ")
