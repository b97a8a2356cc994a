"""Measures and judges one lane of a run, look by look."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.learner import Learner, Results, Trace, traced
from l2o_engine.records.health.findings import Finding, examine
from l2o_engine.records.health.trend import Trend, trend_of
from l2o_engine.records.health.truncated import truncated_vitals
from l2o_engine.records.health.vitals import (
    EARLY_LOOKS,
    Vitals,
    casting_shares,
    distance_ratios,
    episode_ratio,
    epsilon_share,
    loss_ratio,
    mean,
    median,
    roots_of,
)
from l2o_engine.records.rows import Rows

if TYPE_CHECKING:
    from l2o_engine.support.arrays import Doubles, Floats

_REMEMBERED = 4096


@dataclass(frozen=True)
class Diagnosis:
    """What one look says: the vitals, where the end loss is going, and what is wrong; of that, what was not before."""

    vitals: Vitals
    trend: Trend
    findings: tuple[Finding, ...]
    new: tuple[Finding, ...]


class Diagnostician:
    """Examines one lane of a run, look by look.

    Parameters
    ----------
    experiment
        What is trained.
    every
        How many meta-iterations lie between two reports.
    """

    def __init__(self, experiment: Experiment, every: int) -> None:
        self._experiment = experiment
        self._most_rows = max(every, *EARLY_LOOKS)
        self._casts = experiment.learned is not None and experiment.learned.inputs.casts
        self._rows: list[Rows] = []
        self._traces: list[Trace] = []
        self._losses: list[Floats] = []  # of the traced meta-iterations
        self._norms: list[Doubles] = []  # of their meta-gradients
        self._history: deque[Vitals] = deque(maxlen=_REMEMBERED)
        self._codes: set[str] = set()

    @cached_property
    def _traced(self) -> int:
        """Of how many meta-iterations a trace tells; who only recalls does not ask, nor for the problem's size."""
        experiment = self._experiment
        return traced(experiment.truncation.losses, experiment.meta.batch * experiment.trained_on.size)

    def judge(self, vitals: Vitals) -> Diagnosis:
        """Return what the next vitals mean, after those before."""
        history = [*self._history, vitals]
        findings = tuple(examine(self._experiment, history))
        new = tuple(finding for finding in findings if finding.code not in self._codes)
        diagnosis = Diagnosis(vitals, trend_of(history), findings, new)
        self._history.append(vitals)  # once it has been judged: what cannot be must not spoil those behind it
        self._codes = {finding.code for finding in findings}
        return diagnosis

    def recall(self, past: Sequence[Vitals]) -> Diagnosis:
        """Return what the last of a run's vitals mean; those before, at least one in all, are only remembered."""
        self._history.extend(past[:-1])
        return self.judge(past[-1])

    def add(self, rows: Rows, results: Results | None = None) -> None:
        """Take in the lane's next rows, and the results they were made of, unless they were read from a file."""
        self._rows.append(rows)
        while sum(map(len, self._rows[1:])) >= self._most_rows:
            del self._rows[0]
        if results is not None and results.trace is not None:
            if self._traces:  # of what was carried, only the last is of use
                self._traces[-1] = replace(self._traces[-1], carried=None)
            self._traces.append(results.trace)
            self._losses.append(results.losses[len(results) - len(results.trace) :].copy())  # not the chunk's all
            self._norms.append(results.gradient_norm[len(results) - len(results.trace) :].copy())
            # The same meta-iterations are told of, however they were cut into chunks.
            while sum(map(len, self._traces[1:])) >= self._traced:
                del self._traces[0], self._losses[0], self._norms[0]

    def look(self, learner: Learner) -> Diagnosis:
        """Measure and judge what came since the last look."""
        vitals = self._measure(learner)
        self._rows, self._traces, self._losses, self._norms = [], [], [], []
        return self.judge(vitals)

    def _measure(self, learner: Learner) -> Vitals:
        def column(name: str) -> Any:
            return np.concatenate([getattr(rows, name) for rows in self._rows])

        fresh = column("iteration") > (self._history[-1].iteration if self._history else -1)
        iteration, end_log10, norms = (column(name)[fresh] for name in ("iteration", "end_log10", "gradient_norm"))
        finite_norms = norms[np.isfinite(norms)]
        meta = self._experiment.meta
        measured: dict[str, Any] = dict(distance_ratios(self._traces, self._traced))
        if self._experiment.truncation.is_whole:
            measured["loss_ratio"] = loss_ratio(self._losses, self._traced)
        else:
            measured |= {"distance_ratio": nan, "loss_ratio": episode_ratio(end_log10, column("mean_log10")[fresh])}
            measured["truncated"] = truncated_vitals(
                self._experiment, learner, finite_norms, self._traces, self._norms, self._traced
            )
        measured |= casting_shares(self._traces, self._traced) if self._casts else {"saturated": nan, "flipped": nan}
        return Vitals(
            iteration=int(iteration[-1]),
            rows=len(iteration),
            average_log_result=mean(end_log10[np.isfinite(end_log10)]),
            gradient_norm=median(finite_norms),
            clipped=mean(finite_norms > meta.clip_norm) if meta.gradient == "clip" else nan,
            epsilon_share=epsilon_share(learner, meta.epsilon),
            root=median(roots_of(learner)),
            non_finite=int(column("non_finite")[fresh].sum()),
            zeros=int((column("end_loss")[fresh] == 0).sum()),
            numbers=dict(learner.numbers),
            **measured,
        )
