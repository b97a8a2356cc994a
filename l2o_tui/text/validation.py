"""Validations in words: what follows from one, the same on stderr and in the screen's log; and how they stand."""

from l2o_engine.training.validating import Verdict
from l2o_tui.text.numbers import count, fixed


def sentence(verdict: Verdict) -> str:
    """Return what a validation changes; an empty string where training just goes on."""
    match verdict.outcome:
        case "next":
            begins = f"stage {verdict.stage + 1} begins, with episodes of {count(verdict.episode)} steps"
            return f"{begins}: the best network of the stage before is restored ({_reached(verdict)})"
        case "stop":
            return f"validation finds nothing better any more: the best network is restored ({_reached(verdict)})"
        case _:
            return ""


def summary(verdict: Verdict) -> str:
    """Return what a validation found."""
    best = f"best {fixed(verdict.best)}, stage {verdict.stage + 1} with episodes of {count(verdict.episode)} steps"
    return f"validated at {fixed(verdict.figure)} over {count(verdict.steps)} steps; {best}"


def _reached(verdict: Verdict) -> str:
    return f"validated at {fixed(verdict.best)}"
