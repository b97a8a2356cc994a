"""What the screen knows of a session: events go in from the training thread, frozen views come out on a timer.

Training never waits for the screen: publishing takes a lock for an instant, and however many events pile up, the
screen sees the latest state once. Memory is bounded: the convergence curve is kept in buckets.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from math import inf, isfinite, nan
from threading import Lock
from time import monotonic

from l2o_engine.backends.devices import CPU
from l2o_engine.presets.identity import in_words
from l2o_engine.presets.schema import Preset
from l2o_engine.records.blocks import Blocks
from l2o_engine.records.curve import Curve, History
from l2o_engine.records.events import (
    Changed,
    Checkpointed,
    Curves,
    Described,
    Diagnosed,
    Ended,
    Event,
    Extended,
    Found,
    Imitated,
    NewRows,
    Notice,
    Preparing,
    Progress,
    Recalled,
    Started,
    StatusChanged,
    Validated,
)
from l2o_engine.records.health import Diagnosis
from l2o_engine.records.rows import ReportWindow
from l2o_engine.records.statistics import spread_of
from l2o_engine.training.trainer import Lane
from l2o_engine.training.validating import Verdict
from l2o_tui.text import imitation, validation
from l2o_tui.text.health import sentence

PROGRESS_KEPT = 2000
LOG_KEPT = 1000
_LOGGED = 20  # checkpoints of a run, at most, that nobody has asked for; validations that changed nothing; imitations
_RATE_SECONDS = 5.0
_LEAST_RATE_SECONDS = 1.0  # over less, two bursts that come close together would make a rate of their own


@dataclass(frozen=True)
class LogLine:
    """A line of the event log: at which meta-iteration, what kind of thing ("finding", "checkpoint", …), and what."""

    iteration: int
    kind: str
    text: str


@dataclass(frozen=True)
class View:
    """The state of a session at one moment.

    Attributes
    ----------
    phase
        "loading", or the run's status: "running", "paused", "finished", "interrupted", "failed" or "diverged".
    message
        What goes with the phase: what is loading, why it failed.
    failed_here
        Whether the phase is "failed" because this program failed, at training, handing over or watching; else a run
        has only told that it had failed.
    name
        What people call the run; empty where nobody has given it a name.
    read
        Which share of what a watched run has done is read; NaN once all of it is, and where nothing has to be.
    iteration, iterations
        The last meta-iteration done (-1 before the first) and the total.
    rate
        Meta-iterations per second over the last seconds; NaN where it is not known.
    average
        Mean log10 of the last loss over the last ``report.rolling_window`` meta-iterations, of replicates the median;
        NaN where there is none, or no network is trained.
    levels
        Name → mean log10 of the last loss of each baseline.
    driver
        Of a watched run, who drove it when it was last told to begin: "process 17 on node4".
    checkpoint
        The iteration of the last checkpoint; -1 where there is none.
    non_finite
        Meta-iterations that met a NaN or an infinity, over all lanes.
    diagnoses
        What the last look at each lane says.
    verdicts
        What the last validation of each lane found.
    starts
        How often the run has begun to be told: once more when a watched run was cut back to a checkpoint.
    rows_seen, progress_seen, log_seen
        Counters that change when there are new rows, progress rows or log lines.
    """

    phase: str
    message: str = ""
    failed_here: bool = False
    read: float = nan
    name: str = ""
    run_dir: str = ""
    backend: str = ""
    device: str = CPU
    lanes: tuple[Lane, ...] = ()
    iteration: int = -1
    iterations: int = 0
    rate: float = nan
    average: float = nan
    levels: Mapping[str, float] = field(default_factory=dict)
    curves: Curves | None = None
    diagnoses: Mapping[Lane, Diagnosis] = field(default_factory=dict)
    verdicts: Mapping[Lane, Verdict] = field(default_factory=dict)
    driver: str = ""
    checkpoint: int = -1
    non_finite: int = 0
    starts: int = 0
    rows_seen: int = 0
    progress_seen: int = 0
    log_seen: int = 0

    @property
    def is_reading(self) -> bool:
        """Whether a watched run's past is still being read."""
        return isfinite(self.read)

    @property
    def seconds_left(self) -> float:
        """How long the rest takes at this rate; NaN where that is not known."""
        return (self.iterations - self.iteration) / self.rate if self.rate > 0 else nan


class Feed:
    """Collects a session's events for a screen.

    Parameters
    ----------
    preset
        The run's preset.
    iteration
        Where the run is, until the session says.
    is_watched
        Whether another process drives the run, if any.
    name
        What people call the run, until it is told that they call it something else.
    """

    def __init__(self, preset: Preset, iteration: int = -1, *, is_watched: bool = False, name: str = "") -> None:
        self._lock = Lock()
        self._is_watched = is_watched
        self._window = preset.report.rolling_window
        total = preset.run.iterations
        self._view = View(phase="loading", message="starting", name=name, iteration=iteration, iterations=total)
        self._learns = preset.learns
        self._histories: list[History] = []
        self._recent: list[ReportWindow] = []
        self._progress: deque[Progress] = deque(maxlen=PROGRESS_KEPT)
        self._log: deque[LogLine] = deque(maxlen=LOG_KEPT)
        self._notices: deque[str] = deque(maxlen=50)
        self._pace: deque[tuple[float, int]] = deque()
        self._resumed_from = -1
        self._logged_checkpoint = self._logged_validation = self._logged_imitation = -inf

    def publish(self, event: Event) -> None:
        """Take in an event. Called by the training thread; never waits for the screen."""
        with self._lock:
            self._take_in(event)

    def fail(self, message: str) -> None:
        """Note that this program failed: nothing more will be told."""
        with self._lock:
            self._change(phase="failed", message=message, failed_here=True)

    def note_driver(self, driver: str) -> None:
        """Note who drives a run that is watched."""
        with self._lock:
            self._change(driver=driver)

    def view(self) -> View:
        """Return the state now."""
        with self._lock:
            return self._view

    def convergence(self) -> list[tuple[Lane, Curve]]:
        """Return each lane's convergence so far."""
        with self._lock:
            pairs = zip(self._view.lanes, self._histories, strict=True)
            return [(lane, history.curve()) for lane, history in pairs]

    def progress_between(self, start: int, stop: int) -> list[Progress]:
        """Return the progress rows between two counts of ``progress_seen``; only the newest are kept."""
        with self._lock:
            first = self._view.progress_seen - len(self._progress)
            return list(islice(self._progress, max(start - first, 0), max(stop - first, 0)))

    def log_between(self, start: int, stop: int) -> list[LogLine]:
        """Return the lines of the log between two counts of ``log_seen``; only the newest are kept."""
        with self._lock:
            first = self._view.log_seen - len(self._log)
            return list(islice(self._log, max(start - first, 0), max(stop - first, 0)))

    def take_notices(self) -> list[str]:
        """Return the notices since the last call."""
        with self._lock:
            notices = list(self._notices)
            self._notices.clear()
            return notices

    def _change(self, **changes: object) -> None:
        self._view = replace(self._view, **changes)  # type: ignore[arg-type]

    def _take_in(self, event: Event) -> None:
        match event:
            case Preparing():
                self._change(phase="loading", message=event.message)
            case Started():
                self._start(event)
            case NewRows():
                self._take_in_rows(event)
            case Recalled():
                self._recall(event.blocks)
            case Progress():
                self._progress.append(event)
                self._change(progress_seen=self._view.progress_seen + 1)
            case Diagnosed() | Validated():
                self._take_in_figures(event)
            case Checkpointed():  # the best one may be told of when the run is further
                self._change(checkpoint=max(event.iteration, self._view.checkpoint))
            case Curves():
                self._change(curves=event)
            case StatusChanged():
                self._pace.clear()
                self._change(phase=event.status, message=event.message, rate=nan)
            case Extended() | Described():
                self._take_in_change(event)
            case Ended():
                self._change(phase=event.status, message=event.message, iteration=event.iteration, rate=nan)
            case Imitated() | Found() | Changed() | Notice():
                pass
        self._tell(event)

    def _take_in_change(self, event: Extended | Described) -> None:
        if isinstance(event, Extended):
            self._change(iterations=event.iterations)
        else:
            self._change(name=event.given_name)

    def _take_in_figures(self, event: Diagnosed | Validated) -> None:
        if isinstance(event, Diagnosed):
            self._change(diagnoses={**self._view.diagnoses, event.lane: event.diagnosis})
        else:
            self._change(verdicts={**self._view.verdicts, event.lane: event.verdict})

    def _start(self, event: Started) -> None:
        self._resumed_from = event.iteration
        self._histories = [History(self._window) for _ in event.lanes]
        self._recent = [ReportWindow(self._window) for _ in event.lanes]
        self._progress.clear()
        self._change(
            phase="running",
            message="",
            run_dir=event.run_dir,
            backend=event.backend,
            device=event.device,
            lanes=event.lanes,
            iteration=event.iteration,
            iterations=event.iterations,
            levels=event.levels,
            checkpoint=event.iteration,
            average=nan,
            diagnoses={},
            verdicts={},
            non_finite=0,
            progress_seen=0,
            starts=self._view.starts + 1,
            read=0.0 if self._is_watched and event.iteration > 0 else nan,
        )
        self._logged_checkpoint = self._logged_validation = self._logged_imitation = -inf

    def _tell(self, event: Event) -> None:
        """Note what is worth a line in the log, and what is worth interrupting for."""
        at, line, notice = self._view.iteration, None, ""
        match event:
            case Started(iteration=iteration):
                where = f"resumed at {iteration:,}" if iteration >= 0 else "started"
                where = "watching" if self._is_watched else where
                line = LogLine(iteration, "status", f"{where}, on {event.computes} ({event.reason})")
            case Found() | Validated() | Imitated():
                line = self._line_of(event)
            case Checkpointed(iteration=iteration, requested=requested):
                # At full speed there are nine a second, which would leave no room for anything else.
                if requested or iteration - self._logged_checkpoint >= self._view.iterations / _LOGGED:
                    self._logged_checkpoint = iteration
                    line = LogLine(iteration, "checkpoint", "kept" if requested else "saved")
                notice = f"checkpoint saved at {iteration:,}" if requested else ""
            case StatusChanged(status, iteration):
                line = LogLine(iteration, "status", status)
            case Extended(iterations):
                notice = f"continuing to {iterations:,}"
                line = LogLine(at, "status", notice)
            case Changed() | Described():
                line = self._line_of_change(event)
            case Notice(notice):
                line = LogLine(at, "notice", notice)
            case Ended(status=status, iteration=iteration, message=message):
                line = LogLine(iteration, "status", f"{status}: {message}" if message else status)
            case _:
                pass
        if line:
            self._log.append(line)
            self._change(log_seen=self._view.log_seen + 1)
        if notice:
            self._notices.append(notice)

    def _line_of_change(self, event: Changed | Described) -> LogLine:
        """Return the line of what is another than it was."""
        if isinstance(event, Changed):
            return LogLine(event.iteration, "status", f"changed: {in_words(event.settings)}")
        said = " · ".join(filter(None, [event.given_name, " ".join(event.tags), event.note.replace("\n", " / ")]))
        return LogLine(self._view.iteration, "status", f"called: {said or 'nothing'}")

    def _line_of(self, event: Found | Validated | Imitated) -> LogLine | None:
        """Return the line of what was found of a lane; None where that is not worth one."""
        owner = f"seed {event.lane.seed}: " if len(self._view.lanes) > 1 else ""
        if isinstance(event, Found):
            return LogLine(event.iteration, "finding", f"{event.finding.code}: {owner}{sentence(event.finding)}")
        if isinstance(event, Imitated):
            likeness = event.likeness
            if likeness.iteration - self._logged_imitation < self._view.iterations / _LOGGED:
                return None
            self._logged_imitation = likeness.iteration
            return LogLine(likeness.iteration, "status", f"{owner}{imitation.summary(likeness)}")
        verdict = event.verdict
        if said := validation.sentence(verdict):
            return LogLine(verdict.iteration, "status", f"{owner}{said}")
        if verdict.iteration - self._logged_validation < self._view.iterations / _LOGGED:
            return None
        self._logged_validation = verdict.iteration
        return LogLine(verdict.iteration, "status", f"{owner}{validation.summary(verdict)}")

    def _recall(self, blocks: Blocks) -> None:
        for lane, history in enumerate(self._histories):
            blocks.begin(history, lane)
        self._change(non_finite=self._view.non_finite + sum(blocks.spoilt), rows_seen=self._view.rows_seen + 1)

    def _take_in_rows(self, event: NewRows) -> None:
        for lane, (history, recent) in enumerate(zip(self._histories, self._recent, strict=True)):
            rows = event.rows.of_lane(lane)
            history.add(rows)
            recent.add(rows)
        if self._learns:
            self._change(average=spread_of([recent.average_log_result for recent in self._recent]).median)
        iteration = int(event.rows.iteration[-1])
        seen = self._view.non_finite + int(event.rows.non_finite.sum())
        self._change(non_finite=seen, rows_seen=self._view.rows_seen + 1)
        if self._view.is_reading:
            is_over = iteration >= self._resumed_from
            self._change(read=nan if is_over else iteration / self._resumed_from)
        if iteration <= self._resumed_from:
            return  # the past of a resumed run, told again, says nothing about its pace
        now = monotonic()
        self._pace.append((now, iteration))
        # Over the last seconds, or, where one meta-iteration takes longer, over the last one.
        while len(self._pace) > 2 and now - self._pace[1][0] >= _RATE_SECONDS:
            self._pace.popleft()
        then, before = self._pace[0]
        rate = (iteration - before) / (now - then) if now - then >= _LEAST_RATE_SECONDS else self._view.rate
        self._change(iteration=iteration, rate=rate)
