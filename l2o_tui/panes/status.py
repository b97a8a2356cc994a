"""The status lines: what runs, how far it is, how fast."""

from textual.content import Content
from textual.widget import Widget

from l2o_engine.presets.schema import Preset
from l2o_tui.state.feed import View
from l2o_tui.text.health import findings_of
from l2o_tui.text.numbers import count, duration, rate

_MARKS = {
    "loading": ("◌", "$text-muted"),
    "running": ("●", "$text-success"),
    "paused": ("‖", "$text-warning"),
    "finished": ("✔", "$text-success"),
    "interrupted": ("■", "$text-warning"),
    "diverged": ("✖", "$text-error"),
    "failed": ("✖", "$text-error"),
}
_LEAST_BAR, _GREATEST_BAR = 4, 40


class StatusLines(Widget):
    """Two lines: the run and its state; the progress bar, as wide as there is room, and its numbers."""

    def __init__(self, preset: Preset, *, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(id=id)
        self._preset = preset
        self._view = View(phase="loading")
        self._memory = 0
        self._pane = ""
        self._answer = ""

    def show(self, view: View, *, memory: int) -> None:
        """Show this state; ``memory`` is what the program takes in bytes, 0 where that is not known."""
        if view.phase != self._view.phase:
            self._answer = ""
        self._view, self._memory = view, memory
        self.refresh()

    def show_answer(self, answer: str) -> None:
        """Say what has been asked of the run, until its phase changes."""
        self._answer = answer
        self.refresh()

    def show_pane(self, pane: str) -> None:
        """Say which pane is shown, where it is one of several."""
        if pane != self._pane:
            self._pane = pane
            self.refresh()

    def render(self) -> Content:
        """Return both lines."""
        lines = [self._run(self._view), self._progress(self._view)]
        return Content("\n").join([line.truncate(self.content_size.width, ellipsis=True) for line in lines])

    def _run(self, view: View) -> Content:
        mark, colour = _MARKS[view.phase]
        seeds = self._preset.seeds
        parts = [
            Content.from_markup(f"[{colour}]{mark} [b]{self._answer + ' …' if self._answer else view.phase}[/b][/]"),
            Content.styled(self._preset.name, "bold"),
            Content(f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]}–{seeds[-1]}"),
        ]
        parts += [Content.styled(f"{count(view.non_finite)} not finite", "$text-error")] if view.non_finite else []
        codes = dict.fromkeys(finding.code for _, finding in findings_of(view.diagnoses))
        parts += [Content.styled(f"⚠ {', '.join(codes)}", "$text-warning")] if codes else []
        parts += [Content.styled(f"reading it: {view.read:.0%}", "$text-warning")] if view.is_reading else []
        parts += [Content(view.message.replace("\n", " "))] if view.message else []
        parts += [Content.styled(self._pane, "$text-muted")] if self._pane else []
        # Last, for in a narrow terminal the end is cut off.
        parts += [Content(view.backend), Content(self._preset.run.dtype)] if view.backend else []
        return Content(" · ").join(parts)

    def _progress(self, view: View) -> Content:
        done = max(view.iteration, 0)
        share = min(done / view.iterations, 1.0) if view.iterations else 0.0
        parts = [f"{count(done)} of {count(view.iterations)} ({share:.0%})"]
        if view.phase == "running":
            parts += [rate(view.rate), f"{duration(view.seconds_left)} left"]
        if view.checkpoint >= 0:
            parts.append(f"saved at {count(view.checkpoint)}")
        if self._memory:
            parts.append(f"{self._memory / 1e6:.0f} MB")
        numbers = " · ".join(parts)
        room = self.content_size.width - len(numbers) - 1
        width = min(max(room, _LEAST_BAR), _GREATEST_BAR)
        full = round(share * width)
        return Content.assemble(("━" * full, "$primary"), ("─" * (width - full), "$text-disabled"), f" {numbers}")
