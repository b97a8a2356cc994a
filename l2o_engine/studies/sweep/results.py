"""What came of a study's settings: figures over seeds, the best first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isnan, nan
from typing import Any, Literal

from l2o_engine.records.statistics import Spread, spread_of
from l2o_engine.studies.sweep.halving import median_with_losses
from l2o_engine.studies.sweep.seeds import SeedOutcome
from l2o_engine.studies.sweep.study import Variation

State = Literal["finished", "stopped", "failed", "unfinished"]
"""Of a setting: all its seeds are done; halving has given it up; a seed has failed; there is something left to do."""


@dataclass(frozen=True, eq=False)
class SettingResult:
    """What came of one combination of settings.

    Attributes
    ----------
    variation
        The settings.
    outcomes
        Of its seeds, in their order, as far as there are any.
    seeds
        How many it has.
    stopped_at
        The meta-iteration at which halving has given it up; None if it has not.
    """

    variation: Variation
    outcomes: tuple[SeedOutcome, ...]
    seeds: int
    stopped_at: int | None = None

    @property
    def preset_name(self) -> str:
        """The preset's name."""
        return self.variation.preset.name

    @property
    def settings(self) -> Mapping[str, Any]:
        """What is varied: "table.key" → value."""
        return self.variation.settings

    @cached_property
    def told(self) -> list[SeedOutcome]:
        """The seeds that have a figure."""
        return [one for one in self.outcomes if one.status in ("done", "reached")]

    @cached_property
    def finals(self) -> dict[int, float]:
        """Seed → mean log10 of the last loss, at the end or where halving stopped it; NaN for one that is lost."""
        return {one.job.seed: nan if one.diverged else one.final for one in self.told}

    @cached_property
    def final(self) -> Spread:
        """How that is spread over the seeds; lost ones are counted only."""
        return spread_of(list(self.finals.values()))

    @cached_property
    def sum_loss(self) -> Spread:
        """How the final mean of the summed loss is spread over the seeds that are not lost."""
        return spread_of([one.sum_loss for one in self.told if not isnan(self.finals[one.job.seed])])

    @property
    def stuck(self) -> int:
        """How many seeds are at their end, not lost, and never took off."""
        return sum(one.took_off is False and not isnan(self.finals[one.job.seed]) for one in self.told)

    @property
    def lost(self) -> list[int]:
        """The seeds whose run has diverged, or ends without a finite result."""
        return [seed for seed, final in self.finals.items() if isnan(final)]

    @property
    def failed(self) -> list[SeedOutcome]:
        """The seeds that failed."""
        return [one for one in self.outcomes if one.status == "failed"]

    @property
    def seconds(self) -> float:
        """How long its runs have trained, added up."""
        return sum(one.seconds for one in self.outcomes)

    @property
    def iteration(self) -> int:
        """The last meta-iteration that all its figures go to."""
        return min((one.iteration for one in self.told), default=0)

    @property
    def status(self) -> State:
        """How it stands."""
        if self.failed:
            return "failed"
        if self.stopped_at is not None:
            return "stopped"
        return "finished" if sum(one.status == "done" for one in self.outcomes) == self.seeds else "unfinished"


def results_of(
    variations: Sequence[Variation],
    outcomes: Iterable[SeedOutcome],
    seeds: int,
    stopped: Mapping[str, int],
) -> list[SettingResult]:
    """Return what came of the settings, the best first: those that halving has given up last, the latest first.

    Parameters
    ----------
    variations
        The settings.
    outcomes
        Of all runs so far.
    seeds
        How many each has.
    stopped
        Slug → the meta-iteration at which halving has given it up.
    """
    of_slug: dict[str, list[SeedOutcome]] = {}
    for outcome in outcomes:
        of_slug.setdefault(outcome.job.of, []).append(outcome)
    found = [
        SettingResult(
            one,
            tuple(sorted(of_slug.get(one.slug, []), key=lambda outcome: outcome.job.seed)),
            seeds,
            stopped.get(one.slug),
        )
        for one in variations
    ]
    return sorted(found, key=_rank)


def _rank(result: SettingResult) -> tuple[float, float]:
    """Return by what a setting is ranked: given up later or not at all, then its median, lost seeds the worst."""
    given_up = 0.0 if result.stopped_at is None else 1 / (1 + result.stopped_at)
    return given_up, median_with_losses(list(result.finals.values()))
