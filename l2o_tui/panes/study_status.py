"""The status lines of a study: what it is and who works on it, how far it is."""

from textual.content import Content
from textual.widget import Widget

from l2o_engine.studies.sweep import StudyStanding
from l2o_engine.support.wording import shown
from l2o_tui.panes.status import MARKS, fitting, with_bar
from l2o_tui.text.study import Labels, progress_of, what_it_is


class StudyStatus(Widget):
    """Two lines: the study and its state; a progress bar, and its numbers."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(id=id)
        self._told: tuple[StudyStanding, Labels] | None = None
        self._answer = ""

    def show(self, standing: StudyStanding, labels: Labels) -> None:
        """Show how it stands."""
        if self._told and standing.status != self._told[0].status:
            self._answer = ""
        self._told = standing, labels
        self.refresh()

    def show_answer(self, answer: str) -> None:
        """Say what has been asked of it, until its status changes."""
        self._answer = answer
        self.refresh()

    def render(self) -> Content:
        """Return both lines."""
        if self._told is None:
            return Content("reading the study …")
        standing, labels = self._told
        mark, colour = MARKS[standing.status]
        parts = [
            Content.assemble(
                (f"{mark} ", colour), (f"{self._answer} …" if self._answer else standing.status, f"{colour} b")
            ),
            Content.styled(shown(standing.name), "bold"),
            Content(what_it_is(standing)),
        ]
        parts += [Content(f"by {shown(standing.driver)}")] if standing.driver else []
        width = self.content_size.width
        numbers = [Content(shown(part)) for part in progress_of(standing, labels)]
        lines = [fitting(parts, width), with_bar(standing.share, numbers, width)]
        return Content("\n").join([line.truncate(width, ellipsis=True) for line in lines])
