"""What came of the experiments: figures over seeds, beside the notebook's."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from math import isnan, nan

from l2o_engine.presets.schema import Preset
from l2o_engine.records.statistics import Spread, spread_of
from l2o_engine.studies.comparison import Group, Replicate
from l2o_engine.studies.reproduction.jobs import Outcome

NOTEBOOK_LEVELS = {"SGD": -3.70, "RMSProp": -18.17}
"""What the notebook's hand-designed optimizers reach: mean log10 of the last loss over 1,000 draws, ±0.2."""

FEW_SEEDS = 4
"""With fewer, a median says little: take-off times vary by seed."""


@dataclass(frozen=True, eq=False)
class Result:
    """What came of an experiment.

    Attributes
    ----------
    preset
        The experiment.
    replicates
        The runs that are done, by seed, except those that are lost.
    lost
        The seeds whose run has diverged, or ends without a finite result.
    failed
        The jobs that failed.
    seconds
        How long all of its runs have trained, added up.
    under_way
        When each of its runs was begun and last written to.
    held_out
        How what the networks reach on held-out draws is spread over the seeds.
    """

    preset: Preset
    replicates: tuple[Replicate, ...]
    lost: tuple[int, ...]
    failed: tuple[Outcome, ...]
    seconds: float
    under_way: tuple[tuple[datetime, datetime], ...] = ()
    held_out: Spread = field(default_factory=lambda: spread_of([]))

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.preset.name

    @cached_property
    def group(self) -> Group | None:
        """The replicates as a group, for pictures; None where there are none."""
        return Group(self.name, self.preset, self.replicates) if self.replicates else None

    @property
    def seeds(self) -> int:
        """How many seeds have a result, lost ones too."""
        return len(self.replicates) + len(self.lost)

    @cached_property
    def final(self) -> Spread:
        """How the final mean log10 of the last loss is spread over the seeds; lost ones are counted only."""
        return spread_of([replicate.final for replicate in self.replicates] + [nan] * len(self.lost))

    @cached_property
    def sum_loss(self) -> Spread:
        """How the final mean of the summed loss is spread over the seeds."""
        return spread_of([replicate.sum_loss for replicate in self.replicates])

    @property
    def stuck(self) -> int:
        """How many replicates never took off."""
        return sum(not replicate.took_off for replicate in self.replicates)

    @property
    def published(self) -> float | None:
        """The notebook's final mean log10 of the last loss."""
        return self.preset.notebook.final if self.preset.notebook else None

    @property
    def tolerance(self) -> float | None:
        """How far our median may be from it."""
        return self.preset.notebook.tolerance if self.preset.notebook else None

    @property
    def difference(self) -> float | None:
        """Our median less the notebook's final: below 0 ours is better. None where either is missing."""
        return None if self.published is None or isnan(self.final.median) else self.final.median - self.published

    @property
    def is_reproduced(self) -> bool | None:
        """Whether our median is within its tolerance of the notebook's; None where there is nothing to compare."""
        if self.published is None or self.tolerance is None or not self.seeds:
            return None
        return self.difference is not None and abs(self.difference) <= self.tolerance


def wall_seconds(results: Sequence[Result]) -> float:
    """Return for how long at least one of the results' runs was under way, a pause between two commands left out."""
    total, until = 0.0, datetime.min.replace(tzinfo=UTC)
    for began, ended in sorted(span for result in results for span in result.under_way):
        total += max((ended - max(began, until)).total_seconds(), 0)
        until = max(until, ended)
    return total
