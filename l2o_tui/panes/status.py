"""The status lines: what runs, how far it is, how fast."""

import os
from collections.abc import Sequence
from math import isnan
from pathlib import Path

from textual.content import Content

from l2o_engine.backends.devices import CPU
from l2o_engine.presets.schema import Preset
from l2o_engine.records.statistics import spread_of
from l2o_engine.support.wording import shown
from l2o_tui.panes.pane import Pane
from l2o_tui.state import keys
from l2o_tui.state.feed import View
from l2o_tui.text.health import findings_of
from l2o_tui.text.names import cut
from l2o_tui.text.numbers import count, duration, fixed, rate

MARKS = {
    "loading": ("◌", "$text-muted"),
    "running": ("●", "$text-success"),
    "paused": ("‖", "$text-warning"),
    "finished": ("✔", "$text-success"),
    "interrupted": ("■", "$text-warning"),
    "diverged": ("✖", "$text-error"),
    "failed": ("✖", "$text-error"),
    "waits": ("·", "$text-muted"),
    "starts": ("◌", "$text-muted"),
    "given up": ("▽", "$text-muted"),
}
"""By phase or status, also of a study's job: its sign, and the colour that it has."""
_LONGEST_NAME = 24  # cells of what people call the run
_LEAST_MESSAGE = 20  # cells; of which less is said, nothing is
_LEAST_BAR, _GREATEST_BAR = 4, 40


def resident_bytes() -> int:
    """Return how much memory this process takes, in bytes; 0 where the system does not say so as Linux does."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def with_sign(status: str) -> str:
    """Return a status behind its sign."""
    mark, _ = MARKS.get(status, ("", ""))
    return f"{mark} {status}".strip()


def fitting(parts: Sequence[Content], room: int) -> Content:
    """Return the parts in a line: the first ones, as many as fit whole, but one at least."""
    parts = list(parts)
    while len(parts) > 1 and sum(part.cell_length + 3 for part in parts) - 3 > room:
        parts.pop()
    return Content(" · ").join(parts)


def with_bar(share: float, numbers: Sequence[Content], width: int) -> Content:
    """Return a progress bar, as wide as there is room, and as many of the numbers behind it as fit."""
    told = fitting(numbers, width - _LEAST_BAR - 1)
    cells = min(max(width - told.cell_length - 1, _LEAST_BAR), _GREATEST_BAR)
    full = round(share * cells)
    return Content.assemble(("━" * full, "$primary"), ("─" * (cells - full), "$text-disabled"), " ", told)


class StatusLines(Pane):
    """Two lines: the run and its state; the progress bar, as wide as there is room, and its numbers.

    Parameters
    ----------
    preset
        The run's preset.
    driver
        Who drives the run: of this process it is worth knowing how much memory it takes.
    """

    def __init__(self, preset: Preset, *, driver: str, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(id=id)
        self._preset = preset
        self._driver = driver
        self._shown = View(phase=keys.LOADING)
        self._memory = 0
        self._pane = ""
        self._answer = ""

    def show_view(self, view: View) -> None:
        """Show the run's state, and how much memory the program takes now."""
        if view is self._shown:
            return
        if view.phase not in (self._shown.phase, keys.LOADING):  # to hand a run over is still to leave it
            self._answer = ""
        self._shown = view
        self._memory = resident_bytes() if self._driver == keys.OWN and view.phase == keys.RUNNING else 0
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
        lines = [self._run(self._shown), self._progress(self._shown)]
        return Content("\n").join([line.truncate(self.content_size.width, ellipsis=True) for line in lines])

    def _run(self, view: View) -> Content:
        mark, colour = MARKS[view.phase]
        seeds = self._preset.seeds
        parts = [
            Content.assemble(
                (f"{mark} ", colour), (self._answer + " …" if self._answer else view.phase, f"{colour} b")
            ),
            Content.styled(self._preset.name, "bold"),
            *([Content(cut(shown(view.name), _LONGEST_NAME))] if view.name else []),
            Content(f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]}–{seeds[-1]}"),
        ]
        is_others = self._driver == keys.WATCHED and view.phase in (keys.RUNNING, keys.PAUSED)
        parts += [Content(f"driven by {view.driver}")] if is_others and view.driver else []
        parts += [Content.styled(f"{count(view.non_finite)} not finite", "$text-error")] if view.non_finite else []
        codes = dict.fromkeys(finding.code for _, finding in findings_of(view.diagnoses))
        parts += [Content.styled(f"⚠ {', '.join(codes)}", "$text-warning")] if codes else []
        parts += [Content.styled(f"reading it: {view.read:.0%}", "$text-warning")] if view.is_reading else []
        if view.message:
            room = self.content_size.width - sum(part.cell_length + 3 for part in parts)
            message = Content(shown(view.message.replace("\n", " ")))
            parts.append(message.truncate(max(room, _LEAST_MESSAGE), ellipsis=True))
        parts += [Content.styled(self._pane, "$text-muted")] if self._pane else []
        # Last, for in a narrow terminal the last ones are left out.
        parts += [Content(shown(part)) for part in self._computing(view)]
        return fitting(parts, self.content_size.width)

    def _computing(self, view: View) -> list[str]:
        """Return what tells who computes: the backend, the device if that is not the CPU, the dtype."""
        if not view.backend:
            return []
        return [view.backend, *([] if view.device == CPU else [view.device]), self._preset.run.dtype]

    def _progress(self, view: View) -> Content:
        done = max(view.iteration, 0)
        share = min(done / view.iterations, 1.0) if view.iterations else 0.0
        parts = [f"{count(done)} of {count(view.iterations)} ({share:.0%})"]
        parts += [] if isnan(view.average) else [f"log10 {fixed(view.average)}"]
        if view.phase == "running":
            parts += [rate(view.rate), f"{duration(view.seconds_left)} left"]
        if view.verdicts:
            figure = spread_of([one.figure for one in view.verdicts.values()]).median
            parts.append(f"validated {'–' if isnan(figure) else fixed(figure)}")
        if view.checkpoint >= 0:
            parts.append(f"saved at {count(view.checkpoint)}")
        if self._memory:
            parts.append(f"memory {self._memory / 1e6:.0f} MB")
        return with_bar(share, list(map(Content, parts)), self.content_size.width)
