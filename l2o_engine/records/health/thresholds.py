"""Where the findings' and the trend's limits are.

What the published presets measured over eight seeds stands behind each; docs/why-it-does-not-learn.md.
"""

HAS_LEARNED = 0.05
"""Of the first distance to the optimum, left after the last update: with less, the network has learned to optimize."""
STANDS_STILL = 0.9
"""Of the geometric mean of an episode's losses, the final loss, where it goes in truncations: less has learned.

On 8 × 8 digits, 1.00 of a network that is stuck, 3.1 of one that carries x away, and 0.28 to 0.45 of dm_digits.
"""
EXPLODING = 1.5
"""Of the first distance, left after the last update. Never more than 1.0, which is that of a network that is stuck."""
EPSILON_SHARE = 0.9
"""Of Adam's step lost to ε, before the network has learned: 0.9999 and more where it never does, or not yet."""
NON_FINITE = 0.02
"""Of the meta-iterations, before the network has learned: none at all."""
FLIPPED = 0.5
"""Of the last gradients that the network sees: 0.32 at most (log15_end_log, at its end)."""
SATURATED = 0.75
"""Of the network's inputs, before the network has learned: 0.54 at most (log30, at 1,000)."""
FLAT = 0.3
"""Decades in the last quarter of the run, or in three looks if that is longer: less is flat."""
TAKE_OFF = 1.0
"""Decades in the same time: more, from where the network had not learned yet, is a take-off."""
LOST = 5000
"""Meta-iterations in a row without a finite last loss, after which a network is lost.

Their meta-gradients count as 0, and after some hundred of these Adam moves nothing any more: the network stays so.
"""
GREATEST = 1e99
"""A ratio that is infinite or greater: JSON, by which vitals are recorded, has no infinity."""
LOOKS = 3
"""How many looks tell a trend or a plateau, at least."""
