"""Comparing runs: replicates of one experiment become one curve and a few figures, beside the baselines' levels.

A replicate is one lane of one run. Replicates belong to one group if their effective presets describe the same
experiment: seed, number of seeds, length, backend, reports, checkpoints and names may differ. One run says little:
take-off times vary by seed, so what a group gives are medians and quartiles over its replicates.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby
from math import isfinite, log10

import numpy as np

from l2o_engine.optimizers.learned.learned_optimizer import LEARNED
from l2o_engine.presets.identity import experiment_settings
from l2o_engine.presets.labels import what_differs, without_common_beginning
from l2o_engine.presets.published import PublishedRow
from l2o_engine.presets.schema import Preset, ReportSettings
from l2o_engine.records.blocks import Blocks
from l2o_engine.records.curve import Curve, History
from l2o_engine.records.events import Event, NewRows, Started
from l2o_engine.records.health.thresholds import STANDS_STILL
from l2o_engine.records.rows import ReportWindow, Rows
from l2o_engine.records.statistics import GroupCurve, Spread, group_curve, spread_of
from l2o_engine.runs import levels
from l2o_engine.runs.folder import Run, lanes_of
from l2o_engine.runs.metrics_file import as_written
from l2o_engine.runs.record import RunError
from l2o_engine.support.arrays import Doubles, finite_mean
from l2o_engine.training.evaluation import Level
from l2o_engine.training.trainer import Lane

CURVE_POINTS = 512
"""Greatest number of buckets of a replicate's curve, and so of a group's."""

_LONGEST_DIFFERENCE = 40  # characters of a label; more than that and the run's name says it better


@dataclass(frozen=True, eq=False)
class Replicate:
    """One lane of one run, summed up.

    Attributes
    ----------
    run
        The run it belongs to.
    lane
        Its seed and optimizer.
    curve
        Its convergence; buckets end at multiples of a power of two, so that the curves of a group fit together.
    iteration
        The last meta-iteration done.
    initial
        Mean log10 of the last loss over the first ``report.rolling_window`` meta-iterations.
    final
        Mean log10 of the last loss over the last ``report.every`` meta-iterations; NaN where none was finite.
    sum_loss
        Mean of the summed loss over the same meta-iterations; non-finite ones are left out, NaN where none was finite.
    non_finite
        How many of all meta-iterations met a NaN or an infinity.
    took_off
        Whether it learned, see :func:`took_off`.
    is_early
        Whether it has a finite result, has not taken off, and is not at the end of its preset's run or the notebook's.
    """

    run: Run
    lane: Lane
    curve: Curve
    iteration: int
    initial: float
    final: float
    sum_loss: float
    non_finite: int
    took_off: bool
    is_early: bool


@dataclass(frozen=True, eq=False)
class Group:
    """The replicates of one experiment, by seed, all summed up as ``preset.report`` says.

    ``label`` tells the group from the others it is compared with, in as few words as do.
    """

    label: str
    preset: Preset
    replicates: tuple[Replicate, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The replicates' seeds; one that was run twice is there twice."""
        return tuple(replicate.lane.seed for replicate in self.replicates)

    @property
    def final(self) -> Spread:
        """The replicates' final mean log10 of the last loss."""
        return spread_of([replicate.final for replicate in self.replicates])

    @property
    def sum_loss(self) -> Spread:
        """The replicates' final mean of the summed loss."""
        return spread_of([replicate.sum_loss for replicate in self.replicates])

    @property
    def took_off(self) -> int:
        """How many replicates learned."""
        return sum(replicate.took_off for replicate in self.replicates)

    @property
    def not_yet(self) -> int:
        """How many replicates have not learned, and have not come so far that this would say much."""
        return sum(replicate.is_early for replicate in self.replicates)

    @property
    def non_finite(self) -> int:
        """How many meta-iterations of all replicates met a NaN or an infinity."""
        return sum(replicate.non_finite for replicate in self.replicates)

    @property
    def learns(self) -> bool:
        """Whether a network is trained: hand-designed optimizers do not take off."""
        return self.preset.learns

    @property
    def published(self) -> tuple[PublishedRow, ...]:
        """What is known of this experiment: what the notebook printed, or our own reference."""
        return self.preset.published_rows

    @property
    def published_final(self) -> float | None:
        """The last mean log10 of the last loss that is known of it, if one is."""
        return self.preset.published_final

    @cached_property
    def curve(self) -> GroupCurve:
        """The median convergence."""
        return group_curve([replicate.curve for replicate in self.replicates])


def took_off(final: float, initial: float, published: float | None = None) -> bool:
    """Return whether a replicate learned at all, by its final mean log10 of the last loss.

    It did if that is at or below a factor of ten under what the untrained network reached, and, where the notebook
    published a final result, at or below half of that (half as many orders of magnitude).

    Parameters
    ----------
    final
        Mean log10 of the last loss over the last meta-iterations; NaN has not taken off.
    initial
        The same over the first ones; NaN where none was finite.
    published
        The notebook's final one.
    """
    limits = [initial - 1] if isfinite(initial) else []
    limits += [published / 2] if published is not None else []
    return bool(limits) and final <= min(limits)


def learned_in_truncations(final: float, mean: float) -> bool:
    """Return whether a replicate learned at all whose episodes go in truncations, of mean log10 figures.

    Losses of minibatches fall by no factor of ten, and much of that may come before the first figure. So it is judged
    as its health is: it did if the final loss is below what standing still would give.

    Parameters
    ----------
    final
        Of the episodes' final losses, over the last meta-iterations; NaN has not learned.
    mean
        Of all losses of these episodes.
    """
    return final < mean + log10(STANDS_STILL)


def summarise(run: Run, report: ReportSettings | None = None) -> list[Replicate]:
    """Read a run's metrics, finished or not, in bounded memory, and sum up each of its lanes.

    Lanes that have no row yet are left out.

    Parameters
    ----------
    run
        The run.
    report
        Over how many meta-iterations figures and curves average; as the run's own preset says if none is given.

    Raises
    ------
    RunError
        If the run has no result yet, or cannot be read.
    """
    preset = run.preset()
    if report is not None:
        preset = preset.model_copy(update={"report": report})
    readers = [_LaneReader(preset) for _ in lanes_of(preset)]
    window = preset.report.rolling_window
    blocks = run.beginning(least=max(preset.report.every, window), window=window)
    if blocks is not None:
        _begin_with(run, blocks, readers)
    for rows in run.rows(blocks):
        for lane, reader in enumerate(readers):
            reader.add(rows.of_lane(lane))
    found = [
        reader.replicate(run, lane) for lane, reader in zip(lanes_of(preset), readers, strict=True) if reader.has_begun
    ]
    if not found:
        raise RunError(f"{run.name} has no result yet")
    return found


class Summing:
    """Sums up a run while it is driven, from its first row on, as :func:`summarise` does of its files.

    Parameters
    ----------
    preset
        The run's.

    Attributes
    ----------
    is_whole
        Whether all rows were taken in: those of a run that was gone on with are in its files alone.
    """

    def __init__(self, preset: Preset) -> None:
        self.is_whole = False
        self._lanes = lanes_of(preset)
        self._readers = [_LaneReader(preset) for _ in self._lanes]

    def hear(self, event: Event) -> None:
        """Take in what the run's session tells."""
        if isinstance(event, Started):
            self.is_whole = event.iteration < 0 and not self._has_begun
        elif isinstance(event, NewRows) and self.is_whole:
            for lane, reader in enumerate(self._readers):
                reader.add(event.rows.of_lane(lane))

    @property
    def _has_begun(self) -> bool:
        return any(reader.has_begun for reader in self._readers)

    def replicates(self, run: Run) -> list[Replicate]:
        """Return the lanes summed up, to the same figures; those that have no row yet are left out."""
        for reader in self._readers:
            reader.take_as_written()
        pairs = zip(self._lanes, self._readers, strict=True)
        return [reader.replicate(run, lane) for lane, reader in pairs if reader.has_begun]


def _begin_with(run: Run, blocks: Blocks, readers: "Sequence[_LaneReader]") -> None:
    """Let readers begin with what is summed up of a run, and with its first rows."""
    for rows in run.rows():
        for lane, reader in enumerate(readers):
            reader.begin(rows.of_lane(lane))
        if not any(reader.is_beginning for reader in readers):
            break
    for lane, reader in enumerate(readers):
        reader.begin_with(blocks, lane)


def compare(runs: Iterable[Run], failed: Callable[[RunError], object] | None = None) -> list[Group]:
    """Sum up runs and group their replicates by experiment; a run that is given twice counts once.

    The groups are in the order in which the runs first name them; their figures do not depend on the order.

    Parameters
    ----------
    runs
        The runs.
    failed
        Is told why a run has no figures, and the others are compared without it; if none is given, that is raised.

    Raises
    ------
    RunError
        If a run has no result yet, or cannot be read; with ``failed``, only if that is so of all of them.
    """
    distinct = {run.folder.resolve(): run for run in runs}
    lost: list[RunError] = []

    def pass_over(error: RunError) -> None:
        if failed is None:
            raise error
        lost.append(error)
        if len(lost) == len(distinct):
            raise RunError(*[line for one in lost for line in one.lines]) from error
        failed(error)

    of_experiment: dict[str, list[tuple[Run, Preset]]] = {}
    for run in distinct.values():
        try:
            preset = run.preset()
        except RunError as error:
            pass_over(error)
        else:
            of_experiment.setdefault(repr(experiment_settings(preset)), []).append((run, preset))
    chosen, replicates = [], []
    for same in of_experiment.values():
        preset = _one_of([preset for _, preset in same])
        # The hand-designed optimizers of a run that trains no network are groups of their own.
        of_optimizer: dict[str, list[Replicate]] = {}
        for run, _ in same:
            try:
                found = summarise(run, preset.report)
            except RunError as error:
                pass_over(error)
                continue
            for replicate in found:
                of_optimizer.setdefault(replicate.lane.optimizer, []).append(replicate)
        chosen += [preset] * len(of_optimizer)
        replicates += [
            tuple(sorted(group, key=lambda one: (one.lane.seed, str(one.run.folder))))
            for group in of_optimizer.values()
        ]
    labels = _labels(chosen, replicates)
    return [Group(*parts) for parts in zip(labels, chosen, replicates, strict=True)]


def _one_of(presets: Sequence[Preset]) -> Preset:
    """Return what stands for presets of one experiment: with what is known of it, and the reports that most ask for.

    Of reports that as many ask for, those over fewer meta-iterations: a final result is one of the end.
    """
    counts = Counter(preset.report for preset in presets)
    report = min(counts, key=lambda one: (-counts[one], one.every, one.rolling_window, one.baseline_draws))
    preset = max(presets, key=lambda preset: preset.published is not None)
    return preset.model_copy(update={"report": report})


@dataclass(frozen=True)
class NamedLevel:
    """What a baseline reaches.

    Attributes
    ----------
    name
        The baseline's, and where that does not tell it from the other levels, the group's.
    level
        What it reaches.
    group
        The label of the first group it stands beside.
    is_tuned
        Whether the baseline's settings are the best found on that group's problem.
    """

    name: str
    level: Level
    group: str = ""
    is_tuned: bool = False


def baseline_levels(groups: Sequence[Group], seed: int | None = None) -> list[NamedLevel]:
    """Return what the groups' baselines reach over the presets' number of draws, each that differs once.

    The draws are those of one seed, so that one baseline has one level: the smallest that a group has if none is given.
    Baselines of one name whose figures agree to two decimals, as in float32 and float64, are one. So are those that
    runs measured over another number of draws: the greatest says it best.
    """
    seed = min(seed for group in groups for seed in group.seeds) if seed is None else seed
    of_each = [(group, _baselines_of(group.preset)) for group in groups if group.learns]
    draws = {key: 0 for _, baselines in of_each for key in baselines}  # in the order in which they are told
    for group, baselines in of_each:
        draws |= {key: max(draws[key], group.preset.report.baseline_draws) for key in baselines}
    found: dict[str, tuple[str, str, Level, bool]] = {}
    for group, baselines in of_each:
        preset = group.preset
        new = {
            key: name
            for key, name in baselines.items()
            if key not in found and draws[key] == preset.report.baseline_draws
        }
        reached = levels.of_runs((replicate.run for replicate in group.replicates), preset, seed) if new else {}
        found |= {key: (name, group.label, reached[name], name in preset.tuned) for key, name in new.items()}
    found = {key: found[key] for key in draws}
    differing = {(one[0], *_shown(one[2])): one for one in reversed(found.values())}
    names = [name for name, *_ in differing.values()]
    return [
        NamedLevel(name if names.count(name) == 1 else f"{name} ({label})", level, label, is_tuned)
        for name, label, level, is_tuned in reversed(differing.values())
    ]


def _baselines_of(preset: Preset) -> dict[str, str]:
    """Return a preset's baselines by what their levels depend on, but for the draws → their names."""
    return {repr((baseline, levels.conditions(preset))): baseline.name for baseline in preset.baseline}


def _shown(level: Level) -> tuple[str, ...]:
    """Return a level's figures as tables have them."""
    return tuple(f"{value:.2f}" for value in (level.end_log10, level.sum_loss, level.first_loss))


class _LaneReader:
    """Takes in the rows of one lane."""

    def __init__(self, preset: Preset) -> None:
        self._preset = preset
        self._history = History(preset.report.rolling_window, CURVE_POINTS)
        self._last = ReportWindow(preset.report.every)
        self._first: Doubles = np.zeros(0)
        self._iteration = -1
        self._non_finite = 0

    @property
    def has_begun(self) -> bool:
        return self._iteration >= 0

    def add(self, rows: Rows) -> None:
        if not len(rows):
            return
        self._history.add(rows)
        self._last.add(rows)
        self.begin(rows)
        self._iteration = int(rows.iteration[-1])
        self._non_finite += int(rows.non_finite.sum())

    @property
    def is_beginning(self) -> bool:
        """Whether the first results are not all there yet."""
        return len(self._first) < self._preset.report.rolling_window

    def begin(self, rows: Rows) -> None:
        """Take in the first results, if these rows have some of them."""
        missing = self._preset.report.rolling_window - len(self._first)
        self._first = np.concatenate([self._first, rows.end_log10[:missing]]) if missing else self._first

    def begin_with(self, blocks: Blocks, lane: int) -> None:
        """Take in the beginning of the lane, summed up."""
        blocks.begin(self._history, lane)
        self._non_finite += blocks.spoilt[lane]

    def take_as_written(self) -> None:
        """Let rows that were never read count as if they had been: of the summed loss a file holds fewer digits."""
        self._last.change_sums(partial(as_written, dtype=self._preset.run.dtype))

    def replicate(self, run: Run, lane: Lane) -> Replicate:
        initial, final = finite_mean(self._first), self._last.average_log_result
        learns = self._preset.learns
        looks = [vitals for of_lane, vitals in run.vitals() if of_lane == lane] if learns else []
        is_carried_away = bool(looks) and looks[-1].remaining > 1  # it may have begun even further away
        has_taken_off = learns and not is_carried_away and self._has_learned(initial, final)
        whole = max([self._preset.run.iterations, *(row.it for row in self._preset.published_rows)])
        return Replicate(
            run=run,
            lane=lane,
            curve=self._history.curve(),
            iteration=self._iteration,
            initial=initial,
            final=final,
            sum_loss=self._last.average_sum_loss,
            non_finite=self._non_finite,
            took_off=has_taken_off,
            is_early=learns and not has_taken_off and isfinite(final) and self._iteration < whole,
        )

    def _has_learned(self, initial: float, final: float) -> bool:
        if self._preset.experiment.truncation.is_whole:
            return took_off(final, initial, self._preset.published_final)
        return learned_in_truncations(final, self._last.average_sum_log_result)


def _labels(presets: Sequence[Preset], replicates: Sequence[tuple[Replicate, ...]]) -> list[str]:
    """Return a label a group: its experiment's name, but where all share it; where some do, also what differs."""
    names = [_name(group) for group in replicates]
    said = [""] * len(names)
    order = sorted(range(len(names)), key=lambda place: (names[place], replicates[place][0].lane.optimizer))
    for _, same in groupby(order, key=lambda place: (names[place], replicates[place][0].lane.optimizer)):
        places = list(same)
        if len(places) > 1:
            found = _differences([presets[place] for place in places], [replicates[place] for place in places])
            for place, what in zip(places, found, strict=True):
                said[place] = what
    if len(names) > 1 and len(set(names)) == 1:
        names = [""] * len(names)
    labels = []
    for name, group, what in zip(names, replicates, said, strict=True):
        optimizer = "" if group[0].lane.optimizer == LEARNED else group[0].lane.optimizer
        owner = f"{name}: {optimizer}" if name and optimizer else name or optimizer
        labels.append(f"{owner} {what}".strip() or _name(group))
    return labels


def _differences(presets: Sequence[Preset], replicates: Sequence[tuple[Replicate, ...]]) -> list[str]:
    """Return what tells groups of one name apart: settings, where there are too many the runs' names."""
    said = what_differs([experiment_settings(preset) for preset in presets])
    if max(map(len, said)) > _LONGEST_DIFFERENCE or len(set(said)) < len(said):
        said = without_common_beginning([min(one.run.name for one in group) for group in replicates])
    if len(set(said)) < len(said):
        said = without_common_beginning([min(str(one.run.folder) for one in group) for group in replicates])
    return said


def _name(group: Sequence[Replicate]) -> str:
    """Return the experiment's name; copies of a preset under other names are the same experiment."""
    return ", ".join(sorted({replicate.run.record().preset for replicate in group}))
