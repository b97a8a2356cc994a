"""What a redraw of the convergence chart costs, and what it sends to the terminal.

    python benchmarks/chart_redraw.py            milliseconds a redraw: 8 series of a million points each
    python benchmarks/chart_redraw.py --bytes    KiB a second to a terminal of 120x40, two redraws a second

A redraw is all that a front end does for one: take the curves, paint, find what changed, and turn every line of the
chart into what a terminal is sent, changed or not.
"""

import asyncio
import fcntl
import os
import pty
import struct
import sys
import termios
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from textual.app import App, ComposeResult
from textual.containers import Horizontal

from l2o_engine.optimizers.learned.learned_optimizer import LEARNED
from l2o_engine.records.curve import History
from l2o_engine.records.events import Curves
from l2o_engine.records.rows import Rows
from l2o_engine.training.trainer import Lane
from l2o_tui.charts.widget import BaseChart, ConvergenceChart
from l2o_tui.textual_private import thinned

if TYPE_CHECKING:
    from collections.abc import Callable

    from l2o_engine.support.arrays import Doubles

SERIES, POINTS, FRAMES, STEP = 8, 1_000_000, 60, 500
SIZES = ((80, 24), (120, 40), (250, 70))
LEVELS = {"SGD": -3.7, "RMSProp": -18.17}
RUN, RUN_SECONDS, WATCHED_SECONDS = 100_000, 25.0, 30.0  # log30 at 4,000 a second, then finished


class Run:
    """Results that fall like a run's, from a generator: the same every time."""

    def __init__(self, seed: int, total: int) -> None:
        self._generator = np.random.default_rng(seed)
        self._total = total
        self._end = -12.0 - seed
        self._done = 0
        self.history = History(500)

    def advance(self, n: int) -> None:
        """Let it do n meta-iterations."""
        iteration = np.arange(self._done, self._done + n)
        self._done += n
        fall = self._end * (1 - np.exp(-5 * iteration / self._total))
        logs: Doubles = fall + self._generator.normal(0, 1.2, n)
        nothing = np.zeros(n)
        self.history.add(
            Rows(iteration, iteration * 0, 10**logs, nothing, logs, nothing, nothing, {}, np.zeros(n, bool))
        )


class Charts(App[None]):
    """The chart that is measured, alone."""

    def __init__(self) -> None:
        super().__init__()
        self.chart = ConvergenceChart(window=500, id="convergence")

    def compose(self) -> ComposeResult:
        """Fill the screen."""
        yield self.chart


class LiveCharts(App[None]):
    """Both charts as a training screen has them, of a run that is trained and then over."""

    CSS = "#convergence { width: 3fr; border: round $panel; } #base { width: 2fr; border: round $panel; }"

    def compose(self) -> ComposeResult:
        """Put them side by side."""
        with Horizontal():
            yield ConvergenceChart(window=500, id="convergence")
            yield BaseChart(id="base")

    def _display(self, screen: Any, renderable: Any) -> None:
        super()._display(screen, thinned(renderable))  # as the program does

    def on_mount(self) -> None:
        """Start the run."""
        self._run_shown, self._began = Run(0, RUN), monotonic()
        self._noise = np.random.default_rng(1).normal(0, 0.05, (60, 20))
        self._shown = 0
        self.set_interval(0.5, self._redraw)

    def _redraw(self) -> None:
        done = int(min((monotonic() - self._began) / RUN_SECONDS, 1) * RUN)
        if monotonic() - self._began > WATCHED_SECONDS:
            self.exit()
        if done == self._shown:
            return
        self._run_shown.advance(done - self._shown)
        self._shown = done
        self.query_one(ConvergenceChart).show([(Lane(0, LEARNED), self._run_shown.history.curve())], LEVELS, RUN)
        steps = np.arange(20)
        learned = 10 ** (-steps * done / RUN + self._noise[done * 59 // RUN])
        baselines = {"SGD": np.power(0.6, steps), "RMSProp": np.power(0.3, steps)}
        self.query_one(BaseChart).show(Curves(0, done, {LEARNED: learned, **baselines}))


def _say(text: str) -> None:
    print(text)


async def _milliseconds() -> None:
    runs = [Run(seed, POINTS) for seed in range(SERIES)]
    for run in runs:
        run.advance(POINTS - len(SIZES) * 4 * FRAMES * STEP)
    others = [Lane(0, f"optimizer {seed}") for seed in range(SERIES)]
    seeds = [Lane(seed, LEARNED) for seed in range(SERIES)]
    cases: dict[str, tuple[list[Lane], Callable[[ConvergenceChart], None]]] = {
        "8 optimizers": (others, lambda _: None),
        "zoomed to 1/16": (others, lambda chart: chart.zoom(4)),
        "linear, window 5,000": (others, lambda chart: setattr(chart, "logarithmic", False)),
        "median and 8 seeds": (seeds, lambda chart: setattr(chart, "each_seed", True)),
    }
    _say(f"{SERIES} series of {POINTS:,} points, {FRAMES} redraws each, ms")
    _say(f"{'size':>8}  {'':22}{'p50':>6}{'p95':>7}")
    for size in SIZES:
        for name, (lanes, look) in cases.items():
            app = Charts()
            async with app.run_test(size=size) as pilot:
                chart = app.chart
                chart.show([(lane, run.history.curve()) for lane, run in zip(lanes, runs, strict=True)], LEVELS, POINTS)
                await pilot.pause()
                chart.window = 5000 if "5,000" in name else 500
                look(chart)
                await pilot.pause()
                seconds = []
                for _ in range(FRAMES):
                    for run in runs:
                        run.advance(STEP)
                    began = perf_counter()
                    curves = [(lane, run.history.curve()) for lane, run in zip(lanes, runs, strict=True)]
                    chart.show(curves, LEVELS, POINTS)
                    for row in range(size[1]):
                        chart.render_line(row).render(app.console)
                    seconds.append(perf_counter() - began)
                p50, p95 = np.quantile(seconds, [0.5, 0.95]) * 1e3
                _say(f"{size[0]:>4}x{size[1]:<3}  {name:22}{p50:6.1f}{p95:7.1f}")


def _bytes() -> None:
    """Run the live charts in a terminal of our own and count what they send."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
        LiveCharts().run()
        os._exit(0)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    sent: list[tuple[float, int]] = []
    began = monotonic()
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        sent.append((monotonic() - began, len(part)))
    os.waitpid(pid, 0)
    training = sum(size for at, size in sent if 2 < at < RUN_SECONDS)
    after = sum(size for at, size in sent if RUN_SECONDS + 2 < at < WATCHED_SECONDS)
    _say(f"two charts at 120x40, 2 redraws a second, {RUN:,} meta-iterations in {RUN_SECONDS:.0f} s:")
    _say(f"{training / (RUN_SECONDS - 2) / 1024:.1f} KiB/s while it trains, {after} bytes from 2 s after its end on")


if __name__ == "__main__":
    if "--bytes" in sys.argv[1:]:
        _bytes()
    else:
        asyncio.run(_milliseconds())
