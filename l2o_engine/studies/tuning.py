"""Rivals at their best: the settings of hand-designed optimizers that are best on a problem.

The learning rate is searched on a grid of ratio 10^0.05, on tasks of the stream ``tuning``; where the best is at an
edge, or within three places of it, the grid is widened. Then the other settings that a rule names
(``HandDesigned.searched``) are tried in turn, one value after the other, each with the learning rate searched anew;
those of a rule without a learning rate in all combinations. What is found is judged on other tasks, of ``held_out``.

One setting is better than another if it loses fewer tasks: a loss is not finite, or the last is above a million times
the median first loss. Of settings that lose as many, the one with the lower figure is better: "end", the mean of
log10(last loss + 1e-38), or "sum", the median of the losses' sum, which would not mind if every third task diverged.

A setting is an *exploit* if it buys its last loss by going far away first: the median of its losses' sums is above
that of standing still (steps times the first loss), though on at least half of the tasks the last loss is not above the
first. Where the best is one, the best that is none is found as well.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from math import isnan, prod
from typing import Any, TypeVar, cast, get_args

import numpy as np

from l2o_engine.meta.experiment import DTypeName
from l2o_engine.optimizers.adam import Adam
from l2o_engine.optimizers.base import HandDesigned, repeated, run, side_by_side
from l2o_engine.optimizers.momentum import Momentum
from l2o_engine.optimizers.rmsprop import RmsProp
from l2o_engine.optimizers.sgd import Sgd
from l2o_engine.optimizers.tuned import Metric, tuned
from l2o_engine.optimizers.vsgd import VSgd
from l2o_engine.support.arrays import LOG_FLOOR, Doubles, finite_mean
from l2o_engine.support.errors import UserError
from l2o_engine.support.memory import available_memory
from l2o_engine.support.progress import Bar
from l2o_engine.support.settings import fields_of
from l2o_engine.support.wording import size
from l2o_engine.tasks.base import Task, TaskFamily
from l2o_engine.training.evaluation import evaluate, parts
from l2o_engine.training.figures import are_lost, is_exploit
from l2o_engine.training.streams import Streams, generator_of

RIVALS: Mapping[str, HandDesigned] = {
    "sgd": Sgd(),
    "momentum": Momentum(),
    "nesterov": Momentum(nesterov=True),
    "rmsprop": RmsProp(),
    "adam": Adam(),
    "vsgd": VSgd(),
}
"""The hand-designed optimizers by the names that ``tune`` has for them, as they are before they are tuned."""

METRICS: tuple[Metric, ...] = get_args(Metric)

MOST_DRAWS = 1_000_000
"""Tasks that may be tuned on."""

# Learning rates are 10^(place/20), of places:
_FIRST, _LAST = -80, 20
_LEAST, _GREATEST = -200, 120
_WIDENED = 20
_EDGE = 3  # places: over few draws a figure may go up and down where it is nearly flat

_MOST_NUMBERS = 4_000_000  # that results, or tasks beside each other, may take
_NUMBERS_AT_ONCE = 2**17  # of points that are moved at once: they stay in the processor's cache
_HELD_OUT_COPIES = 4  # of the losses of held-out tasks, in float64, that are there at the same time


Rule = TypeVar("Rule", bound=HandDesigned)


@dataclass(frozen=True)
class Problem:
    """What rivals are tuned on, and judged by.

    Attributes
    ----------
    task, steps
        The family that tasks are drawn from, and how many losses of each: the last one is after steps - 1 updates.
    closes
        Whether the last loss is one more than there are base steps: it closes an episode that goes in truncations.
    draws
        How many tasks a setting is tried on; as many others judge what is found.
    seed
        Decides the draws.
    dtype
        "float32" or "float64".

    Raises
    ------
    ValueError
        If there is no task, or there are more than :data:`MOST_DRAWS`, or fewer than two steps, or no such dtype.
    """

    task: TaskFamily
    steps: int = 20
    draws: int = 5000
    seed: int = 0
    dtype: str = "float32"
    closes: bool = False

    @property
    def horizon(self) -> int:
        """Base steps, as users count them."""
        return self.steps - self.closes

    def __post_init__(self) -> None:
        if not 1 <= self.draws <= MOST_DRAWS or self.steps < 2:
            raise ValueError(f"tuning needs 1 to {MOST_DRAWS:,} draws and at least two steps")
        if self.dtype not in get_args(DTypeName):
            raise ValueError(f'the dtype is "float32" or "float64", not {self.dtype!r}')

    def draw(self, generator: np.random.Generator, n: int) -> Task:
        """Draw tasks, [n, 1]."""
        return self.task.draw(generator, n, 1, steps=self.steps, dtype=self.dtype)


@dataclass(frozen=True)
class Reached:
    """What a setting reached on the tasks that it was tried on.

    Attributes
    ----------
    end
        Mean of log10(last loss + 1e-38), NaN where no loss has a logarithm.
    sum
        Median of the losses' sum; one that is not finite counts as infinite.
    lost
        How many tasks it loses, see the module.
    is_exploit
        See the module.
    """

    end: float
    sum: float
    lost: int
    is_exploit: bool

    def rank(self, metric: Metric) -> tuple[int, bool, float]:
        """Return what is lower for a better setting."""
        figure = self.end if metric == "end" else self.sum
        return self.lost, isnan(figure), figure


@dataclass(frozen=True)
class Found:
    """The best settings of a rival by one figure.

    Attributes
    ----------
    rival
        Its name in :data:`RIVALS`.
    metric
        What the settings are the best by.
    optimizer
        With these settings.
    searched
        The settings that were searched; the others are as they are in :data:`RIVALS`.
    reached
        On the tasks that they were found on.
    figures
        On as many held-out tasks, see :attr:`~l2o_engine.training.evaluation.Evaluated.figures`.
    at_bound
        Whether the best learning rate is the least or the greatest that is tried at all.
    """

    rival: str
    metric: Metric
    optimizer: HandDesigned
    searched: tuple[str, ...]
    reached: Reached
    figures: Mapping[str, float]
    at_bound: bool

    @property
    def is_exploit(self) -> bool:
        """Whether they buy the last loss by going far away first."""
        return self.reached.is_exploit

    @property
    def is_all(self) -> bool:
        """Whether all settings that a rule names were searched, and not the learning rate alone."""
        return set(self.optimizer.searched) <= set(self.searched)


@dataclass(frozen=True)
class Progress:
    """How far the search for a rival's settings is: of the grids that are expected, so many are done, in parts too."""

    rival: str
    done: float
    expected: int


def tune(
    optimizer: type[Rule] | Rule,
    task: TaskFamily,
    *,
    metric: Metric = "end",
    steps: int = 20,
    draws: int = 5000,
    seed: int = 0,
    dtype: str = "float32",
    progress: bool = False,
) -> Rule:
    """Return a hand-designed optimizer with the best settings on a problem that are no exploit: for the library.

    Parameters
    ----------
    optimizer
        ``l2o.optimizers.Momentum``, or one with settings of its own: those that are not searched stay.
    task
        The family that tasks are drawn from.
    metric
        "end", the mean log10 of the last loss, or "sum", the median of the losses' sum.
    steps
        How many losses of a task.
    draws
        How many tasks.
    seed
        Decides the draws.
    dtype
        "float32" or "float64".
    progress
        Whether a bar tells how far it is: a widget in a notebook, else on stderr.

    Returns
    -------
    HandDesigned
        Of the same kind. Where all settings are exploits it is the best of these.

    Raises
    ------
    ValueError
        If there is no such metric, or no task or too many, or fewer than two steps.
    MissingLibraryError
        If a bar is wanted and tqdm is not installed.
    """
    if metric not in METRICS:
        raise ValueError(f'the metric is "end" or "sum", not {metric!r}')
    problem = Problem(task, steps, draws, seed, dtype)
    rival = optimizer() if isinstance(optimizer, type) else optimizer
    with Bar(shown=progress, total=1, what=f"tuning {rival.name}", unit="grids") as bar:
        search = _Search(rival, problem, lambda done, expected: bar.tell(done, total=expected))
        best = search.best(metric, honestly=True).rule
    return cast("Rule", _noted(best, problem, metric))


def check_room(problem: Problem) -> None:
    """Refuse what there is no memory for.

    Raises
    ------
    UserError
        If the held-out tasks' losses would take more than is free.
    """
    needed, free = problem.draws * problem.steps * 8 * _HELD_OUT_COPIES, available_memory()
    if free is not None and needed > free[0]:
        raise UserError(
            f"the losses of {problem.draws:,} draws over {problem.steps:,} steps would take about {size(needed)} of "
            f"memory; {free[1]} has {size(free[0])} free: fewer --draws"
        )


def tune_rivals(
    problem: Problem,
    rivals: Sequence[str],
    metrics: Sequence[Metric] = METRICS,
    *,
    rate_only: bool = False,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> Iterator[Found]:
    """Search the best settings of rivals, and judge them.

    Parameters
    ----------
    problem
        What they are tuned on.
    rivals
        Names in :data:`RIVALS`.
    metrics
        What settings are to be the best by; each by itself.
    rate_only
        Whether only the learning rate is searched.
    tell
        Told how far it is.

    Yields
    ------
    Found
        Of each rival and metric the best settings: with the learning rate searched alone and, where they are others,
        with all settings searched. Where the best is an exploit, the best that is none comes behind it.
    """

    def tell_of(name: str, done: float, expected: int) -> None:
        tell(Progress(name, done, expected))

    for name in rivals:
        search = _Search(RIVALS[name], problem, partial(tell_of, name))
        for metric in metrics:
            alone = search.best_two(metric, searches_all=False)
            every = [] if rate_only else search.best_two(metric, searches_all=True)
            for tried in alone:
                if not any(tried.rule == other.rule for other in every):
                    yield _judged(name, metric, tried, problem, searched=search.names[:1] if search.has_rate else ())
            for tried in every:
                yield _judged(name, metric, tried, problem, searched=search.names)


@dataclass(frozen=True)
class _Tried:
    """A rule with settings, and what it reached on the tasks that it was tried on."""

    rule: HandDesigned
    reached: Reached
    at_bound: bool = False


class _Search:
    """The search for a rival's settings. What was tried once is known from then on, whatever is searched for.

    Parameters
    ----------
    rival
        With the settings to begin with.
    problem
        What it is tuned on.
    tell
        Told at first, and again and again, how many grids are done, and are expected in all.
    """

    def __init__(
        self, rival: HandDesigned, problem: Problem, tell: Callable[[float, int], None] = lambda done, expected: None
    ) -> None:
        self._rival = rival
        self._problem = problem
        self._tell = tell
        self.has_rate = "learning_rate" in fields_of(type(rival))
        self._grids: dict[HandDesigned, dict[int, _Tried]] = {}
        numbers = [len(values) for values in rival.searched.values()]
        self._expected = 1 + sum(number - 1 for number in numbers) if self.has_rate else prod(numbers)
        tell(0, self._expected)

    @property
    def names(self) -> tuple[str, ...]:
        """The settings that are searched."""
        return (*(("learning_rate",) if self.has_rate else ()), *self._rival.searched)

    def best_two(self, metric: Metric, *, searches_all: bool) -> list[_Tried]:
        """Return the best settings and, if these are an exploit, behind them the best that are none, if there are."""
        best = self.best(metric, searches_all=searches_all)
        honest = self.best(metric, honestly=True, searches_all=searches_all) if best.reached.is_exploit else None
        return [best, honest] if honest and not honest.reached.is_exploit else [best]

    def best(self, metric: Metric, *, honestly: bool = False, searches_all: bool = True) -> _Tried:
        """Return the best settings; ``honestly`` such as are no exploit, if there are any."""

        def rank(tried: _Tried) -> tuple[Any, ...]:
            return (honestly and tried.reached.is_exploit, *tried.reached.rank(metric))

        best = self._at_best_rate(self._rival, rank)
        searched = self._rival.searched if searches_all else {}
        if not self.has_rate:
            every = [
                _with(best.rule, **dict(zip(searched, values, strict=True))) for values in product(*searched.values())
            ]
            return min([best, *(self._at_best_rate(rule, rank) for rule in every)], key=rank)
        for name, values in searched.items():
            others = [_with(best.rule, **{name: value}) for value in values]
            best = min([best, *(self._at_best_rate(rule, rank) for rule in others)], key=rank)
        return best

    def _at_best_rate(self, rule: HandDesigned, rank: Callable[[_Tried], tuple[Any, ...]]) -> _Tried:
        """Return a rule at its best learning rate, widening the grid as long as its edge is the best."""
        if not self.has_rate:
            return self._grid(rule, range(1))[0]
        places = range(_FIRST, _LAST + 1)
        while True:
            grid = self._grid(rule, places)
            place = min(sorted(grid), key=lambda place: rank(grid[place]))
            lowest, highest = min(grid), max(grid)
            if place - _EDGE <= lowest > _LEAST:
                places = range(max(lowest - _WIDENED, _LEAST), lowest)
            elif place + _EDGE >= highest < _GREATEST:
                places = range(highest + 1, min(highest + _WIDENED, _GREATEST) + 1)
            else:
                return replace(grid[place], at_bound=place in (_LEAST, _GREATEST))

    def _grid(self, rule: HandDesigned, places: Sequence[int]) -> dict[int, _Tried]:
        """Return all of a rule that was tried, after it was tried at these places."""
        key = _with(rule, learning_rate=1.0) if self.has_rate else rule
        grid = self._grids.setdefault(key, {})
        missing = [place for place in places if place not in grid]
        if missing:
            rules = [_with(rule, learning_rate=_rate(place)) if self.has_rate else rule for place in missing]
            reached = _reached_by(rules, self._problem, self._tell_share)
            grid |= {
                place: _Tried(*tried) for place, tried in zip(missing, zip(rules, reached, strict=True), strict=True)
            }
        return grid

    def _tell_share(self, share: float) -> None:
        number = len(self._grids)
        self._tell(number - 1 + share, max(number, self._expected))


def _rate(place: int) -> float:
    """Return a learning rate of the grid: three digits of it, as they will be written."""
    return float(f"{10 ** (place / 20):.3g}")


def _with(rule: HandDesigned, **settings: Any) -> HandDesigned:
    """Return a rule with other settings, which are checked."""
    changed: HandDesigned = replace(cast("Any", rule), **settings)
    return changed


def _noted(rule: HandDesigned, problem: Problem, metric: Metric) -> HandDesigned:
    return _with(rule, tuned=tuned(rule, problem.task, problem.steps, metric))


def _judged(name: str, metric: Metric, tried: _Tried, problem: Problem, *, searched: tuple[str, ...]) -> Found:
    """Return what is found, with its figures on held-out tasks."""
    rule = _noted(tried.rule, problem, metric)
    (judged,) = evaluate(
        [rule],
        problem.task,
        problems=problem.draws,
        steps=problem.steps,
        seed=problem.seed,
        dtype=problem.dtype,
    )
    return Found(name, metric, rule, searched, tried.reached, judged.figures, tried.at_bound)


def _reached_by(
    rules: Sequence[HandDesigned], problem: Problem, tell: Callable[[float], None] = lambda share: None
) -> list[Reached]:
    """Return what rules that differ in their learning rate alone reach, all on the same tasks; tell how far it is."""
    width, found = _width_of(problem), []
    most = max(1, min(_MOST_NUMBERS // problem.draws, _MOST_NUMBERS // (width * problem.steps)))
    for start in range(0, len(rules), most):
        group, figures, tasks = rules[start : start + most], [], 0
        for part in _side_by_side(group, problem, width):
            figures.append(part)
            tasks += part.shape[-1]
            tell((start + len(group) * tasks / problem.draws) / len(rules))
        together = zip(*np.concatenate(figures, axis=-1), strict=True)
        found += [_reached(first, last, total, problem.steps) for first, last, total in together]
    return found


def _width_of(problem: Problem) -> int:
    """Return how many numbers a task has, of its point or its parameters."""
    one = problem.draw(np.random.default_rng(0), 1)
    return int(max(problem.task.size, sum(values.size for values in one.parameters.values()), 1))


def _side_by_side(rules: Sequence[HandDesigned], problem: Problem, width: int) -> Iterator[Doubles]:
    """Yield the figures of rules on some tasks after the other, see :func:`_figures`."""
    generator = generator_of(Streams(problem.seed).tuning)
    at_once = max(1, min(_NUMBERS_AT_ONCE // width, _MOST_NUMBERS // problem.steps) // len(rules))
    for number in parts(problem.draws, at_once):
        task = problem.draw(generator, number)
        if len(rules) == 1:
            losses = run(rules[0], task, problem.steps)[None]
        else:
            losses = run(side_by_side(rules, task.start), repeated(task, len(rules)), problem.steps)
        yield _figures(losses[:, :, 0].astype(np.float64))


def _figures(losses: Doubles) -> Doubles:
    """Return first loss, last loss and sum, [3, rules, tasks], of losses [rules, tasks, steps]; NaN of spoilt tasks."""
    with np.errstate(over="ignore", invalid="ignore"):
        figures = np.stack([losses[..., 0], losses[..., -1], losses.sum(-1)])
    is_finite = np.isfinite(losses).all(-1) & np.isfinite(figures).all(0)
    return np.where(is_finite, figures, np.nan)


def _reached(first: Doubles, last: Doubles, total: Doubles, steps: int) -> Reached:
    """Return what a setting reached on tasks [tasks]: by their first and last losses, and the losses' sums."""
    is_there = np.isfinite(total)
    with np.errstate(invalid="ignore", divide="ignore"):
        end = finite_mean(np.log10(last + LOG_FLOOR))
    lost = ~is_there | are_lost(first, last)
    median = float(np.median(np.where(is_there, total, np.inf)))
    return Reached(
        end=end,
        sum=median,
        lost=int(lost.sum()),
        is_exploit=is_exploit(first, last, total, steps),
    )
