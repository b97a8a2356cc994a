"""Who did best: replicates of one experiment together, on both counts."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np

from l2o_engine.optimizers.learned.learned_optimizer import LEARNED
from l2o_engine.presets.labels import what_differs
from l2o_engine.records.statistics import Spread, quartiles, spread_of
from l2o_engine.studies.evaluation.judging import Judged
from l2o_engine.studies.evaluation.matches import Problem, Source
from l2o_engine.support.arrays import Doubles
from l2o_engine.training.intervals import Interval

BY_END, BY_SUM = "end_log10_mean", "sum_median"
"""The figures that optimizers are ranked by."""
LOST_SHARE = 0.01
"""Of the draws: who has lost more of them comes after all who have not."""


@dataclass(frozen=True, eq=False)
class Contender:
    """An optimizer among those that are judged on one problem: a rival, or what an experiment has trained, by seed.

    Attributes
    ----------
    label
        What tells it from the others.
    judged
        One, or one a seed.
    """

    label: str
    judged: tuple[Judged, ...]

    @property
    def is_trained(self) -> bool:
        """Whether it was trained."""
        return self.judged[0].network is not None

    def spread(self, figure: str) -> Spread:
        """Return how a figure is spread over the seeds."""
        return spread_of([one.figures[figure] for one in self.judged])

    def figure(self, figure: str) -> float:
        """Return a figure, of several seeds the median."""
        return self.spread(figure).median

    def range(self, figure: str) -> Interval:
        """Return the 95 % interval of a figure; of several seeds the least and the greatest."""
        if len(self.judged) == 1:
            return self.judged[0].intervals[figure]
        spread = self.spread(figure)
        return spread.least, spread.greatest

    def share(self, count: str) -> float:
        """Return the share of the draws that a count is of, of several seeds the median."""
        return self.figure(count) / self.judged[0].draws

    @property
    def is_exploit(self) -> bool:
        """Whether it buys its last losses by going far away first, most of the seeds do."""
        return 2 * sum(one.is_exploit for one in self.judged) > len(self.judged)

    @property
    def loses(self) -> bool:
        """Whether it has lost more than :data:`LOST_SHARE` of its draws: then the mean of the others is no merit."""
        return self.share("lost") > LOST_SHARE

    @property
    def curve(self) -> Doubles:
        """Quartiles [3, steps] of log10 of the loss, of several seeds the medians of theirs."""
        return _median([one.curve.ravel() for one in self.judged]).reshape(3, -1)

    @property
    def solved(self) -> Doubles:
        """Share [steps] of the tasks that are solved, of several seeds the median."""
        return _median([one.solved for one in self.judged])


@dataclass(frozen=True, eq=False)
class Ranking:
    """All that were judged on one problem, by the mean log10 of the last loss, the best first.

    Attributes
    ----------
    problem
        The problem.
    draws
        How many held-out tasks.
    contenders
        Who was judged.
    by_end, by_sum
        The rank of each: by :data:`BY_END` and by :data:`BY_SUM`, for one giant step may buy the first. Who loses draws
        comes after all who do not.
    """

    problem: Problem
    draws: int
    contenders: tuple[Contender, ...]
    by_end: tuple[int, ...]
    by_sum: tuple[int, ...]


def rankings_of(judged: Iterable[Judged]) -> list[Ranking]:
    """Rank what was judged, problem by problem, in the order in which the problems come."""
    of_problem: dict[Problem, list[Judged]] = {}
    for one in judged:
        of_problem.setdefault(one.problem, []).append(one)
    return [_ranking(problem, found) for problem, found in of_problem.items()]


def _ranking(problem: Problem, judged: Sequence[Judged]) -> Ranking:
    trained: dict[str, list[Judged]] = {}
    sources: dict[str, Source] = {}
    for one in judged:
        if one.network is not None:
            source = one.network.source
            settings = repr(source.settings)
            sources.setdefault(settings, source)
            trained.setdefault(settings, []).append(one)
    labels = _labels(list(sources.values()))
    found = [Contender(label, tuple(own)) for label, own in zip(labels, trained.values(), strict=True)]
    found += [Contender(one.name, (one,)) for one in judged if one.rival is not None]
    found.sort(key=lambda one: _merit(one, BY_END))
    by_end, by_sum = (tuple(_ranks([_merit(one, figure) for one in found])) for figure in (BY_END, BY_SUM))
    return Ranking(problem, judged[0].draws, tuple(found), by_end, by_sum)


def _labels(sources: Sequence[Source]) -> list[str]:
    """Return what the optimizers of experiments are called: the published name alone, if there is but one."""
    if len(sources) < 2:
        return [LEARNED] * len(sources)
    names = [source.label for source in sources]
    differences = what_differs([source.settings for source in sources])
    return [name if names.count(name) == 1 else f"{name} {what}" for name, what in zip(names, differences, strict=True)]


def _median(lines: Sequence[Doubles]) -> Doubles:
    """Return the median of lines, point by point."""
    median: Doubles = quartiles(np.stack(lines))[1]
    return median


def _merit(contender: Contender, figure: str) -> tuple[bool, float]:
    value = contender.figure(figure)
    return contender.loses, value if isfinite(value) else inf


def _ranks(merits: Sequence[tuple[bool, float]]) -> Iterator[int]:
    ordered = sorted(merits)
    return (1 + ordered.index(merit) for merit in merits)
