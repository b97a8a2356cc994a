"""Where the end loss is going."""

from collections.abc import Sequence
from math import isnan
from typing import Literal, TypeAlias

from l2o_engine.records.health.thresholds import EXPLODING, FLAT, HAS_LEARNED, LOOKS, TAKE_OFF
from l2o_engine.records.health.vitals import Vitals

Trend: TypeAlias = Literal["starting", "flat", "falling", "taking off", "rising", "diverging"]
"""Of the mean log10 of the last loss: where the end loss is going."""


def trend_of(history: Sequence[Vitals]) -> Trend:
    """Return where the end loss is going, from the vitals of the looks up to now."""
    now, then = history[-1], _reference(history)
    if now.remaining > EXPLODING:
        return "diverging"
    change = now.average_log_result - then.average_log_result
    if now is then or isnan(change):
        return "starting"
    if abs(change) < FLAT:
        return "flat"
    if change < 0:
        is_first = then.remaining >= HAS_LEARNED > now.remaining
        return "taking off" if change <= -TAKE_OFF and is_first else "falling"
    return "rising"


def flat_since(history: Sequence[Vitals]) -> int:
    """Return the meta-iteration of the first look from which on the end loss has been as it is now."""
    now = history[-1]
    since = now.iteration
    for vitals in reversed(history):
        if not abs(vitals.average_log_result - now.average_log_result) < FLAT:
            break
        since = vitals.iteration
    return since


def _reference(history: Sequence[Vitals]) -> Vitals:
    """Return the look to compare the last one with: three quarters of the run ago, and three looks ago at least."""
    before = [vitals for vitals in history[:-LOOKS] if vitals.iteration <= 0.75 * history[-1].iteration]
    return before[-1] if before else history[0]
