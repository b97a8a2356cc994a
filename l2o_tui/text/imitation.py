"""Imitations in words."""

from l2o_engine.training.imitating import Likeness
from l2o_tui.text.numbers import count, scientific


def summary(likeness: Likeness) -> str:
    """Return what an imitation came to."""
    truncations = f"{count(likeness.truncations)} truncation{'s' * (likeness.truncations != 1)}"
    told = f", loss {scientific(likeness.first)} at its first, {scientific(likeness.last)} at its last"
    return f"has imitated its teacher for {truncations}{told if likeness.truncations else ''}"
