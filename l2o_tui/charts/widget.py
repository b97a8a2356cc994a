"""The charts of a run on the screen, and of several: what of their data is shown, and what is said below."""

from collections.abc import Collection, Sequence

import numpy as np
from textual.content import Content

from l2o_engine.presets.labels import level_label
from l2o_engine.presets.published import PublishedRow
from l2o_engine.records.curve import Curve
from l2o_engine.records.events import Curves
from l2o_engine.studies.comparison import Group, NamedLevel
from l2o_engine.support.wording import shown
from l2o_engine.training.trainer import Lane
from l2o_tui.charts.axes import Span
from l2o_tui.charts.base_losses import HELD_OUT, base_losses
from l2o_tui.charts.chart import Chart, left_out
from l2o_tui.charts.comparison import comparison
from l2o_tui.charts.convergence import MOST_BANDS, convergence, curve_series, lane_series
from l2o_tui.charts.figure import Figure
from l2o_tui.charts.settings import SettingFigures, keys_of, setting_figure
from l2o_tui.charts.styles import optimizer_styles, run_styles
from l2o_tui.text.numbers import count

__all__ = ["BaseChart", "Chart", "ComparisonChart", "ConvergenceChart", "SettingChart"]

_WINDOWS = tuple(digit * 10**power for power in range(6) for digit in (1, 2, 5))
_END_LOSS = "end loss over the meta-iterations"
_NOTHING_VARIED = "final log10: no two settings have a result yet"
_ONE_SETTING = "final log10: of one setting there is no chart"
_FINAL_LOSS = "final loss of the episodes, over the meta-iterations"


def next_window(windows: Sequence[int], window: int, by: int, own: int) -> int:
    """Return the next greater window, or the next smaller one for -1, of these and the reports' own; else itself."""
    there = sorted({*windows, own})
    others = [one for one in there if (one > window if by > 0 else one < window)]
    return (others[0] if by > 0 else others[-1]) if others else window


class BaseChart(Chart):
    """The losses of every optimizer over the base steps: of one problem, or their spread over many."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(id=id)
        self._curves: Curves | None = None
        self._seed: int | None = None
        self.border_title = "base losses"

    def show(self, curves: Curves | None, *, seed: int | None = None) -> None:
        """Draw these curves, of the replicate with this seed."""
        if curves is None or (curves is self._curves and seed == self._seed):
            return
        self._curves, self._seed = curves, seed
        self.redraw()

    def figure(self, view: Span | None) -> Figure | None:
        """Return each optimizer's losses."""
        if self._curves is None:
            return None
        return base_losses(
            self._curves.losses,
            held_out=self._curves.held_out,
            looks=self._curves.looks,
            logarithmic=self.logarithmic,
            view=view,
            caption=self._caption(),
        )

    def _caption(self) -> str:
        """Say which draws these are, and what is left out."""
        if self._curves is None:
            return ""
        losses = [np.atleast_2d(values) for values in self._curves.losses.values()]
        draws = max(map(len, losses), default=1)
        what = f"draw {self._curves.draw + 1}" if draws == 1 else f"median and quartiles of {count(draws)} draws"
        every = np.concatenate([np.zeros(0), *(values.ravel() for values in losses)])
        said = [what] if self._seed is None else [what, f"seed {self._seed}"]
        said += [f"{HELD_OUT}: held-out data"] if self._curves.held_out else []
        non_finite, zeros = int((~np.isfinite(every)).sum()), int((every == 0).sum())
        return " · ".join([*left_out(non_finite, zeros, logarithmic=self.logarithmic), *said])


class ReplicatesChart(Chart):
    """A chart of runs that may have replicates."""

    _each_seed = False

    @property
    def each_seed(self) -> bool:
        """Whether replicates are drawn one by one, too."""
        return self._each_seed

    @each_seed.setter
    def each_seed(self, value: bool) -> None:
        self._each_seed = value
        self.redraw()


class ConvergenceChart(ReplicatesChart):
    """The end loss over the meta-iterations: raw band, rolling log-average, and what to compare them with.

    Parameters
    ----------
    window
        Number of results in the rolling mean, to begin with: the preset's, which is exact.
    notebook
        The rows that the notebook printed of this experiment, or our own reference.
    tuned
        Which of the baselines are tuned on this problem.
    in_truncations
        Whether episodes go on over several meta-iterations: a result is that of the one that ended last.
    """

    def __init__(
        self,
        *,
        window: int,
        notebook: Sequence[PublishedRow] = (),
        tuned: Collection[str] = (),
        in_truncations: bool = False,
        id: str,  # noqa: A002 (textual's name)
    ) -> None:
        super().__init__(id=id)
        self._window = self._own_window = window
        self._notebook = notebook
        self._tuned = tuned
        self._bands = True
        self._lanes: Sequence[tuple[Lane, Curve]] = ()
        self._pinned: dict[str, Curve] = {}
        self._levels: dict[str, float] = {}
        self._iterations = 0
        self._measured: tuple[Sequence[tuple[Lane, Curve]], bool] | None = None  # and whether it is a share
        self._title = _FINAL_LOSS if in_truncations else _END_LOSS
        self.border_title = Content(self._title)

    def show_measure(self, title: str, lanes: Sequence[tuple[Lane, Curve]], *, is_share: bool) -> None:
        """Draw something else of these lanes than the end loss: log10 of it, or a share, whose axis is linear."""
        self._measured = lanes, is_share
        self.border_title = Content(title)
        self.redraw()

    def show_end_loss(self) -> None:
        """Draw the end loss again."""
        self._measured = None
        self.border_title = Content(self._title)
        self.redraw()

    def show(self, lanes: Sequence[tuple[Lane, Curve]], levels: dict[str, float], iterations: int = 0) -> None:
        """Draw these lanes, and these levels as lines across; the x axis goes to the number of iterations."""
        self._lanes, self._levels, self._iterations = lanes, levels, iterations
        self.redraw()

    @property
    def window(self) -> int:
        """Number of results in the rolling mean."""
        return self._window

    @window.setter
    def window(self, value: int) -> None:
        self._window = max(value, 1)
        self.redraw()

    def change_window(self, by: int) -> None:
        """Take the next greater window, or the next smaller one for -1."""
        self.window = next_window(_WINDOWS, self._window, by, self._own_window)

    @property
    def bands(self) -> bool:
        """Whether the raw results, or the replicates' quartiles, are drawn; without them y follows the lines."""
        return self._bands

    @bands.setter
    def bands(self, value: bool) -> None:
        self._bands = value
        self.redraw()

    def pin(self, name: str, curve: Curve) -> None:
        """Draw another run as well, in place of one of the same name."""
        self._pinned[name] = curve
        self.redraw()

    def unpin_all(self) -> None:
        """Draw no other run any more."""
        self._pinned.clear()
        self.redraw()

    def figure(self, view: Span | None) -> Figure | None:
        """Return the lanes, the other runs, the levels and the notebook's points; None before there is a run."""
        if self._measured is not None:
            return self._figure_of_measure(view, *self._measured)
        if not self._lanes:
            return None
        styles = optimizer_styles([*(lane.optimizer for lane, _ in self._lanes), *self._levels])
        series = lane_series(self._lanes, styles, self._window, each=self._each_seed)
        caption = self._caption(sum(bool(one.bands) for one in series))
        for style, (name, curve) in zip(
            run_styles(len(self._pinned), styles.values()), self._pinned.items(), strict=True
        ):
            # Of other runs only the lines: bands over bands cannot be told apart.
            series.append(curve_series(name, style, curve, self._window, band=False))
        return convergence(
            series,
            {
                level_label(name, is_tuned=name in self._tuned): (styles[name], level)
                for name, level in self._levels.items()
            },
            logarithmic=self.logarithmic,
            view=view,
            right=self._iterations,
            bands=self._bands,
            notebook=self._notebook,
            caption=caption,
        )

    def _figure_of_measure(
        self, view: Span | None, lanes: Sequence[tuple[Lane, Curve]], is_share: bool
    ) -> Figure | None:
        """Return what was measured of the lanes: nothing that is reached by the end loss stands beside it."""
        if not lanes:
            return None
        styles = optimizer_styles(lane.optimizer for lane, _ in lanes)
        return convergence(
            lane_series(lanes, styles, self._window, each=self._each_seed),
            {},
            logarithmic=self.logarithmic and not is_share,
            view=view,
            right=self._iterations,
            bands=self._bands,
            caption="at each look" if is_share else f"line: mean of {count(self._window)}, of logarithms",
        )

    def _caption(self, banded: int) -> str:
        """Say what line and band are, and what is left out: that first, for the rest of the line may be cut off."""
        lanes = [curve for _, curve in self._lanes]
        found = max(curve.nearest_window(self._window) for curve in [*lanes, *self._pinned.values()])
        rounded = "" if found == self._window else f" ({count(self._window)} rounded up)"
        said = [f"line: mean of {count(found)}{rounded}"]
        if self._bands and banded <= MOST_BANDS:
            several = len({lane.optimizer for lane, _ in self._lanes}) < len(lanes)
            said.append("band: quartiles" if several else "band: raw")
        non_finite, zeros = sum(one.non_finite for one in lanes), sum(one.zeros for one in lanes)
        return " · ".join([*left_out(non_finite, zeros, logarithmic=self.logarithmic), *said])


class ComparisonChart(ReplicatesChart):
    """The rolling log-average of each experiment, and the baselines' levels."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(id=id)
        self._groups: Sequence[Group] = ()
        self._levels: Sequence[NamedLevel] = ()
        self._window: int | None = None
        self.border_title = _END_LOSS

    def show(self, groups: Sequence[Group], levels: Sequence[NamedLevel]) -> None:
        """Draw these, and these levels as lines across."""
        self._groups, self._levels = groups, levels
        self.redraw()

    def figure(self, view: Span | None) -> Figure | None:
        """Return the bands, the levels and the lines."""
        if not self._groups:
            return None
        return comparison(
            self._groups,
            self._levels,
            logarithmic=self.logarithmic,
            view=view,
            window=self._window,
            each_seed=self._each_seed,
        )

    @property
    def window(self) -> int | None:
        """Number of results in the rolling means; None for what each group's reports say, which is exact."""
        return self._window

    def change_window(self, by: int) -> None:
        """Take the next greater window, or the next smaller one for -1; between them, the reports' own."""
        own = max((group.preset.report.rolling_window for group in self._groups), default=1)
        window = next_window(_WINDOWS, self._window or own, by, own)
        self._window = None if window == own else window
        self.redraw()


class SettingChart(Chart):
    """The final figure against one of the settings that a study varies."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(id=id)
        self._results: Sequence[SettingFigures] = ()
        self.keys: Sequence[str] = ()
        """The settings against which there is a picture."""
        self._place = 0  # of the setting, among those that there are

    def show(self, results: Sequence[SettingFigures]) -> None:
        """Draw these."""
        self._results, self.keys = results, keys_of(results)
        key = self.key
        several = f" ({self.keys.index(key) + 1} of {len(self.keys)})" if key and len(self.keys) > 1 else ""
        nothing = _ONE_SETTING if len(results) == 1 else _NOTHING_VARIED
        self.border_title = Content(f"final log10 against {shown(key)}{several}" if key else nothing)
        self.redraw()

    def show_next(self) -> None:
        """Draw against the next setting that was varied."""
        self._place += 1
        self.show(self._results)

    @property
    def key(self) -> str:
        """The setting that it is drawn against; empty where there is none."""
        return self.keys[self._place % len(self.keys)] if self.keys else ""

    def figure(self, view: Span | None) -> Figure | None:
        """Return the points and lines; None before two settings have a figure."""
        return setting_figure(self.key, self._results) if self.key else None
