"""The reporter: what a session says of the rows that its trainers produced.

Progress rows at every report, diagnoses at every look, where each lane ended; and the base chart's losses.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from time import monotonic

import numpy as np

from l2o_engine.live.pipeline import Pipeline
from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import Curves, Diagnosed, Event, Found, LaneResult, NewRows, Progress, ShowDraws
from l2o_engine.records.health import Diagnostician, next_look
from l2o_engine.records.rows import ReportWindow, Rows
from l2o_engine.runs.folder import Run, lanes_of
from l2o_engine.training.trainer import Chunk, Lane, TrainerState

_CURVES_SECONDS = 0.5
_CURVES_SHARE = 0.1  # of the training's time that curves may take, at most


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
        self._every = preset.report.every
        self._learns = preset.learns
        self._windows = [ReportWindow(self._every) for _ in self.lanes]
        self._diagnosticians = {
            lane: Diagnostician(preset.experiment, self._every) for lane in self.lanes if self._learns
        }
        self._last_report = (0.0, 0)

    def recall(self, run: Run, until: int, *, is_watched: bool) -> Iterator[Event]:
        """Take in what a run did up to a meta-iteration; where somebody watches, yield it as it was told then."""
        for rows in run.rows():
            self.take_in(rows)
            if is_watched:
                yield NewRows(rows)
        for progress in run.progress() if is_watched else ():
            if progress.iteration <= until:
                yield progress
        for lane, vitals in run.vitals():
            if vitals.iteration <= until:
                diagnosis = self._diagnosticians[lane].judge(vitals)
                if is_watched:
                    yield Diagnosed(lane, diagnosis)

    def take_in(self, rows: Rows, chunks: Sequence[Chunk] = ()) -> None:
        """Take in the next rows, and the chunks that they are of where these are known."""
        results = {chunk.lane: chunk.results for chunk in chunks}
        for index, (lane, window) in enumerate(zip(self.lanes, self._windows, strict=True)):
            of_lane = rows.of_lane(index)
            window.add(of_lane)
            if lane in self._diagnosticians:
                self._diagnosticians[lane].add(of_lane, results.get(lane))

    def start_clock(self, seconds: float, iteration: int) -> None:
        """Count the next report's meta-iterations per second from here on."""
        self._last_report = (seconds, iteration)

    def next_due(self, iteration: int) -> int:
        """Return the next meta-iteration, from this one on, at which a report or a look is due."""
        return min(next_look(iteration, self._every), -(-iteration // self._every) * self._every)

    def due(
        self, rows: Rows, chunks: Sequence[Chunk], pipeline: Pipeline, *, total: int, seconds: float
    ) -> Iterator[Event]:
        """Yield what is due after rows that have been taken in.

        Parameters
        ----------
        rows, chunks
            What was taken in last.
        pipeline
            Where it came from.
        total
            The run's last meta-iteration.
        seconds
            How long the run has trained.
        """
        states, iteration = pipeline.states, pipeline.iteration
        yield from self._look([chunk.lane for chunk in chunks if states[chunk.lane.seed].diverged], states)
        if iteration % self._every == 0:
            yield from self._report(rows, iteration, seconds)
        if iteration == next_look(iteration, self._every) or iteration == total < next_look(0, self._every):
            yield from self._look([lane for lane in self.lanes if not states[lane.seed].diverged], states)

    def _look(self, lanes: Sequence[Lane], states: Mapping[int, TrainerState]) -> Iterator[Event]:
        """Look at how lanes do: now and then, and when one has diverged, for the last time."""
        for lane in lanes:
            state = states[lane.seed]
            if state.learner is None:
                continue  # nothing is learned
            diagnosis = self._diagnosticians[lane].look(state.learner)
            yield Diagnosed(lane, diagnosis)
            for finding in diagnosis.new:
                yield Found(lane, state.done - 1, finding)

    def _report(self, rows: Rows, iteration: int, seconds: float) -> Iterator[Event]:
        last_seconds, last_iteration = self._last_report
        self._last_report = (seconds, iteration)
        rate = (iteration - last_iteration) / max(seconds - last_seconds, 1e-9)
        for index, (lane, window) in enumerate(zip(self.lanes, self._windows, strict=True)):
            of_lane = rows.of_lane(index)
            if not len(of_lane) or of_lane.iteration[-1] != iteration:
                continue  # this lane has diverged
            yield Progress(
                lane=lane,
                iteration=iteration,
                sum_error=float(of_lane.sum_loss[-1]),
                optim_result=float(of_lane.end_loss[-1]),
                average_log_result=window.average_log_result,
                average_sum_log_result=window.average_sum_log_result,
                numbers={name: float(values[-1]) for name, values in of_lane.numbers.items()},
                iterations_per_second=round(rate, 2),
                elapsed_seconds=round(seconds, 3),
                non_finite=window.non_finite,
            )

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

    Parameters
    ----------
    pipeline
        Its trainers make them.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.shown = ShowDraws()
        self._pipeline = pipeline
        self._due = 0.0

    @property
    def is_due(self) -> bool:
        """Whether it is time to make them again: they may take only so much of the training's time."""
        return monotonic() >= self._due

    def curves(self) -> Curves:
        """Make the losses of the problems that are shown."""
        began, shown = monotonic(), self.shown
        seed = next(iter(self._pipeline.states)) if shown.seed is None else shown.seed
        curves = Curves(shown.first, self._pipeline.iteration, self._pipeline.base_losses(seed, shown), seed)
        now = monotonic()
        self._due = now + max(_CURVES_SECONDS, (now - began) / _CURVES_SHARE)
        return curves


def why_diverged(preset: Preset, states: Sequence[TrainerState]) -> str:
    """Return by which policy these states have diverged."""
    learners = [state.learner for state in states]
    if any(learner is not None and not np.isfinite(learner.weights).all() for learner in learners):
        return "its weights are no longer finite"
    policy = preset.meta
    if policy.non_finite == "stop":
        return 'a non-finite number ends the run (meta.non_finite = "stop")'
    return f"more than {policy.max_non_finite} meta-iterations in a row were not finite (meta.max_non_finite)"
