"""An experiment's networks against its rivals on held-out draws: who is best, by the last loss and by their sum."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

from l2o_engine.optimizers.vsgd import VSgd
from l2o_engine.presets.published import ReferenceSettings
from l2o_engine.studies.evaluation import DRAWS, Contender, Match, Ranking, judge, networks_of, rankings_of
from l2o_engine.studies.evaluation.matches import problem_of
from l2o_engine.studies.evaluation.rankings import BY_END, BY_SUM
from l2o_engine.studies.reproduction.results import Result

MEAN_SUM = "sum_mean"
COUNTS = (BY_END, MEAN_SUM, BY_SUM)
"""The figures that are counted, each lower for who is better: mean log10 of the last loss; mean and median of Σ."""


@dataclass(frozen=True, eq=False)
class Rivalry:
    """What came of a ranking: the trained optimizer in it, and the best of its rivals.

    Attributes
    ----------
    ranking
        All that were judged on one problem, with one trained optimizer.
    """

    ranking: Ranking

    @property
    def trained(self) -> Contender:
        """The trained optimizer, over its seeds."""
        return next(one for one in self.ranking.contenders if one.is_trained)

    @property
    def rivals(self) -> list[Contender]:
        """The rivals that see what a network sees, gradients alone, and neither lose draws nor are an exploit."""
        every = [one for one in self.ranking.contenders if not one.is_trained and not one.is_exploit]
        return [one for one in every if not sees_curvature(one) and not one.loses]

    def best(self, figure: str) -> Contender | None:
        """Return the best of :attr:`rivals` by a figure; None where there is none."""
        found = [one for one in self.rivals if isfinite(one.figure(figure))]
        return min(found, key=lambda one: one.figure(figure), default=None)

    def lead(self, figure: str) -> float | None:
        """Return by how much the trained optimizer is below the best rival, above 0 if it wins; None without one.

        It wins nothing where it loses more draws than may be lost.
        """
        best, own = self.best(figure), self.trained.figure(figure)
        if best is None or not isfinite(own) or self.trained.loses:
            return None
        return best.figure(figure) - own

    def wins(self, figure: str) -> bool | None:
        """Return whether the trained optimizer is the best by a figure; None where there is no rival to beat."""
        if self.best(figure) is None:
            return None
        lead = self.lead(figure)
        return lead is not None and lead > 0


@dataclass(frozen=True, eq=False)
class Judgement:
    """An experiment of which a reference may be known, its result, and how it did against its rivals.

    Attributes
    ----------
    result
        What came of its runs.
    rivalry
        On its own problem.
    """

    result: Result
    rivalry: Rivalry

    @property
    def reference(self) -> ReferenceSettings | None:
        """Our own figures of earlier."""
        return self.result.preset.reference

    @property
    def difference(self) -> float | None:
        """The median on held-out draws less the reference's: below 0 it is better. None where either is missing."""
        held_out = self.rivalry.trained.figure(BY_END)
        return held_out - self.reference.held_out if self.reference and isfinite(held_out) else None

    @property
    def is_reproduced(self) -> bool | None:
        """Whether the median is within its tolerance of the reference's; None where there is no reference."""
        if self.reference is None:
            return None
        return self.difference is not None and abs(self.difference) <= self.reference.tolerance


def sees_curvature(one: Contender) -> bool:
    """Return whether a rival is told more than gradients: vSGD is, the curvature."""
    return isinstance(one.judged[0].rival, VSgd)


def judged_results(
    results: Sequence[Result],
    *,
    draws: int = DRAWS,
    seed: int = 0,
    told: Callable[[float], None] = lambda share: None,
) -> Iterator[Judgement]:
    """Judge the networks of experiments, and their rivals, on the experiments' own problems.

    An experiment without a run that is left has none.

    Parameters
    ----------
    results
        What came of the experiments.
    draws, seed
        How many held-out draws, and what decides them.
    told
        Is called with the share that is done of all; what it raises ends it.

    Raises
    ------
    Failure
        If the weights of a run cannot be read.
    """
    with_runs = [result for result in results if result.replicates]
    for place, result in enumerate(with_runs):
        networks = [network for replicate in result.replicates for network in networks_of(replicate.run)]

        def tell(share: float, before: int = place) -> None:
            told((before + share) / len(with_runs))

        match = Match(problem_of(result.preset), tuple(networks))
        (ranking,) = rankings_of(judge([match], draws=draws, seed=seed, told=tell))
        yield Judgement(result, Rivalry(ranking))
