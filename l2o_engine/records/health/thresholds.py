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
SPIKE = 100.0
"""Times the median of a look's meta-gradients: longer is a spike. The longest of dm_digits was 62, at first."""
SPIKES = 0.015
"""Of a look's meta-gradients: more spikes than that rule Adam's v, for √v is then over ten times that of the others.

Of the first 500: 0.006 in dm_simple, whose losses fall by decades meanwhile, 0.008 in dm_digits with ReLU, which
learns, and none in dm_quadratic, dm_digits and rnnprop_digits. Of what explodes: 0.12 of dm_quadratic and 0.022 of
dm_digits with a learning rate of 0.1 (0.028 with meta.batch = 1, as the figures below), 0.49 of dm_simple with one of
1, 0.020 of dm_digits with an output_scale of 10.
"""
CLOSED = 0.01
"""A gate, which is between 0 and 1, that is nearer than that to either end lets no derivative through."""
GATES = 0.75
"""Of the values of all of a layer's gates, open or closed for good: with more, hardly anything is learned of it.

0 of dm_quadratic, dm_digits and rnnprop_digits; with a learning rate of 0.1, 0.44 of dm_quadratic, which still learns,
and 0.89 of dm_digits, which does not.
"""
LAYERS = 1e3
"""Times the updates of one of the optimizee's layers, those of another: the first one does not move.

2.4 in dm_digits, 3 with ReLU, 4.5 in rnnprop_digits, with its convex companion as one more layer.
"""
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
