"""What a run's numbers say about its health, and why it does not learn if it does not.

At every look (:func:`next_look`) the :class:`Diagnostician` of a lane measures :class:`Vitals`: from the rows since the
look before, from what the last meta-iterations gave, and from the learner. :func:`trend_of` and :func:`examine` are
pure functions of the vitals, so a recorded run gives the same findings as a live one. The thresholds lie between what
the shipped presets measure when they learn and when they do not; docs/why-it-does-not-learn.md has the figures.
"""

from l2o_engine.records.health.diagnostician import Diagnosis, Diagnostician
from l2o_engine.records.health.findings import Finding, examine, number, percent
from l2o_engine.records.health.thresholds import LOST
from l2o_engine.records.health.trend import Trend, trend_of
from l2o_engine.records.health.truncated import TruncatedVitals
from l2o_engine.records.health.vitals import EARLY_LOOKS, Vitals, epsilon_share, looks_apart, next_look

__all__ = [
    "EARLY_LOOKS",
    "LOST",
    "Diagnosis",
    "Diagnostician",
    "Finding",
    "Trend",
    "TruncatedVitals",
    "Vitals",
    "epsilon_share",
    "examine",
    "looks_apart",
    "next_look",
    "number",
    "percent",
    "trend_of",
]
