"""The reporter: what a session says of the rows that its trainers produced.

Progress rows at every report, diagnoses at every look, where each lane ended; and the base chart's losses.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from math import isfinite, nan
from time import monotonic

import numpy as np

from l2o_engine.live.pipeline import Pipeline
from l2o_engine.live.preparing import awaited
from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import (
    Curves,
    Diagnosed,
    Event,
    Found,
    LaneResult,
    NewRows,
    Progress,
    Recalled,
    ShowDraws,
)
from l2o_engine.records.health import EARLY_LOOKS, LOST, Diagnostician, Vitals, looks_apart, next_look
from l2o_engine.records.rows import ReportWindow, Rows
from l2o_engine.runs.folder import Run, lanes_of
from l2o_engine.training.trainer import Chunk, Lane, TrainerState

_CURVES_SECONDS = 0.5
_CURVES_SHARE = 0.1  # of the training's time that curves may take, at most
_AT_ONCE_SECONDS = 0.1  # within which small problems' are there


class Reporter:
    """Makes of a run's rows what is reported of them.

    Parameters
    ----------
    preset
        The run's preset. Its total may change; nothing here depends on it.

    Attributes
    ----------
    lanes
        The series of the run.
    """

    def __init__(self, preset: Preset) -> None:
        self.lanes = lanes_of(preset)
        self._meta = preset.meta
        self._every = preset.report.every
        self._apart = looks_apart(self._every)
        self._rolling_window = preset.report.rolling_window
        self._remembered = max(self._apart, LOST, self._rolling_window, *EARLY_LOOKS)
        self._learns = preset.learns
        self._windows = [ReportWindow(self._every) for _ in self.lanes]
        # Over fewer rows than that an average is chance: reports that are closer are judged by those of several.
        self._judged = [ReportWindow(self._apart) for _ in self.lanes]
        self._last_finite = [-1 for _ in self.lanes]
        self._diagnosticians = {
            lane: Diagnostician(preset.experiment, self._every) for lane in self.lanes if self._learns
        }
        self._remedies: dict[int, str] = {}
        self._stopped: frozenset[int] = frozenset()
        self._last_report = (0.0, 0)
        self._told = (0.0, -1)

    def recall(self, run: Run, until: int, *, is_watched: bool) -> Iterator[Event]:
        """Take in what a run did up to a meta-iteration; where somebody watches, yield it as it was told then."""
        blocks = run.beginning(least=self._remembered, window=self._rolling_window)
        if blocks and is_watched:
            yield Recalled(blocks)
        for rows in run.rows(blocks):
            self._take_in(rows)
            self._add(rows)
            if is_watched:
                yield NewRows(rows)
        for progress in run.progress() if is_watched else ():
            if progress.iteration <= until:
                yield progress
        past: dict[Lane, list[Vitals]] = {}
        for lane, vitals in run.vitals():
            if vitals.iteration <= until:
                past.setdefault(lane, []).append(vitals)
        for lane, of_lane in past.items():
            diagnosis = self._diagnosticians[lane].recall(of_lane)
            if is_watched:
                yield Diagnosed(lane, diagnosis)

    def _take_in(self, rows: Rows, chunks: Sequence[Chunk] = ()) -> None:
        """Take in the next rows, and the chunks that they are of where these are known."""
        results = {chunk.lane: chunk.results for chunk in chunks}
        for index, lane in enumerate(self.lanes):
            of_lane = rows.of_lane(index)
            finite = of_lane.iteration[np.isfinite(of_lane.end_loss)]
            self._last_finite[index] = int(finite[-1]) if len(finite) else self._last_finite[index]
            self._judged[index].add(of_lane)
            if lane in self._diagnosticians:
                self._diagnosticians[lane].add(of_lane, results.get(lane))

    def _add(self, rows: Rows) -> None:
        """Take the next rows into the reports' windows."""
        for index, window in enumerate(self._windows):
            window.add(rows.of_lane(index))

    def start_clock(self, seconds: float, iteration: int) -> None:
        """Count the next report's meta-iterations per second from here on."""
        self._last_report = self._told = (seconds, iteration)

    def next_due(self, iteration: int) -> int:
        """Return the next meta-iteration, from this one on, where a chunk must end: at a look, or where lanes may end.

        Reports may lie within one.
        """
        return min(next_look(iteration, self._every), -(-iteration // LOST) * LOST)

    def due(
        self, rows: Rows, chunks: Sequence[Chunk], pipeline: Pipeline, *, total: int, seconds: float
    ) -> Iterator[Event]:
        """Take in the next rows, and yield what is due after them.

        Parameters
        ----------
        rows, chunks
            What came last.
        pipeline
            Where it came from. Lanes that are lost go on no further in it.
        total
            The run's last meta-iteration.
        seconds
            How long the run has trained.
        """
        iteration = pipeline.iteration
        self._stopped = frozenset(pipeline.stopped)
        self._take_in(rows, chunks)
        if self.may_lose(pipeline.states, iteration):
            pipeline.give_up(lane.seed for lane in self._lost(pipeline.states, iteration))
        states = pipeline.states
        yield from self._look([chunk.lane for chunk in chunks if states[chunk.lane.seed].is_over], states)
        yield from self._reports(rows, seconds)
        if iteration == total and total % self._every:
            yield from self._last_rows(rows, states, seconds)
        if iteration == next_look(iteration, self._every) or iteration == total < next_look(0, self._every):
            yield from self._look([lane for lane in self.lanes if not states[lane.seed].is_over], states)

    def may_lose(self, states: Mapping[int, TrainerState], iteration: int) -> bool:
        """Return whether the rows that come next may show that a lane is lost, and ends with them."""
        learners = [state.learner for state in states.values() if not state.is_over]
        return iteration % LOST == 0 and any(learner and learner.non_finite_in_a_row >= LOST for learner in learners)

    def _lost(self, states: Mapping[int, TrainerState], iteration: int) -> list[Lane]:
        """Return the lanes whose network is lost: it has given nothing finite for so long.

        A meta-gradient that is not finite is no such sign: it is spoilt by losses of exactly 0, too.
        """
        return [
            lane
            for lane, last in zip(self.lanes, self._last_finite, strict=True)
            if not states[lane.seed].is_over and iteration - last >= LOST
        ]

    def _look(self, lanes: Sequence[Lane], states: Mapping[int, TrainerState]) -> Iterator[Event]:
        """Look at how lanes do: now and then, and when one has diverged, for the last time."""
        for lane in lanes:
            state = states[lane.seed]
            if state.learner is None:
                continue  # nothing is learned
            diagnosis = self._diagnosticians[lane].look(state.learner)
            self._remedies[lane.seed] = diagnosis.findings[0].remedy if diagnosis.findings else ""
            yield Diagnosed(lane, diagnosis)
            for finding in diagnosis.new:
                yield Found(lane, state.done - 1, finding)

    def _reports(self, rows: Rows, seconds: float) -> Iterator[Event]:
        """Yield the reports that lie within rows, each as it would have been at its meta-iteration."""
        by_lane = [rows.of_lane(index) for index in range(len(self.lanes))]
        first, last = int(rows.iteration[0]), int(rows.iteration[-1])
        (told_seconds, told_iteration), self._told = self._told, (seconds, last)
        pace = (seconds - told_seconds) / max(last - told_iteration, 1)
        places = range(-(-first // self._every) * self._every, last + 1, self._every)
        ends = [np.searchsorted(of_lane.iteration, places, side="right").tolist() for of_lane in by_lane]
        starts = [0 for _ in self.lanes]
        for count, iteration in enumerate(places):
            then = seconds - pace * (last - iteration)
            last_seconds, last_iteration = self._last_report
            self._last_report = (then, iteration)
            rate = (iteration - last_iteration) / max(then - last_seconds, 1e-9)
            for index, lane in enumerate(self.lanes):
                part = by_lane[index].between(starts[index], ends[index][count])
                starts[index] = ends[index][count]
                self._windows[index].add(part)
                if len(part) and part.iteration[-1] == iteration:  # else this lane has diverged
                    yield self._progress(lane, self._windows[index], part, rate, then)
        for index, of_lane in enumerate(by_lane):
            self._windows[index].add(of_lane.between(starts[index], len(of_lane)))

    def _last_rows(self, rows: Rows, states: Mapping[int, TrainerState], seconds: float) -> Iterator[Progress]:
        """Yield what a report says at the run's end, which lies between two; nothing of a report to come changes."""
        before, iteration = self._last_report
        last = int(rows.iteration[-1])
        rate = (last - iteration) / max(seconds - before, 1e-9)
        for index, lane in enumerate(self.lanes):
            of_lane = rows.of_lane(index)
            if len(of_lane) and not states[lane.seed].is_over:
                yield self._progress(lane, self._windows[index], of_lane, rate, seconds)

    def _progress(self, lane: Lane, window: ReportWindow, rows: Rows, rate: float, seconds: float) -> Progress:
        return Progress(
            lane=lane,
            iteration=int(rows.iteration[-1]),
            sum_error=float(rows.sum_loss[-1]),
            optim_result=float(rows.end_loss[-1]),
            average_log_result=window.average_log_result,
            average_sum_log_result=window.average_sum_log_result,
            numbers={name: float(values[-1]) for name, values in rows.numbers.items()},
            iterations_per_second=round(rate, 2),
            elapsed_seconds=round(seconds, 3),
            non_finite=window.non_finite,
        )

    def figure(self, iteration: int) -> float:
        """Return by what a state is judged: the report's figure, over all seeds; NaN where it is not to be judged.

        It is judged at reports, where these are closer than two looks at every so many of them.
        """
        if not self._learns or iteration < self._apart or iteration % self._apart or not self.is_finite(iteration):
            return nan
        return sum(window.average_log_result for window in self._judged) / len(self._judged)

    def is_finite(self, iteration: int) -> bool:
        """Return whether every lane has a result at a meta-iteration, and a finite one; of those not yet stopped."""
        ends = zip(self.lanes, self._last_finite, strict=True)
        return all(last == iteration for lane, last in ends if lane.seed not in self._stopped)

    def why_diverged(self, states: Mapping[int, TrainerState], seeds: Sequence[int]) -> str:
        """Return by which policy these seeds have ended, and what may help."""
        ended = [states[seed].learner for seed in seeds]
        learners = [learner for learner in ended if learner is not None]
        last = {lane.seed: at for lane, at in zip(self.lanes, self._last_finite, strict=True)}
        if not all(np.isfinite(learner.weights).all() for learner in learners):
            why = "its weights are no longer finite"
        elif self._meta.non_finite == "stop":
            why = 'a non-finite number ends the run (meta.non_finite = "stop")'
        elif any(0 < self._meta.max_non_finite < learner.non_finite_in_a_row for learner in learners):
            why = (
                f"more than {self._meta.max_non_finite} meta-iterations in a row were not finite (meta.max_non_finite)"
            )
        else:
            since = min(last[seed] for seed in seeds)
            why = f"no loss has been finite for {LOST:,} meta-iterations and more, the last one was at {since:,}"
        remedies = dict.fromkeys(self._remedies.get(seed, "") for seed in seeds)
        return "; ".join([why, *filter(None, remedies)])

    def results(self, states: Mapping[int, TrainerState]) -> tuple[LaneResult, ...]:
        """Return where the lanes are, each at -1 where there are no states yet."""
        return tuple(
            LaneResult(lane, states[lane.seed].done - 1 if states else -1, window.average_log_result)
            for lane, window in zip(self.lanes, self._windows, strict=True)
        )

    @property
    def average_log_result(self) -> float | None:
        """The learned optimizer's, over its seeds: a mean over several optimizers would mean nothing."""
        results = [window.average_log_result for window in self._windows if self._learns]
        finite = [result for result in results if isfinite(result)]
        return sum(finite) / len(finite) if finite else None


class BaseChart:
    """The base chart's losses: of which problems, and how often.

    They are made in a thread, for an optimizee of many coordinates takes seconds for them, in which commands are heard
    and the training goes on. Close it when done.

    Parameters
    ----------
    pipeline
        Its trainers make them.
    sign_of_life
        Called every second while they are waited for.
    """

    def __init__(self, pipeline: Pipeline, sign_of_life: Callable[[], None]) -> None:
        self.shown = ShowDraws()
        self._pipeline = pipeline
        self._sign_of_life = sign_of_life
        self._due = 0.0
        self._maker: ThreadPoolExecutor | None = None
        self._making: Future[tuple[Curves, float]] | None = None

    def close(self) -> None:
        """Make no more."""
        if self._maker:
            self._maker.shutdown(wait=False, cancel_futures=True)

    def refresh(self) -> Iterator[Curves]:
        """Tell the losses that were made, and have them made again if it is time.

        They may take only so much of the training's time.
        """
        yield from self.told()
        if self._making is None and monotonic() >= self._due:
            yield from self.make()

    def make(self, *, seconds: float = _AT_ONCE_SECONDS) -> Iterator[Curves]:
        """Have the losses made of the problems that are shown, and tell them if that takes no longer than a moment."""
        shown = self.shown
        seed = next(iter(self._pipeline.states)) if shown.seed is None else shown.seed
        base_losses, iteration = self._pipeline.base_losses(seed, shown), self._pipeline.iteration
        if self._making is not None:  # of what was shown before
            self._making.cancel()

        def made() -> tuple[Curves, float]:
            began = monotonic()
            base = base_losses()
            curves = Curves(shown.first, iteration, base.losses, seed, base.held_out, base.looks)
            return curves, monotonic() - began

        self._maker = self._maker or ThreadPoolExecutor(1, "l2o-base-losses")
        self._making = self._maker.submit(made)
        wait([self._making], seconds)
        yield from self.told()

    def last(self) -> Iterator[Curves]:
        """Make the losses and wait for them."""
        yield from self.make(seconds=0)
        if self._making is not None:
            awaited(self._making, self._sign_of_life)
            yield from self.told()

    def told(self) -> Iterator[Curves]:
        """Tell the losses that were made since."""
        if self._making is not None and self._making.done():
            (curves, took), self._making = self._making.result(), None
            self._due = monotonic() + max(_CURVES_SECONDS, took / _CURVES_SHARE)
            yield curves
